"""Waiting for the next datagram rather than going back to the reactor."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from uacproxy.transport.linger import Linger

DOZEN = 12
FOR_EVER = 100_000  # datagrams, ms


class Wires:
    """Two sockets to be read, and one that stands for all else a reactor watches."""

    def __init__(self, *, dense: float = 10.0, stay: float = 5.0, patience: int = 1) -> None:
        self.pairs = [socket.socketpair(type=socket.SOCK_DGRAM) for _ in range(3)]
        self.others = select.epoll()
        for _, near in self.pairs:
            near.setblocking(False)
            self.others.register(near, select.EPOLLIN)  # as the reactor does with ours too
        self.linger = Linger(self.others.fileno(), dense=dense, stay=stay, patience=patience)
        self.read: list[tuple[int, bytes]] = []
        self.told: Callable[[], None] = lambda: None
        self.linger.add(self.near(0).fileno(), lambda: self.take(0))
        self.linger.add(self.near(1).fileno(), lambda: self.take(1))

    def near(self, index: int) -> socket.socket:
        return self.pairs[index][1]

    def send(self, index: int, octets: bytes) -> None:
        self.pairs[index][0].send(octets)

    def take(self, index: int) -> None:
        self.read.append((index, self.near(index).recv(100)))
        self.told()

    def wake_up(self, index: int) -> None:
        """Do as the reactor does."""
        self.take(index)
        self.linger.read_on()

    def close(self) -> None:
        self.others.close()
        for far, near in self.pairs:
            far.close()
            near.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Wires]]:
    made: list[Wires] = []

    def make(**figures: Any) -> Wires:
        wires = Wires(**figures)
        wires.linger.read_on()  # the first wake-up after a pause
        made.append(wires)
        return wires

    yield make
    for wires in made:
        wires.close()


@pytest.fixture
def wires(make: Callable[..., Wires]) -> Wires:
    return make()


def test_what_comes_next_is_read_on_every_socket(wires: Wires) -> None:
    wires.send(0, b"one")
    wires.told = lambda: wires.send(1, b"two") if len(wires.read) == 1 else None
    wires.wake_up(0)
    assert wires.read == [(0, b"one"), (1, b"two")]


def test_what_is_there_already_is_read_one_after_the_other(wires: Wires) -> None:
    for number in range(DOZEN):
        wires.send(number % 2, b"%d" % number)
    wires.wake_up(0)
    assert len(wires.read) == DOZEN


def test_anything_else_of_the_reactor_ends_it_at_once(make: Callable[..., Wires]) -> None:
    wires = make(patience=FOR_EVER)
    wires.send(0, b"one")
    wires.send(2, b"else")
    wires.wake_up(0)  # would wait for a minute and more
    assert wires.read == [(0, b"one")]


def test_the_others_are_not_kept_waiting_for_ever(make: Callable[..., Wires]) -> None:
    wires = make(stay=0.01)
    wires.send(0, b"flood")
    wires.told = lambda: wires.send(0, b"flood") if len(wires.read) < FOR_EVER else None
    wires.wake_up(0)
    assert 1 < len(wires.read) < FOR_EVER


def test_where_traffic_is_thin_nobody_waits(make: Callable[..., Wires]) -> None:
    wires = make(dense=0.0)
    wires.send(0, b"one")
    wires.send(0, b"two")
    wires.wake_up(0)
    assert wires.read == [(0, b"one")]


def test_a_closed_socket_is_read_no_more(wires: Wires) -> None:
    wires.send(0, b"one")
    wires.send(1, b"two")
    wires.linger.remove(wires.near(1).fileno())
    wires.linger.remove(wires.near(1).fileno())
    wires.wake_up(0)
    assert wires.read == [(0, b"one")]


def test_a_reactor_that_cannot_tell_of_all_else_is_not_kept_waiting() -> None:
    far, near = socket.socketpair(type=socket.SOCK_DGRAM)
    linger = Linger(-1)
    linger.add(near.fileno(), lambda: pytest.fail("nothing is to be read"))
    far.send(b"one")
    linger.read_on()
    linger.read_on()
    linger.remove(near.fileno())
    far.close()
    near.close()
