"""The tests' own ports: no two tests get the same."""

from __future__ import annotations

from tests.support.free_ports import free_port


def test_no_port_is_given_twice() -> None:
    """The kernel alone gives some ten of 600 again."""
    assert len({free_port() for _ in range(600)}) == 600
