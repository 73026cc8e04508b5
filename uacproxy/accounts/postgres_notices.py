"""NOTIFY of a PostgreSQL, heard as it comes: the reactor watches the connection's socket.

The payload of a notice is an ``l_uuid``, or nothing for any account. A connection that is
lost is made again with growing pauses; whoever listens hears of it, since what changed
meanwhile nobody tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, final

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from uacproxy.accounts.database import Database, RunInThread
from uacproxy.ports import Log

FIRST_RETRY_IN: Final = 0.5  # s
LAST_RETRY_IN: Final = 30.0  # s


@final
@implementer(IReadDescriptor)
class PostgresNotices:
    """One connection that only listens."""

    def __init__(
        self,
        url: str,
        channel: str,
        *,
        listening: Callable[[], None],
        received: Callable[[str], None],
        run_in_thread: RunInThread,
        reactor: Any,
        log: Log,
        section: str = "uac",
        key: str = "reg_db_url",
    ) -> None:
        """Understand ``url``; ``start`` connects.

        Args:
            url: of the database.
            channel: a plain name.
            listening: called whenever notices come from then on.
            received: hears the payload of each.
            run_in_thread: runs what blocks.
            reactor: IReactorFDSet and IReactorTime in one.
            log: hears of trouble, once until it is over.
            section: of the ini file the URL stands in, for errors; ``key`` too.
            key: of that section.

        Raises:
            ConfigError: not a URL, or its driver is not installed.
        """
        self._database = Database(url, section=section, key=key, run_in_thread=run_in_thread)
        self._channel = channel
        self._listening = listening
        self._received = received
        self._run_in_thread = run_in_thread
        self._reactor = reactor
        self._log = log
        self._retry_in = backoffPolicy(initialDelay=FIRST_RETRY_IN, maxDelay=LAST_RETRY_IN)
        self._failures = 0
        self._connection: Any = None
        self._watched = -1  # a descriptor of our own: the library closes its one when it likes
        self._connecting: Deferred[None] = succeed(None)
        self._retry: Any = None
        self._is_closed = False

    def start(self) -> None:
        """Connect, and again whenever that fails or ends."""
        self._retry = None
        self._connecting = self._run_in_thread(self._connect)
        self._connecting.addCallbacks(self._connected, self._failed)

    def close(self) -> Deferred[None]:
        """Hear nothing any more; fires when no thread is at it."""
        self._is_closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._disconnect()
        return self._connecting.addCallback(lambda _: self._database.close())

    # -- what the reactor asks ---------------------------------------------------------------

    def fileno(self) -> int:
        """Return the socket to watch, -1 where there is none."""
        return self._watched

    def doRead(self) -> None:  # noqa: N802  (Twisted's name)
        """Take what has come, and tell of it."""
        connection = self._connection
        payloads: list[str] = []
        try:
            connection.pgconn.consume_input()
            while (notice := connection.pgconn.notifies()) is not None:
                payloads.append(notice.extra.decode("utf-8", "replace"))
        except self._database.driver_error:
            self._lost()
        for payload in payloads:
            self._received(payload)

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  (Twisted's name)
        """Hear from the reactor that the socket cannot be watched any more."""
        if self._connection is not None:
            self._lost()

    def logPrefix(self) -> str:  # noqa: N802  (Twisted's name)
        """Return a name for the reactor's log."""
        return "reg_notify"

    # -- connecting --------------------------------------------------------------------------

    def _connect(self) -> Any:
        connection = self._database.connect_apart()
        try:
            connection.autocommit = True
            connection.execute(f'LISTEN "{self._channel}"')
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self, connection: Any) -> None:
        if self._is_closed:
            connection.close()
            return
        self._failures = 0
        self._connection = connection
        self._watched = os.dup(connection.fileno())
        self._reactor.addReader(self)
        self._log.info(
            "{source} tells of changed accounts on channel {channel}",
            source=self._database.name,
            channel=self._channel,
        )
        self._listening()

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        # the driver's own words may hold anything; those of ours hold no secret
        why = str(error) if not isinstance(error, self._database.driver_error) else "LISTEN failed"
        self._again(why)

    def _lost(self) -> None:
        self._disconnect()
        self._again(f"{self._database.name}: connection lost")

    def _again(self, why: str) -> None:
        if self._is_closed:
            return
        self._failures += 1
        if self._failures == 1:
            self._log.warn("nobody tells of changed accounts for now: {why}", why=why)
        self._retry = self._reactor.callLater(self._retry_in(self._failures), self.start)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._reactor.removeReader(self)
            os.close(self._watched)
            self._watched = -1
            connection.close()
