"""INVITE server transaction against RFC 3261 figure 7, as amended by RFC 6026."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transactions import ACK, AGAIN, LOST, CountedRandom, Event, Ports, request
from uacproxy.sip.build import build_response
from uacproxy.transaction.invite_server import InviteServer
from uacproxy.transaction.machine import Transaction
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Notice, State


class Bench(Ports):
    """The transaction and what it said."""

    def __init__(self, *, reliable: bool = False) -> None:
        super().__init__(reliable=reliable)
        self.told: list[Notice] = []
        self.ended: list[Transaction] = []
        self.tx = InviteServer(
            request(b"INVITE"),
            flow=self.flow,
            values=TimerValues(reliable=reliable),
            clock=self.clock,
            counters=self.counters,
            new_tag=CountedRandom().token,
            notify=self.told.append,
            ended=self.ended.append,
        )

    def let(self, event: Event) -> None:
        if isinstance(event, int):
            self.tx.respond(build_response(self.tx.request, event, to_tag=self.tx.local_tag))
        elif isinstance(event, float):
            self.wait(event)
        elif event == AGAIN:
            self.tx.retransmission_received()
        elif event == ACK:
            self.tx.ack_received()
        else:
            self.tx.transport_failed()


ERROR = Notice.TRANSPORT_ERROR
FIGURE_7: list[tuple[list[Event], Event, State, list[str], list[Notice]]] = [
    # history, event -> state, responses sent, notices given
    ([], 100, State.PROCEEDING, ["100"], []),
    ([], AGAIN, State.PROCEEDING, [], []),
    ([], ACK, State.PROCEEDING, [], []),
    ([], 200, State.ACCEPTED, ["200"], []),
    ([], 486, State.COMPLETED, ["486"], []),
    ([], 600.0, State.PROCEEDING, [], []),
    ([100], 183, State.PROCEEDING, ["183"], []),
    ([100, 183], AGAIN, State.PROCEEDING, ["183"], []),
    ([100], LOST, State.PROCEEDING, [], [ERROR]),
    ([180], 200, State.ACCEPTED, ["200"], []),
    ([180], 302, State.COMPLETED, ["302"], []),
    ([200], AGAIN, State.ACCEPTED, [], []),
    ([200], 200, State.ACCEPTED, ["200"], []),
    ([200], 486, State.ACCEPTED, [], []),
    ([200], 180, State.ACCEPTED, [], []),
    ([200], LOST, State.ACCEPTED, [], [ERROR]),
    ([200], 31.9, State.ACCEPTED, [], []),
    ([200], 32.0, State.TERMINATED, [], []),
    ([486], AGAIN, State.COMPLETED, ["486"], []),
    ([486], 0.5, State.COMPLETED, ["486"], []),
    ([486], 200, State.COMPLETED, [], []),
    ([486], 180, State.COMPLETED, [], []),
    ([486], 32.0, State.TERMINATED, ["486"] * 10, [Notice.TIMEOUT]),
    ([486], LOST, State.COMPLETED, [], [ERROR]),
    ([486], ACK, State.CONFIRMED, [], []),
    ([486, ACK], ACK, State.CONFIRMED, [], []),
    ([486, ACK], AGAIN, State.CONFIRMED, [], []),
    ([486, ACK], LOST, State.CONFIRMED, [], []),
    ([486, ACK], 4.9, State.CONFIRMED, [], []),
    ([486, ACK], 5.0, State.TERMINATED, [], []),
]


@pytest.mark.parametrize(("history", "event", "state", "responses", "notices"), FIGURE_7)
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


def test_timer_g_doubles_up_to_t2_until_timer_h() -> None:
    bench = Bench()
    bench.let(486)
    bench.let(60.0)
    at = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert [when for when, _ in bench.flow.sent] == at
    assert len({octets for _, octets in bench.flow.sent}) == 1


def test_a_missing_ack_is_counted_and_told() -> None:
    bench = Bench()
    bench.let(486)
    bench.let(32.0)
    assert bench.counters.no_ack == 1
    assert bench.told == [Notice.TIMEOUT]


def test_a_reliable_transport_carries_the_final_response_once() -> None:
    bench = Bench(reliable=True)
    bench.let(486)
    bench.let(31.0)
    assert bench.flow.shown == ["486"]
    assert bench.tx.state is State.COMPLETED


def test_on_a_reliable_transport_the_ack_is_the_end() -> None:
    bench = Bench(reliable=True)
    bench.let(486)
    bench.let(ACK)
    assert bench.tx.state is State.TERMINATED
    assert bench.timers == 0


def test_a_retransmission_gets_the_octets_of_the_first_answer() -> None:
    """What the TU does to its response afterwards changes nothing."""
    bench = Bench()
    response = build_response(bench.tx.request, 486)
    bench.tx.respond(response)
    response.append(b"subject", b"edited")
    bench.let(AGAIN)
    (_, first), (_, second) = bench.flow.sent
    assert first == second


@pytest.mark.parametrize(
    ("status", "final"), [(100, False), (183, False), (200, True), (486, True)]
)
def test_it_knows_whether_a_final_response_was_given(status: int, final: bool) -> None:
    bench = Bench()
    bench.let(status)
    assert bench.tx.final_sent is final


def test_all_own_answers_have_one_tag() -> None:
    bench = Bench()
    assert bench.tx.local_tag == bench.tx.local_tag == b"0000000000000001"


def test_a_stopped_server_says_nothing_more() -> None:
    bench = Bench()
    bench.let(486)
    bench.tx.stop()
    for event in (AGAIN, 486, LOST, 100.0):
        bench.let(event)
    assert (bench.flow.shown, bench.told, bench.timers) == (["486"], [], 0)
    assert bench.ended == [bench.tx]


PENDING = {State.ACCEPTED: 1, State.COMPLETED: 2, State.CONFIRMED: 1}
EVENTS = st.one_of(st.sampled_from([100, 180, 200, 486, LOST, AGAIN, ACK]), st.floats(0.1, 40.0))


@given(st.lists(EVENTS, max_size=12))
def test_whatever_happens_timers_match_the_state_and_it_ends(events: list[Event]) -> None:
    """Proceeding alone may last: there the TU owes the answer."""
    bench = Bench()
    for event in [*events, 100.0]:
        bench.let(event)
        assert bench.timers == PENDING.get(bench.tx.state, 0)
    assert bench.tx.state in (State.TERMINATED, State.PROCEEDING)
    assert len(bench.ended) == (bench.tx.state is State.TERMINATED)
