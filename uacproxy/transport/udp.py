"""SIP over UDP (RFC 3261 18): the descriptor of one bound socket.

``UdpListener`` is a descriptor of the reactor rather than a Twisted port: many datagrams
are read for one wake-up. What is done with them is in ``datagrams``.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from uacproxy.counters import TransportCounters
from uacproxy.settings import ListenAddress
from uacproxy.transport.backlog import Backlog
from uacproxy.transport.datagrams import Datagrams, UdpFlow
from uacproxy.transport.icmp import ask_for_errors, read_errors
from uacproxy.transport.inbound import Inbound
from uacproxy.transport.letters import Kind, Letter
from uacproxy.transport.linger import Linger
from uacproxy.transport.overload import Queue
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.post import Post
from uacproxy.transport.reactor import SocketReactor
from uacproxy.transport.wire import Address, Wire


@final
@implementer(IReadWriteDescriptor)
class UdpListener:
    """One bound socket; open from its making to ``close``."""

    def __init__(
        self,
        bound: socket.socket,
        wire: Wire,
        listening: ListenAddress,
        *,
        reactor: SocketReactor,
        inbound: Inbound,
        names: OwnNames,
        counters: TransportCounters,
        queue: Queue,
        linger: Linger,
        post: Post | None = None,
        index: int = 0,
    ) -> None:
        """Take over a bound, non-blocking socket and start reading.

        Args:
            bound: closed by ``close``.
            wire: of that socket.
            listening: what it is bound to, with the real port.
            reactor: tells when there is something to read.
            inbound: takes each datagram with its flow.
            names: answers for sent-by.
            counters: shared with all sockets.
            queue: of that socket.
            linger: shared with all sockets; reads on while traffic is dense.
            post: to the other workers, which have sockets of the same address; None: nobody
                else has.
            index: of this listener, the same at every worker.
        """
        self.listening = listening
        self._socket = bound
        self._reactor = reactor
        self._wire = wire
        self._post = post
        self._index = index
        self._datagrams = Datagrams(
            wire,
            listening,
            inbound=inbound,
            names=names,
            counters=counters,
            later=reactor.callLater,
            errors=self._read_errors,
            full=lambda: reactor.addWriter(self),
            backlog=Backlog(bound, time.time).look,
            queue=queue,
        )
        self._linger = linger
        ask_for_errors(bound)
        linger.add(bound.fileno(), self._datagrams.read)
        reactor.addReader(self)

    def flow(self, host: str, port: int) -> UdpFlow:
        """Return the flow to an address of the listener's family, canonical, no zone."""
        return self._datagrams.flow(host, port)

    def gather(self) -> None:
        """Keep what is sent until ``flush``."""
        self._datagrams.gather()

    def flush(self) -> None:
        """Send what was gathered."""
        self._datagrams.flush()

    def take_letters(self, letters: list[Letter]) -> None:
        """Take datagrams that another worker has read."""
        unpacked = self._wire.unpacked
        self._datagrams.take_handed(
            [letter.octets for letter in letters], [unpacked(letter.place) for letter in letters]
        )

    def unreachable(self, place: bytes) -> None:
        """Hear of an ICMP error that another worker has read."""
        self._datagrams.unreachable(self._wire.unpacked(place))

    def _read_errors(self) -> Iterator[Address]:
        """Yield who was reported as unreachable; the other workers may have sent it, so tell."""
        for address in read_errors(self._socket):
            if self._post is not None:
                place = self._wire.packed(self._wire.where(address))
                self._post.put_to_others(Kind.UNREACHABLE, listener=self._index, place=place)
            yield address

    def doRead(self) -> None:  # noqa: N802  (Twisted's name)
        """Read what waits, and while traffic is dense what comes next."""
        self._datagrams.read()
        self._linger.read_on()

    def doWrite(self) -> None:  # noqa: N802  (Twisted's name)
        """Send what waits, as far as there is room."""
        self._datagrams.room()
        if not self._datagrams.waits:
            self._reactor.removeWriter(self)

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
        if self._datagrams.is_open and isinstance(reason.value, ConnectionDone):
            self._datagrams.errors_arrived()
            self._reactor.addReader(self)
            if self._datagrams.waits:
                self._reactor.addWriter(self)
        else:
            self.close()

    def close(self) -> None:
        """Read and write no more; what waits is dropped, later sends fail."""
        if not self._datagrams.is_open:
            return
        self._linger.remove(self._socket.fileno())
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._datagrams.close()
        self._socket.close()
