"""Making the sockets that listen."""

from __future__ import annotations

import os
import socket
from typing import Final

from uacproxy.errors import ConfigError
from uacproxy.settings import ListenAddress
from uacproxy.transport.addresses import family_of

DATAGRAM_BUFFER: Final = 4 * 1024 * 1024  # octets; the kernel gives what it allows
BACKLOG: Final = 1024  # connections not yet accepted


def bound_socket(listening: ListenAddress) -> socket.socket:
    """Return a non-blocking socket bound to an address; one for TCP listens already.

    An IPv6 socket takes no IPv4, so ``0.0.0.0`` and ``[::]`` can share a port.

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
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_BUFFER)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, DATAGRAM_BUFFER)
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


def bound_to(listening: ListenAddress, made: socket.socket) -> ListenAddress:
    """Return the address with the port the system chose where 0 was asked for."""
    port: int = made.getsockname()[1]
    return listening._replace(port=port)
