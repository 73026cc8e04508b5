"""State in a SQLite file: the embedded default, ``sqlite:///FILE``.

The reactor never waits for the disk: writes are gathered and a thread of the store's own
takes them, reads not answered by a write on its way go through the same thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Final, TypeVar, final

from twisted.internet.defer import Deferred, succeed

from uacproxy.errors import OwnMistake, StoreError, UacproxyError
from uacproxy.ports import Clock, Log, Timer
from uacproxy.store.pending import MAX_PENDING, Batch
from uacproxy.store.sqlite_file import Row, SqliteFile
from uacproxy.store.trouble import Trouble
from uacproxy.store.write_behind import WriteBehind

SCAN_PAGE: Final = 500  # rows for one turn of the reactor
EXPIRE_EVERY: Final = 60.0  # s
EXPIRE_AGAIN_IN: Final = 0.5  # s, while a full batch was found
EXPIRE_BATCH: Final = 1000  # rows
CLOSE_WITHIN: Final = 5.0  # s

T = TypeVar("T")


@final
class SqliteStore:
    """A ``Store`` over one state file and one thread.

    Open it after the process has become a daemon: neither the thread nor the file
    survives a fork.
    """

    def __init__(
        self,
        path: str,
        *,
        flush_interval_s: float,
        now_utc: Callable[[], float],
        clock: Clock,
        call_from_thread: Callable[[Callable[[], None]], object],
        log: Log,
        count: Callable[[str], None],
        max_pending: int = MAX_PENDING,
    ) -> None:
        """Open or make the file; this one time the caller waits for the disk.

        Args:
            path: of the file; its folder exists.
            flush_interval_s: s, how far the file may lag behind.
            now_utc: wall time, s of the epoch.
            clock: for the delays.
            call_from_thread: runs a callable in the reactor's thread, soon.
            log: for trouble with the file.
            count: hears the code of each failure.
            max_pending: keys kept while the file cannot be written.

        Raises:
            StoreCorrupt: not a state file, or of a newer version.
            StoreUnavailable: it cannot be opened.
        """
        self._file = SqliteFile(path)
        self._now_utc = now_utc
        self._clock = clock
        self._trouble = Trouble(path, log=log, count=count)
        self._writes = WriteBehind(
            self._write_batch,
            flush_interval_s=flush_interval_s,
            clock=clock,
            trouble=self._trouble,
            max_pending=max_pending,
        )
        self._thread = _StoreThread(path, call_from_thread)
        self._expire_timer: Timer | None = clock.callLater(EXPIRE_EVERY, self._expire)
        self._closing: list[Deferred[None]] = []
        self._close_timer: Timer | None = None
        self._is_open = True
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        """Tell that the file could be opened; later trouble is met by whoever reads."""
        return True

    @property
    def unwritten(self) -> int:
        """Return how many writes are not known to be in the file."""
        return len(self._writes)

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        """Write or overwrite; ``expires_at_utc`` is seconds of the epoch."""
        if self._is_open:
            self._writes.put(space, key, value, expires_at_utc, may_wait=may_wait)

    def delete(self, space: str, key: bytes) -> None:
        """Forget the key; an unknown key is no error."""
        if self._is_open:
            self._writes.delete(space, key)

    def get(self, space: str, key: bytes, then: Callable[[bytes | None], None]) -> None:
        """Call ``then``: at once from a write on its way, else in a later turn."""
        now = self._now_utc()
        write = self._writes.find(space, key)
        if write is not None:
            then(write.value if write.expires_at_utc > now else None)
        elif not self._is_open:
            then(None)
        else:
            self._thread.run(
                partial(self._file.read, space, key, now), then, partial(self._read_failed, then)
            )

    def scan(
        self, space: str, each: Callable[[bytes, bytes, float], None], done: Callable[[], None]
    ) -> None:
        """Call ``each`` in pages over several turns, then ``done``.

        A key written or deleted after this call may be told as it was before.
        """
        unwritten = self._writes.of_space(space)

        def finish() -> None:
            now = self._now_utc()
            for key, write in unwritten.items():
                if write.value is not None and write.expires_at_utc > now:
                    each(key, write.value, write.expires_at_utc)
            done()

        def page_read(rows: list[Row]) -> None:
            for key, value, expires_at_utc in rows:
                if key not in unwritten:
                    each(key, value, expires_at_utc)
            if len(rows) < SCAN_PAGE:
                finish()
            else:
                read_page(rows[-1][0])

        def failed(error: UacproxyError) -> None:
            self._trouble.met(error)
            finish()

        def read_page(after: bytes | None) -> None:
            if self._is_open:
                work = partial(self._file.page, space, after, self._now_utc(), SCAN_PAGE)
                self._thread.run(work, page_read, failed)
            else:
                finish()

        read_page(None)

    def close(self) -> Deferred[None]:
        """Write what waits and close the file; fires within ``CLOSE_WITHIN``."""
        if self._is_closed:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        if self._is_open:
            self._is_open = False
            if self._expire_timer is not None:
                self._expire_timer.cancel()
                self._expire_timer = None
            self._close_timer = self._clock.callLater(CLOSE_WITHIN, self._close_late)
            self._writes.drain(self._drained)
        return closed

    def _drained(self) -> None:
        self._thread.run(self._file.close, lambda _: self._end(), lambda _: self._end())

    def _close_late(self) -> None:
        self._close_timer = None
        self._end()

    def _end(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._thread.stop()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._trouble.lost(len(self._writes))
        closing, self._closing = self._closing, []
        for closed in closing:
            closed.callback(None)

    def _write_batch(
        self, batch: Batch, done: Callable[[], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        self._thread.run(partial(self._file.write, batch), lambda _: done(), failed)

    def _read_failed(self, then: Callable[[bytes | None], None], error: UacproxyError) -> None:
        self._trouble.met(error)
        then(None)

    def _expire(self) -> None:
        self._expire_timer = None
        work = partial(self._file.expire, self._now_utc(), EXPIRE_BATCH)
        self._thread.run(work, self._expired, self._expire_failed)

    def _expired(self, rows: int) -> None:
        self._expire_in(EXPIRE_AGAIN_IN if rows >= EXPIRE_BATCH else EXPIRE_EVERY)

    def _expire_failed(self, error: UacproxyError) -> None:
        self._trouble.met(error)
        self._expire_in(EXPIRE_EVERY)

    def _expire_in(self, delay: float) -> None:
        if self._is_open:
            self._expire_timer = self._clock.callLater(delay, self._expire)


@final
class _StoreThread:
    """Runs jobs one after the other, in the order they came; answers in the reactor."""

    def __init__(self, path: str, call_from_thread: Callable[[Callable[[], None]], object]) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._call_from_thread = call_from_thread
        threading.Thread(target=self._work, name=f"store {path}", daemon=True).start()

    def run(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Run ``work`` in the thread, then ``done`` or ``failed`` in the reactor."""

        def job() -> None:
            try:
                outcome = work()
            except StoreError as error:
                self._call_from_thread(partial(failed, error))
            except Exception as error:  # noqa: BLE001  ours; a dead thread would end all writes
                mistake = OwnMistake(f"store thread: {type(error).__name__}: {error}")
                self._call_from_thread(partial(failed, mistake))
            else:
                self._call_from_thread(partial(done, outcome))

        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread after the jobs it has."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
