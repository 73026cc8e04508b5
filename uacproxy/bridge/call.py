"""A bridged call: the caller's INVITE, its targets, and the two legs it ends up with.

The table below is the whole life of a call; what is passed between the legs while it
lasts is in ``reoffer`` and ``passing``. The inner leg is the caller's, the outer one the
callee's. Every early dialog of a callee has one of ours with the caller (RFC 3261 13.2.2.4).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, final

from uacproxy.bridge.attempt import Attempt
from uacproxy.bridge.call_states import CallInput, CallState
from uacproxy.bridge.forks import Forks
from uacproxy.bridge.leg import Leg
from uacproxy.bridge.legs import LegTable
from uacproxy.bridge.policy import copy_passed, passed_status
from uacproxy.bridge.provisional import pass_provisional
from uacproxy.bridge.refresh import Refresh
from uacproxy.bridge.wiring import BridgeWiring
from uacproxy.dialog.ua_dialog import uac_dialog
from uacproxy.errors import ParseError
from uacproxy.ports import Timer
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import REASON, SERVER
from uacproxy.transaction.server import ServerTransaction
from uacproxy.uac.auth import Attempts, Authorized
from uacproxy.uac.invite import SentInvite
from uacproxy.uac.send import SendOutcome

ELSEWHERE: Final = b'SIP;cause=200;text="Call completed elsewhere"'  # RFC 3326


class CallUser(Protocol):
    """Who placed the call."""

    def targets_failed(self, call: Call, failed: list[Attempt]) -> None:
        """Hear that no target accepts; ``call.place`` or ``call.refuse`` is next."""

    def call_answered(self, call: Call) -> None:
        """Hear that the caller's INVITE has its 2xx."""


class Keeper(Protocol):
    """Who knows all calls."""

    def keep(self, call: Call) -> None:
        """Write a confirmed call to the store."""

    def forget(self, call: Call) -> None:
        """Take a call that is over out of the table and the store."""


@final
class Call:
    """One call. After ``OVER`` it lives on in what its last BYE still waits for."""

    __slots__ = (
        "_attempt",
        "_attempts",
        "_event",
        "_forks",
        "_invite",
        "_is_placing",
        "_keeper",
        "_legs",
        "_response",
        "_timer",
        "_user",
        "_wiring",
        "auth_source",
        "auth_to_caller",
        "ends_at_utc",
        "hidden",
        "inner",
        "max_time",
        "outer",
        "received",
        "server",
        "started_at_utc",
        "state",
    )

    def __init__(
        self,
        wiring: BridgeWiring,
        legs: LegTable,
        keeper: Keeper,
        user: CallUser | None,
        server: ServerTransaction | None,
        received: Message | None,
        max_time: float,
    ) -> None:
        self._wiring = wiring
        self._legs = legs
        self._keeper = keeper
        self._user = user
        self.server = server
        self.received = received
        self.max_time = max_time  # s, 0: for ever
        self.auth_source = ""  # of credentials for the callee's challenges; "" for none
        self.hidden: frozenset[bytes] = frozenset()  # of the caller's fields, for the whole call
        self.auth_to_caller = ""  # likewise, for those of the caller's side
        self.started_at_utc = wiring.now_utc()
        self.ends_at_utc = 0.0  # 0: never
        self.state = CallState.CALLING
        self.inner: Leg | None = None  # once answered
        self.outer: Leg | None = None
        self._attempts: list[Attempt] = []  # of the group under way
        self._forks: Forks | None = None  # until somebody accepts
        if server is not None and received is not None:
            self._forks = Forks(wiring, legs, self, server, received)
        self._is_placing = False
        self._timer: Timer | None = None  # max_time
        self._event: Message | None = None  # BYE, ACK or CANCEL at hand
        self._attempt: Attempt | None = None
        self._invite: SentInvite | None = None
        self._response: Message | None = None

    # -- what the one who placed it does -----------------------------------------------

    def place(self, attempts: list[Attempt]) -> None:
        """Call these targets, all at once; ``targets_failed`` tells when none accepts."""
        if self.state is not CallState.CALLING:
            return
        self._attempts = attempts
        self._is_placing = True
        for attempt in attempts:
            attempt.start()
        self._is_placing = False
        self._look_for_failure()

    def place_again(self, attempt: Attempt, answers: list[Authorized], attempts: Attempts) -> None:
        """Call a target once more, with answers to its challenge."""
        if self.state is CallState.CALLING:
            self._attempts = [attempt]
            attempt.start_again(answers, attempts)

    def refuse(self, status: int, response: Message | None = None) -> None:
        """End a call that nobody accepts.

        Args:
            status: for the caller.
            response: of the callee, whose passed fields and body go along.
        """
        if self.state is CallState.CALLING:
            self._answer_failure(passed_status(status), response)
            self.give_up()

    def give_up(self) -> None:
        """End a call whose caller was answered by somebody else."""
        self._feed(CallInput.REFUSED, None)

    def cancel_received(self, cancel: Message) -> None:
        """Hear the caller's CANCEL, which has its 200."""
        self._feed(CallInput.CANCELLED, cancel)

    def taken_over(self, ends_at_utc: float) -> None:
        """Go on with a call that another process left; both legs are set."""
        self.state = CallState.CONFIRMED
        self.ends_at_utc = ends_at_utc
        if ends_at_utc:
            left = max(ends_at_utc - self._wiring.now_utc(), 0.0)
            self._timer = self._wiring.clock.callLater(left, self._time_is_up)

    # -- from the targets --------------------------------------------------------------

    def attempt_rings(self, attempt: Attempt, response: Message) -> None:
        """Pass a provisional response to the caller, in a dialog of ours for each of theirs."""
        server = self.server
        received = self.received
        if self.state is not CallState.CALLING or server is None or received is None:
            return
        invite = attempt.invite
        forks = self._forks
        if invite is None or forks is None:
            return
        outer = forks.ringing(attempt, invite, response)
        if outer is not None:
            pass_provisional(outer.other, server, received, response)

    def attempt_accepted(self, attempt: Attempt, invite: SentInvite, response: Message) -> None:
        """Take the first 2xx; a callee that accepts later is told goodbye."""
        self._attempt = attempt
        self._invite = invite
        self._response = response
        self._feed(CallInput.ACCEPTED, None)
        attempt.invite = None  # which knows the attempt
        self._attempt = None
        self._invite = None
        self._response = None

    def attempt_failed(self, attempt: Attempt, outcome: SendOutcome) -> None:
        """Forget what rang there; when it was the last, tell who placed the call."""
        if self.state is CallState.OVER:
            attempt.invite = None
        if self._forks is not None:
            self._forks.drop(attempt)
        if outcome.status >= 600:
            is_placing = self._is_placing
            self._is_placing = True  # one that was not sent yet is over at once
            self._cancel_others(attempt, [b"SIP;cause=%d" % outcome.status])
            self._is_placing = is_placing
        if not self._is_placing:
            self._look_for_failure()

    def _look_for_failure(self) -> None:
        if self.state is not CallState.CALLING or self._user is None:
            return
        for attempt in self._attempts:
            if not attempt.over:
                return
        self._user.targets_failed(self, self._attempts)

    # -- from the legs -----------------------------------------------------------------

    def hung_up(self, leg: Leg, bye: Message) -> None:
        """Take the BYE of a peer."""
        self._feed(CallInput.OUTER_BYE if leg.is_outer else CallInput.INNER_BYE, bye)

    def lost(self, leg: Leg) -> None:
        """Take a peer for gone."""
        self._feed(CallInput.OUTER_LOST if leg.is_outer else CallInput.INNER_LOST, None)

    def refresh_due(self, leg: Leg) -> None:
        """Refresh a session."""
        Refresh(leg).start()

    def session_expired(self, leg: Leg) -> None:
        """End the call: its peer, or we, could not refresh the session."""
        self._wiring.counters.expired += 1
        self.lost(leg)

    def changed(self) -> None:
        """Write what changed."""
        if self.state is CallState.CONFIRMED:
            self._keeper.keep(self)

    def _acknowledged(self, ack: Message | None) -> None:
        if ack is None:
            self._wiring.counters.unacknowledged += 1
        self._feed(CallInput.UNACKED if ack is None else CallInput.ACKED, ack)

    # -- the table ---------------------------------------------------------------------

    def end(self) -> None:
        """End the call on both sides, as an operator or the clock wants it."""
        self._feed(CallInput.EXPIRED, None)

    def _time_is_up(self) -> None:
        self._timer = None
        self._wiring.counters.expired += 1
        self.end()

    def _feed(self, what: CallInput, event: Message | None) -> None:
        row = TABLE.get((self.state, what))
        if row is None:
            return
        self._event = event
        was_over = self.state is CallState.OVER
        self.state = row[0]
        for action in row[1]:
            action(self)
        self._event = None
        if self.state is CallState.OVER and not was_over:
            self._close()

    def _accept(self) -> None:
        """Tell the caller, acknowledge at once unless the ACK is to carry an answer."""
        attempt = self._attempt
        invite = self._invite
        response = self._response
        server = self.server
        received = self.received
        assert attempt is not None and invite is not None and response is not None
        forks = self._forks
        assert server is not None and received is not None and forks is not None
        outer = forks.accepted(attempt, invite, response)
        if outer is None:  # nothing can be sent to it, not even an ACK
            self.state = CallState.OVER
            self._answer_failure(502, None)
            self._cancel_others(attempt, [])
            return
        inner = outer.other
        self._cancel_others(attempt, [ELSEWHERE])
        self._forks = None
        self._attempts = []
        self.inner = inner
        self.outer = outer
        wiring = self._wiring
        settings = wiring.settings
        if self.auth_to_caller:
            inner.credentials = wiring.credentials_of(
                self.auth_to_caller, received.call_id, received.from_.tag
            )
        with suppress(ParseError):  # then the early dialog's route set it is
            outer.dialog.confirmed_by(response)
        outer.client = None
        outer.offering = False
        outer.heard(response)
        outer.dialog.local_cseq = max(outer.dialog.local_cseq, invite.request.cseq.number)
        outer.keep_body(invite.request)
        outer.timer.agreed(response)
        if received.body or not response.body or inner.reliable is not None:
            outer.acknowledge(invite, response, None)
        else:
            outer.owed = (invite, response)
        answer = inner.answer(received, response.status, response)
        inner.timer.accept(received, answer, settings.session_expires, settings.refresher == "us")
        wiring.counters.answered += 1
        if self.max_time > 0.0:
            self.ends_at_utc = wiring.now_utc() + self.max_time
            self._timer = wiring.clock.callLater(self.max_time, self._time_is_up)
        server.context = None
        self.server = None
        self.received = None
        user = self._user
        self._user = None
        inner.succeed(server, answer, self._acknowledged)
        self._keeper.keep(self)
        if user is not None:
            user.call_answered(self)

    def _part_with_late_callee(self) -> None:
        """Acknowledge a 2xx that nobody waits for any more, and end its dialog (13.2.2.4)."""
        attempt = self._attempt
        invite = self._invite
        response = self._response
        assert attempt is not None and invite is not None and response is not None
        try:
            dialog = uac_dialog(invite.request, response)
            next_hop = dialog.next_hop()
        except ParseError:
            return
        wiring = self._wiring
        ack = dialog.build(b"ACK", cseq=invite.request.cseq.number)
        invite.acknowledge(response, ack, next_hop)
        bye = dialog.build(b"BYE")
        wiring.requests.send(dialog, bye, _nobody_waits, attempt.credentials)

    def _pass_ack(self) -> None:
        outer = self.outer
        if outer is not None and outer.owed is not None:
            outer.acknowledge(outer.owed[0], outer.owed[1], self._event)

    def _answer_cancelled(self) -> None:
        self._answer_failure(487, None)

    def _answer_failure(self, status: int, response: Message | None) -> None:
        """Answer the caller's INVITE with a failure."""
        server = self.server
        received = self.received
        if server is None or received is None:
            return
        wiring = self._wiring
        self.server = None
        answer = build_response(received, status, b"", server.local_tag)
        if response is not None:
            copy_passed(response, answer, wiring.passed_in_responses)
        if wiring.server_name:
            answer.append(SERVER, wiring.server_name)
        server.context = None
        server.respond(answer)

    def _cancel_all(self) -> None:
        event = self._event
        reasons: list[bytes] = []
        if event is not None:
            reasons = event.fields(REASON)
        for attempt in self._attempts:
            attempt.cancel(reasons)

    def _cancel_others(self, attempt: Attempt, reasons: list[bytes]) -> None:
        for other in self._attempts:
            if other is not attempt:
                other.cancel(reasons)

    def _count_cancelled(self) -> None:
        self._wiring.counters.cancelled += 1

    def _count_failed(self) -> None:
        self._wiring.counters.failed += 1

    def _bye_inner(self) -> None:
        self._bye(self.inner)

    def _bye_outer(self) -> None:
        self._bye(self.outer)

    def _bye(self, leg: Leg | None) -> None:
        """End a dialog; the leg is known until the BYE has its answer, for one that crosses."""
        if leg is None or leg.over:
            return
        event = self._event
        leg.say_goodbye(event if event is not None and event.method == b"BYE" else None)

    def gone(self, leg: Leg) -> None:
        """Let nothing find a leg any more: its BYE was answered."""
        self._legs.remove(leg)

    def _close_outer(self) -> None:
        """Take the callee's BYE while the caller's ACK is still to come."""
        if self.outer is not None:
            self.outer.close()
            self._legs.remove(self.outer)

    def _close(self) -> None:
        """Stop all that runs, and let go of everything; no cycle keeps the call in memory."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._forks is not None:
            self._forks.drop_all()
            self._forks = None
        for leg in (self.inner, self.outer):
            if leg is None:
                continue
            if not leg.over:
                leg.close()
                self._legs.remove(leg)
        if self.inner is not None:
            self._wiring.counters.ended += 1
        self._user = None
        for attempt in self._attempts:
            attempt.invite = None
        self._attempts = []
        self._keeper.forget(self)
        outer = self.outer
        self.inner = None
        self.outer = None
        if outer is not None:
            outer.part_later()


_C = Call
_S = CallState
_I = CallInput

Actions = tuple[Callable[[Call], None], ...]

TABLE: Final[dict[tuple[CallState, CallInput], tuple[CallState, Actions]]] = {
    (_S.CALLING, _I.ACCEPTED): (_S.ANSWERED, (_C._accept,)),
    (_S.CALLING, _I.REFUSED): (_S.OVER, (_C._cancel_all, _C._count_failed)),
    (_S.CALLING, _I.CANCELLED): (
        _S.OVER,
        (_C._answer_cancelled, _C._cancel_all, _C._count_cancelled),
    ),
    (_S.CALLING, _I.INNER_BYE): (
        _S.OVER,
        (_C._answer_cancelled, _C._cancel_all, _C._count_cancelled),
    ),
    (_S.CALLING, _I.EXPIRED): (
        _S.OVER,
        (_C._answer_cancelled, _C._cancel_all, _C._count_failed),
    ),
    (_S.ANSWERED, _I.ACCEPTED): (_S.ANSWERED, (_C._part_with_late_callee,)),
    (_S.ANSWERED, _I.ACKED): (_S.CONFIRMED, (_C._pass_ack,)),
    (_S.ANSWERED, _I.UNACKED): (_S.OVER, (_C._bye_inner, _C._bye_outer)),
    (_S.ANSWERED, _I.INNER_BYE): (_S.OVER, (_C._bye_outer,)),
    (_S.ANSWERED, _I.OUTER_BYE): (_S.HANGING, (_C._close_outer,)),
    (_S.ANSWERED, _I.INNER_LOST): (_S.OVER, (_C._bye_inner, _C._bye_outer)),
    (_S.ANSWERED, _I.OUTER_LOST): (_S.HANGING, (_C._bye_outer,)),
    (_S.ANSWERED, _I.EXPIRED): (_S.HANGING, (_C._bye_outer,)),
    (_S.HANGING, _I.ACCEPTED): (_S.HANGING, (_C._part_with_late_callee,)),
    (_S.HANGING, _I.ACKED): (_S.OVER, (_C._bye_inner,)),
    (_S.HANGING, _I.UNACKED): (_S.OVER, (_C._bye_inner,)),
    (_S.HANGING, _I.INNER_BYE): (_S.OVER, ()),
    (_S.HANGING, _I.INNER_LOST): (_S.OVER, (_C._bye_inner,)),
    (_S.CONFIRMED, _I.ACCEPTED): (_S.CONFIRMED, (_C._part_with_late_callee,)),
    (_S.CONFIRMED, _I.INNER_BYE): (_S.OVER, (_C._bye_outer,)),
    (_S.CONFIRMED, _I.OUTER_BYE): (_S.OVER, (_C._bye_inner,)),
    (_S.CONFIRMED, _I.INNER_LOST): (_S.OVER, (_C._bye_inner, _C._bye_outer)),
    (_S.CONFIRMED, _I.OUTER_LOST): (_S.OVER, (_C._bye_outer, _C._bye_inner)),
    (_S.CONFIRMED, _I.EXPIRED): (_S.OVER, (_C._bye_inner, _C._bye_outer)),
    (_S.OVER, _I.ACCEPTED): (_S.OVER, (_C._part_with_late_callee,)),
}


def _nobody_waits(_outcome: SendOutcome) -> None:
    """Answers to the BYE of a dialog that was never passed on change nothing."""
