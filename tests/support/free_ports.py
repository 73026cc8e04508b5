"""Ports on loopback that nobody uses right now, and that no earlier test was given."""

from __future__ import annotations

import secrets
import socket
from typing import Final

LOOPBACK = "127.0.0.1"

# The kernel gives ports above these to sockets that ask for any: what a test opens between the
# choice of a port and the start of who listens there cannot take it.
_CHOICE: Final = range(10_000, 32_000)
_GIVEN: Final[set[int]] = set()


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that is free on ``host`` for UDP and TCP alike.

    It is free when looked at, so whoever binds it should bind at once. No number is given
    twice in a run of the tests: a service that several tests use remembers what it heard from
    a peer, such as the nonce of a challenge, by its address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        port = secrets.choice(_CHOICE)  # other runs on this machine choose others
        if port in _GIVEN:
            continue
        with (
            socket.socket(family, socket.SOCK_STREAM) as stream,
            socket.socket(family, socket.SOCK_DGRAM) as datagram,
        ):
            try:
                stream.bind((host, port))
                datagram.bind((host, port))
            except OSError:
                continue
            _GIVEN.add(port)
            return port
    raise RuntimeError(f"no port of {host} is free for both UDP and TCP")


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Return ``count`` different free ports."""
    return sorted(free_port(host) for _ in range(count))
