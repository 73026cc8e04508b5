"""Server transaction of other requests against RFC 3261 figure 8, as amended by RFC 4320."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.transactions import AGAIN, LOST, CountedRandom, Event, Ports, request
from uacproxy.sip.build import build_response
from uacproxy.transaction.machine import Transaction
from uacproxy.transaction.non_invite_server import NonInviteServer
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Notice, State


class Bench(Ports):
    """The transaction and what it said."""

    def __init__(self, *, reliable: bool = False, t1: float = 0.5, t2: float = 4.0) -> None:
        super().__init__(reliable=reliable)
        self.told: list[Notice] = []
        self.ended: list[Transaction] = []
        self.tx = NonInviteServer(
            request(b"OPTIONS"),
            flow=self.flow,
            values=TimerValues(reliable=reliable, t1=t1, t2=t2),
            clock=self.clock,
            counters=self.counters,
            new_tag=CountedRandom().token,
            notify=self.told.append,
            ended=self.ended.append,
        )

    def let(self, event: Event) -> None:
        if isinstance(event, int):
            self.tx.respond(build_response(self.tx.request, event, to_tag=b"b1"))
        elif isinstance(event, float):
            self.wait(event)
        elif event == AGAIN:
            self.tx.retransmission_received()
        else:
            self.tx.transport_failed()


ERROR = Notice.TRANSPORT_ERROR
FIGURE_8: list[tuple[list[Event], Event, State, list[str], list[Notice]]] = [
    # history, event -> state, responses sent, notices given
    ([], AGAIN, State.TRYING, [], []),
    ([], 200, State.COMPLETED, ["200"], []),
    ([], 404, State.COMPLETED, ["404"], []),
    ([], 100, State.TRYING, [], []),
    ([], 183, State.TRYING, [], []),
    ([], 3.4, State.TRYING, [], []),
    ([], 3.5, State.PROCEEDING, ["100"], []),
    ([3.5], AGAIN, State.PROCEEDING, ["100"], []),
    ([3.5], 183, State.PROCEEDING, [], []),
    ([3.5], 200, State.COMPLETED, ["200"], []),
    ([3.5], 503, State.COMPLETED, ["503"], []),
    ([3.5], 408, State.COMPLETED, [], []),
    ([3.5], LOST, State.TERMINATED, [], [ERROR]),
    ([3.5], 28.4, State.PROCEEDING, [], []),
    ([3.5], 28.5, State.TERMINATED, [], [Notice.TIMEOUT]),
    ([200], AGAIN, State.COMPLETED, ["200"], []),
    ([200], 404, State.COMPLETED, [], []),
    ([200], 100, State.COMPLETED, [], []),
    ([200], LOST, State.TERMINATED, [], [ERROR]),
    ([200], 31.9, State.COMPLETED, [], []),
    ([200], 32.0, State.TERMINATED, [], []),
    ([], 408, State.COMPLETED, [], []),
    ([408], AGAIN, State.COMPLETED, [], []),
    ([3.5, 408], AGAIN, State.COMPLETED, [], []),
    ([408], 32.0, State.TERMINATED, [], []),
]


@pytest.mark.parametrize(("history", "event", "state", "responses", "notices"), FIGURE_8)
def test_arrow(
    history: list[Event], event: Event, state: State, responses: list[str], notices: list[Notice]
) -> None:
    bench = Bench()
    for earlier in history:
        bench.let(earlier)
    sent, told = len(bench.flow.sent), len(bench.told)
    bench.let(event)
    assert bench.tx.state is state
    assert bench.flow.shown[sent:] == responses
    assert bench.told[told:] == notices


def test_a_client_that_hears_nothing_gets_a_100_on_a_reliable_transport_too() -> None:
    """RFC 4320 4.1: without regard to transport."""
    bench = Bench(reliable=True)
    bench.let(20.0)
    assert [
        (when, word) for (when, _), word in zip(bench.flow.sent, bench.flow.shown, strict=True)
    ] == [(3.5, "100")]


def test_on_a_reliable_transport_the_response_is_the_end() -> None:
    bench = Bench(reliable=True)
    bench.let(200)
    assert bench.tx.state is State.TERMINATED
    assert bench.timers == 0


def test_a_408_counts_as_the_final_response_although_nobody_hears_it() -> None:
    bench = Bench()
    bench.let(408)
    bench.let(200)
    assert bench.flow.sent == []
    assert bench.tx.final_sent


@pytest.mark.parametrize(("t1", "t2", "at"), [(0.5, 4.0, 3.5), (1.0, 4.0, 3.0), (2.0, 1.0, 2.0)])
def test_the_100_comes_when_the_clients_timer_e_reaches_t2(t1: float, t2: float, at: float) -> None:
    bench = Bench(t1=t1, t2=t2)
    bench.let(20.0)
    assert [when for when, _ in bench.flow.sent] == [at]


@given(st.floats(0.01, 60.0), st.floats(0.01, 60.0))
@example(0.01, 60.0)
def test_it_ends_with_the_client_whatever_t1_and_t2_are(t1: float, t2: float) -> None:
    bench = Bench(t1=t1, t2=t2)
    bench.wait(64 * t1 * 1.0001)
    assert bench.told == [Notice.TIMEOUT]
    assert bench.flow.shown == ["100"]


PENDING = {State.TRYING: 1, State.PROCEEDING: 1, State.COMPLETED: 1}
EVENTS = st.one_of(st.sampled_from([100, 200, 404, 408, LOST, AGAIN]), st.floats(0.1, 40.0))


@given(st.lists(EVENTS, max_size=12))
def test_whatever_happens_timers_match_the_state_and_it_ends(events: list[Event]) -> None:
    bench = Bench()
    for event in events:
        bench.let(event)
        assert bench.timers == PENDING.get(bench.tx.state, 0)
    bench.let(64.0)
    assert bench.tx.state is State.TERMINATED
    assert len(bench.ended) == 1
