"""How datagrams are read from a bound socket and written to it: many at a time.

Two forms of one thing: ``NativeWire`` asks the kernel once for many datagrams
(``_wire.c``, where that was built), ``PlainWire`` once for each. A peer's address is an
opaque *where* in between, equal for equal addresses: octets of the kernel's own, or the
tuple that Python's sockets take.
"""

from __future__ import annotations

import socket
from typing import Final, Protocol, final

READ_AT_ONCE: Final = 64  # datagrams a wake-up, so that timers and other sockets get their turn
MAX_DATAGRAM: Final = 65535  # octets

Address = tuple[str, int] | tuple[str, int, int, int]


class Wire(Protocol):
    """One bound socket that carries datagrams."""

    def receive(self, octets: list[bytes], wheres: list[object]) -> int:
        """Append what waits, at most ``READ_AT_ONCE`` datagrams, and where each came from.

        Returns:
            How many datagrams the kernel has dropped so far because nobody read them,
            modulo 2**32; -1 where it did not say.

        Raises:
            OSError: the socket reports an error, perhaps that of an earlier datagram.
        """

    def send(self, octets: list[bytes], wheres: list[object], begin: int) -> int:
        """Send datagrams from index ``begin`` on, as far as that goes without an error.

        Returns:
            The index of the first that did not leave.

        Raises:
            OSError: the very first did not leave; BlockingIOError says that there is no
                room in the kernel's buffer.
        """

    def where(self, address: Address) -> object:
        """Return how an address is written here."""

    def address(self, where: object) -> Address:
        """Return the address again."""

    def packed(self, where: object) -> bytes:
        """Return a where as octets, for another process that has the same socket."""

    def unpacked(self, octets: bytes) -> object:
        """Return the where again."""


@final
class PlainWire:
    """Plain sockets; drops of the kernel are not told."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound

    def receive(self, octets: list[bytes], wheres: list[object]) -> int:
        """Read until there is nothing left."""
        for count in range(READ_AT_ONCE):
            try:
                one, where = self._socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                if not count:
                    raise
                break  # the reactor is told of it again
            octets.append(one)
            wheres.append(where)
        return -1

    def send(self, octets: list[bytes], wheres: list[object], begin: int) -> int:
        """Send one after another."""
        at = begin
        while at < len(octets):
            try:
                self._socket.sendto(octets[at], wheres[at])  # type: ignore[call-overload]
            except OSError:
                if at == begin:
                    raise
                break
            at += 1
        return at

    def where(self, address: Address) -> object:
        """Return the address itself."""
        return address

    def address(self, where: object) -> Address:
        """Return the address itself."""
        return where  # type: ignore[return-value]

    def packed(self, where: object) -> bytes:
        """Return the parts of the address, a space between them."""
        return " ".join(str(part) for part in self.address(where)).encode("ascii")

    def unpacked(self, octets: bytes) -> object:
        """Return the address."""
        host, *numbers = octets.decode("ascii").split(" ")
        return (host, *map(int, numbers))


@final
class NativeWire:
    """Many datagrams for one call of the kernel."""

    def __init__(self, bound: socket.socket) -> None:
        """Raise ImportError where ``_wire.c`` was not built."""
        from uacproxy.transport import _wire

        bound.setsockopt(socket.SOL_SOCKET, _wire.RXQ_OVFL, 1)
        self._descriptor = bound.fileno()
        self._receive = _wire.receive
        self._send = _wire.send
        self._where = _wire.where
        self._address = _wire.address

    def receive(self, octets: list[bytes], wheres: list[object]) -> int:
        """Read what waits."""
        return self._receive(self._descriptor, octets, wheres)

    def send(self, octets: list[bytes], wheres: list[object], begin: int) -> int:
        """Send as far as it goes."""
        return self._send(self._descriptor, octets, wheres, begin)

    def where(self, address: Address) -> object:
        """Return the octets of the kernel."""
        return self._where(address)

    def address(self, where: object) -> Address:
        """Return what the octets say."""
        return self._address(where)

    def packed(self, where: object) -> bytes:
        """Return them as they are."""
        assert isinstance(where, bytes)
        return where

    def unpacked(self, octets: bytes) -> object:
        """Return them as they are."""
        return octets


def open_wire(bound: socket.socket) -> Wire:
    """Return the better form that there is."""
    try:
        return NativeWire(bound)
    except ImportError:
        return PlainWire(bound)
