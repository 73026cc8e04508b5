"""The tests' own ports: no two tests get the same, and nobody else gets them by chance."""

from __future__ import annotations

from pathlib import Path

from tests.support.free_ports import free_port


def test_no_port_is_given_twice() -> None:
    """Chance alone gives some eight of 600 again."""
    assert len({free_port() for _ in range(600)}) == 600


def test_no_port_is_one_that_the_kernel_gives_to_whoever_asks_for_any() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(first <= free_port() <= last for _ in range(50))
