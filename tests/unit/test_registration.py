"""One registration: every arrow of its table, reached by what happened before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clock import SteppingClock
from tests.support.registrar import (
    EPOCH,
    HERE,
    CountingRandom,
    Reply,
    account,
    challenge,
    ok,
    status,
)
from uacproxy.counters import RegistrationCounters
from uacproxy.errors import OwnMistake
from uacproxy.ports import Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.message import Message
from uacproxy.sip.names import EXPIRES
from uacproxy.sip.uri import Uri
from uacproxy.uac.register_exchange import RegisterExchange, RegisterPolicy, ShortestIntervals
from uacproxy.uac.register_request import RegisterRequest
from uacproxy.uac.registration import WAITS, Registration
from uacproxy.uac.registration_event import RegistrationEvent
from uacproxy.uac.registration_history import SharedWords
from uacproxy.uac.registration_states import RegistrationState as State
from uacproxy.uac.registration_table import TABLE
from uacproxy.uac.registration_wiring import RegistrationWiring
from uacproxy.uac.send import SendOutcome

Event = str | Reply
LOST = "lost"  # no final response
TAKE = "taken"  # an un-REGISTER answered 200
C1, C2 = challenge(b"n1"), challenge(b"n2")
OK, BRIEF, BAD, NO = ok(), status(423, min_expires=b"9000"), status(500), status(403)


class Held:
    """Fits ``Sender``; a test says when and how a request ends."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.notify: Callable[[SendOutcome], None] | None = None
        self.at_once: SendOutcome | None = None  # told before ``send`` returns
        self.abandoned = 0

    def send(
        self,
        request: Message,
        next_hop: Uri,
        notify: Callable[[SendOutcome], None],
        *,
        target: Target | None = None,
        socket: ListenAddress | None = None,
        contact_user: bytes = b"",
    ) -> Held:
        assert self.notify is None, "a second REGISTER"
        self.sent.append(request)
        if self.at_once is not None:
            notify(self.at_once)
        else:
            self.notify = notify
        return self

    def abandon(self) -> None:
        self.notify = None
        self.abandoned += 1

    def end(self, reply: Reply | None) -> None:
        notify, self.notify = self.notify, None
        assert notify is not None, "nothing is under way"
        response = None if reply is None else reply(self.sent[-1])
        if response is None:
            notify(SendOutcome(408, None, HERE, None, "no answer in time"))
        else:
            notify(SendOutcome(response.status, response, HERE, None, ""))


class Bench:
    """A registration with its ports held in the hand."""

    def __init__(self, retry_interval: int = 30) -> None:
        self.clock = SteppingClock()
        self.sender = Held()
        self.events: list[RegistrationEvent] = []
        self.turns = True  # there is room to send
        own, random = account(), CountingRandom()
        request = RegisterRequest(own, "192.0.2.100", b"")
        self.one = Registration(
            own,
            RegistrationWiring(
                retry_interval=retry_interval,
                clock=self.clock,
                now_utc=lambda: self.clock.seconds() + EPOCH,
                random=random,
                sender=self.sender,
                counters=RegistrationCounters(),
                words=SharedWords(),
                open_exchange=lambda one: RegisterExchange(
                    own, request, one.series, random, RegisterPolicy(), ShortestIntervals()
                ),
                pick_refresh=lambda one: one.granted * 0.65,
                take_turn=lambda _: self.turns,
                changed=lambda _, event: self.events.append(event),
                deadline_set=lambda *_: None,
            ),
        )

    def let(self, event: Event) -> None:
        if callable(event):
            self.sender.end(event)
        elif event == LOST:
            self.sender.end(None)
        elif event == TAKE:
            self.sender.end(status(200))
        elif event == "due":
            assert self.one.deadline is not None
            self.clock.run_until(self.one.deadline)
            self.one.due()
        elif event == "resume":
            self.one.resume(3600, 3000.0, 1000.0)
        else:
            getattr(self.one, event)()

    @property
    def asked(self) -> list[bytes | None]:
        return [request.get(EXPIRES) for request in self.sender.sent]


GOING: list[Event] = ["start", "due"]
BOUND: list[Event] = [*GOING, OK]
ANYWHERE: list[list[Event]] = [
    [],
    ["disable"],
    ["start"],
    GOING,
    [*GOING, C1],
    BOUND,
    [*BOUND, "due"],
    [*GOING, BAD],
    [*GOING, NO],
    [*BOUND, "unregister"],
    [*GOING, "disable"],
]
ARROWS: list[tuple[list[Event], Event, State, int]] = [
    # history, event -> state, REGISTER requests sent
    ([], "start", State.DELAYED, 0),
    ([], "register", State.REGISTERING, 1),
    ([], "unregister", State.UNREGISTERING, 1),
    ([], "disable", State.DISABLED, 0),
    ([], "resume", State.REGISTERED, 0),
    (["resume"], "due", State.REFRESHING, 1),
    (["disable"], "enable", State.DELAYED, 0),
    (["disable"], "register", State.REGISTERING, 1),
    (["disable"], "unregister", State.UNREGISTERING, 1),
    (["disable", "unregister"], TAKE, State.DISABLED, 0),
    (["disable"], "release", State.IDLE, 0),
    (["start"], "due", State.REGISTERING, 1),
    (["start"], "register", State.REGISTERING, 1),
    (["start"], "unregister", State.UNREGISTERING, 1),
    (["start"], "disable", State.DISABLED, 0),
    (["start"], "release", State.IDLE, 0),
    ([*GOING], OK, State.REGISTERED, 0),
    ([*GOING], C1, State.CHALLENGED, 1),
    ([*GOING], BRIEF, State.REGISTERING, 1),
    ([*GOING], BAD, State.BACKING_OFF, 0),
    ([*GOING], LOST, State.BACKING_OFF, 0),
    ([*GOING], NO, State.REJECTED, 0),
    ([*GOING], "due", State.BACKING_OFF, 0),
    ([*GOING], "register", State.REGISTERING, 0),
    ([*GOING, C1], OK, State.REGISTERED, 0),
    ([*GOING, C1], C2, State.CHALLENGED, 1),
    ([*GOING, C1], C1, State.REJECTED, 0),
    ([*GOING, C1], BRIEF, State.CHALLENGED, 1),
    ([*GOING, C1, BRIEF], NO, State.CHALLENGED, 1),
    ([*GOING, C1], BAD, State.BACKING_OFF, 0),
    ([*GOING, C1], NO, State.REJECTED, 0),
    ([*GOING, C1], "due", State.BACKING_OFF, 0),
    (BOUND, "due", State.REFRESHING, 1),
    (BOUND, "register", State.REFRESHING, 1),
    (BOUND, "unregister", State.UNREGISTERING, 1),
    (BOUND, "disable", State.UNREGISTERING, 1),
    (BOUND, "release", State.UNREGISTERING, 1),
    ([*BOUND, "due"], OK, State.REGISTERED, 0),
    ([*BOUND, "due"], C1, State.CHALLENGED, 1),
    ([*GOING, C1, OK, "due"], NO, State.REFRESHING, 1),
    ([*GOING, C1, OK, "due"], C1, State.REFRESHING, 1),
    ([*BOUND, "due"], BRIEF, State.REFRESHING, 1),
    ([*BOUND, "due"], BAD, State.BACKING_OFF, 0),
    ([*BOUND, "due"], NO, State.REJECTED, 0),
    ([*BOUND, "due"], "due", State.BACKING_OFF, 0),
    ([*GOING, BAD], "due", State.REGISTERING, 1),
    ([*GOING, BAD], "register", State.REGISTERING, 1),
    ([*GOING, BAD], "unregister", State.UNREGISTERING, 1),
    ([*GOING, BAD], "disable", State.DISABLED, 0),
    ([*GOING, BAD], "release", State.IDLE, 0),
    ([*BOUND, "due", BAD], "disable", State.UNREGISTERING, 1),
    ([*GOING, NO], "due", State.REGISTERING, 1),
    ([*GOING, NO], "register", State.REGISTERING, 1),
    ([*GOING, NO], "unregister", State.UNREGISTERING, 1),
    ([*GOING, NO], "disable", State.DISABLED, 0),
    ([*GOING, NO], "release", State.IDLE, 0),
    ([*BOUND, "unregister"], TAKE, State.IDLE, 0),
    ([*BOUND, "unregister"], C1, State.UNREGISTERING, 1),
    ([*GOING, C1, OK, "unregister"], NO, State.UNREGISTERING, 1),
    ([*BOUND, "unregister"], BAD, State.IDLE, 0),
    ([*BOUND, "unregister"], BRIEF, State.IDLE, 0),
    ([*BOUND, "unregister"], NO, State.IDLE, 0),
    ([*BOUND, "unregister"], LOST, State.IDLE, 0),
    ([*BOUND, "unregister"], "due", State.IDLE, 0),
    ([*BOUND, "disable"], TAKE, State.DISABLED, 0),
    ([*BOUND, "disable"], LOST, State.DISABLED, 0),
    ([*BOUND, "disable", "enable"], TAKE, State.DELAYED, 0),
    ([*BOUND, "unregister", "register"], TAKE, State.DELAYED, 0),
    ([*GOING, "disable"], OK, State.UNREGISTERING, 1),
    ([*GOING, "disable"], BAD, State.DISABLED, 0),
    ([*GOING, "disable"], C1, State.CHALLENGED, 1),
    ([*GOING, "disable", "enable"], OK, State.REGISTERED, 0),
    ([*GOING, "unregister"], OK, State.UNREGISTERING, 1),
    ([*GOING, "release"], BAD, State.IDLE, 0),
    *[(history, "hand_over", State.ELSEWHERE, 0) for history in ANYWHERE],
    (["hand_over"], "start", State.DELAYED, 0),
    (["hand_over"], "resume", State.REGISTERED, 0),
    (["hand_over"], "release", State.IDLE, 0),
    (["hand_over"], "disable", State.DISABLED, 0),
    (["hand_over"], "register", State.ELSEWHERE, 0),
    (["hand_over"], "unregister", State.ELSEWHERE, 0),
]


@pytest.mark.parametrize(("history", "event", "state", "sent"), ARROWS)
def test_arrow(history: list[Event], event: Event, state: State, sent: int) -> None:
    bench = Bench()
    for earlier in history:
        bench.let(earlier)
    before = len(bench.sender.sent)
    bench.let(event)
    assert bench.one.state is state
    assert len(bench.sender.sent) - before == sent
    assert (bench.one.deadline is not None) == (state in WAITS)


def test_every_arrow_of_the_table_is_followed_by_some_row_above() -> None:
    followed: set[tuple[State, State]] = set()
    for history, event, _, _ in ARROWS:
        bench = Bench()
        for each in [*history, event]:
            bench.let(each)
        followed.update((one.before, one.after) for one in bench.events)
    failures: list[list[Event]] = [[*GOING, BAD], [*GOING, C1, BAD], [*BOUND, "due", BAD]]
    for failure in failures:
        bench = Bench(retry_interval=0)
        for each in failure:
            bench.let(each)
        followed.update((one.before, one.after) for one in bench.events)
    drawn = {(before, after) for (before, _), (after, _) in TABLE.items() if before is not after}
    # a binding that runs out while nobody looks lets a registered account rest at once
    assert drawn - followed == {(State.REGISTERED, State.IDLE), (State.REGISTERED, State.DISABLED)}


def test_a_registration_handed_over_sends_nothing_more_and_keeps_its_binding() -> None:
    bench = Bench()
    for event in (*BOUND, "due", "hand_over"):
        bench.let(event)
    assert bench.sender.abandoned == 1
    assert bench.one.is_online
    bench.clock.run_until(bench.one.bound_until)
    assert not bench.one.is_online


@pytest.mark.parametrize("event", ["disable", "release"])
def test_a_binding_that_has_run_out_is_not_taken_back(event: str) -> None:
    bench = Bench()
    for each in BOUND:
        bench.let(each)
    bench.clock.run_until(4000.0)
    bench.let(event)
    assert bench.one.state is (State.DISABLED if event == "disable" else State.IDLE)
    assert bench.asked == [b"3600"]


def test_only_what_takes_a_binding_back_asks_for_0_s() -> None:
    bench = Bench()
    for each in [*BOUND, "unregister", C1, TAKE, "register", OK]:
        bench.let(each)
    assert bench.asked == [b"3600", b"0", b"0", b"3600"]


def test_a_request_that_fails_before_send_returns_is_told_in_order() -> None:
    bench = Bench()
    bench.sender.at_once = SendOutcome(503, None, None, None, "no address")
    for each in GOING:
        bench.let(each)
    assert [(one.before, one.after) for one in bench.events] == [
        (State.IDLE, State.DELAYED),
        (State.DELAYED, State.REGISTERING),
        (State.REGISTERING, State.BACKING_OFF),
    ]
    assert bench.one.last is not None and bench.one.last.why == "no address"


def test_what_waits_for_its_turn_is_sent_when_it_has_come() -> None:
    bench = Bench()
    bench.turns = False
    for each in GOING:
        bench.let(each)
    assert (bench.one.state, bench.sender.sent) == (State.REGISTERING, [])
    bench.one.proceed()
    assert len(bench.sender.sent) == 1
    bench.let(C1)
    assert bench.one.waits_for_turn
    bench.let("due")
    assert (bench.one.state, bench.one.waits_for_turn) == (State.BACKING_OFF, False)


def test_a_series_that_waits_is_all_that_is_kept_between_exchanges() -> None:
    bench = Bench()
    events: list[Event] = [*GOING, C1, OK]
    for each in events:
        bench.let(each)
    assert bench.one._exchange is None
    assert [kept.nc for kept in bench.one.series.nonces] == [1]


def test_a_second_register_of_an_account_is_a_mistake_of_ours() -> None:
    bench = Bench()
    for each in GOING:
        bench.let(each)
    with pytest.raises(OwnMistake):
        bench.one._send()
