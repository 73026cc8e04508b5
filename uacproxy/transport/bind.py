"""Making the sockets that listen."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from typing import Final

from uacproxy.errors import ConfigError
from uacproxy.settings import ListenAddress
from uacproxy.transport.addresses import family_of

DATAGRAM_BUFFER: Final = 4 * 1024 * 1024  # octets; the kernel gives what it allows
_FORCE_SNDBUF: Final = 32  # of asm-generic/socket.h; socket lacks both
_FORCE_RCVBUF: Final = 33
BACKLOG: Final = 1024  # connections not yet accepted


def bound_socket(listening: ListenAddress, *, joins: bool = False) -> socket.socket:
    """Return a non-blocking socket bound to an address; one for TCP listens already.

    An IPv6 socket takes no IPv4, so ``0.0.0.0`` and ``[::]`` can share a port.

    Args:
        listening: where.
        joins: others that may be joined are bound to the same (SO_REUSEPORT).

    Raises:
        ConfigError: names the word of ``[sip] listen`` and what the system said.
    """
    datagrams = listening.transport == b"UDP"
    made: socket.socket | None = None
    try:
        kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        made = socket.socket(family_of(listening.host), kind)
        made.setblocking(False)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if datagrams:
            enlarge(made, DATAGRAM_BUFFER)
            if joins:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((listening.host, listening.port))
        if not datagrams:
            made.listen(BACKLOG)
    except OSError as error:
        if made is not None:
            made.close()
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ConfigError(
            f"cannot listen on {listening}: {why}", section="sip", key="listen"
        ) from (error)
    return made


def bind_all(
    listen: Iterable[ListenAddress], size: int = 1
) -> list[tuple[ListenAddress, list[socket.socket]]]:
    """Bind every address, or none; return them with the ports the system chose.

    Args:
        listen: where.
        size: how many sockets each is to have; for TCP it is one and the same so often.

    Raises:
        ConfigError: of the first that could not be bound.
    """
    bound: list[tuple[ListenAddress, list[socket.socket]]] = []
    try:
        for listening in listen:
            made = bound_socket(listening)
            group = [made]
            address = bound_to(listening, made)
            bound.append((address, group))
            if listening.transport == b"UDP":
                _fill(group, address, size)
            else:
                group *= size
    except ConfigError:
        close_all(bound)
        raise
    return bound


def close_all(bound: Iterable[tuple[ListenAddress, Iterable[socket.socket]]]) -> None:
    """Close what ``bind_all`` has returned."""
    for _, group in bound:
        for made in group:
            made.close()


def _fill(group: list[socket.socket], address: ListenAddress, size: int) -> None:
    """Add sockets of the same address; the kernel chooses one of all for each datagram.

    The first was bound as if it stayed alone and can be joined only from now on: had another
    service the address, with SO_REUSEPORT or without, it could not have been bound.
    """
    if size > 1:
        group[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    while len(group) < size:
        group.append(bound_socket(address, joins=True))


def enlarge(made: socket.socket, octets: int) -> None:
    """Ask for large buffers, as far as the system lets us."""
    _enlarge(made, socket.SO_RCVBUF, _FORCE_RCVBUF, octets)
    _enlarge(made, socket.SO_SNDBUF, _FORCE_SNDBUF, octets)


def _enlarge(made: socket.socket, option: int, forced: int, octets: int) -> None:
    """Ask for a large buffer: beyond the system's limit with CAP_NET_ADMIN, else up to it."""
    if sys.platform == "linux":
        try:
            made.setsockopt(socket.SOL_SOCKET, forced, octets)
        except OSError:
            pass
        else:
            return
    made.setsockopt(socket.SOL_SOCKET, option, octets)


def bound_to(listening: ListenAddress, made: socket.socket) -> ListenAddress:
    """Return the address with the port the system chose where 0 was asked for."""
    port: int = made.getsockname()[1]
    return listening._replace(port=port)
