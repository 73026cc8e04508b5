"""Ports on loopback that nobody uses right now."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that is free on ``host`` for UDP and TCP alike.

    It is free when looked at and chosen by the kernel, which does not come back to the
    same number soon; whoever binds it should still bind at once.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(100):
        with (
            socket.socket(family, socket.SOCK_STREAM) as stream,
            socket.socket(family, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind((host, 0))
            port: int = stream.getsockname()[1]
            try:
                datagram.bind((host, port))
            except OSError:  # free for TCP alone
                continue
            return port
    raise RuntimeError(f"no port of {host} is free for both UDP and TCP")


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Return ``count`` different free ports."""
    found: set[int] = set()
    for _ in range(100 * count):
        if len(found) == count:
            return sorted(found)
        found.add(free_port(host))
    raise RuntimeError(f"{host} has no {count} free ports")
