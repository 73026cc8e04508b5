"""Bad weather on real sockets: a UDP relay that loses, doubles and disorders datagrams.

It stands before one service, as a NAT would: each peer that sends to the relay gets a
socket of its own towards the service, and what comes back on it goes to that peer. A
service that advertises the relay's address gets later requests of a dialog through it too.
"""

from __future__ import annotations

import random
from typing import Any, cast, final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol

from uacproxy.ports import HostPort
from uacproxy.testing.loopback import FAIR, Weather

_MAX_DATAGRAM = 65535  # octets


@final
class Relay:
    """One relay; ``address`` is where peers send to."""

    def __init__(
        self,
        reactor: Any,
        service: HostPort,
        *,
        host: str = "127.0.0.1",
        weather: Weather = FAIR,
        seed: int = 0,
    ) -> None:
        self.weather = weather  # may be changed at any time
        self.lost = 0
        self.doubled = 0
        self._reactor = reactor
        self._service = service
        self._host = host
        self._chance = random.Random(seed)
        self._backs: dict[HostPort, _Side] = {}
        self._ports: list[IListeningPort] = []
        self._front = self.side(None)
        self.address: HostPort = self._front.address

    def side(self, peer: HostPort | None) -> _Side:
        """Open a socket: the front one, or one toward the service for ``peer``."""
        side = _Side(self, peer)
        port = self._reactor.listenUDP(0, side, self._host, _MAX_DATAGRAM)
        side.address = (self._host, port.getHost().port)
        self._ports.append(port)
        return side

    def arrived(self, octets: bytes, source: HostPort, peer: HostPort | None) -> None:
        """Pass a datagram on, as the weather has it: ``peer`` None came in at the front."""
        delays = self.weather.fate(self._chance)
        self.lost += not delays
        self.doubled += len(delays) > 1
        for delay in delays:
            self._reactor.callLater(delay, self._pass_on, octets, source, peer)

    def _pass_on(self, octets: bytes, source: HostPort, peer: HostPort | None) -> None:
        if not self._ports:
            return
        if peer is not None:
            self._front.write(octets, peer)
            return
        back = self._backs.get(source)
        if back is None:
            back = self.side(source)
            self._backs[source] = back
        back.write(octets, self._service)

    def close(self) -> Deferred[Any]:
        """Close every socket."""
        ports, self._ports = self._ports, []
        closing: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in ports]
        return DeferredList(closing)


@final
class _Side(DatagramProtocol):
    def __init__(self, relay: Relay, peer: HostPort | None) -> None:
        self.address: HostPort = ("", 0)
        self._relay = relay
        self._peer = peer

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: N802
        self._relay.arrived(datagram, (addr[0], addr[1]), self._peer)

    def write(self, octets: bytes, to: HostPort) -> None:
        cast(Any, self.transport).write(octets, to)
