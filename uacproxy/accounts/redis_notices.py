"""PUBLISH of a Redis, heard as it comes: one connection that only subscribes.

The message is an ``l_uuid``, or empty for any account. A connection that is lost is made
again with growing pauses, by Twisted's ``ClientService``; whoever listens hears of it,
since what changed meanwhile nobody tells.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, final

import txredisapi
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from uacproxy.ports import Log
from uacproxy.sip.grammar import text

ANSWER_WITHIN: Final = 5.0  # s
FIRST_RETRY_IN: Final = 0.5  # s
LAST_RETRY_IN: Final = 30.0  # s
SILENT_FOR: Final = 30  # s, until the kernel asks whether the other side is still there


@final
class RedisNotices:
    """Subscribes to one channel for as long as it is open."""

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        name: str,
        channel: str,
        *,
        username: str = "",
        password: str = "",
        listening: Callable[[], None],
        received: Callable[[str], None],
        clock: IReactorTime,
        log: Log,
    ) -> None:
        """Make it; ``start`` connects.

        Args:
            endpoint: of the server.
            name: of it, for the log.
            channel: a plain name.
            username: for AUTH, with ``password``; both empty where none is asked.
            password: never told to anyone but Redis.
            listening: called whenever notices come from then on.
            received: hears each message.
            clock: of the pauses.
            log: hears of trouble, once until it is over.
        """
        self._name = name
        self._channel = channel
        self._username = username
        self._password = password
        self._listening = listening
        self._clock = clock
        self._log = log
        self._failures = 0
        self._is_closed = False
        self._backoff = backoffPolicy(initialDelay=FIRST_RETRY_IN, maxDelay=LAST_RETRY_IN)
        self._service: Any = ClientService(
            endpoint,
            _Subscribers(received),
            retryPolicy=self._retry_in,
            clock=clock,
            prepareConnection=self._subscribe,
        )

    def start(self) -> None:
        """Connect, and again whenever that fails or ends."""
        self._service.startService()

    def close(self) -> Deferred[None]:
        """Hear nothing any more."""
        self._is_closed = True
        stopped = self._service.stopService()
        return stopped if isinstance(stopped, Deferred) else gatherResults([])

    def _subscribe(self, protocol: Any) -> None:
        """Log in and subscribe; a refusal cuts the connection, and it is tried again."""
        commands: list[tuple[Any, ...]] = [(b"SUBSCRIBE", self._channel.encode())]
        if self._password:
            names = (self._username, self._password) if self._username else (self._password,)
            commands.insert(0, (b"AUTH", *names))
        late = self._clock.callLater(ANSWER_WITHIN, protocol.transport.abortConnection)

        def subscribed(_answers: Any) -> None:
            late.cancel()
            self._failures = 0
            self._log.info(
                "{source} tells of changed accounts on channel {channel}",
                source=self._name,
                channel=self._channel,
            )
            self._listening()

        def refused(_failure: Failure) -> None:
            if late.active():
                late.cancel()
            protocol.transport.abortConnection()

        _keep_alive(protocol.transport)
        protocol.whenDisconnected().addCallback(lambda _: self._tell("connection lost"))
        answers = [protocol.execute_command(*command) for command in commands]
        gatherResults(answers, consumeErrors=True).addCallbacks(subscribed, refused)

    def _retry_in(self, _attempt: int) -> float:
        self._tell("no connection")
        self._failures += 1
        return float(self._backoff(self._failures))

    def _tell(self, why: str) -> None:
        if self._failures == 0 and not self._is_closed:
            self._log.warn(
                "nobody tells of changed accounts for now: {source}: {why}",
                source=self._name,
                why=why,
            )


@final
class _Subscribers(Factory):
    """Makes subscribers that keep octets as they are and leave AUTH to us."""

    noisy = False

    def __init__(self, received: Callable[[str], None]) -> None:
        self._received = received

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: N802  (Twisted's name)
        protocol = txredisapi.SubscriberProtocol(charset=None, convertNumbers=False)
        protocol.factory = self
        protocol.messageReceived = self._message_received
        return protocol

    def _message_received(self, _pattern: object, _channel: object, message: object) -> None:
        self._received(text(message) if isinstance(message, bytes) else "")


def _keep_alive(transport: Any) -> None:
    """Let the kernel find out that a silent server is gone."""
    transport.setTcpKeepAlive(1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_FOR)
