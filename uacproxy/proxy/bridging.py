"""A ``Bridge`` on its way: its targets in groups, its failure route, its end (bridge.call).

One per INVITE that a handler returned ``Bridge`` for. It answers the caller with the help
of the response context, which a failure route may hand the request back to.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from uacproxy.bridge.attempt import Attempt, OuterTarget
from uacproxy.bridge.call import Call
from uacproxy.bridge.call_states import CallState
from uacproxy.bridge.dialog_ids import REPLACES, far_end, replaces_at
from uacproxy.bridge.leg import Leg
from uacproxy.bridge.policy import TIMER, has_tag, unknown_tags
from uacproxy.bridge.session_timer import SESSION_EXPIRES, session_interval
from uacproxy.dialog.ua_dialog import uas_dialog
from uacproxy.errors import ParseError, ScriptError
from uacproxy.proxy.best_response import rank
from uacproxy.proxy.failure_route import run_failure_route
from uacproxy.proxy.target_set import Destination, destinations
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing import pseudo
from uacproxy.routing.actions import Bridge, Drop, Relay, Reply
from uacproxy.routing.runner import Outcome
from uacproxy.routing.scope import Failure, Retry, Scope
from uacproxy.sip.build import build_response
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.names import RETRY_AFTER, SUPPORTED, UNSUPPORTED
from uacproxy.sip.uri import parse_uri
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.account_way import AccountWay
from uacproxy.uac.credentials import CredentialList

MOST_ROUNDS: Final = 30
"""Times that handlers may bridge one INVITE; a failure route that never gives up ends here."""

_RETRY_FULL_IN: Final = b"30"  # s


class Answerer(Protocol):
    """The response context."""

    bridging: Bridging | None
    finished: bool
    scope: Scope
    server: ServerTransaction

    def answer(
        self, status: int, reason: bytes = b"", fields: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Answer the INVITE ourselves."""

    def perform(self, outcome: Outcome) -> None:
        """Carry out what a failure route decided, other than to bridge."""

    def mistaken(self, error: ScriptError) -> None:
        """Answer for a handler that decided what cannot be done."""


@final
class Bridging:
    """See the module; ``perform`` may be called again by a failure route."""

    __slots__ = (
        "_auth_source",
        "_bridge",
        "_call",
        "_context",
        "_credentials",
        "_failures",
        "_groups",
        "_rounds",
        "_wiring",
    )

    def __init__(self, wiring: Wiring, context: Answerer) -> None:
        self._wiring = wiring
        self._context = context
        self._call: Call | None = None
        self._bridge: Bridge | None = None
        self._groups: list[list[OuterTarget]] = []  # not yet tried
        self._failures: list[Attempt] = []
        self._credentials: CredentialList | None = None
        self._auth_source = ""
        self._rounds = 0

    def perform(self, bridge: Bridge) -> None:
        """Call the targets; refuse at once what no UAS could take (8.2)."""
        context = self._context
        wiring = self._wiring
        calls = wiring.bridge
        received = context.scope.received
        self._rounds += 1
        if self._bridge is not None:
            bridge = bridge.after(self._bridge)
        if calls is None or received.method != b"INVITE" or context.scope.in_dialog:
            self._mistaken("Bridge is for an INVITE outside a dialog")
            return
        if self._rounds > MOST_ROUNDS:
            self._mistaken("no end of targets for one request")
            return
        try:
            if self._call is None and not self._is_acceptable(received):
                return
            groups = self._targets(bridge)
        except ParseError:
            self._give_up(400)
            return
        except ScriptError as error:
            self._mistaken(error.why)
            return
        if not groups:
            if not context.finished:
                wiring.counters.unroutable += 1
                self._give_up(404)
            elif self._call is not None:
                self._call.give_up()
            return
        scope = context.scope
        source = bridge.auth or scope.auth_source
        self._auth_source = pseudo.expand(source, scope) if source else ""
        self._credentials = self._find_credentials(self._auth_source)
        self._groups = groups
        self._failures = []
        self._bridge = bridge
        call = self._call
        if call is None:
            longest = calls.wiring.settings.max_call_time
            if bridge.max_call_time is not None:
                longest = bridge.max_call_time
            call = calls.begin(self, context.server, received, longest)
            if call is None:
                context.answer(503, b"", [(RETRY_AFTER, _RETRY_FULL_IN)])
                return
            self._call = call
        call.auth_source = self._auth_source
        call.auth_to_caller = scope.auth_to_caller
        call.hidden = frozenset() if scope.hide is None else scope.hide.removed
        self._next_group()

    def cancel(self, cancel: Message) -> bool:
        """Hear that the caller cancelled; False where the request is not bridged any more."""
        call = self._call
        if call is None:
            return False
        self._context.finished = True
        self._context.bridging = None
        call.cancel_received(cancel)
        return True

    def _find_credentials(self, source: str) -> CredentialList | None:
        calls = self._wiring.bridge
        if not source or calls is None:
            return None
        received = self._context.scope.received
        return calls.wiring.credentials_of(source, received.call_id, received.from_.tag)

    def _mistaken(self, why: str) -> None:
        self._context.mistaken(ScriptError(why, file=self._wiring.script.file, line=1))
        if self._call is not None:
            self._call.give_up()

    def _is_acceptable(self, received: Message) -> bool:
        """Check what a UAS has to (8.2.2); answer where it will not do."""
        context = self._context
        wiring = self._wiring
        calls = wiring.bridge
        assert calls is not None
        if wiring.table.is_merged(context.server):
            context.answer(482)
            return False
        unknown = unknown_tags(received)
        if unknown:
            context.answer(420, b"", [(UNSUPPORTED, b", ".join(unknown))])
            return False
        settings = calls.wiring.settings
        if settings.session_expires and received.has(SESSION_EXPIRES):
            interval, _ = session_interval(received)
            if 0 < interval < settings.min_se and has_tag(received, SUPPORTED, TIMER):
                context.answer(422, b"", [(b"min-se", b"%d" % settings.min_se)])
                return False
        uas_dialog(received, b"-", b"")  # raises where there could be no dialog
        return True

    # -- targets -----------------------------------------------------------------------

    def _targets(self, bridge: Bridge) -> list[list[OuterTarget]]:
        """Return the targets of a ``Bridge`` in groups.

        Raises:
            ParseError: a field of the caller's cannot be read.
            ScriptError: a target, ``from_`` or ``to`` is none.
        """
        wiring = self._wiring
        scope = self._context.scope
        from_head = _head(bridge.from_, scope) or scope.request.from_.head
        to_head = _head(bridge.to, scope) or scope.request.to.head
        calls = wiring.bridge
        assert calls is not None
        ring_for = calls.wiring.settings.ring_timeout
        if bridge.ring_timeout is not None:
            ring_for = bridge.ring_timeout
        replaces = scope.received.get(REPLACES)
        if replaces is not None:
            found = far_end(replaces, calls.legs)
            if found is None:
                self._context.answer(481)  # RFC 3891 3
                return []
            leg, rest = found
            return [[_target_at(leg, replaces_at(leg, rest), from_head, to_head, ring_for)]]
        way = self._account_way(bridge.auth)
        return [
            [_target(one, from_head, to_head, ring_for, way) for one in group]
            for group in destinations(bridge, scope, wiring.is_ours, wiring.find_local)
        ]

    def _account_way(self, auth: str) -> AccountWay | None:
        """Return the way of the account whose call this is (RFC 3608 6.1, RFC 5626 4.3)."""
        scope = self._context.scope
        l_uuid = scope.account
        if auth.startswith("account:"):
            l_uuid = pseudo.expand(auth[8:], scope)
        return self._wiring.account_way(l_uuid) if l_uuid else None

    def _next_group(self) -> None:
        call = self._call
        calls = self._wiring.bridge
        if call is None or calls is None:
            return
        scope = self._context.scope
        group = self._groups.pop(0)
        call.place(
            [
                Attempt(
                    calls.wiring,
                    call,
                    target,
                    scope.received,
                    scope.request,
                    target.credentials if target.replaces else self._credentials,
                )
                for target in group
            ]
        )

    # -- from the call -----------------------------------------------------------------

    def call_answered(self, call: Call) -> None:
        """Hear that the call is answered: this is done."""
        self._context.finished = True
        self._context.bridging = None

    def targets_failed(self, call: Call, failed: list[Attempt]) -> None:
        """Go on to the next group; after the last one, choose (16.7 steps 6 to 8, as a proxy)."""
        self._failures.extend(failed)
        for attempt in failed:
            if attempt.outcome is not None and attempt.outcome.status >= 600:
                self._groups = []
        if self._groups:
            self._next_group()
            return
        best = self._failures[0]
        for attempt in self._failures[1:]:
            if rank(_status(attempt)) < rank(_status(best)):
                best = attempt
        self._choose(call, best)

    def _choose(self, call: Call, best: Attempt) -> None:
        invite = best.invite
        if invite is None:
            self._refuse(call, best)
            return
        scope = self._context.scope
        outcome = best.outcome
        response = None if outcome is None else outcome.response
        if response is None:
            response = build_response(scope.received, _status(best))
        answers = invite.answers
        failure = Failure(
            invite.request, response, answers.given, [], answers.attempts, answers.peer
        )
        run_failure_route(
            self._wiring,
            scope,
            failure,
            lambda decided, retry: self._after_failure_route(decided, retry, call, best),
            lambda: self._refuse(call, best),
        )

    def _after_failure_route(
        self, outcome: Outcome, retry: Retry | None, call: Call, best: Attempt
    ) -> None:
        if call.state is not CallState.CALLING:
            return  # cancelled while the route was thinking
        if isinstance(outcome, (Bridge, Relay)) and retry is not None and not outcome.targets:
            self._wiring.counters.authenticated += 1
            call.auth_source = retry.dialog_source
            best.credentials = self._find_credentials(retry.dialog_source)
            self._failures = [one for one in self._failures if one is not best]
            call.place_again(best, retry.credentials, retry.attempts)
        elif isinstance(outcome, Bridge):
            self.perform(outcome)
        elif isinstance(outcome, (Relay, Reply, Drop)):
            self._call = None
            call.give_up()
            self._context.perform(outcome)
        else:
            self._refuse(call, best)

    def _refuse(self, call: Call, best: Attempt) -> None:
        outcome = best.outcome
        self._context.finished = True
        self._context.bridging = None
        self._call = None
        call.refuse(_status(best), None if outcome is None else outcome.response)

    def _give_up(self, status: int) -> None:
        self._context.answer(status)
        if self._call is not None:
            self._call.give_up()


def _status(attempt: Attempt) -> int:
    return 500 if attempt.outcome is None else attempt.outcome.status


def _head(written: str, scope: Scope) -> bytes:
    """Return the head of a name-addr or URI that a script wrote, b"" for none."""
    if not written:
        return b""
    value = pseudo.expand(written, scope)
    try:
        address = parse_name_addr(octets_of(value))
        parse_uri(address.uri)
    except ParseError as error:
        raise ScriptError(f"{value!r} is no address: {error.why}") from error
    if not address.bracketed:
        return b"<" + address.raw + b">"
    return address.head


def _target(
    destination: Destination,
    from_head: bytes,
    to_head: bytes,
    ring_for: float,
    way: AccountWay | None,
) -> OuterTarget:
    route = destination.next_hop
    routes = destination.path
    if way is not None and not routes:
        routes = list(way.service_route)
    if not route and routes:
        route = parse_name_addr(routes[0]).uri
    next_hop = parse_uri(route or destination.request_uri)
    if not next_hop.is_sip:
        raise ScriptError(f"{text(next_hop.raw)!r} is no target: nothing can be sent there")
    targets = destination.targets
    registered_at = None if way is None else way.target_for(next_hop)
    if registered_at is not None and not targets:
        targets = [registered_at]
    return OuterTarget(
        destination.request_uri,
        next_hop,
        from_head,
        to_head,
        targets=targets,
        routes=routes,
        ring_for=ring_for,
        socket=None if way is None else way.socket,
    )


def _target_at(
    leg: Leg, replaces: bytes, from_head: bytes, to_head: bytes, ring_for: float
) -> OuterTarget:
    """Return the peer of a leg as a target: who is to replace a dialog with us."""
    dialog = leg.dialog
    return OuterTarget(
        dialog.remote_target,
        dialog.next_hop(),
        from_head,
        to_head,
        targets=[],
        routes=dialog.route_set,
        ring_for=ring_for,
        replaces=replaces,
        credentials=leg.credentials,
    )
