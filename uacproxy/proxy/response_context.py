"""All branches of one request, and the one answer they make (RFC 3261 16.7 and 16.10).

Provisional responses and every 2xx go upstream at once; of the failures the best one
waits until all branches are over, and a failure route may send the request on.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ParseError, ScriptError
from uacproxy.proxy.best_response import gather_challenges, pick_best
from uacproxy.proxy.branch import Branch
from uacproxy.proxy.branch_routes import run_branch_failure, run_branch_route
from uacproxy.proxy.breadth import MAX_BREADTH, shares_of
from uacproxy.proxy.bridging import Bridging
from uacproxy.proxy.challenged import answer_by_rule, raised_shift
from uacproxy.proxy.credentials import ahead_refused, answers_heard
from uacproxy.proxy.failure_route import run_failure_route
from uacproxy.proxy.target_set import Destination, destinations
from uacproxy.proxy.upstream import Upstream
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.actions import Bridge, Drop, Relay, Reply
from uacproxy.routing.runner import Outcome
from uacproxy.routing.scope import Retry, Scope
from uacproxy.sip.build import build_response
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    CSEQ,
    FROM,
    REASON,
    RECORD_ROUTE,
    RETRY_AFTER,
    ROUTE,
    SERVER,
    TO,
    canonical,
)
from uacproxy.transaction.server import ServerTransaction

MOST_ROUNDS: Final = 30
"""Times that handlers may send one request on; a failure route that never gives up ends here."""

_FOR_RESPONSES: Final = [FROM, TO, CSEQ]
_FOR_ROUTES: Final = [RECORD_ROUTE]
_RETRY_UNTRACKED_IN: Final = b"30"  # s
_ELSEWHERE: Final = b'SIP;cause=200;text="Call completed elsewhere"'  # RFC 3326


@final
class ResponseContext:
    """One per request that is not an ACK; ``finished`` says a final response went upstream."""

    __slots__ = (
        "_branches",
        "_deciding",
        "_failures",
        "_groups",
        "_is_settling",
        "_rounds",
        "_upstream",
        "_wiring",
        "bridging",
        "finished",
        "scope",
        "server",
    )

    def __init__(self, wiring: Wiring, server: ServerTransaction, scope: Scope) -> None:
        self._wiring = wiring
        self.server = server
        self.scope = scope
        self.finished = False
        self.bridging: Bridging | None = None  # a handler returned Bridge
        self._branches: list[Branch] = []  # of the group under way
        self._groups: list[list[Destination]] = []  # not yet tried
        self._failures: list[tuple[Branch, Message]] = []  # of the branches tried so far
        self._deciding = 0  # branches whose branch failure route is thinking
        self._is_settling = False  # more branches are about to start or end in this turn
        self._rounds = 0
        self._upstream = Upstream(wiring, server, scope)

    # -- what a handler decided --------------------------------------------------------

    def perform(self, outcome: Outcome) -> None:
        """Carry out what request_route decided."""
        if self.finished:
            return  # cancelled while the handler was still thinking
        if isinstance(outcome, Relay):
            if self.scope.untracked:
                self.answer(503, b"", [(RETRY_AFTER, _RETRY_UNTRACKED_IN)])
            else:
                self._relay(outcome)
        elif isinstance(outcome, Bridge):
            self._bridge(outcome)
        elif isinstance(outcome, Reply):
            self.reply(outcome)
        elif isinstance(outcome, Drop):
            self.drop()
        else:
            why = "request_route decided nothing"
            self.mistaken(ScriptError(why, file=self._wiring.script.file, line=1))

    def script_failed(self, _error: ScriptError) -> None:
        """Answer for a handler that raised."""
        self.answer(500)

    def mistaken(self, error: ScriptError) -> None:
        """Answer for a handler that decided what cannot be done."""
        self._wiring.runner.report(error)
        self.answer(500)

    def _bridge(self, bridge: Bridge) -> None:
        if self.bridging is None:
            self.bridging = Bridging(self._wiring, self)
        self.bridging.perform(bridge)

    def drop(self) -> None:
        """Forget the request without an answer."""
        self.finished = True
        self._forget_dialog()
        self.server.stop()

    def _relay(self, relay: Relay) -> None:
        wiring = self._wiring
        file = wiring.script.file
        try:
            groups = destinations(relay, self.scope, wiring.is_ours, wiring.find_local)
        except (ParseError, ScriptError) as error:
            self.mistaken(ScriptError(error.why, file=file, line=1))
            return
        if self._rounds >= MOST_ROUNDS:
            self.mistaken(ScriptError("no end of targets for one request", file=file, line=1))
        elif groups:
            self._rounds += 1
            self._groups = groups
            self._advance()
        else:
            wiring.counters.unroutable += 1
            self.answer(404)

    def relay_to(self, destination: Destination) -> None:
        """Relay to one place without asking a handler: requests inside a dialog."""
        self._groups = [[destination]]
        self._advance()

    # -- branches ----------------------------------------------------------------------

    def _advance(self) -> None:
        """Start group after group until one has a branch under way; after the last, choose."""
        while self._groups:
            self._start_group(self._groups.pop(0))
            if self.finished or self._is_under_way():
                return
        self._choose()

    def _is_under_way(self) -> bool:
        return self._deciding > 0 or any(not branch.over for branch in self._branches)

    def _start_group(self, group: list[Destination]) -> None:
        shares: list[bytes] = []
        if len(group) > 1:
            shares = shares_of(self.scope.request, len(group))
            if not shares:
                self.answer(440)
                return
        self._branches = []
        for index, destination in enumerate(group):
            share = shares[index] if shares else b""
            self._branches.append(self._make_branch(destination, index, share, None, 0))
        self._is_settling = True
        for branch in self._branches:
            self._start(branch)
        self._is_settling = False

    def _make_branch(
        self, destination: Destination, index: int, share: bytes, retry: Retry | None, shift: int
    ) -> Branch:
        """Make a branch; ``shift`` counts where it is a retry."""
        scope = self.scope
        request = scope.request.branch_copy()
        if destination.request_uri != request.request_uri:
            request.set_request_uri(destination.request_uri)
        for route in reversed(destination.path):
            request.push(ROUTE, route)
        if share:
            request.set(MAX_BREADTH, share)
        if retry is None:
            shift = scope.shift
        if scope.on_branch:
            scope = scope.branch_scope(request, index)
            scope.next_hop = destination.next_hop
        return Branch(self._wiring, self, scope, request, destination, shift, index, share, retry)

    def _start(self, branch: Branch) -> None:
        if branch.scope is self.scope:
            branch.start()
        else:
            run_branch_route(self._wiring, self.scope, branch)

    # -- what the branches tell --------------------------------------------------------

    def provisional(self, branch: Branch, response: Message) -> None:
        """Pass a 101 to 199 upstream (16.7 step 5)."""
        if not self.finished:
            self._upstream.pass_up(branch, response)

    def success(self, branch: Branch, response: Message) -> None:
        """Pass a 2xx upstream, every one of an INVITE; cancel the other branches."""
        if self.finished and self.scope.received.method != b"INVITE":
            return
        first = not self.finished
        read_on = False
        if first:
            read_on = self._is_read_on()
            self.finished = True
            self._cancel_others(branch, [_ELSEWHERE])
        if branch.credentials or branch.ahead:
            answers_heard(self._wiring, response, branch.credentials, branch.ahead, branch.target)
        self._upstream.pass_up(branch, response)
        if first:
            self._let_go(None if read_on else branch)

    def _is_read_on(self) -> bool:
        """Tell whether a route that is still thinking, or a look-up, may read the request yet."""
        if self._deciding:
            return True
        return any(not branch.over and not branch.was_sent for branch in self._branches)

    def _let_go(self, winner: Branch | None) -> None:
        """Forget what is of no use behind a final response; no cycle is left for a collector.

        Of an answered INVITE there stays what a further 2xx needs, for 32 s (RFC 6026).
        """
        self._groups = []
        self._failures = []
        self._branches = [branch for branch in self._branches if not branch.over]
        if winner is not None and not self._upstream.has_route:
            self.scope.received.keep_only(_FOR_RESPONSES)
            self.scope.request = self.scope.received
            winner.request.keep_only(_FOR_ROUTES)

    def failure(self, branch: Branch, response: Message) -> None:
        """Answer a challenge where a rule says whose credentials do; else let routes decide."""
        if self.finished:
            self._let_go(None)
            return
        if self.scope.is_canceled or branch.cancelled:
            self._failed(branch, response)
            return
        retry = answer_by_rule(self._wiring, branch, response)
        if retry is not None:
            self._send_again(branch, retry, is_unchanged=not self.scope.on_branch)
        elif branch.on_failure:
            self._deciding += 1
            run_branch_failure(
                self._wiring,
                self.scope,
                branch,
                response,
                lambda outcome, scope: self._after_branch_failure(branch, response, outcome, scope),
            )
        else:
            self._failed(branch, response)

    def _failed(self, branch: Branch, response: Message) -> None:
        """Keep a failure; when it was the last branch, choose (16.7 steps 6 to 8)."""
        self._failures.append((branch, response))
        if response.status == 403 and branch.ahead:
            ahead_refused(self._wiring, branch.ahead, branch.target)
        if response.status >= 600:
            self._groups = []
            self._cancel_others(branch, [b"SIP;cause=%d" % response.status])
        if not self._is_settling and not self._is_under_way():
            self._advance()

    def _after_branch_failure(
        self, branch: Branch, response: Message, outcome: Outcome, scope: Scope
    ) -> None:
        self._deciding -= 1
        if self.finished:
            return
        retry = scope.retry
        if not isinstance(outcome, Relay) or response.status >= 600 or self._is_ending():
            self._failed(branch, response)
        elif retry is not None and not outcome.targets:
            self._send_again(branch, retry, scope.on_branch_failure)
        else:
            self._send_instead(branch, response, outcome, scope)

    def _is_ending(self) -> bool:
        """Tell whether no branch may be started any more: cancelled, or a 6xx is there."""
        if self.scope.is_canceled:
            return True
        return any(response.status >= 600 for _, response in self._failures)

    def _send_instead(self, branch: Branch, response: Message, relay: Relay, scope: Scope) -> None:
        """Let the targets a branch failure route names take the place of the branch."""
        wiring = self._wiring
        file = wiring.script.file
        groups: list[list[Destination]] = []
        try:
            groups = destinations(relay, scope, wiring.is_ours, wiring.find_local)
        except (ParseError, ScriptError) as error:
            wiring.runner.report(ScriptError(error.why, file=file, line=1))
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            wiring.runner.report(
                ScriptError("no end of targets for one request", file=file, line=1)
            )
            groups = []
        self._branches.remove(branch)
        started: list[Branch] = []
        for group in groups:
            for destination in group:
                one = self._make_branch(destination, branch.index, branch.share, None, 0)
                one.on_failure = scope.on_branch_failure
                started.append(one)
        self._branches.extend(started)
        settling = self._is_settling
        self._is_settling = True
        for one in started:
            self._start(one)
        self._is_settling = settling
        self._failed(branch, response)

    def _cancel_others(self, branch: Branch, reasons: list[bytes]) -> None:
        settling = self._is_settling
        self._is_settling = True  # one that was not sent yet is over at once
        for other in self._branches:
            if other is not branch:
                other.cancel(reasons)
        self._is_settling = settling

    def _choose(self) -> None:
        branch, best = pick_best(self._failures)
        run_failure_route(
            self._wiring,
            self.scope,
            branch.failed_with(best),
            lambda outcome, retry: self._after_failure_route(outcome, retry, branch, best),
            lambda: self._fail_upstream(branch, best),
        )

    def _after_failure_route(
        self, outcome: Outcome, retry: Retry | None, branch: Branch, best: Message
    ) -> None:
        scope = self.scope
        if self.finished:
            return
        if isinstance(outcome, Relay) and not scope.is_canceled:
            if retry is not None and not outcome.targets:
                self._send_again(branch, retry)
            else:
                self._failures = []
                self._relay(outcome)
        elif isinstance(outcome, Reply):
            self.reply(outcome)
        elif isinstance(outcome, Drop):
            self.drop()
        elif isinstance(outcome, Bridge) and not scope.is_canceled:
            self._failures = []
            self._bridge(outcome)
        else:
            self._fail_upstream(branch, best)

    def _send_again(
        self,
        branch: Branch,
        retry: Retry,
        on_branch_failure: str = "",
        *,
        is_unchanged: bool = False,
    ) -> None:
        """Send the challenged branch again, to the address that challenged, beside the others.

        Args:
            branch: challenged.
            retry: how to answer.
            on_branch_failure: the route that hears its next failure.
            is_unchanged: no route has been at the request since it was sent, nor will be.
        """
        wiring = self._wiring
        wiring.counters.authenticated += 1
        self._failures = [one for one in self._failures if one[0] is not branch]
        again = branch.destination.again()
        if branch.target is not None:
            again.targets = [branch.target, *branch.targets]
        shift = raised_shift(wiring, self.scope, branch)
        retried = self._make_branch(again, branch.index, branch.share, retry, shift)
        retried.on_failure = on_branch_failure
        if branch in self._branches:
            self._branches.remove(branch)
        self._branches.append(retried)
        if not (is_unchanged and retried.start_from(branch)):
            self._start(retried)

    def _fail_upstream(self, branch: Branch, best: Message) -> None:
        """Send the best failure; a 503 of one hop is no 503 of ours (16.7 step 6)."""
        if self.finished:
            return
        if best.status == 503:
            self.answer(500)
        elif branch.is_local:
            self.answer(best.status)
        else:
            if best.status in (401, 407):
                gather_challenges(best, self._failures)
            self.finished = True
            self._upstream.pass_up(branch, best)
            self._let_go(None)

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
        self._forget_dialog()
        server.respond(response)
        self._let_go(None)

    def _forget_dialog(self) -> None:
        """Tell the tracker that the request began no dialog between two others."""
        scope = self.scope
        if scope.dialog is not None and not scope.in_dialog:
            self._wiring.tracker.failed(scope.dialog)

    def cancel(self, cancel: Message) -> None:
        """Hear that the caller cancelled: cancel every branch (16.10)."""
        if self.finished or self.scope.is_canceled:
            return
        self.scope.is_canceled = True
        if self.bridging is not None and self.bridging.cancel(cancel):
            return
        self._groups = []
        waiting = [branch for branch in self._branches if not branch.over]
        if not waiting:
            self.answer(487)
            return
        reasons = cancel.fields(REASON)
        for branch in waiting:
            branch.cancel(reasons)
