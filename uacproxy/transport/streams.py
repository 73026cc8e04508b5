"""All TCP connections: accepting, connecting, reuse, the bound on their number.

A connection we opened is reused for everything we send to its remote address (RFC 5923
without its alias); one a peer opened serves only what came on it and the answers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, cast, final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IProtocol
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from uacproxy.counters import TransportCounters
from uacproxy.ports import Flow, HostPort, Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.via import Via
from uacproxy.transport.addresses import is_wildcard
from uacproxy.transport.inbound import StreamInbound
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.reactor import SocketReactor
from uacproxy.transport.tcp import Failed, TcpConnection

MESSAGE_TIMEOUT: Final = 30.0  # s
MAX_WAITING: Final = 1024  # messages that wait for one connection to open
MAX_FLOWS: Final = 8192  # remembered; a forgotten one is made anew
CLOSE_WITHIN: Final = 2.0  # s for what is written to leave at shutdown

Way = tuple[str, int, ListenAddress]
"""Remote host, remote port, the listener whose address we connect from."""


@final
class TcpFlow(Flow):
    """A remote address, by whatever connection we have or can open to it."""

    __slots__ = ("_sent_by", "_streams", "_way")

    def __init__(self, streams: Streams, way: Way) -> None:
        super().__init__(b"TCP", way[:2], (way[2].host, way[2].port), reliable=True)
        self._streams = streams
        self._way = way
        self._sent_by = b""

    @property
    def sent_by(self) -> bytes:
        """Return HOST:PORT of the listener, where the peer may open a connection for answers."""
        if not self._sent_by:
            self._sent_by = self._streams.sent_by(self._way[2], self.remote[0])
        return self._sent_by

    def send(self, octets: bytes, failed: Failed) -> None:
        """Send, or connect and send then; ``failed`` hears of every way this can end badly."""
        self._streams.send(self._way, octets, failed)

    def answering(self, via: Via) -> Flow:
        """Return itself: nothing is received on an address."""
        return self


@final
class Outgoing:
    """Our connection to one remote address, being opened or open."""

    __slots__ = ("attempt", "connection", "waiting")

    def __init__(self) -> None:
        self.attempt: Deferred[IProtocol] | None = None
        self.connection: TcpConnection | None = None
        self.waiting: list[tuple[bytes, Failed]] = []


@final
class Streams:
    """The connections of one service."""

    def __init__(
        self,
        *,
        reactor: SocketReactor,
        inbound: StreamInbound,
        names: OwnNames,
        limits: LimitSettings,
        counters: TransportCounters,
        idle: float,
        connect_timeout: float,
        message_timeout: float = MESSAGE_TIMEOUT,
        connection_lost: Callable[[Target], None] | None = None,
    ) -> None:
        """Begin without a connection.

        Args:
            reactor: accepts and connects.
            inbound: takes the messages.
            names: answers for sent-by.
            limits: of messages and connections.
            counters: shared with all sockets.
            idle: s without traffic before a connection is closed.
            connect_timeout: s to connect.
            message_timeout: s from the first octet of a message to its last.
            connection_lost: hears of each connection we opened that the other side or the
                network ended.
        """
        self._connection_lost = connection_lost
        self.inbound = inbound
        self.limits = limits
        self.counters = counters
        self.idle = idle
        self.message_timeout = message_timeout
        self._reactor = reactor
        self._names = names
        self._connect_timeout = connect_timeout
        self._ports: list[IListeningPort] = []
        self._connections: set[TcpConnection] = set()
        self._outgoing: dict[Way, Outgoing] = {}
        self._attempts = 0
        self._flows: dict[Way, TcpFlow] = {}
        self._closed: Deferred[None] | None = None

    def hand_to(self, inbound: StreamInbound) -> None:
        """Have another take the messages; nothing listens yet."""
        self.inbound = inbound

    # -- listening -------------------------------------------------------------------

    def listen(self, bound: socket.socket, listening: ListenAddress) -> None:
        """Accept on a listening socket; it is closed here, the reactor has its own copy."""
        factory = _Accepting(self, listening)
        with bound:
            self._ports.append(self._reactor.adoptStreamPort(bound.fileno(), bound.family, factory))

    def accepted(self, listening: ListenAddress, remote: HostPort) -> TcpConnection | None:
        """Make the protocol of a connection a peer opened, None when there are too many."""
        if self._is_full() or self._closed is not None:
            self.counters.refused += 1
            return None
        self.counters.accepted += 1
        return TcpConnection(self, listening, remote, accepted=True)

    # -- sending ---------------------------------------------------------------------

    def flow(self, listening: ListenAddress, host: str, port: int) -> TcpFlow:
        """Return the flow to an address, canonical, of the listener's family."""
        way = (host, port, listening)
        flow = self._flows.get(way)
        if flow is None:
            if len(self._flows) >= MAX_FLOWS:
                del self._flows[next(iter(self._flows))]
            flow = TcpFlow(self, way)
            self._flows[way] = flow
        return flow

    def send(self, way: Way, octets: bytes, failed: Failed) -> None:
        """Send on the connection to a remote address; open it first where there is none."""
        outgoing = self._outgoing.get(way)
        if outgoing is not None and outgoing.connection is not None:
            if outgoing.connection.is_open:
                outgoing.connection.write(octets, failed)
                return
            outgoing = None  # it is about to close: the next one is opened beside it
        if outgoing is None:
            if self._is_full() or self._closed is not None:
                self.counters.refused += 1
                self.fail(failed)
                return
            outgoing = Outgoing()
            self._outgoing[way] = outgoing
            outgoing.waiting.append((octets, failed))
            self._connect(way, outgoing)
        elif len(outgoing.waiting) < MAX_WAITING:
            outgoing.waiting.append((octets, failed))
        else:
            self.fail(failed)

    def _connect(self, way: Way, outgoing: Outgoing) -> None:
        host, port, listening = way
        kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        source = None if is_wildcard(listening.host) else (listening.host, 0)
        self._attempts += 1
        endpoint = kind(self._reactor, host, port, self._connect_timeout, source)
        outgoing.attempt = endpoint.connect(_Connecting(self, way))
        outgoing.attempt.addCallbacks(
            self._connected,
            self._not_connected,
            callbackArgs=(outgoing,),
            errbackArgs=(way, outgoing),
        )

    def _connected(self, protocol: IProtocol, outgoing: Outgoing) -> None:
        assert isinstance(protocol, TcpConnection)
        self._attempts -= 1
        self.counters.connected += 1
        outgoing.attempt = None
        outgoing.connection = protocol
        waiting, outgoing.waiting = outgoing.waiting, []
        for octets, failed in waiting:
            protocol.write(octets, failed)

    def _not_connected(self, _why: Failure, way: Way, outgoing: Outgoing) -> None:
        self._attempts -= 1
        self.counters.connect_failures += 1
        outgoing.attempt = None
        if self._outgoing.get(way) is outgoing:
            del self._outgoing[way]
        for _, failed in outgoing.waiting:
            self.fail(failed)
        outgoing.waiting.clear()

    # -- what connections ask and tell -----------------------------------------------

    def seconds(self) -> float:
        """Return the time, s."""
        return self._reactor.seconds()

    def call_later(self, wait: float, call: Callable[[], None]) -> IDelayedCall:
        """Run ``call`` after ``wait`` seconds."""
        return self._reactor.callLater(wait, call)

    def sent_by(self, listening: ListenAddress, remote: str) -> bytes:
        """Return how a peer at ``remote`` is told to reach a listener."""
        return self._names.sent_by(listening, remote)

    def fail(self, failed: Failed) -> None:
        """Count a message that could not leave, and say so in a later turn."""
        self.counters.failed += 1
        if failed is not None:
            self._reactor.callLater(0, failed)

    def opened(self, connection: TcpConnection) -> None:
        """Note a connection."""
        self._connections.add(connection)
        self.counters.connections = len(self._connections)

    def lost(self, connection: TcpConnection, *, by_us: bool) -> None:
        """Forget a connection; ``by_us`` says that it was idle, or broke a rule."""
        self._connections.discard(connection)
        self.counters.connections = len(self._connections)
        host, port = connection.flow.remote
        way = (host, port, connection.listening)
        outgoing = self._outgoing.get(way)
        if outgoing is not None and outgoing.connection is connection:
            del self._outgoing[way]
            if not by_us and self._connection_lost is not None and self._closed is None:
                self._connection_lost(Target(b"TCP", host, port))
        self._tell_if_closed()

    def _is_full(self) -> bool:
        return len(self._connections) + self._attempts >= self.limits.max_connections

    # -- the end ---------------------------------------------------------------------

    def close(self) -> Deferred[None]:
        """Stop accepting and connecting, let what is written leave, close everything.

        Fires when the last connection is gone, after ``CLOSE_WITHIN`` at the latest.
        """
        if self._closed is not None:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closed = closed
        stopped: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self._ports]
        for outgoing in list(self._outgoing.values()):
            if outgoing.attempt is not None:
                outgoing.attempt.cancel()
        for connection in list(self._connections):
            connection.close()
        cut = self._reactor.callLater(CLOSE_WITHIN, self._cut)
        self._tell_if_closed()
        everything = DeferredList([closed, *stopped], consumeErrors=True)

        def ended(_: object) -> None:
            if cut.active():
                cut.cancel()

        return everything.addCallback(ended)

    def _cut(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def _tell_if_closed(self) -> None:
        if self._closed is not None and not self._connections and not self._closed.called:
            self._closed.callback(None)


class _Accepting(Factory):
    noisy = False

    def __init__(self, streams: Streams, listening: ListenAddress) -> None:
        self._streams = streams
        self._listening = listening

    def logPrefix(self) -> str:  # noqa: N802  (what Twisted logs of the port)
        return str(self._listening)

    def buildProtocol(self, addr: IAddress | None) -> TcpConnection | None:  # noqa: N802
        peer = cast("IPv4Address | IPv6Address", addr)
        return self._streams.accepted(self._listening, (peer.host, peer.port))


class _Connecting(Factory):
    noisy = False

    def __init__(self, streams: Streams, way: Way) -> None:
        self._streams = streams
        self._way = way

    def buildProtocol(self, addr: IAddress | None) -> TcpConnection:  # noqa: N802
        host, port, listening = self._way
        return TcpConnection(self._streams, listening, (host, port), accepted=False)
