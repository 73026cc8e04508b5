"""Which share of new requests is refused, by what was measured and when."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.support.log import KeptLog
from uacproxy.counters import OverloadCounters
from uacproxy.transport.overload import CALM, ROOM, SAID_EVERY, SETTLES, Overload, Queue

DELAY = 0.1  # s
WAITS = st.floats(0, 10)
STEPS = st.lists(st.tuples(st.floats(0, 2), WAITS, st.floats(0, 1)), max_size=40)


class Bench:
    """An overload control whose measurements come when the test says so."""

    def __init__(self, delay: float = DELAY) -> None:
        self.now = 1000.0
        self.log = KeptLog()
        self.counters = OverloadCounters()
        self.overload = Overload(
            delay=delay,
            retry_after=6,
            counters=self.counters,
            seconds=lambda: self.now,
            log=self.log,
        )
        self.queue = self.overload.queue()

    def last(self, seconds: float, waited: float, filled: float = 0.0) -> None:
        """Measure the same every 10 ms."""
        for _ in range(round(seconds / 0.01) + 1):
            self.queue.seen(waited, filled)
            self.now += 0.01
        self.queue.seen(waited, filled)

    def refused(self, queue: Queue | None = None, patience: int = 0) -> float:
        """Return which share of many requests is refused."""
        places = random.Random(1)
        draws = [places.getrandbits(63) for _ in range(500)]
        queue = queue or self.queue
        return sum(self.overload.refuses(queue, place, patience) for place in draws) / len(draws)


def test_a_wait_that_lasts_refuses_a_share_that_grows_with_it() -> None:
    bench = Bench()
    shares = []
    bench.last(SETTLES, 1.2 * DELAY)
    assert bench.queue.is_crowded
    for waited in (0.9, 1.0, 1.2, 1.5, 2.0, 9.0):
        bench.queue.seen(waited * DELAY, 0.0)
        shares.append(round(bench.refused(), 1))
    assert shares == [0.0, 0.0, 0.2, 0.5, 1.0, 1.0]


def test_a_pause_that_is_over_soon_refuses_nothing() -> None:
    bench = Bench()
    for _ in range(100):
        bench.last(SETTLES * 0.9, 5 * DELAY)
        assert not bench.queue.is_crowded
        bench.last(0.02, 0.0)
    assert bench.counters.begun == 0


def test_a_buffer_that_stays_filled_counts_as_a_wait() -> None:
    bench = Bench()
    bench.last(SETTLES, 0.0, ROOM * 1.5)
    assert 0.45 < bench.refused() < 0.55


def test_it_is_over_when_nothing_was_late_for_a_second() -> None:
    bench = Bench()
    bench.last(SETTLES, 2 * DELAY)
    shares = []
    for lasts in (CALM - 0.1, 0.2):
        bench.last(lasts, 0.0)
        shares.append((bench.queue.is_crowded, bench.queue.is_stirred, bench.refused()))
    assert shares == [(True, True, 0.0), (False, False, 0.0)]


def test_it_is_over_as_well_where_no_further_message_comes() -> None:
    bench = Bench()
    bench.last(SETTLES, 2 * DELAY)
    bench.now += CALM
    bench.overload.beat()
    assert not bench.queue.is_crowded
    assert bench.overload.gauges()["overload.active"] == 0


def test_what_is_patient_is_refused_only_when_all_calls_are() -> None:
    bench = Bench()
    bench.last(SETTLES, 2 * DELAY)
    assert (bench.refused(), bench.refused(patience=1)) == (1.0, 0.0)
    bench.queue.seen(2.5 * DELAY, 0.0)
    assert 0.45 < bench.refused(patience=1) < 0.55


def test_what_was_refused_is_refused_again_while_it_does_not_get_better() -> None:
    bench = Bench()
    bench.last(SETTLES, 1.5 * DELAY)
    places = [random.Random(7).getrandbits(63) for _ in range(500)]
    first = [bench.overload.refuses(bench.queue, place, 0) for place in places]
    again = [bench.overload.refuses(bench.queue, place, 0) for place in places]
    assert first == again


def test_one_queue_is_late_and_the_other_refuses_nothing() -> None:
    bench = Bench()
    other = bench.overload.queue()
    bench.last(SETTLES, 3 * DELAY)
    other.seen(0.0, 0.0)
    assert bench.queue.is_crowded and not other.is_crowded
    assert bench.refused(other) == 0.0


def test_a_delay_of_0_never_refuses() -> None:
    bench = Bench(delay=0)
    bench.last(10.0, 5.0, 1.0)
    assert not bench.queue.is_crowded


@given(STEPS)
def test_it_never_refuses_while_the_wait_is_short_and_always_recovers(
    steps: list[tuple[float, float, float]],
) -> None:
    bench = Bench()
    for passes, waited, filled in steps:
        bench.now += passes
        bench.queue.seen(waited, filled)
        share = bench.refused() if bench.queue.is_crowded else 0.0
        assert 0.0 <= share <= 1.0
        if waited <= DELAY and filled <= ROOM:
            assert share == 0.0
    bench.last(CALM + 0.1, DELAY / 2)
    assert not bench.queue.is_crowded
    assert not bench.overload.is_on


def test_callers_are_sent_away_for_different_times() -> None:
    bench = Bench()
    told = {bench.overload.retry_after(place << 16) for place in range(1000)}
    assert told == {3, 4, 5, 6, 7, 8, 9}


def test_the_log_says_when_it_begins_and_when_it_ends_but_not_all_the_time() -> None:
    bench = Bench()
    for _ in range(3):
        bench.last(SETTLES, 2 * DELAY)
        bench.refused()
        bench.last(CALM + 0.1, 0.0)
    assert (len(bench.log.told("warn")), bench.counters.begun) == (2, 3)
    assert "wait 200 ms" in bench.log.told("warn")[0]
    assert "500 requests were refused" in bench.log.told("warn")[1]
    bench.now += SAID_EVERY
    bench.last(SETTLES, 2 * DELAY)
    assert len(bench.log.told("warn")) == 3


def test_gauges_tell_of_the_second_before_the_beat() -> None:
    bench = Bench()
    bench.last(SETTLES, 1.5 * DELAY)
    bench.refused()
    bench.overload.beat()
    gauges = bench.overload.gauges()
    assert gauges["overload.active"] == 1
    assert 0.45 < gauges["overload.admitted_share"] < 0.55
    assert gauges["overload.delay"] == 0.15
    bench.queue.seen(1.25 * DELAY, 0.0)
    for _ in range(2):
        bench.refused()
        bench.overload.beat()
        assert 0.7 < bench.overload.gauges()["overload.admitted_share"] < 0.8
    bench.last(0.1, 0.0)
    bench.overload.beat()
    assert bench.overload.gauges()["overload.admitted_share"] == 1.0
