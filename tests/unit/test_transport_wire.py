"""Many datagrams for one call, on real sockets; both forms of a wire do the same."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from uacproxy.transport.wire import READ_AT_ONCE, NativeWire, PlainWire, Wire, open_wire

FORMS: list[Callable[[socket.socket], Wire]] = [PlainWire, open_wire]
LOOPBACK = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0, 0, 0)}


@pytest.fixture(params=LOOPBACK, ids=["IPv4", "IPv6"])
def sockets(request: pytest.FixtureRequest) -> Iterator[list[socket.socket]]:
    made = [socket.socket(request.param, socket.SOCK_DGRAM) for _ in range(2)]
    for one in made:
        one.bind(LOOPBACK[request.param])
        one.setblocking(False)
    yield made
    for one in made:
        one.close()


@pytest.mark.parametrize("form", FORMS)
def test_what_one_wire_sends_another_receives_from_its_address(
    form: Callable[[socket.socket], Wire], sockets: list[socket.socket]
) -> None:
    one, other = form(sockets[0]), form(sockets[1])
    there = one.where(sockets[1].getsockname())
    count = READ_AT_ONCE + 3
    messages = [b"%d" % number * 700 for number in range(count)]
    assert one.send(messages, [there] * count, 3) == count
    octets: list[bytes] = []
    wheres: list[object] = []
    other.receive(octets, wheres)
    assert octets == messages[3 : READ_AT_ONCE + 3]
    assert set(wheres) == {other.where(sockets[0].getsockname())}
    assert other.address(wheres[0]) == sockets[0].getsockname()
    assert other.receive([], []) in (-1, 0)


@pytest.mark.parametrize("form", FORMS)
def test_the_longest_datagram_passes_and_a_longer_one_is_refused_alone(
    form: Callable[[socket.socket], Wire], sockets: list[socket.socket]
) -> None:
    one, other = form(sockets[0]), form(sockets[1])
    there = one.where(sockets[1].getsockname())
    longest = 65507 if sockets[0].family == socket.AF_INET else 65527
    messages = [b"x" * longest, b"", b"y" * 65536, b"z"]
    assert one.send(messages, [there] * 4, 0) == 2
    with pytest.raises(OSError, match="too long"):
        one.send(messages, [there] * 4, 2)
    assert one.send(messages, [there] * 4, 3) == 4
    octets: list[bytes] = []
    while len(octets) < 3:
        other.receive(octets, [])
    assert [len(one) for one in octets] == [longest, 0, 1]


def test_the_compiled_form_is_used_where_it_was_built(sockets: list[socket.socket]) -> None:
    if os.environ.get("UACPROXY_COMPILE") == "1":
        assert isinstance(open_wire(sockets[0]), NativeWire)


def test_the_kernels_drops_are_told_with_what_comes_next(sockets: list[socket.socket]) -> None:
    sender, receiver = sockets
    wire = open_wire(receiver)
    if isinstance(wire, PlainWire):
        return  # it is never told
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for _ in range(100):
        sender.sendto(b"x" * 500, receiver.getsockname())
    octets: list[bytes] = []
    wire.receive(octets, [])
    sender.sendto(b"the next", receiver.getsockname())
    told = -1
    while octets[-1] != b"the next":
        told = wire.receive(octets, [])
    assert told == 101 - len(octets)
