"""Ports on loopback that nobody uses right now, and that no earlier test was given."""

from __future__ import annotations

import socket
from typing import Final

LOOPBACK = "127.0.0.1"

_GIVEN: Final[set[int]] = set()


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that is free on ``host`` for UDP and TCP alike.

    It is free when looked at and chosen by the kernel, so whoever binds it should bind at
    once. No number is given twice in a run of the tests: a service that several tests use
    remembers what it heard from a peer, such as the nonce of a challenge, by its address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        with (
            socket.socket(family, socket.SOCK_STREAM) as stream,
            socket.socket(family, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind((host, 0))
            port: int = stream.getsockname()[1]
            if port in _GIVEN:
                continue
            try:
                datagram.bind((host, port))
            except OSError:  # free for TCP alone
                continue
            _GIVEN.add(port)
            return port
    raise RuntimeError(f"no port of {host} is free for both UDP and TCP")


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Return ``count`` different free ports."""
    return sorted(free_port(host) for _ in range(count))
