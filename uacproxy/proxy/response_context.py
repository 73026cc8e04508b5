"""All branches of one request, and the one answer they make (RFC 3261 16.7 and 16.10).

Provisional responses and every 2xx go upstream at once; of the failures the best one
waits until all branches are over, and a failure route may send the request on.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.dialog.cseq import restore_cseq
from uacproxy.errors import ParseError, ScriptError
from uacproxy.proxy.branch import Branch
from uacproxy.proxy.target_set import Destination, destinations
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.actions import Drop, Relay, Reply
from uacproxy.routing.context import RouteContext
from uacproxy.routing.runner import Outcome
from uacproxy.routing.scope import Failure, Retry, Scope
from uacproxy.sip.build import build_response
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    PROXY_AUTHENTICATE,
    ROUTE,
    SERVER,
    WWW_AUTHENTICATE,
    canonical,
)
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.restore import restore_response

PREFERRED: Final = (401, 407, 415, 420, 484)
"""Of the 4xx these say what the caller could do about it (16.7 step 6)."""


@final
class ResponseContext:
    """One per request that is not an ACK; ``finished`` says a final response went upstream."""

    __slots__ = ("_branches", "_failures", "_groups", "_wiring", "finished", "scope", "server")

    def __init__(self, wiring: Wiring, server: ServerTransaction, scope: Scope) -> None:
        self._wiring = wiring
        self.server = server
        self.scope = scope
        self.finished = False
        self._branches: list[Branch] = []
        self._groups: list[list[Destination]] = []  # not yet tried
        self._failures: list[tuple[Branch, Message]] = []  # of the branches tried so far

    # -- what a handler decided --------------------------------------------------------

    def perform(self, outcome: Outcome) -> None:
        """Carry out what request_route decided."""
        if self.finished:
            return  # cancelled while the handler was still thinking
        if isinstance(outcome, Relay):
            self._relay(outcome)
        elif isinstance(outcome, Reply):
            self.reply(outcome)
        elif isinstance(outcome, Drop):
            self.finished = True
            self.server.stop()
        else:
            error = ScriptError("request_route decided nothing", file=self._wiring.script.file)
            self._wiring.counters.script_errors += 1
            self._wiring.log.error("route script failed: {error}", error=str(error))
            self.answer(500)

    def script_failed(self, _error: ScriptError) -> None:
        """Answer for a handler that raised."""
        self.answer(500)

    def _relay(self, relay: Relay) -> None:
        wiring = self._wiring
        try:
            groups = destinations(relay, self.scope, wiring.is_ours, wiring.find_local)
        except ParseError as error:
            self.answer(error.status)
            return
        if not groups:
            wiring.counters.unroutable += 1
            self.answer(404)
            return
        self._groups = groups
        self._start_next_group()

    def relay_to(self, destination: Destination) -> None:
        """Relay to one place without asking a handler: requests inside a dialog."""
        self._groups = [[destination]]
        self._start_next_group()

    def _start_next_group(self) -> None:
        group = self._groups.pop(0)
        self._branches = []
        retry = self.scope.retry
        self.scope.retry = None
        for destination in group:
            self._start_branch(destination, retry)

    def _start_branch(self, destination: Destination, retry: Retry | None) -> None:
        scope = self.scope
        request = scope.request.branch_copy()
        if destination.request_uri != request.request_uri:
            request.set_request_uri(destination.request_uri)
        for route in reversed(destination.path):
            request.push(ROUTE, route)
        shift = scope.shift if retry is None else retry.shift
        credentials = [] if retry is None else retry.credentials
        index = len(self._branches)
        if scope.on_branch:
            scope = scope.branch_scope(request, index)
        branch = Branch(self._wiring, self, scope, request, destination, credentials, shift)
        self._branches.append(branch)
        if scope is not self.scope:
            self._run_branch_route(branch, scope)
        else:
            branch.start()

    def _run_branch_route(self, branch: Branch, scope: Scope) -> None:
        """Let the branch route edit, then start; any outcome but None drops the branch."""

        def decided(outcome: Outcome) -> None:
            self.scope.from_changed = self.scope.from_changed or scope.from_changed
            self.scope.to_changed = self.scope.to_changed or scope.to_changed
            if isinstance(outcome, Drop):
                branch.refuse(480)
            else:
                branch.start()

        wiring = self._wiring
        script = wiring.script
        try:
            handler = script.branch(self.scope.on_branch)
        except ScriptError as error:
            wiring.log.error("route script failed: {error}", error=str(error))
            branch.refuse(500)
            return
        context = RouteContext(wiring.features, scope)
        wiring.runner.run(handler, context, script.file, decided, lambda error: branch.refuse(500))

    # -- what the branches tell --------------------------------------------------------

    def provisional(self, branch: Branch, response: Message) -> None:
        """Pass a 101 to 199 upstream (16.7 step 5)."""
        if not self.finished:
            self._pass_up(branch, response)

    def success(self, branch: Branch, response: Message) -> None:
        """Pass a 2xx upstream, every one of an INVITE; cancel the other branches."""
        if self.finished and self.scope.received.method != b"INVITE":
            return
        if not self.finished:
            self.finished = True
            self._groups = []
            self._cancel_others(branch)
        self._pass_up(branch, response)

    def failure(self, branch: Branch, response: Message) -> None:
        """Keep a failure; when it was the last branch, choose (16.7 steps 6 to 8)."""
        if self.finished:
            return
        self._failures.append((branch, response))
        if response.status >= 600:
            self._groups = []
            self._cancel_others(branch)
        for other in self._branches:
            if not other.over:
                return
        if self._groups and not self.scope.is_canceled:
            self._start_next_group()
            return
        self._choose()

    def _cancel_others(self, branch: Branch) -> None:
        for other in self._branches:
            if other is not branch:
                other.cancel([])

    def _choose(self) -> None:
        branch, best = pick_best(self._failures)
        scope = self.scope
        name = scope.on_failure
        if not name:
            self._fail_upstream(branch, best)
            return
        scope.on_failure = ""
        scope.response = best
        scope.failure = Failure(
            branch.request, best, branch.next_hop, branch.credentials, branch.shift
        )
        wiring = self._wiring
        script = wiring.script
        try:
            handler = script.failure(name)
        except ScriptError as error:
            wiring.log.error("route script failed: {error}", error=str(error))
            self._fail_upstream(branch, best)
            return
        wiring.runner.run(
            handler,
            RouteContext(wiring.features, scope),
            script.file,
            lambda outcome: self._after_failure_route(outcome, branch, best),
            lambda error: self._fail_upstream(branch, best),
        )

    def _after_failure_route(self, outcome: Outcome, branch: Branch, best: Message) -> None:
        scope = self.scope
        scope.response = None
        scope.failure = None
        if self.finished:
            return
        if isinstance(outcome, Relay) and not scope.is_canceled:
            retry = scope.retry
            if retry is not None and not outcome.targets:
                self._failures = [one for one in self._failures if one[0] is not branch]
                self._wiring.counters.authenticated += 1
                self._groups = [[Destination(retry.request_uri, retry.next_hop)]]
                self._start_next_group()
            else:
                scope.retry = None
                self._failures = []
                self._relay(outcome)
        elif isinstance(outcome, Reply):
            self.reply(outcome)
        elif isinstance(outcome, Drop):
            self.finished = True
            self.server.stop()
        else:
            self._fail_upstream(branch, best)

    def _fail_upstream(self, branch: Branch, best: Message) -> None:
        """Send the best failure; a 503 of one hop is no 503 of ours (16.7 step 6)."""
        if self.finished:
            return
        if best.status == 503:
            self.answer(500)
            return
        if best.status in (401, 407):
            _gather_challenges(best, self._failures)
        self.finished = True
        self._pass_up(branch, best)

    # -- upstream ----------------------------------------------------------------------

    def _pass_up(self, branch: Branch, response: Message) -> None:
        """Show the caller what it wrote, and send (16.7 steps 3 and 9)."""
        scope = self.scope
        received = scope.received
        if scope.from_changed or scope.to_changed:
            restore_response(response, received, scope.from_changed, scope.to_changed)
        if branch.shift:
            restore_cseq(response, received)
        if scope.dialog is not None:
            self._tell_tracker(response)
        if scope.on_reply:
            self._run_onreply_route(response)
        else:
            self._respond(response)

    def _respond(self, response: Message) -> None:
        self._wiring.counters.responses += 1
        self.server.respond(response)

    def _tell_tracker(self, response: Message) -> None:
        scope = self.scope
        dialog = scope.dialog
        if dialog is None:
            return
        tracker = self._wiring.tracker
        if not scope.in_dialog:
            tracker.response_passed(dialog, response)

    def _run_onreply_route(self, response: Message) -> None:
        wiring = self._wiring
        scope = self.scope
        script = wiring.script
        try:
            handler = script.onreply(scope.on_reply)
        except ScriptError as error:
            wiring.log.error("route script failed: {error}", error=str(error))
            self._respond(response)
            return
        held = scope.response
        scope.response = response
        context = RouteContext(wiring.features, scope)

        def done(_outcome: object) -> None:
            scope.response = held
            self._respond(response)

        wiring.runner.run(handler, context, script.file, done, done)

    # -- answers of our own ------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        """Answer as a script or rule says."""
        fields = [(canonical(octets_of(name)), octets_of(value)) for name, value in reply.fields]
        self.answer(reply.code, reply.reason, fields)

    def answer(
        self, status: int, reason: bytes = b"", fields: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Answer the request ourselves, once; a merged request is answered 482 (8.2.2.2)."""
        if self.finished:
            return
        if self._wiring.table.is_merged(self.server):
            status, reason, fields = 482, b"", None
        self.finished = True
        server = self.server
        response = build_response(self.scope.received, status, reason, server.local_tag)
        if self._wiring.server_name:
            response.append(SERVER, self._wiring.server_name)
        for name, value in fields or ():
            response.append(name, value)
        if self.scope.dialog is not None and not self.scope.in_dialog and status >= 300:
            self._wiring.tracker.failed(self.scope.dialog)
        server.respond(response)

    def cancel(self, cancel: Message) -> None:
        """Hear that the caller cancelled: cancel every branch (16.10)."""
        if self.finished or self.scope.is_canceled:
            return
        self.scope.is_canceled = True
        self._groups = []
        waiting = [branch for branch in self._branches if not branch.over]
        if not waiting:
            self.answer(487)
            return
        reasons = cancel.fields(b"reason")
        for branch in waiting:
            branch.cancel(reasons)


def pick_best(failures: list[tuple[Branch, Message]]) -> tuple[Branch, Message]:
    """Choose the failure to send upstream (16.7 step 6): a 6xx, else the lowest class.

    Within 4xx those that tell the caller what to do come first; else the first that came.
    """
    best = failures[0]
    for candidate in failures[1:]:
        if _rank(candidate[1].status) < _rank(best[1].status):
            best = candidate
    return best


def _rank(status: int) -> int:
    if status >= 600:
        return 0
    rank = status // 100 * 10
    return rank - 1 if status in PREFERRED else rank


def _gather_challenges(best: Message, failures: list[tuple[Branch, Message]]) -> None:
    """Add the challenges of every other 401 and 407 to the one that goes up (16.7 step 7)."""
    for _, response in failures:
        if response is best or response.status not in (401, 407):
            continue
        for name in (WWW_AUTHENTICATE, PROXY_AUTHENTICATE):
            for value in response.fields(name):
                best.append(name, value)
