"""One TCP connection: framing, keep-alives, silence and its end (RFC 3261 18; RFC 5626 3.5.1).

Which connection is used for what is decided in ``streams``. Timers: a peer has
``message_timeout`` from the first octet of a message to its last, a peer that connected
to us has as long for its first message, and a connection without traffic ends after
``idle``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast, final

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from uacproxy.ports import Flow, HostPort
from uacproxy.settings import ListenAddress
from uacproxy.sip.framing import PING, PONG, Framer, StreamBroken
from uacproxy.sip.via import Via
from uacproxy.transport.reactor import Stream

if TYPE_CHECKING:
    from uacproxy.transport.streams import Streams

MAX_UNSENT: Final = 1024 * 1024  # octets a peer may leave unread before we give it up
LINGER: Final = 3.0  # s in which a peer may read our last words before the connection is cut
_PING_AT_MOST: Final = 3  # octets of a framer that may be a keep-alive half arrived

Failed = Callable[[], None] | None


@final
class ConnectionFlow(Flow):
    """The very connection a message came on; it ends with the connection."""

    __slots__ = ("_answers", "_connection", "_streams")

    def __init__(
        self, connection: TcpConnection, streams: Streams, remote: HostPort, local: HostPort
    ) -> None:
        super().__init__(b"TCP", remote, local, reliable=True)
        self._connection = connection
        self._streams = streams
        self._answers: ResponseFlow | None = None

    @property
    def sent_by(self) -> bytes:
        """Return HOST:PORT of the listener as this peer reaches it."""
        return self._streams.sent_by(self._connection.listening, self.remote[0])

    @property
    def is_open(self) -> bool:
        """Tell whether a message may still be written."""
        return self._connection.is_open

    @property
    def listening(self) -> ListenAddress:
        """Return the listener it came to, or was opened from."""
        return self._connection.listening

    def send(self, octets: bytes, failed: Failed) -> None:
        """Send on this connection; ``failed`` hears where it has closed, or closes too soon."""
        self._connection.write(octets, failed)

    def answering(self, via: Via) -> Flow:
        """Return the flow for responses: this connection while it lasts (18.2.2)."""
        answers = self._answers
        if answers is None or answers.port != via.port:
            answers = ResponseFlow(self, self._streams, self._connection.listening, via.port)
            self._answers = answers
        return answers


@final
class ResponseFlow(Flow):
    """Where responses go: the request's connection, after its end a new one to sent-by's port."""

    __slots__ = ("_flow", "_listening", "_streams", "port")

    def __init__(
        self, flow: ConnectionFlow, streams: Streams, listening: ListenAddress, port: int
    ) -> None:
        super().__init__(b"TCP", flow.remote, flow.local, reliable=True)
        self._flow = flow
        self._streams = streams
        self._listening = listening
        self.port = port

    @property
    def sent_by(self) -> bytes:
        """Return that of the request's connection."""
        return self._flow.sent_by

    def send(self, octets: bytes, failed: Failed) -> None:
        """Send a response."""
        if self._flow.is_open:
            self._flow.send(octets, failed)
        else:
            self._streams.flow(self._listening, self._flow.remote[0], self.port).send(
                octets, failed
            )

    def answering(self, via: Via) -> Flow:
        """Return itself: the way back is chosen."""
        return self


@final
@implementer(IHalfCloseableProtocol, IPullProducer)
class TcpConnection(Protocol):
    """One connection, accepted or opened by us.

    It registers with its transport as a pull producer of nothing: so it is told each
    time all octets have left, and knows which sends were cut off by a loss.
    """

    def __init__(
        self, streams: Streams, listening: ListenAddress, remote: HostPort, *, accepted: bool
    ) -> None:
        self.listening = listening
        self.flow = ConnectionFlow(self, streams, remote, (listening.host, listening.port))
        self.is_open = False
        self._peer_closed = False  # before we did
        self._streams = streams
        self._accepted = accepted
        self._framer = Framer(streams.limits)
        self._unsent: list[Failed] = []
        self._unsent_octets = 0
        self._active_at = 0.0
        self._message_since: float | None = None  # None: no message has begun
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:  # noqa: N802  (Twisted's name)
        """Begin: the first message of a peer that connected to us is under way from now."""
        self.is_open = True
        self._stream = cast(Stream, self.transport)
        self._stream.setTcpNoDelay(True)
        self._stream.setTcpKeepAlive(True)
        self._stream.registerProducer(self, False)
        self._active_at = self._streams.seconds()
        if self._accepted:
            self._message_since = self._active_at
        self._streams.opened(self)
        self._arm()

    # -- reading ---------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  (Twisted's name)
        """Cut messages out; what follows an unreadable one is thrown away."""
        if not self.is_open:
            return
        self._active_at = self._streams.seconds()
        frames: list[bytes] = []
        broken: StreamBroken | None = None
        try:
            self._framer.feed(data, frames)
        except StreamBroken as error:
            broken = error
        for frame in frames:
            if frame == PING:
                self._streams.counters.keepalives += 1
                self.write_pong()
            else:
                self._streams.inbound.octets_received(frame, self.flow)
        if broken is not None:
            self._streams.inbound.stream_broken(broken, self.flow)
            self.finish()
        elif self._framer.pending > _PING_AT_MOST:
            if frames or self._message_since is None:
                self._message_since = self._active_at
                self._arm()
        elif frames:
            self._message_since = None

    def readConnectionLost(self) -> None:  # noqa: N802  (Twisted's name)
        """Close when the peer closes; what was written before still leaves."""
        self._peer_closed = self.is_open
        self.close()

    def writeConnectionLost(self) -> None:  # noqa: N802  (Twisted's name)
        """Go on reading until the peer has read our last words."""

    # -- writing ---------------------------------------------------------------------

    def write(self, octets: bytes, failed: Failed) -> None:
        """Write one message; one turn's messages leave together."""
        if not self.is_open:
            self._streams.fail(failed)
            return
        self._active_at = self._streams.seconds()
        self._streams.counters.sent += 1
        self._unsent.append(failed)
        self._unsent_octets += len(octets)
        self._stream.write(octets)
        if self._unsent_octets > MAX_UNSENT:
            self._streams.counters.timed_out += 1
            self.abort()

    def write_pong(self) -> None:
        """Answer a keep-alive; pings that are never read away count as unsent too."""
        self._unsent_octets += len(PONG)
        self._stream.write(PONG)
        if self._unsent_octets > MAX_UNSENT:
            self.abort()

    def resumeProducing(self) -> None:  # noqa: N802  (Twisted's name)
        """Hear that everything written so far has left."""
        self._unsent.clear()
        self._unsent_octets = 0

    def stopProducing(self) -> None:  # noqa: N802  (Twisted's name)
        """Hear that the transport is gone; ``connectionLost`` follows."""

    # -- ending ----------------------------------------------------------------------

    def finish(self) -> None:
        """Send what is written, say no more, and leave the peer a moment to read it."""
        if self.is_open:
            self.is_open = False
            self._stream.unregisterProducer()
            self._stream.loseWriteConnection()
            self._restart_timer(LINGER, self.abort)

    def close(self) -> None:
        """Close once everything written has left, or after ``LINGER`` anyway."""
        if self.is_open:
            self.is_open = False
            self._stream.unregisterProducer()
            self._restart_timer(LINGER, self.abort)
        self._stream.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self.is_open = False
        self._stream.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        """Report every message that had not left."""
        by_us = not self.is_open and not self._peer_closed
        self.is_open = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        unsent, self._unsent = self._unsent, []
        for failed in unsent:
            self._streams.fail(failed)
        self._streams.lost(self, by_us=by_us)

    # -- silence ---------------------------------------------------------------------

    def _deadline(self) -> float:
        idle_at = self._active_at + self._streams.idle
        if self._message_since is None:
            return idle_at
        return min(idle_at, self._message_since + self._streams.message_timeout)

    def _arm(self) -> None:
        """Have the timer run at the deadline or before; it looks again when it does."""
        wait = max(0.0, self._deadline() - self._streams.seconds())
        if self._timer is None or not self._timer.active():
            self._restart_timer(wait, self._deadline_passed)
        elif self._timer.getTime() > self._streams.seconds() + wait:
            self._timer.reset(wait)

    def _deadline_passed(self) -> None:
        if self._deadline() > self._streams.seconds():
            self._arm()
            return
        self._streams.counters.timed_out += 1
        self.close()

    def _restart_timer(self, wait: float, call: Callable[[], None]) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._streams.call_later(wait, call)
