"""Client transaction of other requests against RFC 3261 figure 6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transactions import LOST, Event, Ports, answer, request
from uacproxy.sip.message import Message
from uacproxy.transaction.machine import Transaction
from uacproxy.transaction.non_invite_client import NonInviteClient
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Notice, State


class Bench(Ports):
    """The transaction and what it said."""

    def __init__(self, *, reliable: bool = False, t2: float = 4.0) -> None:
        super().__init__(reliable=reliable)
        self.told: list[Notice] = []
        self.ended: list[Transaction] = []
        self.tx = NonInviteClient(
            request(b"OPTIONS"),
            flow=self.flow,
            values=TimerValues(reliable=reliable, t2=t2),
            clock=self.clock,
            counters=self.counters,
            notify=self._notify,
            ended=self.ended.append,
        )
        self.tx.start()

    def _notify(self, notice: Notice, _response: Message | None) -> None:
        self.told.append(notice)

    def let(self, event: Event) -> None:
        if isinstance(event, int):
            self.tx.response_received(answer(self.tx.request, event))
        elif isinstance(event, float):
            self.wait(event)
        else:
            self.flow.fail()


HEARD = Notice.RESPONSE
FIGURE_6: list[tuple[list[Event], Event, State, int, list[Notice]]] = [
    # history, event -> state, requests sent, notices given
    ([], 100, State.PROCEEDING, 0, [HEARD]),
    ([], 200, State.COMPLETED, 0, [HEARD]),
    ([], 404, State.COMPLETED, 0, [HEARD]),
    ([], 0.5, State.TRYING, 1, []),
    ([], 32.0, State.TERMINATED, 10, [Notice.TIMEOUT]),
    ([], LOST, State.TERMINATED, 0, [Notice.TRANSPORT_ERROR]),
    ([100], 183, State.PROCEEDING, 0, [HEARD]),
    ([100], 200, State.COMPLETED, 0, [HEARD]),
    ([100], 603, State.COMPLETED, 0, [HEARD]),
    ([100], 0.5, State.PROCEEDING, 1, []),
    ([100], 32.0, State.TERMINATED, 8, [Notice.TIMEOUT]),
    ([100], LOST, State.TERMINATED, 0, [Notice.TRANSPORT_ERROR]),
    ([200], 200, State.COMPLETED, 0, []),
    ([200], 404, State.COMPLETED, 0, []),
    ([200], 100, State.COMPLETED, 0, []),
    ([200], LOST, State.COMPLETED, 0, []),
    ([200], 4.9, State.COMPLETED, 0, []),
    ([200], 5.0, State.TERMINATED, 0, []),
    ([200, 5.0], 200, State.TERMINATED, 0, []),
]


@pytest.mark.parametrize(("history", "event", "state", "sends", "notices"), FIGURE_6)
def test_arrow(
    history: list[Event], event: Event, state: State, sends: int, notices: list[Notice]
) -> None:
    bench = Bench()
    for earlier in history:
        bench.let(earlier)
    sent, told = len(bench.flow.sent), len(bench.told)
    bench.let(event)
    assert bench.tx.state is state
    assert len(bench.flow.sent) - sent == sends
    assert bench.told[told:] == notices


def test_timer_e_doubles_up_to_t2() -> None:
    bench = Bench()
    bench.let(60.0)
    at = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.flow.sent == [(when, bench.tx.request.encode()) for when in at]


def test_timer_e_stays_at_a_t2_between_two_doublings() -> None:
    bench = Bench(t2=1.5)
    bench.let(6.0)
    assert [when for when, _ in bench.flow.sent] == [0.0, 0.5, 1.5, 3.0, 4.5, 6.0]


def test_after_a_100_timer_e_runs_out_once_more_and_then_every_t2() -> None:
    bench = Bench()
    bench.let(0.7)
    bench.let(100)
    bench.let(60.0)
    sent = [when for when, _ in bench.flow.sent]
    assert sent == [0.0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]


def test_a_100_does_not_prolong_timer_f() -> None:
    bench = Bench()
    bench.let(31.0)
    bench.let(100)
    bench.let(1.0)
    assert bench.tx.state is State.TERMINATED
    assert bench.told == [HEARD, Notice.TIMEOUT]


def test_on_a_reliable_transport_it_is_sent_once_and_ends_with_the_response() -> None:
    bench = Bench(reliable=True)
    bench.let(20.0)
    bench.let(200)
    assert bench.flow.shown == ["OPTIONS"]
    assert bench.tx.state is State.TERMINATED
    assert bench.timers == 0


def test_a_reliable_transport_times_out_too() -> None:
    bench = Bench(reliable=True)
    bench.let(32.0)
    assert bench.told == [Notice.TIMEOUT]


PENDING = {State.TRYING: 2, State.PROCEEDING: 2, State.COMPLETED: 1}
EVENTS = st.one_of(st.sampled_from([100, 183, 200, 404, LOST]), st.floats(0.1, 40.0))


@given(st.lists(EVENTS, max_size=12))
def test_whatever_happens_timers_match_the_state_and_it_ends(events: list[Event]) -> None:
    bench = Bench()
    for event in events:
        bench.let(event)
        assert bench.timers == PENDING.get(bench.tx.state, 0)
    bench.let(40.0)
    assert bench.tx.state is State.TERMINATED
    assert bench.timers == 0
    assert len(bench.ended) == 1
