"""By which of our listeners a message leaves (``ports.Transports``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, final

from uacproxy.flow import Flow
from uacproxy.ports import Target
from uacproxy.settings import ListenAddress
from uacproxy.transport.addresses import (
    FORGET_AFTER,
    LocalAddresses,
    canonical_address,
    family_of,
    is_loopback,
    is_wildcard,
)
from uacproxy.transport.own_names import OwnNames

MAX_FOUND: Final = 4096  # targets whose flow is remembered

FlowFrom = Callable[[ListenAddress, str, int], Flow]


@final
class WayOut:
    """Finds the flow to a target, and says what is ours."""

    def __init__(
        self,
        *,
        udp: Mapping[ListenAddress, object],
        tcp: list[ListenAddress],
        udp_flow: FlowFrom,
        tcp_flow: FlowFrom,
        addresses: LocalAddresses,
        names: OwnNames,
    ) -> None:
        """Begin; listeners may come later.

        Args:
            udp: our listeners on UDP, in the order of the setting.
            tcp: those on TCP.
            udp_flow: makes a flow from one of the former to an address.
            tcp_flow: the same from one of the latter.
            addresses: says which of our addresses the kernel would send from.
            names: of ours.
        """
        self._udp = udp
        self._tcp = tcp
        self._udp_flow = udp_flow
        self._tcp_flow = tcp_flow
        self._addresses = addresses
        self._names = names
        self._found: dict[Target, Flow] = {}  # UDP flows, by the target they were asked for
        self._found_since = 0.0  # of several listeners the nearest may be another after a while

    def flow_to(self, target: Target, socket: ListenAddress | None = None) -> Flow | None:
        """Return a flow to an address; None for a transport or family we do not listen on.

        Of several listeners the best is the one bound to the address the kernel would
        send from; then one on loopback for a loopback target; then a wildcard; then the
        first in the order of the setting, loopback last. A TCP connection is opened by
        the first send and comes from the chosen listener's address.

        Args:
            target: where to.
            socket: the listener to leave from; None where that is not it, or does not
                fit the target.
        """
        if socket is not None:
            return self._flow_from(socket, target)
        if len(self._udp) > 1 and self._addresses.seconds() - self._found_since > FORGET_AFTER:
            self._found_since = self._addresses.seconds()
            self._found.clear()
        known = self._found.get(target)
        if known is not None:
            return known
        host = canonical_address(target.host)
        if host is None:
            return None
        if target.transport == b"UDP":
            chosen = self._nearest(self._udp, host)
            if chosen is None:
                return None
            if len(self._found) >= MAX_FOUND:
                self._found.clear()
            flow = self._udp_flow(chosen, host, target.port)
            self._found[target] = flow
            return flow
        if target.transport == b"TCP":
            chosen = self._nearest(self._tcp, host)
            return None if chosen is None else self._tcp_flow(chosen, host, target.port)
        return None

    def _flow_from(self, socket: ListenAddress, target: Target) -> Flow | None:
        listening = self._listening_on(socket)
        host = canonical_address(target.host)
        if listening is None or host is None or target.transport != listening.transport:
            return None
        if family_of(host) != family_of(listening.host):
            return None
        flow_from = self._udp_flow if listening in self._udp else self._tcp_flow
        return flow_from(listening, host, target.port)

    def forget(self) -> None:
        """Keep no flow alive."""
        self._found.clear()

    def listens_on(self, socket: ListenAddress) -> bool:
        """Tell whether ``socket`` is bound; an address may be spelled another way."""
        return self._listening_on(socket) is not None

    def _listening_on(self, socket: ListenAddress) -> ListenAddress | None:
        host = canonical_address(socket.host)
        for each in [*self._udp, *self._tcp]:
            if each.transport == socket.transport and each.port == socket.port:
                if canonical_address(each.host) == host:
                    return each
        return None

    def is_ours(self, host: bytes, port: int | None, transport: bytes | None) -> bool:
        """Tell whether a URI or sent-by names one of our listeners; see ``OwnNames``."""
        return self._names.is_ours(host, port, transport)

    def _nearest(self, listening: Iterable[ListenAddress], host: str) -> ListenAddress | None:
        fitting = [each for each in listening if (":" in each.host) == (":" in host)]
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        source = self._addresses.toward(host)
        return min(fitting, key=lambda each: _distance(each.host, host, source))


def _distance(bound: str, host: str, source: str) -> int:
    if canonical_address(bound) == source:
        return 0
    if is_loopback(bound):
        return 1 if is_loopback(host) else 4
    return 2 if is_wildcard(bound) else 3
