"""Datagrams of one bound socket, to and from flows: no descriptor, no reactor, no decisions.

``UdpListener`` is the descriptor around it. What is sent while a burst is read, or between
``gather`` and ``flush``, leaves together at its end, or when ``GATHERED`` datagrams are
ready: one call of the kernel for many. Outside a burst a datagram leaves at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, final

from uacproxy.counters import TransportCounters
from uacproxy.ports import Flow, HostPort
from uacproxy.settings import ListenAddress
from uacproxy.sip.via import Via
from uacproxy.transport.addresses import address_in_reference
from uacproxy.transport.inbound import Inbound
from uacproxy.transport.overload import Queue
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.wire import READ_AT_ONCE, Address, Wire

MAX_WAITING: Final = 1024  # datagrams that wait for room in the kernel's buffer
MAX_FLOWS: Final = 8192  # remembered; a forgotten one is made anew
READ_IN_CROWD: Final = 256  # datagrams a wake-up while too much waits: who belongs is sought
GATHERED: Final = 32  # datagrams sent together: more would save little, and wait longer

Failed = Callable[[], None] | None
Later = Callable[[float, Callable[[], None]], object]
Look = Callable[[], tuple[float, float]]


@final
class UdpFlow(Flow):
    """A socket and a remote address; kept per remote, so compare flows by ``remote``."""

    def __init__(self, datagrams: Datagrams, where: object, address: Address) -> None:
        super().__init__(b"UDP", (address[0], address[1]), datagrams.local, reliable=False)
        self._datagrams = datagrams
        self._sent_by = b""
        self.where = where  # the address as the wire takes it
        self.address = address
        self.last_failed: Failed = None  # of the latest send, until the peer says something

    @property
    def sent_by(self) -> bytes:
        """Return HOST:PORT of the listener as this peer reaches it."""
        sent_by = self._sent_by
        if not sent_by:
            sent_by = self._datagrams.sent_by(self.remote[0])
            if self._datagrams.is_fixed:
                self._sent_by = sent_by
        return sent_by

    def send(self, octets: bytes, failed: Failed) -> None:
        """Send one datagram.

        ``failed`` hears of what the system refuses, and of an ICMP error that comes back
        before the next send on this flow and before the peer's next datagram. A datagram
        dropped because the system's buffer is full counts as lost in the network.
        """
        if failed is not None:
            self.last_failed = failed
        self._datagrams.write(octets, self.where, failed)

    def answering(self, via: Via) -> Flow:
        """Return the flow for responses: maddr, else back where it came from.

        To the source port where ``rport`` was asked for, else to the sent-by port. A
        maddr that is no address of the listener's family is passed over: a name cannot be
        looked up for a datagram that leaves now.
        """
        if via.maddr:
            host = address_in_reference(via.maddr)
            if host is not None and (":" in host) == (":" in self.remote[0]):
                return self._datagrams.flow(host, via.port)
        if via.rport is not None or via.port == self.remote[1]:
            return self
        return self._datagrams.flow_like(self.address, via.port)


@final
class Datagrams:
    """What one bound socket reads and writes."""

    def __init__(
        self,
        wire: Wire,
        listening: ListenAddress,
        *,
        inbound: Inbound,
        names: OwnNames,
        counters: TransportCounters,
        later: Later,
        errors: Callable[[], Iterable[Address]],
        full: Callable[[], None],
        backlog: Look,
        queue: Queue,
    ) -> None:
        """Begin with nothing known.

        Args:
            wire: of the socket.
            listening: what it is bound to, with the real port.
            inbound: takes each datagram with its flow.
            names: answers for sent-by.
            counters: shared with all sockets.
            later: calls in a later turn.
            errors: tells which addresses were reported as unreachable.
            full: hears that datagrams wait for room: ``room`` is to be called when there is.
            backlog: tells what waits in the kernel, see ``Backlog.look``.
            queue: hears of that.
        """
        self.local: HostPort = (listening.host, listening.port)
        self.is_open = True
        self.is_fixed = names.is_fixed(listening)
        """A wildcard listener is named by an address of the machine, which may change."""
        self._listening = listening
        self._wire = wire
        self._inbound = inbound
        self._names = names
        self._counters = counters
        self._later = later
        self._errors = errors
        self._full = full
        self._backlog = backlog
        self._queue = queue
        self._flows: dict[object, UdpFlow] = {}  # by where
        self._gathering = False  # while a burst is read, or others want it
        self._octets: list[bytes] = []  # to be sent together, side by side with the next two
        self._wheres: list[object] = []
        self._failed: list[Failed] = []
        self._waiting: list[tuple[bytes, object, Failed]] = []  # for room in the kernel
        self._missed = 0  # as the kernel counts

    @property
    def waits(self) -> bool:
        """Tell whether datagrams wait for room."""
        return len(self._waiting) > 0

    # -- flows -----------------------------------------------------------------------

    def flow(self, host: str, port: int) -> UdpFlow:
        """Return the flow to an address of the listener's family, canonical, no zone."""
        address: Address = (host, port, 0, 0) if ":" in host else (host, port)
        return self._flow(self._wire.where(address))

    def flow_like(self, address: Address, port: int) -> UdpFlow:
        """Return the flow to another port of the same host, in the same zone."""
        if len(address) == 4:
            other: Address = (address[0], port, address[2], address[3])
        else:
            other = (address[0], port)
        return self._flow(self._wire.where(other))

    def sent_by(self, remote: str) -> bytes:
        """Return how a peer at ``remote`` is told to reach this listener."""
        return self._names.sent_by(self._listening, remote)

    def _flow(self, where: object) -> UdpFlow:
        flows = self._flows
        flow = flows.get(where)
        if flow is None:
            if len(flows) >= MAX_FLOWS:
                del flows[next(iter(flows))]
            flow = UdpFlow(self, where, self._wire.address(where))
            flows[where] = flow
        return flow

    # -- writing ---------------------------------------------------------------------

    def write(self, octets: bytes, where: object, failed: Failed) -> None:
        """Send a datagram, at the end of the burst if there is one."""
        if self._waiting:
            self._wait(octets, where, failed)
            return
        self._octets.append(octets)
        self._wheres.append(where)
        self._failed.append(failed)
        if not self._gathering or len(self._octets) >= GATHERED:
            self._flush()

    def gather(self) -> None:
        """Keep what is sent until ``flush``: there is more to come."""
        self._gathering = True

    def flush(self) -> None:
        """Send what was gathered, and the next at once."""
        self._gathering = False
        self._flush()

    def room(self) -> None:
        """Send what waits, as far as there is room."""
        waiting = self._waiting
        self._waiting = []
        for octets, where, failed in waiting:
            self._octets.append(octets)
            self._wheres.append(where)
            self._failed.append(failed)
        self._flush()

    def _flush(self) -> None:
        octets = self._octets
        wheres = self._wheres
        failed = self._failed
        if not octets:
            return
        self._octets = []
        self._wheres = []
        self._failed = []
        count = len(octets)
        at = 0
        refused = -1
        while at < count:
            try:
                sent = self._wire.send(octets, wheres, at)
            except BlockingIOError:
                for index in range(at, count):
                    self._wait(octets[index], wheres[index], failed[index])
                break
            except OSError:
                self.errors_arrived()
                if refused == at:
                    self._counters.failed += 1
                    told = failed[at]
                    if told is not None:
                        self._later(0, told)
                    at += 1
                else:
                    refused = at  # once more: the error may be that of an earlier datagram
                continue
            self._counters.sent += sent - at
            at = sent

    def _wait(self, octets: bytes, where: object, failed: Failed) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._counters.dropped += 1
            return
        self._waiting.append((octets, where, failed))
        if len(self._waiting) == 1:
            self._full()

    # -- reading ---------------------------------------------------------------------

    def read(self) -> None:
        """Read a burst, and send what was sent meanwhile."""
        octets: list[bytes] = []
        wheres: list[object] = []
        try:
            missed = self._wire.receive(octets, wheres)
        except OSError:
            self.errors_arrived()
            return
        if missed >= 0 and missed != self._missed:
            self._counters.missed += (missed - self._missed) & 0xFFFFFFFF
            self._missed = missed
        queue = self._queue
        if len(octets) >= READ_AT_ONCE:
            self._look_back()
        elif queue.is_stirred:
            queue.seen(0.0, 0.0)  # nothing is left waiting
        self._gathering = True
        if queue.is_crowded:
            self._read_in_crowd(octets, wheres)
        else:
            self._take(octets, wheres)
        self.flush()

    def take_handed(self, octets: list[bytes], wheres: list[object]) -> None:
        """Take datagrams that another worker has read; that may come while we read."""
        was_gathering = self._gathering
        self._gathering = True
        if self._queue.is_crowded:
            self._take_crowd(octets, wheres)
        else:
            self._take(octets, wheres)
        if not was_gathering:
            self.flush()

    def _take(self, octets: list[bytes], wheres: list[object]) -> None:
        flows = self._flows
        inbound = self._inbound
        for index, one in enumerate(octets):
            where = wheres[index]
            flow = flows.get(where)
            if flow is None:
                flow = self._flow(where)
            flow.last_failed = None
            inbound.datagram_received(one, flow)
            if not self.is_open:
                break

    def _read_in_crowd(self, octets: list[bytes], wheres: list[object]) -> None:
        """Read on, and take what begins something behind all that does not."""
        had = 0
        while had < len(octets) < READ_IN_CROWD:
            had = len(octets)
            if had % READ_AT_ONCE:
                break
            try:
                self._wire.receive(octets, wheres)
            except OSError:
                self.errors_arrived()
                break
        self._take_crowd(octets, wheres)

    def _take_crowd(self, octets: list[bytes], wheres: list[object]) -> None:
        flows: list[Flow] = []
        for where in wheres:
            flow = self._flow(where)
            flow.last_failed = None
            flows.append(flow)
        self._inbound.crowd_received(octets, flows, self._queue)

    def _look_back(self) -> None:
        """Tell the queue what waits behind a full burst."""
        for _ in range(2):  # the first may meet the error of an earlier datagram
            try:
                waited, filled = self._backlog()
            except OSError:
                self.errors_arrived()
                continue
            self._queue.seen(waited, filled)
            return

    def errors_arrived(self) -> None:
        """Tell whoever sent last to an address that could not be reached."""
        if not self.is_open:
            return
        for address in self._errors():
            self._counters.unreachable += 1
            self.unreachable(self._wire.where(address))

    def unreachable(self, where: object) -> None:
        """Tell whoever sent last to an address."""
        flow = self._flows.get(where)
        if flow is not None and flow.last_failed is not None:
            self._counters.failed += 1
            self._later(0, flow.last_failed)
            flow.last_failed = None

    def close(self) -> None:
        """Read and write no more; what waits is dropped, later sends fail."""
        self._flush()
        self.is_open = False
        self._counters.dropped += len(self._waiting)
        self._waiting.clear()
        self._flows.clear()
