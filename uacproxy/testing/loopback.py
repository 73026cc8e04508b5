"""A network in memory that loses, doubles and disorders datagrams, the same way each time.

Endpoints fit ``ports.Transports``, their flows ``ports.Flow``; what arrives goes through
the same ``Inbound`` as from a socket, so ``received`` and ``rport`` are there. Time is a
clock of the test's, chance a seeded generator.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from uacproxy.counters import TransportCounters
from uacproxy.ports import Clock, Flow, HostPort, Log, Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.via import Via
from uacproxy.transport.addresses import LocalAddresses, reference_of
from uacproxy.transport.inbound import Deliver, Inbound, Reject
from uacproxy.transport.own_names import OwnNames

Failed = Callable[[], None] | None

_OVERTAKEN: Final = (1.5, 3.0)  # times the usual delay, for a datagram that others overtake


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What happens on the way: chances from 0 to 1, ``delay`` in seconds one way."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay: float = 0.01

    def fate(self, chance: random.Random) -> list[float]:
        """Return the delay of each copy that arrives: none, one or two."""
        if chance.random() < self.loss:
            return []
        copies = 2 if chance.random() < self.duplication else 1
        return [self._delay(chance) for _ in range(copies)]

    def _delay(self, chance: random.Random) -> float:
        if chance.random() < self.reordering:
            return self.delay * chance.uniform(*_OVERTAKEN)
        return self.delay


FAIR: Final = Weather()


class Datagram(NamedTuple):
    """One send, as it was before the network had its way with it."""

    at: float  # s
    source: HostPort
    destination: HostPort
    octets: bytes

    @property
    def first_word(self) -> bytes:
        """Return the method of a request, the status code of a response."""
        words = self.octets.split(b" ", 2)
        return words[1] if words[0] == b"SIP/2.0" else words[0]


@final
class Network:
    """The wires between endpoints; ``sent`` has every datagram in the order of sending."""

    def __init__(self, clock: Clock, *, weather: Weather = FAIR, seed: int = 0) -> None:
        self.clock = clock
        self.weather = weather  # may be changed at any time
        self.sent: list[Datagram] = []
        self.swallows: Callable[[Datagram], bool] = lambda _: False  # for a loss of one's choice
        self._chance = random.Random(seed)
        self._endpoints: dict[HostPort, Endpoint] = {}

    def endpoint(
        self,
        host: str,
        port: int,
        *,
        deliver: Deliver,
        reject: Reject | None = None,
        log: Log,
    ) -> Endpoint:
        """Attach an endpoint.

        Args:
            host: an IPv4 or IPv6 address; it need not be one of this machine.
            port: of the endpoint.
            deliver: hears of each sound message, as from a socket.
            reject: hears of broken requests; absent: they are only counted.
            log: hears of exceptions out of ``deliver``.
        """
        made = Endpoint(self, (host, port), deliver, reject or (lambda _error, _flow: None), log)
        self._endpoints[host, port] = made
        return made

    def detach(self, endpoint: Endpoint) -> None:
        """Take an endpoint off: what is sent to it from now on fails."""
        self._endpoints.pop(endpoint.address, None)

    def carry(self, source: HostPort, destination: HostPort, octets: bytes, failed: Failed) -> None:
        """Deliver a datagram as the weather has it.

        To an address without an endpoint it fails in a later turn, as by an ICMP error.
        """
        datagram = Datagram(self.clock.seconds(), source, destination, octets)
        self.sent.append(datagram)
        if destination not in self._endpoints:
            if failed is not None:
                self.clock.callLater(self.weather.delay, failed)
            return
        if self.swallows(datagram):
            return
        for delay in self.weather.fate(self._chance):
            self.clock.callLater(delay, self._arrive, datagram)

    def _arrive(self, datagram: Datagram) -> None:
        endpoint = self._endpoints.get(datagram.destination)
        if endpoint is not None:
            endpoint.arrived(datagram.octets, datagram.source)


@final
class Endpoint:
    """One UDP address on the network."""

    def __init__(
        self, network: Network, address: HostPort, deliver: Deliver, reject: Reject, log: Log
    ) -> None:
        self.network = network
        self.address = address
        self.counters = TransportCounters()
        self._flows: dict[HostPort, LoopbackFlow] = {}
        self._names = OwnNames(None, LocalAddresses(network.clock.seconds))
        self._names.add(ListenAddress(b"UDP", *address))
        self._inbound = Inbound(
            limits=LimitSettings(),
            counters=self.counters,
            is_ours=self._names.is_ours,
            deliver=deliver,
            reject=reject,
            clock=network.clock,
            log=log,
        )

    def flow(self, remote: HostPort) -> LoopbackFlow:
        """Return the flow to an address."""
        flow = self._flows.get(remote)
        if flow is None:
            flow = LoopbackFlow(self, remote)
            self._flows[remote] = flow
        return flow

    def flow_to(self, target: Target, socket: ListenAddress | None = None) -> Flow | None:
        """Return a flow to a UDP target; there is no other transport here."""
        if socket is not None and not self.listens_on(socket):
            return None
        return self.flow((target.host, target.port)) if target.transport == b"UDP" else None

    def listens_on(self, socket: ListenAddress) -> bool:
        """Tell whether ``socket`` is this endpoint."""
        return socket == (b"UDP", *self.address)

    def is_ours(self, host: bytes, port: int | None, transport: bytes | None) -> bool:
        """Tell whether a URI or sent-by names this endpoint."""
        return self._names.is_ours(host, port, transport)

    def arrived(self, octets: bytes, source: HostPort) -> None:
        """Take a datagram off the wire."""
        self._inbound.datagram_received(octets, self.flow(source))


@final
class LoopbackFlow(Flow):
    """From one endpoint to an address."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: Endpoint, remote: HostPort) -> None:
        super().__init__(b"UDP", remote, endpoint.address, reliable=False)
        self._endpoint = endpoint

    @property
    def sent_by(self) -> bytes:
        """Return HOST:PORT of the endpoint."""
        host, port = self._endpoint.address
        return reference_of(host) + b":%d" % port

    def send(self, octets: bytes, failed: Failed) -> None:
        """Send one datagram."""
        self._endpoint.counters.sent += 1
        self._endpoint.network.carry(self.local, self.remote, octets, failed)

    def answering(self, via: Via) -> Flow:
        """Return the flow for responses, as UDP has it."""
        if via.rport is not None:
            return self
        return self._endpoint.flow((self.remote[0], via.port))
