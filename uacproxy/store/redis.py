"""State in Redis, for several instances: ``redis://HOST:PORT/DB``, Redis 2.8 or newer.

A value lives under ``PREFIX SPACE : KEY`` and Redis expires it. Lifetimes go as durations
(``PX``, ``PTTL``), so hosts whose clocks differ agree on what is left. Spaces have no colon.

Connecting again with backoff is Twisted's ``ClientService``; txredisapi gives the
protocol alone, since its factory stops for good when AUTH or SELECT fails once, which a
Redis that is still loading its file answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, final

import txredisapi
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from uacproxy.errors import StoreUnavailable, UacproxyError
from uacproxy.ports import Clock, Log, Timer
from uacproxy.store.pending import MAX_PENDING, Batch
from uacproxy.store.redis_changes import note
from uacproxy.store.trouble import Trouble
from uacproxy.store.write_behind import WriteBehind

ANSWER_WITHIN: Final = 2.0  # s; a Redis slower than that is away
CLOSE_WITHIN: Final = 3.0  # s
FIRST_RETRY_IN: Final = 0.2  # s
LAST_RETRY_IN: Final = 5.0  # s
SCAN_PAGE: Final = 500  # keys Redis looks at for one answer

_RUN_ID: Final = re.compile(rb"^run_id:(\w+)", re.MULTILINE)
_GLOB: Final = re.compile(rb"([\[\]*?^\\-])")


@final
class RedisStore:
    """A ``Store`` over one connection, made anew whenever it is lost.

    While there is none, writes stay queued, reads answer None at once, and ``scan`` tells
    what is queued. Only what is asked before the first attempt ended waits for it, so a
    service that starts finds the state it left.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        name: str,
        *,
        database: int = 0,
        username: str = "",
        password: str = "",
        prefix: str,
        flush_interval_s: float,
        now_utc: Callable[[], float],
        clock: IReactorTime,
        log: Log,
        count: Callable[[str], None],
        replaced: Callable[[], None],
        max_pending: int = MAX_PENDING,
    ) -> None:
        """Start connecting; the first connection is made behind the caller's back.

        Args:
            endpoint: of the server.
            name: HOST:PORT/DB as an operator knows it, for the log.
            database: number for SELECT.
            username: for AUTH, with ``password``; both empty where none is asked.
            password: never told to anyone but Redis.
            prefix: of all our keys.
            flush_interval_s: s, how far Redis may lag behind.
            now_utc: wall time, s of the epoch.
            clock: for the delays.
            log: for trouble with the server.
            count: hears the code of each failure.
            replaced: hears that the server was started anew, or is another: it may have
                lost what it had.
            max_pending: keys kept while the server is away.
        """
        self._database = database
        self._username = username
        self._password = password
        self._prefix = prefix.encode()
        self._now_utc = now_utc
        self._clock = clock
        self._trouble = Trouble(name, log=log, count=count)
        self._writes = WriteBehind(
            self._write_batch,
            flush_interval_s=flush_interval_s,
            clock=clock,
            trouble=self._trouble,
            max_pending=max_pending,
        )
        self._writes.hold()
        self._followed: set[str] = set()
        self._replaced = replaced
        self._run_id: bytes | None = None  # of the server that we logged in to first or last
        self._connection: _Connection | None = None
        self._failures = 0
        self._early: list[Callable[[], None]] | None = []  # questions before the first log-in
        self._closing: list[Deferred[None]] = []
        self._close_timer: Timer | None = None
        self._is_open = True
        self._is_closed = False
        self._service: Any = ClientService(
            endpoint,
            _RedisFactory(),
            retryPolicy=self._retry_in,
            clock=clock,
            prepareConnection=self._log_in,
        )
        self._backoff = backoffPolicy(initialDelay=FIRST_RETRY_IN, maxDelay=LAST_RETRY_IN)
        self._service.startService()

    def follow(self, space: str) -> None:
        """Note from here on which keys of ``space`` are written, for ``RedisChanges``."""
        self._followed.add(space)

    @property
    def is_connected(self) -> bool:
        """Tell whether Redis answers, as far as we know."""
        return self._connection is not None

    @property
    def unwritten(self) -> int:
        """Return how many writes are not known to have reached Redis."""
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
        """Write or overwrite; nothing waits longer, since other instances read it."""
        if self._is_open:
            self._writes.put(space, key, value, expires_at_utc)

    def delete(self, space: str, key: bytes) -> None:
        """Forget the key; an unknown key is no error."""
        if self._is_open:
            self._writes.delete(space, key)

    def get(self, space: str, key: bytes, then: Callable[[bytes | None], None]) -> None:
        """Call ``then``: at once from a queued write or while Redis is away, else later."""
        write = self._writes.find(space, key)
        if write is not None:
            then(write.value if write.expires_at_utc > self._now_utc() else None)
        else:
            self.ask(
                [(b"GET", self._start(space) + key)],
                lambda answers: then(_octets(answers[0])),
                partial(self._read_failed, then),
            )

    def scan(
        self, space: str, each: Callable[[bytes, bytes, float], None], done: Callable[[], None]
    ) -> None:
        """Call ``each`` in pages over several turns, then ``done``.

        A key written or deleted after this call may be told as it was before. When the
        server goes away on the way, the rest is missing.
        """
        unwritten = self._writes.of_space(space)
        start = self._start(space)
        pattern = _GLOB.sub(rb"\\\1", start) + b"*"
        seen: set[bytes] = set()  # SCAN may name a key twice

        def finish() -> None:
            now = self._now_utc()
            for key, write in unwritten.items():
                if write.value is not None and write.expires_at_utc > now:
                    each(key, write.value, write.expires_at_utc)
            done()

        def failed(error: UacproxyError) -> None:
            self._trouble.met(error)
            finish()

        def keys_read(answers: list[Any]) -> None:
            cursor, found = answers[0]
            names = [
                name for name in found if name not in seen and name[len(start) :] not in unwritten
            ]
            seen.update(names)
            if names:
                commands = [
                    command for name in names for command in ((b"GET", name), (b"PTTL", name))
                ]
                self.ask(commands, partial(values_read, cursor, names), failed)
            else:
                read_keys(cursor)

        def values_read(cursor: Any, names: list[bytes], answers: list[Any]) -> None:
            now = self._now_utc()
            for i, name in enumerate(names):
                value, left = _octets(answers[2 * i]), answers[2 * i + 1]
                if value is not None and left != -2:
                    expires_at_utc = now + left / 1000 if left >= 0 else math.inf
                    each(name[len(start) :], value, expires_at_utc)
            read_keys(cursor)

        def read_keys(cursor: Any) -> None:
            if int(cursor):
                self.ask([_scan(cursor, pattern)], keys_read, failed)
            else:
                finish()

        self.ask([_scan(0, pattern)], keys_read, failed)

    def close(self) -> Deferred[None]:
        """Write what waits and disconnect; fires within ``CLOSE_WITHIN``."""
        if self._is_closed:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        if self._is_open:
            self._is_open = False
            self._close_timer = self._clock.callLater(CLOSE_WITHIN, self._close_late)
            drain = partial(self._writes.drain, self._drained)
            if self._early is not None:
                self._early.append(drain)
            else:
                drain()
        return closed

    def _drained(self) -> None:
        stopping: Deferred[None] = self._service.stopService()
        stopping.addBoth(lambda _: self._end())

    def _close_late(self) -> None:
        self._close_timer = None
        if self._connection is not None:
            self._connection.abort()
        self._service.stopService()
        self._end()

    def _end(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._first_attempt_over()
        self._trouble.lost(len(self._writes))
        closing, self._closing = self._closing, []
        for closed in closing:
            closed.callback(None)

    def _start(self, space: str) -> bytes:
        return self._prefix + space.encode() + b":"

    def ask(
        self,
        commands: list[tuple[Any, ...]],
        done: Callable[[list[Any]], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Send commands that are no writes of state, together; ``failed`` may come at once."""
        if self._connection is not None:
            self._connection.ask(commands, done, failed)
        elif self._early is not None:
            self._early.append(partial(self.ask, commands, done, failed))
        else:
            failed(StoreUnavailable("no connection"))

    def _first_attempt_over(self) -> None:
        early, self._early = self._early, None
        for ask in early or ():
            ask()

    def _log_in(self, protocol: Any) -> None:
        """Start to log in and choose the database; a refusal cuts the connection.

        ClientService loses its way when a connection ends while ``prepareConnection``
        still waits, so this one does not wait, and ``_retry_in`` counts for itself.
        """
        connection = _Connection(protocol, self._clock)
        protocol.whenDisconnected().addCallback(lambda _: self._disconnected(connection))
        commands: list[tuple[Any, ...]] = [(b"SELECT", self._database)]
        if self._password:
            names = (self._username, self._password) if self._username else (self._password,)
            commands.insert(0, (b"AUTH", *names))

        def refused(error: UacproxyError) -> None:
            self._trouble.met(error)
            connection.abort()

        connection.ask(commands, lambda _: self._connected(connection), refused)

    def _connected(self, connection: _Connection) -> None:
        if not self._is_closed:
            self._connection = connection
            self._failures = 0
            self._trouble.over()
            self._writes.resume()
            self._first_attempt_over()
            connection.ask(
                [(b"INFO", b"server")],
                lambda answers: self._server_is(_run_id_in(_octets(answers[0]) or b"")),
                lambda _: self._server_is(b""),  # not for us to know
            )

    def _server_is(self, run_id: bytes) -> None:
        before, self._run_id = self._run_id, run_id
        if before is not None and (not run_id or run_id != before) and self._is_open:
            self._replaced()

    def _disconnected(self, connection: _Connection) -> None:
        if self._connection is connection:
            self._connection = None
            if self._is_open:
                self._trouble.met(StoreUnavailable("connection lost"))
            self._writes.hold()

    def _retry_in(self, _attempt: int) -> float:
        self._failures += 1  # attempts without a log-in; theirs are without a connection
        self._trouble.met(StoreUnavailable("no connection"))
        if self._early is not None:  # ClientService takes no call back from here
            self._clock.callLater(0, self._first_attempt_over)
        return self._backoff(self._failures)

    def _write_batch(
        self, batch: Batch, done: Callable[[], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        now = self._now_utc()
        commands: list[tuple[Any, ...]] = []
        for (space, key), write in batch.items():
            name = self._start(space) + key
            if write.value is None or write.expires_at_utc <= now:
                commands.append((b"DEL", name))
            elif math.isinf(write.expires_at_utc):
                commands.append((b"SET", name, write.value))
            else:
                left = max(1, round((write.expires_at_utc - now) * 1000))
                commands.append((b"SET", name, write.value, b"PX", left))
        for space in self._followed:
            keys = [key for of_space, key in batch if of_space == space]
            if keys:
                commands.append(note(self._prefix, space, keys))
        self.ask(commands, lambda _: done(), failed)

    def _read_failed(self, then: Callable[[bytes | None], None], error: UacproxyError) -> None:
        self._trouble.met(error)
        then(None)


@final
class _RedisFactory(Factory):
    """Makes txredisapi protocols that leave AUTH and SELECT to us and octets as they are."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802  (Twisted's name)
        protocol = txredisapi.RedisProtocol(charset=None, convertNumbers=False)
        protocol.factory = self
        return protocol


@final
class _Connection:
    """Commands sent together and answered together, all of them or none."""

    def __init__(self, protocol: Any, clock: Clock) -> None:
        self._protocol = protocol
        self._clock = clock

    def ask(
        self,
        commands: list[tuple[Any, ...]],
        done: Callable[[list[Any]], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Send ``commands``; one that fails, or no answer in time, fails them all."""
        try:
            answers = [self._protocol.execute_command(*command) for command in commands]
        except txredisapi.RedisError:
            self._clock.callLater(0, failed, StoreUnavailable("no connection"))
            return
        late = self._clock.callLater(ANSWER_WITHIN, self.abort)

        def answered(results: list[tuple[bool, Any]]) -> None:
            if late.active():
                late.cancel()
            for is_good, result in results:
                if not is_good:
                    failed(StoreUnavailable(_reason(result)))
                    return
            done([result for _, result in results])

        # no errback: consumeErrors leaves none, and what a caller raises shall be heard
        DeferredList(answers, consumeErrors=True).addCallback(answered)

    def abort(self) -> None:
        """Cut the connection; every command without an answer fails."""
        self._protocol.transport.abortConnection()


def _scan(cursor: Any, pattern: bytes) -> tuple[Any, ...]:
    return (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", SCAN_PAGE)


def _run_id_in(told: bytes) -> bytes:
    """Return what each start of a server makes anew, from its answer to INFO."""
    found = _RUN_ID.search(told)
    return found[1] if found else b""


def _octets(answer: Any) -> bytes | None:
    return answer if isinstance(answer, bytes) else None


def _reason(failure: Failure) -> str:
    """Return what Redis said, which never holds what it was told."""
    return failure.getErrorMessage() or "no answer"
