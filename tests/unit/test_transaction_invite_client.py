"""INVITE client transaction against RFC 3261 figure 5, as amended by RFC 6026."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transactions import LOST, Event, Ports, answer, request
from uacproxy.sip.message import Message
from uacproxy.transaction.invite_client import InviteClient
from uacproxy.transaction.machine import Transaction
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Notice, State


class Bench(Ports):
    """The transaction and what it said."""

    def __init__(self, *, reliable: bool = False) -> None:
        super().__init__(reliable=reliable)
        self.told: list[Notice] = []
        self.heard: list[int] = []
        self.ended: list[Transaction] = []
        self.tx = InviteClient(
            request(b"INVITE"),
            flow=self.flow,
            values=TimerValues(reliable=reliable),
            clock=self.clock,
            counters=self.counters,
            notify=self._notify,
            ended=self.ended.append,
        )
        self.tx.start()

    def _notify(self, notice: Notice, response: Message | None) -> None:
        self.told.append(notice)
        if response is not None:
            self.heard.append(response.status)

    def let(self, event: Event) -> None:
        if isinstance(event, int):
            self.tx.response_received(answer(self.tx.request, event))
        elif isinstance(event, float):
            self.wait(event)
        else:
            self.flow.fail()


HEARD = Notice.RESPONSE
FIGURE_5: list[tuple[list[Event], Event, State, list[str], list[Notice]]] = [
    # history, event -> state, methods sent, notices given
    ([], 180, State.PROCEEDING, [], [HEARD]),
    ([], 200, State.ACCEPTED, [], [HEARD]),
    ([], 404, State.COMPLETED, ["ACK"], [HEARD]),
    ([], 0.5, State.CALLING, ["INVITE"], []),
    ([], 32.0, State.TERMINATED, ["INVITE"] * 6, [Notice.TIMEOUT]),
    ([], LOST, State.TERMINATED, [], [Notice.TRANSPORT_ERROR]),
    ([180], 183, State.PROCEEDING, [], [HEARD]),
    ([180], 200, State.ACCEPTED, [], [HEARD]),
    ([180], 300, State.COMPLETED, ["ACK"], [HEARD]),
    ([180], 90.0, State.PROCEEDING, [], []),
    ([180], LOST, State.PROCEEDING, [], []),
    ([200], 200, State.ACCEPTED, [], [HEARD]),
    ([200], 180, State.ACCEPTED, [], []),
    ([200], 404, State.ACCEPTED, [], []),
    ([200], LOST, State.ACCEPTED, [], []),
    ([200], 31.9, State.ACCEPTED, [], []),
    ([200], 32.0, State.TERMINATED, [], []),
    ([404], 404, State.COMPLETED, ["ACK"], []),
    ([404], 180, State.COMPLETED, [], []),
    ([404], 200, State.COMPLETED, [], []),
    ([404], 31.9, State.COMPLETED, [], []),
    ([404], 32.0, State.TERMINATED, [], []),
    ([404], LOST, State.TERMINATED, [], [Notice.TRANSPORT_ERROR]),
    ([404, 32.0], 404, State.TERMINATED, [], []),
]


@pytest.mark.parametrize(("history", "event", "state", "methods", "notices"), FIGURE_5)
def test_arrow(
    history: list[Event], event: Event, state: State, methods: list[str], notices: list[Notice]
) -> None:
    bench = Bench()
    for earlier in history:
        bench.let(earlier)
    sent, told = len(bench.flow.sent), len(bench.told)
    bench.let(event)
    assert bench.tx.state is state
    assert bench.flow.shown[sent:] == methods
    assert bench.told[told:] == notices


def test_timer_a_doubles_without_ceiling() -> None:
    bench = Bench()
    bench.let(60.0)
    octets = bench.tx.request.encode()
    assert bench.flow.sent == [(at, octets) for at in (0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)]


def test_timers_follow_t1() -> None:
    slow = TimerValues(reliable=False, t1=1.0)
    bench = Ports()
    told: list[tuple[float, Notice]] = []
    tx = InviteClient(
        request(b"INVITE"),
        flow=bench.flow,
        values=slow,
        clock=bench.clock,
        counters=bench.counters,
        notify=lambda notice, _: told.append((bench.clock.seconds(), notice)),
        ended=lambda _: None,
    )
    tx.start()
    bench.wait(100.0)
    assert [at for at, _ in bench.flow.sent] == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0]
    assert told == [(64.0, Notice.TIMEOUT)]


def test_a_reliable_transport_is_not_sent_the_invite_twice() -> None:
    bench = Bench(reliable=True)
    bench.let(60.0)
    assert bench.flow.shown == ["INVITE"]
    assert bench.told == [Notice.TIMEOUT]


def test_on_a_reliable_transport_a_failure_is_acknowledged_and_the_end() -> None:
    bench = Bench(reliable=True)
    bench.let(486)
    assert (bench.flow.shown, bench.heard) == (["INVITE", "ACK"], [486])
    assert bench.tx.state is State.TERMINATED
    assert bench.timers == 0


def test_the_ack_has_the_tag_of_the_response_and_is_the_same_each_time() -> None:
    bench = Bench()
    bench.let(486)
    bench.let(486)
    (_, first), (_, second) = bench.flow.sent[1:]
    assert b"To: <sip:bob@biloxi.example>;tag=b1\r\n" in first
    assert b"CSeq: 314159 ACK\r\n" in first
    assert first == second


def test_every_2xx_is_told_so_that_each_is_acknowledged_by_the_tu() -> None:
    bench = Bench()
    for event in (100, 200, 200, 200):
        bench.let(event)
    assert bench.heard == [100, 200, 200, 200]


def test_it_says_that_it_ended_once_and_before_it_says_why() -> None:
    order: list[str] = []
    ports = Ports()
    tx = InviteClient(
        request(b"INVITE"),
        flow=ports.flow,
        values=TimerValues(reliable=False),
        clock=ports.clock,
        counters=ports.counters,
        notify=lambda notice, _: order.append(notice.name),
        ended=lambda _: order.append("ended"),
    )
    tx.start()
    ports.wait(100.0)
    tx.stop()
    assert order == ["ended", "TIMEOUT"]
    assert ports.counters.timeouts == 1


@pytest.mark.parametrize("history", [[], [180], [200], [404]])
def test_a_stopped_client_is_silent(history: list[Event]) -> None:
    bench = Bench()
    for event in history:
        bench.let(event)
    sent, told = len(bench.flow.sent), len(bench.told)
    bench.tx.stop()
    for event in (180, 200, LOST, 100.0):
        bench.let(event)
    assert (len(bench.flow.sent), len(bench.told), bench.timers) == (sent, told, 0)
    assert bench.ended == [bench.tx]


def test_the_tu_may_stop_it_from_inside_a_notice() -> None:
    ports = Ports()
    heard: list[Notice] = []

    def notify(notice: Notice, _response: Message | None) -> None:
        heard.append(notice)
        tx.stop()

    tx = InviteClient(
        request(b"INVITE"),
        flow=ports.flow,
        values=TimerValues(reliable=False),
        clock=ports.clock,
        counters=ports.counters,
        notify=notify,
        ended=lambda _: None,
    )
    tx.start()
    tx.response_received(answer(tx.request, 180))
    tx.response_received(answer(tx.request, 200))
    assert heard == [Notice.RESPONSE]
    assert ports.timers == 0


@pytest.mark.parametrize("ending", [32.0, None])
def test_a_transaction_that_ended_keeps_its_tu_no_longer(ending: float | None) -> None:
    class Branch:
        def heard(self, _notice: Notice, _response: Message | None) -> None:
            """Do nothing."""

    ports = Ports()
    branch = Branch()
    gone = weakref.ref(branch)
    tx = InviteClient(
        request(b"INVITE"),
        flow=ports.flow,
        values=TimerValues(reliable=False),
        clock=ports.clock,
        counters=ports.counters,
        notify=branch.heard,
        ended=lambda _: None,
    )
    tx.start()
    del branch
    assert gone() is not None
    if ending is None:
        tx.stop()
    else:
        ports.wait(ending)
    gc.collect()
    assert gone() is None


PENDING = {State.CALLING: 2, State.ACCEPTED: 1, State.COMPLETED: 1}
EVENTS = st.one_of(st.sampled_from([100, 180, 200, 404, 600, LOST]), st.floats(0.1, 40.0))


@given(st.lists(EVENTS, max_size=12))
def test_whatever_happens_timers_match_the_state_and_it_ends(events: list[Event]) -> None:
    """Proceeding alone may last: there the TU's timer C decides (RFC 3261 16.8)."""
    bench = Bench()
    for event in [*events, 100.0]:
        bench.let(event)
        assert bench.timers == PENDING.get(bench.tx.state, 0)
    assert bench.tx.state in (State.TERMINATED, State.PROCEEDING)
    assert len(bench.ended) == (bench.tx.state is State.TERMINATED)
