"""The kernel gives each datagram to the worker it names, and loses none that it cannot read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.free_ports import LOOPBACK
from tests.unit.test_sip_scan import INVITE, RINGING, spoiled
from uacproxy.errors import ConfigError
from uacproxy.settings import ListenAddress
from uacproxy.sip.owner import owner_of
from uacproxy.transport.bind import bind_all, close_all
from uacproxy.transport.steering import FAR, NEAR, Reach, steer

SMALL = "abcdefghijklmnopqrstuvwxyz0123456789"
TOKEN = st.text(SMALL + SMALL.upper() + "-_@!%*+`'~()<>:\\\"/[]?{}.", min_size=1)
WORD = st.text(SMALL, min_size=1, max_size=16)

# Alike, and long enough for the search to go on behind them.
CALL_INFO = f"Call-Info: <http://{'x' * 50}.example>"
SESSION_ID = f"Session-ID: {'1' * 32};remote={'2' * 32}"


class Group:
    """Sockets of one address, and a peer; ``chosen`` tells which one a datagram came to."""

    def __init__(self, host: str, workers: int) -> None:
        address = ListenAddress(b"UDP", host, 0)
        self.bound = bind_all([address], workers)
        self.sockets = self.bound[0][1]
        self._peer = self.new_peer()

    def new_peer(self) -> socket.socket:
        """Return a socket of a port of its own."""
        peer = socket.socket(self.sockets[0].family, socket.SOCK_DGRAM)
        peer.connect(self.sockets[0].getsockname())
        return peer

    def chosen(self, octets: bytes, peer: socket.socket | None = None) -> int:
        """Send a datagram and return the index of the one socket that has it."""
        (peer or self._peer).send(octets)
        found = []
        for index, each in enumerate(self.sockets):
            try:
                while each.recv(65535) == octets:
                    found.append(index)
            except BlockingIOError:
                continue
        assert len(found) == 1
        return found[0]

    def close(self) -> None:
        """Close all of it."""
        self._peer.close()
        close_all(self.bound)


@contextmanager
def steered(host: str, workers: int, reach: Reach) -> Iterator[Group]:
    """Yield sockets that the kernel chooses among by the program."""
    with closing(Group(host, workers)) as group:
        assert steer(group.sockets[0], workers, [reach]) is reach
        yield group


@st.composite
def usual(draw: st.DrawFn, reach: Reach) -> bytes:
    """Draw a message such as the program reads."""
    via = f"Via: SIP/2.0/UDP {draw(WORD)}.example:5060;branch=z9hG4bK"
    call_id = draw(TOKEN.filter(lambda token: len(token) <= reach.longest_call_id))
    rest = [f"From: <sip:{draw(WORD)}@a.example>;tag={draw(WORD)}", f"Call-ID: {call_id}"]
    methods = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "SIP/2.0"]
    if reach.to:
        methods.append("REGISTER")
        rest += draw(st.sampled_from([[], [CALL_INFO], [SESSION_ID]]))
    method = draw(st.sampled_from(methods))
    display = draw(st.sampled_from(["", '"Bob B." <', "<", "Bob <"])) if reach.to else "<"
    rest.append(f"To: {display}sip:{draw(WORD)}@b.example" + (">" if "<" in display else ""))
    rest = draw(st.permutations(rest))
    if method == "SIP/2.0":
        start = draw(st.sampled_from(["SIP/2.0 200 OK", "SIP/2.0 180 Ringing it is"]))
        end = draw(st.sampled_from(["", ".7", ";rport=5062", ", SIP/2.0/UDP x"]))
        top = via + draw(WORD) + end
    else:
        start = f"{method} sip:{draw(WORD)}@b.example SIP/2.0"
        top = via + draw(WORD)
    return "\r\n".join([start, top, *rest, "CSeq: 1 X", "", "body"]).encode()


@pytest.mark.parametrize("reach", [FAR, NEAR])
@pytest.mark.parametrize(("host", "workers"), [(LOOPBACK, 2), ("::1", 3), (LOOPBACK, 4)])
def test_a_usual_message_comes_to_the_worker_it_names(
    host: str, workers: int, reach: Reach
) -> None:
    with steered(host, workers, reach) as group:

        @settings(max_examples=300, deadline=None)
        @given(usual(reach))
        def check(octets: bytes) -> None:
            assert group.chosen(octets) == owner_of(octets, workers)

        check()


def test_any_octets_come_to_one_of_the_workers() -> None:
    with steered(LOOPBACK, 3, FAR) as group:

        @settings(max_examples=200, deadline=None)
        @given(st.one_of(st.binary(), st.sampled_from([INVITE, RINGING]).flatmap(spoiled)))
        def check(octets: bytes) -> None:
            assert group.chosen(octets) in range(3)

        check()


def test_what_the_program_cannot_read_of_one_peer_comes_to_one_worker_not_all_to_one() -> None:
    with steered(LOOPBACK, 4, FAR) as group:
        long = b"INVITE sip:a@b SIP/2.0\r\nX: " + b"x" * 1000 + b"\r\nCall-ID: %d\r\n\r\n"
        assert len({group.chosen(long % number) for number in range(20)}) == 1
        with ExitStack() as stack:
            peers = [stack.enter_context(group.new_peer()) for _ in range(30)]
            assert len({group.chosen(long % 1, peer) for peer in peers}) > 1


def test_where_the_kernel_takes_no_program_it_chooses_by_the_peer() -> None:
    with closing(Group(LOOPBACK, 4)) as group:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
            assert steer(alone, 4) is None
        assert len({group.chosen(b"%d" % number) for number in range(20)}) == 1


def test_a_second_service_cannot_join() -> None:
    with closing(Group(LOOPBACK, 2)) as group:
        address, _ = group.bound[0]
        for workers in (1, 2):
            with pytest.raises(ConfigError, match=f"cannot listen on {address}: address already"):
                bind_all([address], workers)


def test_a_group_is_not_made_where_another_could_be_joined() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((LOOPBACK, 0))
        address = ListenAddress(b"UDP", LOOPBACK, other.getsockname()[1])
        with pytest.raises(ConfigError, match="address already in use"):
            bind_all([address], 2)
