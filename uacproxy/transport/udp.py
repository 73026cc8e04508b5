"""SIP over UDP (RFC 3261 18): one bound socket, datagrams in and out, no decisions.

``UdpListener`` is the one place that knows how a datagram is read and written. It is a
descriptor of the reactor rather than a Twisted port: many datagrams are read for one
wake-up, and a write goes straight to the socket.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Final, final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from uacproxy.counters import TransportCounters
from uacproxy.ports import Flow, HostPort
from uacproxy.settings import ListenAddress
from uacproxy.sip.via import Via
from uacproxy.transport.addresses import address_in_reference
from uacproxy.transport.icmp import Address, ask_for_errors, read_errors
from uacproxy.transport.inbound import Inbound
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.reactor import SocketReactor

MAX_DATAGRAM: Final = 65535  # octets
READ_AT_ONCE: Final = 64  # datagrams a wake-up, so that timers and other sockets get their turn
MAX_WAITING: Final = 1024  # datagrams that wait for room in the kernel's buffer
MAX_FLOWS: Final = 8192  # remembered; a forgotten one is made anew

Failed = Callable[[], None] | None


@final
class UdpFlow:
    """A listener and a remote address; kept per remote, so compare flows by ``remote``."""

    __slots__ = ("_listener", "_sent_by", "address", "last_failed", "remote")

    transport: Final = b"UDP"
    reliable: Final = False

    def __init__(self, listener: UdpListener, address: Address) -> None:
        self._listener = listener
        self._sent_by = b""
        self.address = address  # as the socket takes it
        self.remote: HostPort = (address[0], address[1])
        self.last_failed: Failed = None  # of the latest send, until the peer says something

    @property
    def sent_by(self) -> bytes:
        """Return HOST:PORT of the listener as this peer reaches it."""
        if not self._sent_by:
            self._sent_by = self._listener.sent_by(self.remote[0])
        return self._sent_by

    @property
    def local(self) -> HostPort:
        """Return what the listener is bound to."""
        return self._listener.local

    def send(self, octets: bytes, failed: Failed) -> None:
        """Send one datagram.

        ``failed`` hears of what the system refuses, and of an ICMP error that comes back
        before the next send on this flow and before the peer's next datagram. A datagram
        dropped because the system's buffer is full counts as lost in the network.
        """
        if failed is not None:
            self.last_failed = failed
        self._listener.write(octets, self.address, failed)

    def answering(self, via: Via) -> Flow:
        """Return the flow for responses: maddr, else back where it came from.

        To the source port where ``rport`` was asked for, else to the sent-by port. A
        maddr that is no address of the listener's family is passed over: a name cannot be
        looked up for a datagram that leaves now.
        """
        if via.maddr:
            host = address_in_reference(via.maddr)
            if host is not None and (":" in host) == (":" in self.remote[0]):
                return self._listener.flow(host, via.port)
        if via.rport is not None or via.port == self.remote[1]:
            return self
        return self._listener.flow_like(self.address, via.port)


@final
@implementer(IReadWriteDescriptor)
class UdpListener:
    """One bound socket; open from its making to ``close``."""

    def __init__(
        self,
        bound: socket.socket,
        listening: ListenAddress,
        *,
        reactor: SocketReactor,
        inbound: Inbound,
        names: OwnNames,
        counters: TransportCounters,
    ) -> None:
        """Take over a bound, non-blocking socket and start reading.

        Args:
            bound: closed by ``close``.
            listening: what it is bound to, with the real port.
            reactor: tells when there is something to read.
            inbound: takes each datagram with its flow.
            names: answers for sent-by.
            counters: shared with all sockets.
        """
        self.listening = listening
        self.local: HostPort = (listening.host, listening.port)
        self._socket = bound
        self._reactor = reactor
        self._inbound = inbound
        self._names = names
        self._counters = counters
        self._flows: dict[Address, UdpFlow] = {}
        self._waiting: deque[tuple[bytes, Address, Failed]] = deque()
        self._open = True
        ask_for_errors(bound)
        reactor.addReader(self)

    # -- flows -----------------------------------------------------------------------

    def flow(self, host: str, port: int) -> UdpFlow:
        """Return the flow to an address of the listener's family, canonical, no zone."""
        address: Address = (host, port, 0, 0) if ":" in host else (host, port)
        return self._flows.get(address) or self._new_flow(address)

    def flow_like(self, address: Address, port: int) -> UdpFlow:
        """Return the flow to another port of the same host, in the same zone."""
        if len(address) == 4:
            other: Address = (address[0], port, address[2], address[3])
        else:
            other = (address[0], port)
        return self._flows.get(other) or self._new_flow(other)

    def sent_by(self, remote: str) -> bytes:
        """Return how a peer at ``remote`` is told to reach this listener."""
        return self._names.sent_by(self.listening, remote)

    def _new_flow(self, address: Address) -> UdpFlow:
        flows = self._flows
        if len(flows) >= MAX_FLOWS:
            del flows[next(iter(flows))]
        flow = UdpFlow(self, address)
        flows[address] = flow
        return flow

    # -- writing ---------------------------------------------------------------------

    def write(self, octets: bytes, address: Address, failed: Failed) -> None:
        """Send a datagram now, or queue it while the kernel has no room."""
        if self._waiting:
            self._wait(octets, address, failed)
            return
        try:
            self._socket.sendto(octets, address)
        except BlockingIOError:
            self._wait(octets, address, failed)
        except OSError:
            self._write_again(octets, address, failed)
        else:
            self._counters.sent += 1

    def _write_again(self, octets: bytes, address: Address, failed: Failed) -> None:
        """Try once more: the error may have been that of an earlier datagram."""
        self._errors_arrived()
        try:
            self._socket.sendto(octets, address)
        except OSError:
            self._counters.failed += 1
            if failed is not None:
                self._reactor.callLater(0, failed)
        else:
            self._counters.sent += 1

    def _wait(self, octets: bytes, address: Address, failed: Failed) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._counters.dropped += 1
            return
        self._waiting.append((octets, address, failed))
        self._reactor.addWriter(self)

    def doWrite(self) -> None:  # noqa: N802  (Twisted's name)
        """Send what waits, as far as there is room."""
        while self._waiting:
            octets, address, failed = self._waiting[0]
            try:
                self._socket.sendto(octets, address)
            except BlockingIOError:
                return
            except OSError:
                self._write_again(octets, address, failed)
            else:
                self._counters.sent += 1
            self._waiting.popleft()
        self._reactor.removeWriter(self)

    # -- reading ---------------------------------------------------------------------

    def doRead(self) -> None:  # noqa: N802  (Twisted's name)
        """Read until there is nothing left, at most ``READ_AT_ONCE`` datagrams."""
        flows = self._flows
        receive = self._inbound.datagram_received
        for _ in range(READ_AT_ONCE):
            if not self._open:
                return
            try:
                octets, address = self._socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                self._errors_arrived()
                continue
            flow = flows.get(address) or self._new_flow(address)
            flow.last_failed = None
            receive(octets, flow)

    def _errors_arrived(self) -> None:
        if not self._open:
            return
        for address in read_errors(self._socket):
            self._counters.unreachable += 1
            flow = self._flows.get(address)
            if flow is not None and flow.last_failed is not None:
                self._counters.failed += 1
                self._reactor.callLater(0, flow.last_failed)
                flow.last_failed = None

    # -- the descriptor --------------------------------------------------------------

    def fileno(self) -> int:
        """Return the number the reactor watches."""
        return self._socket.fileno()

    def logPrefix(self) -> str:  # noqa: N802  (Twisted's name)
        """Name the socket in log lines."""
        return str(self.listening)

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  (Twisted's name)
        """Go on after an error condition, which reactors take for the end of a connection.

        Only an ICMP error without a datagram to read gets here while the service runs; a
        reactor that shuts down gives another reason.
        """
        if self._open and isinstance(reason.value, ConnectionDone):
            self._errors_arrived()
            self._reactor.addReader(self)
            if self._waiting:
                self._reactor.addWriter(self)
        else:
            self.close()

    def close(self) -> None:
        """Read and write no more; what waits is dropped, later sends fail."""
        if not self._open:
            return
        self._open = False
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._counters.dropped += len(self._waiting)
        self._waiting.clear()
        self._flows.clear()
        self._socket.close()
