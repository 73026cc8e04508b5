"""A failure route: run once per arming, when nothing of a request is under way any more."""

from __future__ import annotations

from collections.abc import Callable

from uacproxy.errors import ScriptError
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.context import RouteContext
from uacproxy.routing.runner import Outcome
from uacproxy.routing.scope import Failure, Retry, Scope


def run_failure_route(
    wiring: Wiring,
    scope: Scope,
    failure: Failure,
    decided: Callable[[Outcome, Retry | None], None],
    fail: Callable[[], None],
) -> None:
    """Let the failure route that is armed, if any is, see how a request failed.

    Args:
        wiring: the core's.
        scope: of the request; the route is armed no more.
        failure: the best one.
        decided: hears what the route decided, perhaps in a later turn, and with what the
            challenged request is to be sent again.
        fail: called instead where there is no route, or where it raises.
    """
    name = scope.on_failure
    if not name:
        fail()
        return
    scope.on_failure = ""
    script = wiring.script
    try:
        handler = script.failure(name)
    except ScriptError as error:
        wiring.runner.report(error)
        fail()
        return
    scope.response = failure.response
    scope.failure = failure

    def done(outcome: Outcome) -> None:
        retry = scope.retry
        scope.response = None
        scope.failure = None
        scope.retry = None
        decided(outcome, retry)

    def raised(_error: ScriptError) -> None:
        fail()

    wiring.runner.run(handler, RouteContext(wiring.features, scope), script.file, done, raised)
