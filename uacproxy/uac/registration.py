"""One account and its binding at a registrar: a machine (RFC 3261 10.2).

Its arrows are in ``registration_table``.

At any time at most one REGISTER is under way. Every state that waits has a deadline, and
whoever owns the registration calls ``due`` then: no account is forgotten, and none gives
up for good unless reg_retry_interval is 0.

What an operator asks for while a REGISTER is under way is remembered as a wish and done
as soon as that has ended, so the table has no rows for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.errors import OwnMistake
from uacproxy.ports import Target
from uacproxy.uac.account import Account
from uacproxy.uac.register_exchange import Judgement, RegisterExchange
from uacproxy.uac.register_response import readable
from uacproxy.uac.register_series import RegisterSeries
from uacproxy.uac.registration_delays import LONGEST_EXCHANGE
from uacproxy.uac.registration_event import LastExchange, RegistrationEvent
from uacproxy.uac.registration_history import Past, noted, read_history
from uacproxy.uac.registration_states import (
    IN_FLIGHT,
    ONLINE,
    RegistrationInput,
    RegistrationState,
    Wish,
)
from uacproxy.uac.registration_table import GOES_ON, TABLE, WHY, Do
from uacproxy.uac.registration_tally import RegistrationTally
from uacproxy.uac.registration_wiring import RegistrationWiring
from uacproxy.uac.send import UNANSWERED, Sending, SendOutcome
from uacproxy.uac.written_request import WrittenRequest

MOVED_WITHIN: Final = 2.0  # s, until a new public address is registered

_State = RegistrationState
_Input = RegistrationInput


@final
class Registration:
    """One account. A state and its deadline settle first, then it sends, then it tells."""

    __slots__ = (
        "_early",
        "_exchange",
        "_is_awaited",
        "_is_sending",
        "_sending",
        "_sent_at",
        "_start_in",
        "_wiring",
        "_wish",
        "_written",
        "account",
        "bound_until",
        "can_register",
        "deadline",
        "granted",
        "history",
        "is_renewed",
        "made_at_utc",
        "noted_at_utc",
        "others",
        "series",
        "since_utc",
        "state",
        "tally",
        "waits_for_turn",
        "was_usual",
        "why",
    )

    def __init__(
        self, account: Account, wiring: RegistrationWiring, *, can_register: bool = True
    ) -> None:
        """Begin idle; one of which no REGISTER can be made can only be disabled."""
        self.account = account
        self.can_register = can_register
        self.series = RegisterSeries()
        self.tally = RegistrationTally()
        self.state = _State.IDLE
        self.deadline: float | None = None  # s on the clock's time; None: nothing by itself
        self.made_at_utc = wiring.now_utc()
        self.since_utc = self.made_at_utc  # of the state
        self.why = ""  # the state was entered
        self.history = b""
        self.granted = 0  # s
        self.bound_until = 0.0  # s on the clock's time; 0.0: no binding
        self.is_renewed = False  # the last grant found a binding there
        self.noted_at_utc = 0.0  # its record in the store
        self.was_usual = False  # and nothing but counts and times is new with it
        self.others = 0  # Contacts of others the registrar listed last
        self.waits_for_turn = False  # to send
        self._wiring = wiring
        self._exchange: RegisterExchange | None = None  # while one is under way
        self._wish = Wish.NOTHING
        self._start_in = 0.0  # s
        self._sent_at = 0.0
        self._sending: Sending | None = None
        self._written: WrittenRequest | None = None  # the same, where it is as usual
        self._is_awaited = False  # an outcome is
        self._is_sending = False  # within ``sender.send``
        self._early: SendOutcome | None = None  # came before ``sender.send`` returned

    # -- questions -----------------------------------------------------------------------

    @property
    def registrar(self) -> str:
        """Return what accounts that share a rate have in common."""
        return self.account.registrar

    @property
    def in_flight(self) -> bool:
        """Tell whether a REGISTER is under way."""
        return self.state in IN_FLIGHT

    @property
    def is_bound(self) -> bool:
        """Tell whether the registrar has granted us a binding that may still be there."""
        return self.bound_until > self._wiring.clock.seconds()

    @property
    def is_online(self) -> bool:
        """Tell whether calls will come: bound, and not refused since; a refresh changes nothing."""
        return self.state in ONLINE and self.is_bound

    @property
    def is_auth_sent(self) -> bool:
        """Tell whether the REGISTER under way carries credentials."""
        exchange = self._exchange
        if exchange is None:
            return self._written is not None
        return self.in_flight and exchange.carries_credentials

    @property
    def last(self) -> LastExchange | None:
        """Return how the last REGISTER ended, None before there was one."""
        return self.tally.last

    def past(self) -> list[Past]:
        """Return the last transitions, oldest first."""
        return read_history(self.history, self._wiring.words)

    @property
    def next_at_utc(self) -> float:
        """Return when the next action is due, s of the epoch; 0.0: never by itself."""
        deadline = self.deadline
        return 0.0 if deadline is None else self.at_utc(deadline)

    def at_utc(self, seconds: float) -> float:
        """Return a time of the clock as seconds of the epoch."""
        return self._wiring.now_utc() + seconds - self._wiring.clock.seconds()

    # -- what operators and the table ask for ----------------------------------------------

    def start(self, delay: float = 0.0) -> None:
        """Register after ``delay`` s; an account whose ``expires`` is 0 rests instead."""
        if self.account.expires == 0:
            self._feed(_Input.REST)
        elif self.can_register:
            self._start_in = delay
            self._feed(_Input.START)

    def recall(self, failures: int, refusals: int, last: LastExchange | None) -> None:
        """Take over what was known before a restart; called before ``start`` or ``resume``."""
        self.tally.recall(failures, refusals, last, self._wiring.words)

    def resume(self, granted: int, bound_for: float, refresh_in: float) -> None:
        """Go on with a binding made before a restart: nothing is sent until it is renewed.

        Args:
            granted: s, as it was.
            bound_for: s it has left.
            refresh_in: s until it is renewed.
        """
        self.granted = granted
        self.bound_until = self._wiring.clock.seconds() + bound_for
        self._start_in = refresh_in
        elsewhere = self.state is _State.ELSEWHERE
        self._feed(_Input.RESUME, why="taken over from another instance" if elsewhere else "")

    def hand_over(self) -> None:
        """Stop in silence: another instance goes on from here, and the binding stays."""
        sending, self._sending = self._sending, None
        self._written = None
        self._is_awaited = False
        self.waits_for_turn = False
        if sending is not None:
            sending.abandon()
        self._wish = Wish.NOTHING
        self._feed(_Input.HAND_OVER)

    def observe(self, granted: int, bound_for: float) -> None:
        """Note the binding of an account that another instance registers.

        Args:
            granted: s, as it was.
            bound_for: s it has left; 0.0: there is none that brings calls.
        """
        self.granted = granted
        self.bound_until = self._wiring.clock.seconds() + bound_for if bound_for > 0.0 else 0.0

    def start_disabled(self, why: str) -> None:
        """Begin disabled, for a reason an operator will read."""
        self._feed(_Input.DISABLE, why=why)

    def start_now(self) -> None:
        """Let a delayed start be due."""
        if self.state is _State.DELAYED:
            self._feed(_Input.DUE)

    def take_over(self, old: Registration) -> None:
        """Go on where ``old`` stands, which does nothing any more: the same binding, changed."""
        self.made_at_utc = old.made_at_utc
        self.history = old.history
        self.granted = old.granted
        self.others = old.others
        self.bound_until = old.bound_until
        self.series = old.series
        if self.account.auth_proxy != old.account.auth_proxy:
            self.series.target = None
            self.series.service_route = ()
        self.recall(0, 0, old.last)
        sending = old._sending
        old._sending = None
        old._written = None
        old._wish = Wish.NOTHING
        old.deadline = None
        old.waits_for_turn = False
        if sending is not None:
            sending.abandon()

    def due(self) -> None:
        """Do what the deadline was for; a REGISTER still under way is given up."""
        if not self.in_flight:
            self._feed(_Input.DUE)
            return
        sending = self._sending
        self._sending = None
        self._written = None
        self._is_awaited = False
        if sending is not None:
            sending.abandon()
        self.series.target = None
        why = "the rate left no room" if self.waits_for_turn else "gave up waiting for an answer"
        self._ended(UNANSWERED, Judgement(_Input.FAILED, why), None)

    def postpone(self, delay: float) -> None:
        """Set a deadline that was missed anew; for one who could not be told of it."""
        now = self._wiring.clock.seconds()
        deadline = self.deadline
        if deadline is not None and deadline <= now:
            self.deadline = now + delay
            self._wiring.deadline_set(self, now + delay)

    def bring_forward(self, deadline: float) -> None:
        """Do what is next at ``deadline``, s on the clock's time, unless it is due before."""
        if not self.in_flight and self.deadline is not None and deadline < self.deadline:
            self.deadline = deadline
            self._wiring.deadline_set(self, deadline)

    def enable(self) -> None:
        """Undo ``disable``; anything but a disabled account goes on as it was."""
        if self.state is _State.DISABLED:
            self.start()
        elif self._wish is Wish.DISABLE:
            unregistering = self.state is _State.UNREGISTERING
            self._wish = Wish.REGISTER if unregistering else Wish.NOTHING

    def disable(self) -> None:
        """Stop for good; a binding is taken back first."""
        self._wish = Wish.DISABLE
        self._follow_wish()

    def register(self) -> bool:
        """Send a REGISTER at once, disabled or not; False where there can be none."""
        if not self.can_register or self.account.expires == 0:
            return False
        if self.state is _State.UNREGISTERING:
            self._wish = Wish.REGISTER
        else:
            self._wish = Wish.NOTHING
            self._feed(_Input.REGISTER)
        return True

    def unregister(self) -> bool:
        """Take the binding back, known or not, and rest; False where no REGISTER can be made."""
        if not self.can_register:
            return False
        disabled = self.state is _State.DISABLED or self._wish is Wish.DISABLE
        self._wish = Wish.DISABLE if disabled else Wish.REST
        if not self.in_flight:
            self._feed(_Input.UNREGISTER)
        return True

    def release(self) -> None:
        """Take the binding back if there is one, and rest: the service stops."""
        self._wish = Wish.REST
        self._follow_wish()

    def _follow_wish(self) -> None:
        """Do what was asked for, once nothing is under way any more."""
        wish = self._wish
        if wish is Wish.NOTHING or self.in_flight:
            return
        if wish is Wish.REGISTER:
            self._wish = Wish.NOTHING
            self.start()
        elif self.is_bound:
            self._feed(_Input.UNREGISTER)
        else:
            self._wish = Wish.NOTHING
            self._feed(_Input.DISABLE if wish is Wish.DISABLE else _Input.REST)

    # -- the machine -------------------------------------------------------------------------

    def _feed(self, what: RegistrationInput, status: int = 0, why: str = "") -> None:
        row = TABLE.get((self.state, what))
        if row is None:
            return
        before = self.state
        after, action = row
        self.state = after
        if after is not before:
            self.since_utc = self._wiring.now_utc()
            self.why = why if why else WHY.get(what, "")
        self._set_deadline()
        if action is Do.BEGIN:
            self._begin()
        elif action is Do.SEND:
            self._send()
        elif action is Do.UNBIND:
            self.bound_until = 0.0
        if after is not before:
            self._tell(before, after, status)
        early = self._early
        if early is not None:
            self._early = None
            self._take(early)
        self._follow_wish()

    def _set_deadline(self) -> None:
        wait = WAITS.get(self.state)
        if wait is None:
            self.deadline = None
            return
        deadline = self._wiring.clock.seconds() + wait(self)
        self.deadline = deadline
        self._wiring.deadline_set(self, deadline)

    def _tell(self, before: RegistrationState, after: RegistrationState, status: int) -> None:
        words = self._wiring.words
        self.history = noted(
            self.history, self.since_utc, before, after, status, words.number_of(self.why)
        )
        event = RegistrationEvent(
            self.account, before, after, status, self.why, self.since_utc, self.next_at_utc
        )
        self._wiring.changed(self, event)

    # -- delays of the states that wait, s -----------------------------------------------------

    def _start_delay(self) -> float:
        return self._start_in

    def _exchange_delay(self) -> float:
        return LONGEST_EXCHANGE

    def _refresh_delay(self) -> float:
        if self._start_in > 0.0:  # of a binding resumed
            return self._start_in
        return self._wiring.pick_refresh(self)

    def _retry_delay(self) -> float:
        return self.tally.retry_in(self._wiring.retry_interval, self._wiring.random)

    def _rejected_delay(self) -> float:
        return self.tally.rejected_in(self._wiring.random)

    # -- sending and hearing -------------------------------------------------------------------

    def _begin(self) -> None:
        self._start_in = 0.0
        self._exchange = None
        self.was_usual = False
        self._send()

    def _send(self) -> None:
        if self._is_awaited:
            raise OwnMistake("a second REGISTER of an account")
        if self._wiring.take_turn(self):
            self._send_now()
        else:
            self.waits_for_turn = True

    def proceed(self) -> None:
        """Send what waited for its turn; called by whoever made it wait."""
        self.waits_for_turn = False
        self._send_now()
        early = self._early
        if early is not None:
            self._early = None
            self._take(early)

    def _send_now(self) -> None:
        exchange = self._exchange
        wiring = self._wiring
        if exchange is None:
            if self._sent_as_usual():
                return
            exchange = wiring.open_exchange(self)
            self._exchange = exchange
        request = exchange.next_request(removing=self.state is _State.UNREGISTERING)
        self._sent_at = wiring.clock.seconds()
        wiring.counters.sent += 1
        self._is_awaited = True
        self._is_sending = True
        try:
            self._sending = wiring.sender.send(
                request,
                exchange.next_hop,
                self._heard,
                target=exchange.target,
                socket=exchange.request.socket,
            )
        finally:
            self._is_sending = False

    def _sent_as_usual(self) -> bool:
        """Send a refresh that is as the last one was; False: it is not."""
        wiring = self._wiring
        usual = wiring.usual
        if usual is None or self.state is not _State.REFRESHING:
            return False
        written = usual.send(self.account, self.series, self._heard)
        if written is None:
            return False
        self._sent_at = wiring.clock.seconds()
        wiring.counters.sent += 1
        self._is_awaited = True
        self._sending = self._written = written
        return True

    def _heard(self, outcome: SendOutcome) -> None:
        """Hear how the REGISTER ended, perhaps while it is being sent."""
        if self._is_sending:
            self._early = outcome
        else:
            self._take(outcome)

    def _take(self, outcome: SendOutcome) -> None:
        self._sending = None
        self._is_awaited = False
        written, self._written = self._written, None
        exchange = self._exchange
        if exchange is None:
            if written is None:
                raise OwnMistake("an answer to a REGISTER that was never made")
            if self._is_as_usual(outcome):
                return
            exchange = self._opened_late(written)
        judgement = exchange.judge(
            outcome,
            removing=self.state is _State.UNREGISTERING,
            now=self._wiring.clock.seconds(),
        )
        if outcome.response is None:
            self._wiring.counters.unanswered += 1
        self._ended(outcome.status, judgement, outcome.target)

    def _is_as_usual(self, outcome: SendOutcome) -> bool:
        """Take the answer to a usual refresh; False: it is another than the one before."""
        usual = self.series.usual
        response = outcome.response
        if usual is None or response is None or outcome.status != 200:
            return False
        if outcome.target != self.series.target or not usual.is_answer(response):
            return False
        why = readable(response.reason)
        granted = Judgement(_Input.GRANTED, why, usual.granted, usual.others)
        self.was_usual = True
        self._ended(200, granted, outcome.target)
        return True

    def _opened_late(self, written: WrittenRequest) -> RegisterExchange:
        """Return the exchange that a usual refresh has begun, and may go on with."""
        usual = self.series.usual
        if usual is None:
            raise OwnMistake("a usual REGISTER of an account that has none")
        exchange = self._wiring.open_exchange(self)
        self._exchange = exchange
        exchange.sent_already(written.request, usual)
        return exchange

    def _ended(self, status: int, judgement: Judgement, target: Target | None) -> None:
        counters = self._wiring.counters
        words = self._wiring.words
        why = words.shared(judgement.why)
        tally = self.tally
        tally.ended(self._wiring.now_utc(), status, why, words.target(target))
        self.waits_for_turn = False
        what = judgement.what
        gives_up = self._wiring.retry_interval == 0
        if what is _Input.GRANTED:
            counters.granted += 1
            tally.succeeded()
            self.is_renewed = self.is_bound
            self.granted = judgement.granted
            self.others = judgement.others
            self.bound_until = self._sent_at + judgement.granted
        elif what is _Input.REMOVED:
            counters.unregistered += 1
        elif what is _Input.CHALLENGE:
            counters.challenged += 1
        elif what is _Input.REFUSED:
            counters.refused += 1
            tally.refusals += 1
            if gives_up:
                what = _Input.GIVE_UP
        elif what is _Input.FAILED:
            counters.failed += 1
            tally.failures += 1
            if status < 300:
                counters.mismatches += 1
                self.others = judgement.others
                self.bound_until = 0.0
            if gives_up:
                what = _Input.GIVE_UP
        exchange = self._exchange
        if exchange is None:
            tally.retry_after = 0
        elif what not in GOES_ON:
            tally.retry_after = exchange.retry_after
            exchange.close()
            self._exchange = None
            self.series.target = words.target(self.series.target)
        self._feed(what, status, why)
        if what is _Input.GRANTED and judgement.moved and self.state is _State.REGISTERED:
            soon = self._wiring.random.uniform(0.0, MOVED_WITHIN)
            self.bring_forward(self._wiring.clock.seconds() + soon)


_R = Registration

WAITS: Final[dict[RegistrationState, Callable[[Registration], float]]] = {
    _State.DELAYED: _R._start_delay,
    _State.REGISTERING: _R._exchange_delay,
    _State.CHALLENGED: _R._exchange_delay,
    _State.REGISTERED: _R._refresh_delay,
    _State.REFRESHING: _R._exchange_delay,
    _State.BACKING_OFF: _R._retry_delay,
    _State.REJECTED: _R._rejected_delay,
    _State.UNREGISTERING: _R._exchange_delay,
}
