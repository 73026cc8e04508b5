"""How long messages wait to be read, and which share of the new requests is refused for it.

Overload control at the server (RFC 6357 3, RFC 7339 without its parameters). What is
measured is the wait, not the CPU: whatever the cause, waiting is what callers suffer from.
A wait that lasts means that more comes than can be done; a pause of ours is over before
it counts. While it lasts, the share refused follows the wait alone, so it falls to
nothing as soon as the wait does: there is no state that must be unlearnt.

No descriptor, no clock and no message here: ``Queue.seen`` is told what was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.counters import OverloadCounters
from uacproxy.ports import Log

SETTLES: Final = 0.25  # s a queue is late without a break before requests are refused
CALM: Final = 1.0  # s it is on time without a break before that is over
ROOM: Final = 1 / 3  # of a socket's buffer: full so far counts as late as the delay does
SPREAD: Final = 0.5  # Retry-After is spread by so much of itself to either side
SAID_EVERY: Final = 10.0  # s between two lines of the log that say it began
_PARTS: Final = 65536  # a caller's place in the row is one of so many
_NEVER: Final = -1.0


@final
class Queue:
    """What waits in one place: the buffer of one socket, or for the reactor's next turn."""

    __slots__ = ("_late_since", "_overload", "is_crowded", "is_stirred", "late_at", "pressure")

    def __init__(self, overload: Overload) -> None:
        self.is_crowded = False
        """Requests may be refused now."""
        self.is_stirred = False
        """Something was late of late: ``seen`` wants to know when it no longer is."""
        self.pressure = 0.0
        """The wait in units of what is allowed; refusing begins at 1."""
        self.late_at = _NEVER
        self._late_since = _NEVER
        self._overload = overload

    def seen(self, waited: float, filled: float) -> None:
        """Take a measurement.

        Args:
            waited: s, of what is next.
            filled: share of the buffer in use, where there is one; else 0.
        """
        self._overload.seen(self, waited, filled)

    def late(self, now: float) -> bool:
        """Note that it is late; tell whether that has lasted."""
        self.is_stirred = True
        self.late_at = now
        if self._late_since < 0.0:
            self._late_since = now
        return now - self._late_since >= SETTLES

    def on_time(self, now: float) -> bool:
        """Note that it is not late; tell whether that has lasted."""
        self._late_since = _NEVER
        calm = now - self.late_at >= CALM
        if not self.is_crowded or calm:
            self.is_stirred = False
        return calm


@final
class Overload:
    """All queues of the service, and the rule by which they refuse.

    Args:
        delay: s a message may wait; 0 never refuses.
        retry_after: s, the middle of what refused callers are told.
        counters: added to.
        seconds: monotonic time.
        log: hears of beginning and end.
    """

    def __init__(
        self,
        *,
        delay: float,
        retry_after: int,
        counters: OverloadCounters,
        seconds: Callable[[], float],
        log: Log,
    ) -> None:
        self.counters = counters
        self.delay = delay
        self._seconds = seconds
        self._log = log
        spread = int(retry_after * SPREAD)
        self._soonest = max(1, retry_after - spread)
        self._waits = retry_after + spread - self._soonest + 1
        self._queues: list[Queue] = []
        self._began_at = _NEVER
        self._said_at = _NEVER
        self._refused_before = 0
        self._longest = 0.0  # wait, s, since the beat
        self._seen_delay = 0.0  # in the second before the beat
        self._seen_share = 1.0
        self._counted = (0, 0)  # admitted and refused at the beat

    def queue(self) -> Queue:
        """Return one more queue, empty."""
        made = Queue(self)
        self._queues.append(made)
        return made

    @property
    def is_on(self) -> bool:
        """Tell whether requests may be refused anywhere."""
        return self._began_at >= 0.0

    def seen(self, queue: Queue, waited: float, filled: float) -> None:
        """Take a measurement of a queue."""
        if self.delay <= 0.0:
            return
        pressure = max(waited / self.delay, filled / ROOM)
        queue.pressure = pressure
        if waited > self._longest:
            self._longest = waited
        now = self._seconds()
        if pressure < 1.0:
            if queue.on_time(now) and queue.is_crowded:
                queue.is_crowded = False
                self._perhaps_over(now)
        elif queue.late(now) and not queue.is_crowded:
            queue.is_crowded = True
            self._begun(now)

    def refuses(self, queue: Queue, place: int, patience: int) -> bool:
        """Tell whether a new request is to be refused, and count it.

        Args:
            queue: it came by, which is crowded.
            place: any number that its retransmissions have too, so that what was refused
                stays refused while the share does, and what was admitted admitted.
            patience: 0 for what is refused first; 1 for what is only when all of that is.
        """
        share = queue.pressure - 1.0 - patience
        if share > 0.0 and (place & (_PARTS - 1)) < share * _PARTS:
            self.counters.refused += 1
            return True
        self.counters.admitted += 1
        return False

    def retry_after(self, place: int) -> int:
        """Return the s that a refused caller is told; callers do not come back together."""
        return self._soonest + (place >> 16) % self._waits

    def beat(self) -> None:
        """Look, each second or so, whether it is over without a message that would show it."""
        now = self._seconds()
        for queue in self._queues:
            if queue.is_crowded and now - queue.late_at >= CALM:
                queue.is_crowded = False
                queue.pressure = 0.0
                self._perhaps_over(now)
        admitted = self.counters.admitted - self._counted[0]
        refused = self.counters.refused - self._counted[1]
        self._counted = (self.counters.admitted, self.counters.refused)
        self._seen_share = admitted / (admitted + refused) if refused else 1.0
        self._seen_delay, self._longest = self._longest, 0.0

    def gauges(self) -> dict[str, int | float]:
        """Return how it stood in the second before the last beat."""
        return {
            "overload.active": int(self.is_on),
            "overload.admitted_share": round(self._seen_share, 3),
            "overload.delay": round(self._seen_delay, 4),  # s, the longest wait seen
        }

    def _begun(self, now: float) -> None:
        if self._began_at >= 0.0:
            return
        self._began_at = now
        self._refused_before = self.counters.refused
        self.counters.begun += 1
        if self._said_at < 0.0 or now - self._said_at >= SAID_EVERY:
            self._said_at = now
            self._log.warn(
                "overload: messages wait {wait} ms before they are read; a part of the new "
                "requests is refused with 503",
                wait=round(self._longest * 1000),
            )

    def _perhaps_over(self, now: float) -> None:
        if self._began_at < 0.0 or any(queue.is_crowded for queue in self._queues):
            return
        if self._said_at >= self._began_at:  # its beginning was told
            self._log.warn(
                "overload over after {lasted} s: {refused} requests were refused",
                lasted=round(now - self._began_at, 1),
                refused=self.counters.refused - self._refused_before,
            )
        self._began_at = _NEVER
