"""When gathered writes go to the medium: a flush interval behind, one batch at a time.

The medium is a callable that takes a batch and answers once, in a later turn. A batch
that failed is tried again after ``RETRY_IN`` together with what came meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.errors import OwnMistake, UacproxyError
from uacproxy.ports import Clock, Timer
from uacproxy.store.pending import MAX_PENDING, Batch, PendingWrites, Write
from uacproxy.store.trouble import Trouble

MAX_BATCH: Final = 2000  # keys
RETRY_IN: Final = 1.0  # s
MAY_WAIT: Final = 1.0  # s, for writes that are in no hurry

WriteBatch = Callable[[Batch, Callable[[], None], Callable[[UacproxyError], None]], None]


@final
class WriteBehind:
    """The writes of one store; the timer runs only while there is something to write."""

    def __init__(
        self,
        write: WriteBatch,
        *,
        flush_interval_s: float,
        clock: Clock,
        trouble: Trouble,
        max_pending: int = MAX_PENDING,
    ) -> None:
        self._write = write
        self._flush_interval_s = flush_interval_s
        self._clock = clock
        self._trouble = trouble
        self._pending = PendingWrites(max_pending)
        self._timer: Timer | None = None
        self._is_in_hurry = True  # the timer is not that of writes that may wait
        self._is_overdue = False  # an interval ended while a batch was with the medium
        self._is_held = False
        self._drained: Callable[[], None] | None = None

    def __len__(self) -> int:
        """Return how many writes are not known to be on the medium."""
        return len(self._pending)

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        """Queue a value; one that ``may_wait`` goes with the next that may not, if that is soon."""
        self._add(space, key, Write(value, expires_at_utc), may_wait)

    def delete(self, space: str, key: bytes) -> None:
        """Queue a delete."""
        self._add(space, key, Write(None, 0.0), False)

    def find(self, space: str, key: bytes) -> Write | None:
        """Return the newest write of a key that may not be on the medium yet."""
        return self._pending.find(space, key)

    def of_space(self, space: str) -> dict[bytes, Write]:
        """Return the newest write of each key of ``space`` not known to be on the medium."""
        return self._pending.of_space(space)

    def hold(self) -> None:
        """Keep writes queued: the medium is away."""
        self._is_held = True
        self._stop_timer()
        if self._drained is not None and not self._pending.is_taken:
            self._end_drain()

    def resume(self) -> None:
        """Write what waits now: the medium is back."""
        self._is_held = False
        self._stop_timer()
        self._flush()

    def drain(self, done: Callable[[], None]) -> None:
        """Write all that waits; call ``done`` when nothing is left or the medium fails."""
        self._drained = done
        self._stop_timer()
        if not self._pending.is_taken:
            self._drain_on()

    def _add(self, space: str, key: bytes, write: Write, may_wait: bool) -> None:
        if self._pending.add(space, key, write):
            self._trouble.dropped()
        if may_wait:
            if self._timer is None:
                self._start_timer(max(MAY_WAIT, self._flush_interval_s))
                self._is_in_hurry = False
            return
        if not self._is_in_hurry:
            self._stop_timer()
        self._start_timer(self._flush_interval_s)

    def _start_timer(self, delay: float) -> None:
        self._is_in_hurry = True
        if self._timer is None and not self._is_held and self._drained is None:
            self._timer = self._clock.callLater(delay, self._timer_due)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timer_due(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        if self._pending.is_taken:
            self._is_overdue = True
        elif self._pending.waiting:
            batch = self._pending.take(MAX_BATCH)
            self._is_overdue = self._pending.waiting > 0
            self._write(batch, self._batch_written, self._batch_failed)

    def _batch_written(self) -> None:
        self._pending.written()
        self._trouble.over()
        if self._drained is not None:
            self._drain_on()
        elif self._is_overdue:
            self._stop_timer()
            self._flush()

    def _batch_failed(self, error: UacproxyError) -> None:
        if isinstance(error, OwnMistake):
            self._pending.written()  # it would fail for ever and hold up all others
        else:
            self._pending.failed()
        self._trouble.met(error)
        if self._drained is not None:
            self._end_drain()
        else:
            self._stop_timer()
            self._start_timer(RETRY_IN)

    def _drain_on(self) -> None:
        if self._pending.waiting and not self._is_held:
            self._flush()
        else:
            self._end_drain()

    def _end_drain(self) -> None:
        done, self._drained = self._drained, None
        self._is_held = True  # whatever is still put stays where it is
        if done is not None:
            done()
