"""By which host and port we are known: sent-by values, and what of a peer's is ours.

RFC 3261 18.1.1 (sent-by), 18.1.2 (responses must carry ours), 16.4 and 16.5 (Route and
Request-URI that name us).
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.settings import Address, ListenAddress
from uacproxy.sip.via import DEFAULT_PORTS
from uacproxy.transport.addresses import (
    LocalAddresses,
    address_in_reference,
    canonical_address,
    family_of,
    is_wildcard,
    reference_of,
)

MAX_ANSWERS: Final = 4096  # names remembered as ours or not
_LONGEST: Final = 255  # octets of a host's name (RFC 1035 2.3.4); a longer one is not remembered

_ANY_TRANSPORT: Final = b""


@final
class _Asked:
    """A name that is ours: most responses carry the same one."""

    __slots__ = ("host", "port", "transport")

    def __init__(self, host: bytes, port: int, transport: bytes) -> None:
        self.host = host
        self.port = port
        self.transport = transport


@final
class OwnNames:
    """The listening addresses as they are bound, and the one advertised instead.

    A listener on ``0.0.0.0`` or ``[::]`` stands for every address of this machine, as
    the kernel knows them at the time of the question; names beside ``advertise`` are
    none of ours here, ``[sip] domains`` has those.
    """

    def __init__(self, advertise: Address | None, local: LocalAddresses) -> None:
        self.ports: set[int] = set()  # of the listeners, as bound
        self._advertise = advertise
        self._local = local
        self._exact: set[tuple[bytes, int, bytes]] = set()  # host, port, transport
        self._wildcard: set[tuple[bool, int, bytes]] = set()  # is IPv6, port, transport
        self._answers: dict[tuple[bytes, int | None, bytes | None], bool] = {}
        self._last: _Asked | None = None

    def add(self, listening: ListenAddress) -> None:
        """Note an address a socket is bound to; its port is the real one."""
        self._answers.clear()
        self._last = None
        self.ports.add(listening.port)
        for transport in (listening.transport, _ANY_TRANSPORT):
            if is_wildcard(listening.host):
                self._wildcard.add((":" in listening.host, listening.port, transport))
            else:
                host = canonical_address(listening.host) or listening.host
                self._exact.add((reference_of(host), listening.port, transport))
            if self._advertise is not None:
                port = self._advertise.port or listening.port
                self._exact.add((self._advertised(), port, transport))

    def sent_by(self, listening: ListenAddress, remote: str) -> bytes:
        """Return HOST:PORT for a message from this listener to the address ``remote``.

        ``advertise`` wins, unless it is an address of the other family; a wildcard
        listener is named by the address the kernel sends from.
        """
        if self._advertise is not None and self._speaks_for(listening):
            return self._advertised() + b":%d" % (self._advertise.port or listening.port)
        host = listening.host
        if is_wildcard(host):
            host = self._local.toward(remote) or host
        return reference_of(host) + b":%d" % listening.port

    def is_fixed(self, listening: ListenAddress) -> bool:
        """Tell whether ``sent_by`` of this listener stays the same for a remote address."""
        return not is_wildcard(listening.host) or (
            self._advertise is not None and self._speaks_for(listening)
        )

    def is_ours(self, host: bytes, port: int | None, transport: bytes | None) -> bool:
        """Tell whether a URI or sent-by names a listener.

        Args:
            host: in lower case, an IPv6 reference in brackets.
            port: None is the default of ``transport``.
            transport: as in Via; None fits a listener of any transport.
        """
        last = self._last
        if last is not None and host == last.host and port == last.port:
            if transport == last.transport:
                return True
        asked = (host, port, transport)
        known = self._answers.get(asked)
        if known is None:
            known = self._find(host, port, transport)
            # with a wildcard it changes with the addresses of the machine
            if not self._wildcard and len(host) <= _LONGEST:
                if len(self._answers) >= MAX_ANSWERS:
                    self._answers.clear()
                self._answers[asked] = known
        if known and not self._wildcard and port is not None and transport is not None:
            self._last = _Asked(host, port, transport)
        return known

    def _find(self, host: bytes, port: int | None, transport: bytes | None) -> bool:
        wanted = transport or _ANY_TRANSPORT
        if port is None:
            port = DEFAULT_PORTS.get(wanted, 5060)
        if (host, port, wanted) in self._exact:
            return True
        address = address_in_reference(host)
        if address is None:
            return False
        if (reference_of(address), port, wanted) in self._exact:
            return True
        if (":" in address, port, wanted) not in self._wildcard:
            return False
        return self._local.is_local(address)

    def _advertised(self) -> bytes:
        assert self._advertise is not None
        host = self._advertise.host
        return reference_of(canonical_address(host) or host.lower())

    def _speaks_for(self, listening: ListenAddress) -> bool:
        assert self._advertise is not None
        host = self._advertise.host
        return canonical_address(host) is None or family_of(host) == family_of(listening.host)
