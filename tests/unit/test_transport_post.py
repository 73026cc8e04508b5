"""What workers hand to each other: letters, full inboxes, failures told back, streams of others."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.free_ports import LOOPBACK
from uacproxy.counters import TransportCounters
from uacproxy.sip.owner import owner_of_token
from uacproxy.transport.letters import (
    MOST_HANDED,
    Kind,
    Letter,
    address_of_stream,
    read_letter,
    stream_place,
    write_letter,
)
from uacproxy.transport.post import MAX_WAITING, Pair, PlainPair, Post, make_inbox, open_pair
from uacproxy.transport.shared_wire import SharedWire
from uacproxy.transport.wire import PlainWire, open_wire

MANY = 5000  # datagrams
IP_RECVERR = 11  # of Linux; socket lacks it


class Office:
    """Two workers' post, without a reactor; ``turn`` runs what is due."""

    def __init__(self, stack: ExitStack, open_end: Callable[[socket.socket], Pair]) -> None:
        self.due: list[Callable[[], None]] = []
        self.counters = [TransportCounters(), TransportCounters()]
        pairs = [make_inbox() for _ in range(2)]
        for end in (end for pair in pairs for end in pair):
            stack.enter_context(end)
        written = [pair[1] for pair in pairs]
        self.written = written
        self.inboxes = [pair[0] for pair in pairs]
        self.posts = [
            Post(
                number,
                pairs[number][0],
                written,
                counters=self.counters[number],
                later=self._at,
                open_end=open_end,
            )
            for number in range(2)
        ]
        self.taken: list[Letter] = []
        for kind in (Kind.DATAGRAM, Kind.FRAME):
            self.posts[1].take(kind, self.taken.extend)

    def _at(self, _seconds: float, call: Callable[[], None]) -> None:
        self.due.append(call)

    def turn(self) -> None:
        """Run what is due by now."""
        due, self.due = self.due, []
        for call in due:
            call()


@pytest.fixture(params=[PlainPair, open_pair])
def office(request: pytest.FixtureRequest) -> Iterator[Office]:
    with ExitStack() as stack:
        yield Office(stack, request.param)


def test_a_letter_reads_as_it_was_written() -> None:
    letter = Letter(Kind.WRITE, 63, 2, 2**63, 7, stream_place("2001:db8::1", 5060), b"\x00\xff")
    assert read_letter(write_letter(letter)) == letter
    assert address_of_stream(letter.place) == ("2001:db8::1", 5060)


def test_what_is_gathered_leaves_together_and_in_order(office: Office) -> None:
    first, second = office.posts
    first.gather()
    for number in range(5):
        first.put(1, Kind.DATAGRAM, octets=b"%d" % number)
    second.read()
    assert office.taken == []
    first.flush()
    second.read()
    assert [letter.octets for letter in office.taken] == [b"0", b"1", b"2", b"3", b"4"]
    assert {letter.sender for letter in office.taken} == {0}


def test_what_was_written_is_taken_though_nobody_is_left_to_write(office: Office) -> None:
    office.posts[0].put(1, Kind.DATAGRAM, octets=b"last")
    office.written[1].close()
    office.posts[1].read()
    office.posts[1].read()
    assert [letter.octets for letter in office.taken] == [b"last"]


def test_what_finds_no_room_waits_and_beyond_that_is_dropped_and_counted(office: Office) -> None:
    first, second = office.posts
    put = 0
    while first.put(1, Kind.DATAGRAM, octets=b"x" * 1000):
        put += 1
        assert put < 100_000
    assert put > MAX_WAITING
    assert office.counters[0].handed_lost == 1
    while len(office.taken) < put:
        seen = len(office.taken)
        second.read()
        office.turn()
        assert len(office.taken) > seen or office.due
    assert len(office.taken) == put


def test_a_message_too_long_to_be_handed_over_is_refused(office: Office) -> None:
    assert not office.posts[0].put(1, Kind.FRAME, octets=b"x" * (MOST_HANDED + 1))
    assert office.posts[0].put(1, Kind.FRAME, octets=b"x" * MOST_HANDED)
    office.posts[1].read()
    assert len(office.taken[0].octets) == MOST_HANDED


def test_a_failure_is_told_to_whom_the_ticket_is_and_once(office: Office) -> None:
    heard: list[str] = []
    first, second = office.posts
    ticket = first.ticket(lambda: heard.append("failed"))
    assert first.ticket(None) == 0
    for _ in range(2):
        second.put(0, Kind.FAILED, ticket=ticket)
    first.read()
    assert heard == ["failed"]


@pytest.mark.parametrize("make_wire", [PlainWire, open_wire])
def test_a_datagram_of_another_worker_is_handed_over_with_where_it_came_from(
    office: Office, make_wire: Callable[[socket.socket], PlainWire]
) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        bound.bind((LOOPBACK, 0))
        bound.setblocking(False)
        peer.bind((LOOPBACK, 0))
        wire = SharedWire(make_wire(bound), office.posts[0], 3)
        for number in range(20):
            peer.sendto(
                b"OPTIONS sip:a SIP/2.0\r\nCall-ID: c%d\r\n\r\n" % number, bound.getsockname()
            )
        peer.sendto(b"no message", bound.getsockname())
        octets: list[bytes] = []
        wheres: list[object] = []
        wire.receive(octets, wheres)
        office.posts[1].read()
        assert len(octets) + len(office.taken) == 21
        assert octets and office.taken
        assert b"no message" in octets
        for letter in office.taken:
            assert letter.listener == 3
            assert wire.address(wire.unpacked(letter.place)) == peer.getsockname()


def test_an_error_of_the_socket_costs_nothing_that_was_read_before(office: Office) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        for end in (bound, peer):
            end.bind((LOOPBACK, 0))
        bound.setblocking(False)
        bound.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        wire = SharedWire(open_wire(bound), office.posts[1], 0)
        gone = peer.getsockname()
        peer.close()
        bound.sendto(b"to nobody", gone)
        with pytest.raises(ConnectionRefusedError):
            wire.receive([], [])
        office.posts[1].put(0, Kind.FAILED)  # what is handed over next leaves at once
        assert select.select([office.inboxes[0]], [], [], 0)[0]


def test_messages_of_a_call_stay_in_order_on_their_way_through_another_worker(
    office: Office,
) -> None:
    call_id = next(name for name in (b"a", b"b", b"c", b"d") if owner_of_token(name, 2) == 1)
    sent = [
        b"OPTIONS sip:a SIP/2.0\r\nCall-ID: %b\r\nCSeq: %d OPTIONS\r\n\r\n" % (call_id, number)
        for number in range(MANY)
    ]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        bound.bind((LOOPBACK, 0))
        bound.setblocking(False)
        peer.connect(bound.getsockname())
        wire = SharedWire(open_wire(bound), office.posts[0], 0)
        for number, one in enumerate(sent):
            peer.send(one)
            if number % 7 == 6 or one is sent[-1]:
                wire.receive([], [])
            if number % 1999 == 0 or one is sent[-1]:  # the inbox is full before
                office.posts[1].read()
        while len(office.taken) < MANY:
            office.turn()
            office.posts[1].read()
    assert [letter.octets for letter in office.taken] == sent
