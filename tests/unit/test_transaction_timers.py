"""Table 4 of RFC 3261 as amended, and the clock of one beat."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transactions import Ports, request
from uacproxy.ports import Clock, Timer
from uacproxy.transaction.invite_client import InviteClient
from uacproxy.transaction.timers import (
    BEAT,
    LATE,
    LATEST,
    LONG,
    MOST_QUEUES,
    NEVER,
    SLICE,
    BeatClock,
    TimerValues,
)
from uacproxy.transaction.vocabulary import Input, Notice

TABLE_4 = [
    # timer, s on an unreliable transport, s on a reliable one
    (Input.TIMER_A, 0.5, NEVER),
    (Input.TIMER_B, 32.0, 32.0),
    (Input.TIMER_D, 32.0, 0.0),
    (Input.TIMER_E, 0.5, NEVER),
    (Input.TIMER_F, 32.0, 32.0),
    (Input.TIMER_G, 0.5, NEVER),
    (Input.TIMER_H, 32.0, 32.0),
    (Input.TIMER_I, 5.0, 0.0),
    (Input.TIMER_J, 32.0, 0.0),
    (Input.TIMER_K, 5.0, 0.0),
    (Input.TIMER_L, 32.0, 32.0),
    (Input.TIMER_M, 32.0, 32.0),
]


@pytest.mark.parametrize(("timer", "unreliable", "reliable"), TABLE_4)
def test_table_4(timer: Input, unreliable: float, reliable: float) -> None:
    assert TimerValues(reliable=False).delay[timer] == unreliable
    assert TimerValues(reliable=True).delay[timer] == reliable


def test_timer_d_is_never_shorter_than_32_s() -> None:
    assert TimerValues(reliable=False, t1=0.1).delay[Input.TIMER_D] == 32.0
    assert TimerValues(reliable=False, t1=1.0).delay[Input.TIMER_D] == 64.0


def late_of(delay: float) -> float:
    """Return how late a timer may be that stands in a queue, s."""
    return LATEST if delay >= LONG else max(BEAT, delay * LATE)


class Bench:
    """A beat clock whose time is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.errors: list[Exception] = []
        self.ran: list[object] = []
        self.clock = BeatClock(lambda: self.now, self.errors.append)

    def beat_at(self, now: float) -> list[object]:
        """Return what ran at the beat at ``now``, s."""
        self.now = now
        self.ran.clear()
        self.clock.beat()
        return list(self.ran)

    def warm(self, *delays: float) -> None:
        """Give each delay a queue of its own."""
        for delay in delays:
            for _ in range(3):
                self.clock.callLater(delay, int).cancel()


# the first of a delay waits in the heap, later ones in a queue
WARMED = pytest.mark.parametrize("warmed", [(), (0.5, 32.0)])


@WARMED
def test_a_call_runs_at_the_first_beat_after_it_is_due_and_once(warmed: tuple[float, ...]) -> None:
    bench = Bench()
    bench.warm(*warmed)
    timer = bench.clock.callLater(0.5, bench.ran.append, "a")
    assert (bench.beat_at(100.49), timer.active()) == ([], True)
    assert (bench.beat_at(100.53), timer.active()) == (["a"], False)
    assert bench.beat_at(200.0) == []


@WARMED
def test_a_cancelled_call_never_runs(warmed: tuple[float, ...]) -> None:
    bench = Bench()
    bench.warm(*warmed)
    timer = bench.clock.callLater(0.5, bench.ran.append, "a")
    bench.clock.callLater(0.5, bench.ran.append, "b")
    timer.cancel()
    timer.cancel()
    assert not timer.active()
    assert bench.clock.pending == 1
    assert bench.beat_at(200.0) == ["b"]
    assert bench.clock.pending == 0


@WARMED
def test_equal_delays_run_in_the_order_they_were_set(warmed: tuple[float, ...]) -> None:
    bench = Bench()
    bench.warm(*warmed)
    for name in "abc":
        bench.clock.callLater(0.5, bench.ran.append, name)
    assert bench.beat_at(200.0) == ["a", "b", "c"]


@pytest.mark.parametrize("delay", [0.0, -1.0])
def test_no_delay_means_the_next_beat_and_not_this_one(delay: float) -> None:
    bench = Bench()

    def again() -> None:
        bench.ran.append("again")
        bench.clock.callLater(delay, again)

    bench.clock.callLater(delay, again)
    assert bench.beat_at(100.0) == ["again"]
    assert bench.beat_at(100.0) == ["again"]


@WARMED
def test_a_callee_that_fails_stops_nobody_else(warmed: tuple[float, ...]) -> None:
    bench = Bench()
    bench.warm(*warmed)
    for text in ("1", "rubbish", "2"):
        bench.clock.callLater(0.5, lambda text: bench.ran.append(int(text)), text)
    bench.clock.callLater(32.0, bench.ran.append, 3)
    assert sorted(map(str, bench.beat_at(200.0))) == ["1", "2", "3"]
    assert [type(error) for error in bench.errors] == [ValueError]


@WARMED
def test_a_callee_may_cancel_what_is_due_in_the_same_beat(warmed: tuple[float, ...]) -> None:
    bench = Bench()
    bench.warm(*warmed)
    bench.clock.callLater(0.5, lambda: last.cancel())
    last = bench.clock.callLater(0.5, bench.ran.append, "last")
    assert bench.beat_at(200.0) == []


@WARMED
def test_a_callee_may_cancel_so_many_that_the_dead_are_dropped_meanwhile(
    warmed: tuple[float, ...],
) -> None:
    bench = Bench()
    bench.warm(*warmed)

    def cancel_most() -> None:
        for timer in timers[:-1]:
            timer.cancel()

    bench.clock.callLater(0.5, cancel_most)
    timers = [bench.clock.callLater(0.5, bench.ran.append, n) for n in range(1000)]
    assert bench.beat_at(200.0) == [999]
    assert bench.clock.pending == 0


def test_a_cancelled_timer_keeps_nobody_alive() -> None:
    class Callee:
        def due(self, _with: object) -> None:
            """Do nothing."""

    bench = Bench()
    callee, argument = Callee(), Callee()
    gone = [weakref.ref(callee), weakref.ref(argument)]
    timer = bench.clock.callLater(32.0, callee.due, argument)
    timer.cancel()
    del callee, argument
    gc.collect()
    assert [look() for look in gone] == [None, None]
    assert not timer.active()


def test_odd_delays_still_run_in_time_after_many_others_were_cancelled() -> None:
    bench = Bench()
    delays = [1.0 + (n * 7919 % 1000) / 1000 for n in range(1000)]
    timers = [bench.clock.callLater(delay, bench.ran.append, delay) for delay in delays]
    for n, timer in enumerate(timers):
        if n % 3:
            timer.cancel()
    kept = sorted(delay for n, delay in enumerate(delays) if n % 3 == 0)
    assert bench.beat_at(101.5) == [delay for delay in kept if delay <= 1.5]
    assert bench.beat_at(200.0) == [delay for delay in kept if delay > 1.5]


@pytest.mark.parametrize("delay_of", [lambda n: 32.0, lambda n: 32.0 + n / 1e6])
def test_timers_set_and_cancelled_leave_no_memory_behind(delay_of: Callable[[int], float]) -> None:
    bench = Bench()
    kept = [bench.clock.callLater(delay_of(n), bench.ran.append, n) for n in range(100)]
    before = count_of_timers()
    for n in range(100, 50_000):
        bench.clock.callLater(delay_of(n), bench.ran.append, n).cancel()
    assert count_of_timers() - before < 2000
    assert bench.clock.pending == len(kept)
    assert bench.beat_at(200.0) == list(range(100))


def count_of_timers() -> int:
    gc.collect()
    return sum(type(thing).__name__ == "BeatTimer" for thing in gc.get_objects())


def test_timers_that_run_leave_no_memory_behind() -> None:
    bench = Bench()
    before = count_of_timers()
    for n in range(20_000):
        bench.clock.callLater(1.0, bench.ran.append, n)
        bench.beat_at(100.0 + n / 10)
    assert count_of_timers() - before < 2000


def test_more_delays_than_queues_still_all_run() -> None:
    bench = Bench()
    delays = [1.0 + n / 8 for n in range(MOST_QUEUES + 20)]
    for _ in range(3):
        for delay in delays:
            bench.clock.callLater(delay, bench.ran.append, delay)
    assert sorted(map(str, bench.beat_at(200.0))) == sorted(map(str, delays * 3))


def test_queues_nobody_uses_any_more_make_room_for_others() -> None:
    bench = Bench()
    old = [1.0 + n / 8 for n in range(MOST_QUEUES)]
    bench.warm(*old)
    bench.warm(7777.0)
    bench.clock.callLater(7777.0, bench.ran.append, "a")
    assert bench.beat_at(9000.0) == ["a"]


def test_nothing_is_wanted_while_nothing_waits() -> None:
    bench = Bench()
    assert bench.clock.next_beat_in(1.0) == pytest.approx(1.0, abs=BEAT)
    bench.clock.callLater(0.5, bench.ran.append, "a").cancel()
    assert bench.clock.next_beat_in(1.0) == pytest.approx(1.0, abs=BEAT)


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.5, 4.0, 5.0, 32.0])
@pytest.mark.parametrize("times", [1, 3])  # in the heap, in a queue
def test_a_beat_is_wanted_when_a_call_is_due_and_little_later(delay: float, times: int) -> None:
    bench = Bench()
    bench.warm(*[delay] * (times - 1))
    bench.now += 0.0071
    bench.clock.callLater(delay, bench.ran.append, "a")
    wait = bench.clock.next_beat_in(100.0)
    late = late_of(delay) if times > 1 else BEAT
    assert delay <= wait + 1e-9
    assert wait <= delay + late + 1e-9
    assert bench.beat_at(bench.now + wait + 1e-9) == ["a"]


def test_whoever_beats_is_told_of_what_is_due_earlier_than_it_was_told() -> None:
    bench = Bench()
    wanted: list[float] = []
    bench.clock.wanted_by = wanted.append
    bench.clock.callLater(0.5, int)  # nobody has asked yet
    bench.clock.next_beat_in(1.0)
    bench.clock.callLater(0.7, int)
    assert wanted == []
    bench.clock.callLater(0.2, int)
    bench.clock.callLater(0.3, int)
    bench.clock.callLater(0.0, int)
    assert wanted == [pytest.approx(0.2, abs=BEAT), pytest.approx(BEAT, abs=BEAT)]


STEPS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from([0.0, 0.5, 1.0, 4.0, 32.0])),
    st.tuples(st.just("set"), st.floats(0.001, 40.0)),
    st.tuples(st.just("cancel"), st.floats(0.0, 1.0, exclude_max=True)),
    st.tuples(st.just("beat"), st.floats(0.0, 20.0)),
)


@given(st.lists(STEPS, max_size=60))
def test_driven_by_what_it_wants_it_forgets_no_call_and_none_is_too_late(
    steps: list[tuple[str, float]],
) -> None:
    bench = Bench()
    clock = bench.clock
    planned = [bench.now + clock.next_beat_in(1.0)]
    clock.wanted_by = lambda wait: planned.append(bench.now + wait)
    timers: list[Timer] = []
    latest: dict[int, float] = {}

    def ran(which: int) -> None:
        assert bench.now <= latest.pop(which) + 1e-6

    for word, number in [*steps, ("beat", 50.0)]:
        if word == "set":
            latest[len(timers)] = bench.now + number + late_of(number)
            timers.append(clock.callLater(number, ran, len(timers)))
        elif word == "cancel" and timers:
            which = int(number * len(timers))
            timers[which].cancel()
            latest.pop(which, None)
        elif word == "beat":
            until = bench.now + number
            while min(planned) < until:
                bench.now = max(bench.now, min(planned)) + 1e-9
                clock.beat()
                planned[:] = [bench.now + clock.next_beat_in(1.0)]
            bench.now = until
    assert latest == {}
    assert bench.errors == []


@given(st.lists(STEPS, max_size=60))
def test_it_runs_what_a_list_of_all_calls_would_run(steps: list[tuple[str, float]]) -> None:
    bench = Bench()
    clock: Clock = bench.clock
    timers: list[Timer] = []
    due: dict[int, float] = {}
    for word, number in steps:
        if word == "set":
            due[len(timers)] = bench.now + number
            timers.append(clock.callLater(number, bench.ran.append, len(timers)))
        elif word == "cancel" and timers:
            which = int(number * len(timers))
            timers[which].cancel()
            due.pop(which, None)
        elif word == "beat":
            now = bench.now + number
            expected = {which for which, when in due.items() if when <= now}
            assert set(bench.beat_at(now)) == expected
            for which in expected:
                del due[which]
        assert bench.clock.pending == len(due)
        assert {which for which, timer in enumerate(timers) if timer.active()} == set(due)


def test_a_beat_that_lasts_leaves_the_rest_to_one_that_is_wanted_at_once() -> None:
    bench = Bench()
    clock = bench.clock
    many = 1000
    ran: list[tuple[float, int]] = []
    for delay in (5.0, 32.0):
        clock.callLater(delay, str)  # the second of a delay has a queue

    def lasts(delay: float, number: int) -> None:
        ran.append((delay, number))
        bench.now += SLICE / 100

    for number in range(many):
        for delay in (5.0, 32.0):
            clock.callLater(delay, lasts, delay, number)
    bench.beat_at(bench.now + 32.1)  # a beat for them may be half a second later
    assert 100 <= len(ran) < 200
    turns = 1
    while clock.next_beat_in(1.0) == 0.0:
        clock.beat()
        turns += 1
        if turns == 2:
            assert {delay for delay, _ in ran} == {5.0, 32.0}  # none waits for the other
    assert (clock.pending, len(ran)) == (0, 2 * many)
    for delay in (5.0, 32.0):
        numbers = [number for one, number in ran if one == delay]
        assert numbers == list(range(many))
    assert bench.errors == []


def test_a_transaction_on_a_beat_clock_sends_again_and_gives_up_once() -> None:
    bench, ports = Bench(), Ports()
    told: list[Notice] = []
    InviteClient(
        request(b"INVITE"),
        flow=ports.flow,
        values=TimerValues(reliable=False),
        clock=bench.clock,
        counters=ports.counters,
        notify=lambda notice, _response: told.append(notice),
        ended=lambda _transaction: None,
    ).start()
    sent = []
    for seconds in (0.4, 0.6, 1.4, 1.7):
        bench.beat_at(100.0 + seconds)
        sent.append(len(ports.flow.sent))
    bench.beat_at(133.0)
    assert (sent, told, bench.clock.pending) == ([1, 2, 2, 3], [Notice.TIMEOUT], 0)
