"""Time for transactions: the delays of RFC 3261 table 4, and a clock of one beat.

SIP has few durations, and most timers are cancelled. ``BeatClock`` therefore keeps a
queue for each duration, in which what is set later is due later, and a cancelled timer
only loses its callee; whoever owns the clock calls ``beat`` when ``next_beat_in`` is over.

Who is waked often is ``Wakeable`` itself, and uses ``wake_in`` and ``forget``: on a
``BeatClock`` these need neither a call made for the occasion nor a look-up by name.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, final

from uacproxy.ports import Clock, Timer
from uacproxy.transaction.vocabulary import Input

T1: Final = 0.5  # s, estimate of a round trip
T2: Final = 4.0  # s, longest pause between two sends
T4: Final = 5.0  # s, longest life of a message in the network
SHORTEST_D: Final = 32.0  # s, over unreliable transports (17.1.1.2)
NEVER: Final = -1.0

BEAT: Final = 0.02  # s: beats are at multiples of it, so that one does for many timers
LATE: Final = 0.04  # of its delay, that a timer may be late, where that is more than a beat
LATEST: Final = 0.5  # s
LONG: Final = T4  # s: from here on a delay may be that late, for nobody waits for its end
SLICE: Final = 0.001  # s, that a beat lasts before messages have their turn again
ASKED_EVERY: Final = 32  # calls, how long it has lasted

MOST_QUEUES: Final = 64
MOST_SEEN: Final = 256  # delays asked for once, remembered in case they come again
WORTH_DROPPING: Final = 256  # entries


@final
class TimerValues:
    """Delay of each timer, s, on one kind of transport; ``NEVER`` where it does not run."""

    def __init__(self, *, reliable: bool, t1: float = T1, t2: float = T2, t4: float = T4) -> None:
        self.t2 = t2
        lifetime = 64 * t1
        at_t2 = _time_until_t2(t1, t2)
        delays = {
            Input.TIMER_A: NEVER if reliable else t1,
            Input.TIMER_B: lifetime,
            Input.TIMER_D: 0.0 if reliable else max(SHORTEST_D, lifetime),
            Input.TIMER_E: NEVER if reliable else t1,
            Input.TIMER_F: lifetime,
            Input.TIMER_G: NEVER if reliable else t1,
            Input.TIMER_H: lifetime,
            Input.TIMER_I: 0.0 if reliable else t4,
            Input.TIMER_J: 0.0 if reliable else lifetime,
            Input.TIMER_K: 0.0 if reliable else t4,
            Input.TIMER_L: lifetime,
            Input.TIMER_M: lifetime,
            Input.TIMER_E_AT_T2: at_t2,
            Input.TIMER_F_OVER: lifetime - at_t2,
        }
        self.delay: list[float] = [delays.get(what, NEVER) for what in Input]


def _time_until_t2(t1: float, t2: float) -> float:
    """Return when a client's timer E is set to T2 for the first time (RFC 4320 4.1), s.

    3.5 s with the usual values. Odd ones are kept from outliving the client.
    """
    passed = pause = t1
    while pause * 2 < t2 and passed < 32 * t1:
        pause *= 2
        passed += pause
    return passed


class Wakeable(ABC):
    """Who is waked by timers of its own."""

    @abstractmethod
    def wake(self, which: int) -> None:
        """Hear that the timer is due that was set with ``which``."""


@final
class _Call(Wakeable):
    """A call with arguments, for whoever is not ``Wakeable``."""

    __slots__ = ("_args", "_call")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._call = call
        self._args = args

    def wake(self, which: int) -> None:
        self._call(*self._args)


@final
class BeatTimer:
    """A call on a ``BeatClock``, pending until it has run or was cancelled."""

    __slots__ = ("_row", "_which", "_whom", "due")

    def __init__(self, due: float, whom: Wakeable, which: int, row: _Row) -> None:
        self.due = due  # s, on the clock's time
        self._whom: Wakeable | None = whom
        self._which = which
        self._row = row

    def active(self) -> bool:
        """Tell whether the call has neither run nor been cancelled."""
        return self._whom is not None

    def cancel(self) -> None:
        """Forget the call, and whom it would have called; a second time does nothing."""
        if self._whom is not None:
            self._whom = None
            self._row.one_died()

    def run(self) -> None:
        """Call; for the clock alone."""
        whom = self._whom
        self._whom = None
        if whom is not None:
            whom.wake(self._which)


class _Row(ABC):
    """Timers in some order; the dead are dropped before they are the most."""

    def __init__(self) -> None:
        self.dead = 0  # cancelled, still in the row

    def one_died(self) -> None:
        self.dead += 1
        if self.dead >= WORTH_DROPPING and self.dead > self.pending():
            self.drop_dead()
            self.dead = 0

    @abstractmethod
    def pending(self) -> int:
        """Return how many are neither dead nor taken."""

    @abstractmethod
    def drop_dead(self) -> None:
        """Let go of every dead timer."""

    @abstractmethod
    def take_due(self, now: float) -> BeatTimer | None:
        """Remove and return a live timer due by ``now``, None when there is none."""

    @abstractmethod
    def next_due(self) -> float:
        """Return when the first live timer is due, s on the clock's time; infinity for none."""


@final
class _Queue(_Row):
    """Timers of one duration in the order they were set, which is that of their due times."""

    def __init__(self, late: float) -> None:
        super().__init__()
        self.late = late  # s that a timer in it may be late
        self.timers: list[BeatTimer] = []
        self.head = 0  # those before it were taken

    def pending(self) -> int:
        return len(self.timers) - self.head - self.dead

    def drop_dead(self) -> None:
        self.timers = [timer for timer in self.timers[self.head :] if timer.active()]
        self.head = 0

    def take_due(self, now: float) -> BeatTimer | None:
        while self.head < len(self.timers):
            timer = self.timers[self.head]
            live = timer.active()
            if live and timer.due > now:
                break
            self.timers[self.head] = _GONE  # freed one by one: half a million at once take 20 ms
            self.head += 1
            if live:
                return timer
            self.dead -= 1
        if self.head * 2 > len(self.timers):  # else the rest costs more to move
            del self.timers[: self.head]
            self.head = 0
        return None

    def next_due(self) -> float:
        while self.head < len(self.timers):
            timer = self.timers[self.head]
            if timer.active():
                return timer.due
            self.timers[self.head] = _GONE
            self.head += 1
            self.dead -= 1
        return math.inf


@final
class _Heap(_Row):
    """Timers of odd durations, the next due on top."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[tuple[float, int, BeatTimer]] = []
        self.serial = 0  # tells apart what is due at the same time

    def push(self, timer: BeatTimer) -> None:
        self.serial += 1
        heapq.heappush(self.timers, (timer.due, self.serial, timer))

    def pending(self) -> int:
        return len(self.timers) - self.dead

    def drop_dead(self) -> None:
        self.timers = [entry for entry in self.timers if entry[2].active()]
        heapq.heapify(self.timers)

    def take_due(self, now: float) -> BeatTimer | None:
        while self.timers:
            due, _, timer = self.timers[0]
            live = timer.active()
            if live and due > now:
                break
            heapq.heappop(self.timers)
            if live:
                return timer
            self.dead -= 1
        return None

    def next_due(self) -> float:
        while self.timers:
            due, _, timer = self.timers[0]
            if timer.active():
                return due
            heapq.heappop(self.timers)
            self.dead -= 1
        return math.inf


_GONE: Final = BeatTimer(0.0, _Call(len, ()), 0, _Heap())
_GONE.cancel()
"""In the place of those that were taken from a queue."""


@final
class BeatClock:
    """A ``ports.Clock`` whose calls run at the first beat after they are due, never before.

    A delay asked for a second time gets a queue of its own; those asked for once, such as
    delays with jitter, share a heap. In one beat, calls of equal delays run in the order
    they were set; among different delays there is no order.

    A call may be late by ``LATE`` of its delay, at most ``LATEST``, at least a beat: so few
    beats are needed while little happens, and none while nothing is waited for. What so becomes
    due together is not done together: after ``SLICE`` the rest waits for the next beat, which
    is wanted at once.

    Args:
        now: monotonic time, s.
        on_error: hears what a callee raised; the other calls of the beat still run.
    """

    def __init__(self, now: Callable[[], float], on_error: Callable[[Exception], None]) -> None:
        self.wanted_by: Callable[[float], object] | None = None
        """Hears that a beat is wanted in so many s, earlier than ``next_beat_in`` said last."""
        self._beat_at = -math.inf  # s on the clock's time: the beat whoever beats has planned
        self._now = now
        self._on_error = on_error
        self._queues: dict[float, _Queue] = {}
        self._seen: set[float] = set()
        self._soon = _Queue(BEAT)  # no delay: at the next beat
        self._odd = _Heap()
        self._first = 0  # of the queues, in the next beat
        self._is_cut = False  # calls were left over by the last one

    def seconds(self) -> float:
        """Return the current time, s."""
        return self._now()

    @property
    def pending(self) -> int:
        """Return how many calls are waiting."""
        waiting = self._soon.pending() + self._odd.pending()
        for queue in self._queues.values():
            waiting += queue.pending()
        return waiting

    def callLater(  # noqa: N802  (Twisted's name)
        self, delay: float, callable: Callable[..., object], *args: Any
    ) -> BeatTimer:
        """Run ``callable(*args)`` at the first beat after ``delay`` seconds, never in this one."""
        return self.wake_in(delay, _Call(callable, args), 0)

    def wake_in(self, delay: float, whom: Wakeable, which: int) -> BeatTimer:
        """Wake ``whom`` at the first beat after ``delay`` seconds, never in this one."""
        now = self._now()
        due = now + delay
        queue = self._queues.get(delay)
        if queue is None:
            if delay <= 0.0:
                queue = self._soon
                due = now
            else:
                queue = self._queue_for(delay)
                if queue is None:
                    odd = BeatTimer(due, whom, which, self._odd)
                    self._odd.push(odd)
                    if due + BEAT < self._beat_at:
                        self._want_beat(due + BEAT, now)
                    return odd
        timer = BeatTimer(due, whom, which, queue)
        queue.timers.append(timer)
        if due + queue.late < self._beat_at:
            self._want_beat(due + queue.late, now)
        return timer

    def _queue_for(self, delay: float) -> _Queue | None:
        """Make a queue where one is due; None sends the delay to the heap."""
        if delay not in self._seen:
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            self._seen.add(delay)
            return None
        if len(self._queues) >= MOST_QUEUES:
            self._queues = {
                delay: queue for delay, queue in self._queues.items() if queue.pending()
            }
            if len(self._queues) >= MOST_QUEUES:
                return None
        queue = _Queue(LATEST if delay >= LONG else max(BEAT, min(LATE * delay, LATEST)))
        self._queues[delay] = queue
        return queue

    def _want_beat(self, by: float, now: float) -> None:
        self._beat_at = _beat_before(by)
        wanted_by = self.wanted_by
        if wanted_by is not None:
            wanted_by(max(0.0, self._beat_at - now))

    def next_beat_in(self, most: float) -> float:
        """Return the time until a beat is wanted, s, ``most`` where nothing is due before.

        From then on whoever asked is told where one is wanted earlier.
        """
        now = self._now()
        if self._is_cut:
            self._beat_at = now
            return 0.0
        by = now + most
        by = min(by, self._soon.next_due() + BEAT, self._odd.next_due() + BEAT)
        for queue in self._queues.values():
            by = min(by, queue.next_due() + queue.late)
        self._beat_at = _beat_before(by)
        return max(0.0, self._beat_at - now)

    def beat(self) -> None:
        """Run what is due, as much of it as ``SLICE`` allows; ``next_beat_in`` tells of a rest."""
        now = self._now()
        until = now + SLICE
        self._is_cut = False
        soon = self._soon
        if soon.timers:
            self._soon = _Queue(BEAT)
            self._run_due(soon, math.inf, math.inf)
        self._run_due(self._odd, now, until)  # first: a delay's first call is in here
        queues = list(self._queues.values())
        first = self._first
        for index in range(len(queues)):
            at = (first + index) % len(queues)
            self._run_due(queues[at], now, until)
            if self._is_cut:
                self._first = at + 1  # the others first, the next time
                break

    def _run_due(self, row: _Row, now: float, until: float) -> None:
        """Run what was due by ``now``; whether anything is left at ``until`` is noted."""
        count = 0
        while True:
            if count == ASKED_EVERY:
                count = 0
                if self._now() >= until:
                    self._is_cut = True
                    break
            timer = row.take_due(now)
            if timer is None:
                break
            count += 1
            try:
                timer.run()
            except Exception as error:  # noqa: BLE001  (one callee must not stop the others)
                self._on_error(error)


def _beat_before(by: float) -> float:
    """Return the last beat that is not after ``by``; for a timer it is not before it is due."""
    return math.floor(by / BEAT) * BEAT


def wake_in(clock: Clock, delay: float, whom: Wakeable, which: int) -> Timer:
    """Have ``whom.wake(which)`` called after ``delay`` s, on whatever clock."""
    if isinstance(clock, BeatClock):
        return clock.wake_in(delay, whom, which)
    return clock.callLater(delay, whom.wake, which)


def forget(timer: Timer) -> None:
    """Cancel, on whatever clock."""
    if isinstance(timer, BeatTimer):
        BeatTimer.cancel(timer)
    else:
        timer.cancel()
