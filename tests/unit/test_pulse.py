"""Work that says itself when it is to be done again."""

from __future__ import annotations

from uacproxy.pulse import AFTER_MISTAKE, Pulse
from uacproxy.testing.clock import SteppingClock


class Bench:
    """A pulse, and when its work was done."""

    def __init__(self, *waits: float) -> None:
        self.clock = SteppingClock()
        self.waits = list(waits)  # s, from each time to the next; then: it fails
        self.done_at: list[float] = []
        self.failures = 0
        self.pulse = Pulse(self.clock, self._work, self._failed)
        self.pulse.start()

    def _work(self) -> float:
        self.done_at.append(round(self.clock.seconds(), 3))
        return self.waits.pop(0)

    def _failed(self) -> None:
        self.failures += 1


def test_work_is_done_again_when_it_has_said() -> None:
    bench = Bench(1.0, 0.25, 10.0)
    assert bench.done_at == []
    bench.clock.run_for(5.0)
    assert bench.done_at == [0.0, 1.0, 1.25]


def test_work_that_fails_is_tried_again_and_somebody_hears_of_it() -> None:
    bench = Bench()
    bench.clock.run_for(2.5 * AFTER_MISTAKE)
    assert (len(bench.done_at), bench.failures) == (3, 3)


def test_the_next_time_can_be_brought_forward_and_not_be_put_off() -> None:
    bench = Bench(10.0, 10.0)
    bench.clock.run_for(1.0)
    bench.pulse.within(0.5)
    bench.pulse.within(0.8)
    bench.clock.run_for(9.5)
    assert bench.done_at == [0.0, 1.5]


def test_what_is_stopped_is_not_done_again() -> None:
    bench = Bench(1.0, 1.0)
    bench.clock.run_for(0.5)
    bench.pulse.stop()
    bench.pulse.within(0.0)
    bench.clock.run_for(5.0)
    assert bench.done_at == [0.0]


def test_work_may_stop_itself() -> None:
    clock = SteppingClock()
    done: list[float] = []

    def work() -> float:
        done.append(clock.seconds())
        pulse.stop()
        return 1.0

    pulse = Pulse(clock, work, lambda: None)
    pulse.start()
    clock.run_for(5.0)
    assert done == [0.0]
