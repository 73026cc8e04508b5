"""The routes of a script that see one branch alone: before it is sent, and when it has failed.

What they edit is that of this branch. Here nothing goes upstream.
"""

from __future__ import annotations

from collections.abc import Callable

from uacproxy.errors import ScriptError
from uacproxy.proxy.branch import Branch
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.actions import Drop
from uacproxy.routing.context import RouteContext
from uacproxy.routing.runner import Outcome
from uacproxy.routing.scope import Scope
from uacproxy.sip.message import Message


def run_branch_route(wiring: Wiring, request_scope: Scope, branch: Branch) -> None:
    """Let the branch route edit, then start the branch; ``Drop`` ends it unsent.

    Args:
        wiring: the core's.
        request_scope: of the request, where the route is armed.
        branch: not started yet, with a scope of its own.
    """
    script = wiring.script
    scope = branch.scope
    try:
        handler = script.branch(request_scope.on_branch)
    except ScriptError as error:
        wiring.runner.report(error)
        branch.refuse(500)
        return
    request_uri = scope.request.request_uri
    next_hop = scope.next_hop
    armed = scope.on_branch_failure

    def decided(outcome: Outcome) -> None:
        request_scope.from_changed = request_scope.from_changed or scope.from_changed
        request_scope.to_changed = request_scope.to_changed or scope.to_changed
        if isinstance(outcome, Drop):
            branch.refuse(480)
            return
        if scope.next_hop != next_hop or scope.request.request_uri != request_uri:
            branch.send_elsewhere(scope.next_hop)
        if scope.on_branch_failure != armed:
            branch.on_failure = scope.on_branch_failure
        branch.start()

    def failed(_error: ScriptError) -> None:
        branch.refuse(500)

    context = RouteContext(wiring.features, scope)
    wiring.runner.run(handler, context, script.file, decided, failed)


def run_branch_failure(
    wiring: Wiring,
    scope: Scope,
    branch: Branch,
    response: Message,
    then: Callable[[Outcome, Scope], None],
) -> None:
    """Let the branch failure route see one branch, while others may still ring.

    Args:
        wiring: the core's.
        scope: of the request.
        branch: that failed; the route is armed for it no more.
        response: how.
        then: hears what the route decided, perhaps in a later turn, and its scope: what it
            edited is that of this branch alone. A route that fails has decided nothing.
    """
    script = wiring.script
    name = branch.on_failure
    branch.on_failure = ""
    own = scope.branch_scope(scope.request.branch_copy(), branch.index)
    own.on_branch_failure = ""
    own.response = response
    own.failure = branch.failed_with(response)
    try:
        handler = script.branch_failure(name)
    except ScriptError as error:
        wiring.runner.report(error)
        then(None, own)
        return

    def decided(outcome: Outcome) -> None:
        then(outcome, own)

    def failed(_error: ScriptError) -> None:
        then(None, own)

    context = RouteContext(wiring.features, own)
    wiring.runner.run(handler, context, script.file, decided, failed)
