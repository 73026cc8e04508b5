"""A ``SocketSet`` on loopback that keeps what it hears, and raw peers to talk to it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support.log import KeptLog
from uacproxy.counters import OverloadCounters, TransportCounters
from uacproxy.ports import Flow, HostPort, Target
from uacproxy.settings import Address, ListenAddress, parse_listen
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.parse import MalformedMessage
from uacproxy.sip.via import Via
from uacproxy.transport.overload import Overload
from uacproxy.transport.sockets import SocketSet

reactor = cast(Any, installed_reactor)


def request(via: str, *, method: str = "OPTIONS", body: bytes = b"", branch: str = "1") -> bytes:
    """Return a request with this Via value (``branch`` is added)."""
    return (
        f"{method} sip:bob@example.com SIP/2.0\r\n"
        f"Via: {via};branch=z9hG4bK{branch}\r\n"
        "Max-Forwards: 70\r\n"
        "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n"
        f"Call-ID: call-{branch}\r\nCSeq: 1 {method}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def response(via: str) -> bytes:
    """Return a 200 with this Via value."""
    return (
        f"SIP/2.0 200 OK\r\nVia: {via};branch=z9hG4bK1\r\n"
        "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=2\r\n"
        "Call-ID: call-1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Service:
    """A socket set on the addresses given, and everything it delivered."""

    def __init__(
        self,
        *words: str,
        advertise: Address | None = None,
        limits: LimitSettings | None = None,
        idle: float = 900.0,
        message_timeout: float = 30.0,
    ) -> None:
        self.log = KeptLog()
        self.counters = TransportCounters()
        self.heard: DeferredQueue[tuple[Message, Flow]] = DeferredQueue()
        self.rejected: DeferredQueue[tuple[MalformedMessage, Flow]] = DeferredQueue()
        self.on_message: Callable[[Message, Flow], None] = lambda *_: None
        self.on_reject: Callable[[MalformedMessage, Flow], None] = lambda *_: None
        self.overload = Overload(
            delay=0.1,
            retry_after=6,
            counters=OverloadCounters(),
            seconds=reactor.seconds,
            log=self.log,
        )
        self.stateless_tag = b"refused"
        self.refused: list[tuple[Message, Flow, int]] = []
        self.sockets = SocketSet(
            reactor=reactor,
            listen=[parse_listen(word) for word in words],
            advertise=advertise,
            limits=limits or LimitSettings(),
            counters=self.counters,
            deliver=self._deliver,
            reject=self._reject,
            log=self.log,
            tcp_idle=idle,
            tcp_connect_timeout=5.0,
            tcp_message_timeout=message_timeout,
            overload=self.overload,
            transactions=self,
        )

    def is_own(self, _method: bytes, _via: Via) -> bool:
        """Have sent nothing."""
        return False

    def knows(self, _method: bytes, _key: bytes) -> bool:
        """Know no transaction."""
        return False

    def refuse(self, request: Message, flow: Flow, retry_after: int) -> None:
        """Note what was refused."""
        self.refused.append((request, flow, retry_after))

    def _deliver(self, message: Message, flow: Flow) -> None:
        self.heard.put((message, flow))
        self.on_message(message, flow)

    def _reject(self, error: MalformedMessage, flow: Flow) -> None:
        self.rejected.put((error, flow))
        self.on_reject(error, flow)

    async def __aenter__(self) -> Service:
        await self.sockets.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sockets.close()

    @property
    def listening(self) -> ListenAddress:
        """Return the first address bound."""
        return self.sockets.local_addresses[0]

    @property
    def here(self) -> HostPort:
        """Return host and port of the first address bound."""
        return self.listening.host, self.listening.port

    def flow_to(self, transport: bytes, remote: HostPort) -> Flow:
        """Return a flow that has to be there."""
        flow = self.sockets.way_out.flow_to(Target(transport, *remote))
        assert flow is not None
        return flow


class UdpPeer(DatagramProtocol):
    """A bound UDP socket; ``heard`` has what came, with its source."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.heard: DeferredQueue[tuple[bytes, HostPort]] = DeferredQueue()
        self._port = reactor.listenUDP(port, self, host, 65535)
        self.address: HostPort = (host, self._port.getHost().port)

    @property
    def sent_by(self) -> str:
        """Return HOST:PORT as a Via writes it."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: N802
        self.heard.put((datagram, (addr[0], addr[1])))

    def send(self, octets: bytes, to: HostPort) -> None:
        """Send one datagram."""
        cast(Any, self.transport).write(octets, to)

    async def __aenter__(self) -> UdpPeer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._port.stopListening()


class TcpPeer(Protocol):
    """One end of a connection; ``heard`` has the chunks, ``lost`` fires at the end."""

    def __init__(self) -> None:
        self.heard: DeferredQueue[bytes] = DeferredQueue()
        self.lost: Deferred[None] = Deferred()
        self.is_lost = False
        self.read = b""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.read += data
        self.heard.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        self.is_lost = True
        self.lost.callback(None)

    def send(self, octets: bytes) -> None:
        """Write."""
        cast(Any, self.transport).write(octets)

    @property
    def address(self) -> HostPort:
        """Return our own end."""
        host = cast(Any, self.transport).getHost()
        return host.host, host.port

    @property
    def remote(self) -> HostPort:
        """Return the other end."""
        peer = cast(Any, self.transport).getPeer()
        return peer.host, peer.port

    def stop_reading(self) -> None:
        """Leave what comes in the kernel's buffer."""
        cast(Any, self.transport).pauseProducing()

    async def hears(self, count: int) -> bytes:
        """Wait until ``count`` octets have come in all; return them all."""
        while len(self.read) < count:
            await self.heard.get()
        return self.read

    async def close(self) -> None:
        """Close, and wait until it is closed."""
        cast(Any, self.transport).loseConnection()
        if not self.is_lost:
            await self.lost

    def abort(self) -> None:
        """Reset the connection."""
        cast(Any, self.transport).abortConnection()


async def connect(to: HostPort) -> TcpPeer:
    """Connect a peer to ``to``."""
    kind = TCP6ClientEndpoint if ":" in to[0] else TCP4ClientEndpoint
    peer = await kind(reactor, *to).connect(Factory.forProtocol(TcpPeer))
    assert isinstance(peer, TcpPeer)
    return peer


class TcpServer(Factory):
    """Accepts on a free port; ``accepted`` has each connection."""

    protocol = TcpPeer
    noisy = False

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.accepted: DeferredQueue[TcpPeer] = DeferredQueue()
        self._port = reactor.listenTCP(port, self, interface=host)
        self.address: HostPort = (host, self._port.getHost().port)

    def buildProtocol(self, addr: object) -> TcpPeer:  # noqa: N802
        peer = TcpPeer()
        peer.connectionMade = lambda: self.accepted.put(peer)  # type: ignore[method-assign]
        return peer

    async def __aenter__(self) -> TcpServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._port.stopListening()


async def let_pass(seconds: float) -> None:
    """Give the reactor its turn; for what must not happen, never for what must."""
    passed: Deferred[None] = Deferred()
    reactor.callLater(seconds, passed.callback, None)
    await passed


async def until(holds: Callable[[], bool]) -> None:
    """Wait, turn by turn, until something that has no event of its own holds."""
    deadline = reactor.seconds() + 30.0
    while not holds():
        if reactor.seconds() > deadline:
            raise AssertionError("waited 30 s in vain")
        await let_pass(0.005)


def open_descriptors() -> Counter[str]:
    """Return what this process has open; a test has to add nothing to it for good."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that lists them
            found[os.readlink(f"/proc/self/fd/{number}")] += 1
    return found
