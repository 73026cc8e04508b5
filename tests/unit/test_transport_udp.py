"""A UDP listener whose socket has no room: what waits, what is dropped, what fails."""

from __future__ import annotations

import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.support.log import KeptLog
from tests.support.world import invite
from uacproxy.counters import OverloadCounters, TransportCounters
from uacproxy.ports import Flow
from uacproxy.settings import ListenAddress
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.via import parse_via
from uacproxy.testing.clock import SteppingClock
from uacproxy.transport.addresses import LocalAddresses
from uacproxy.transport.datagrams import GATHERED, MAX_FLOWS, MAX_WAITING, READ_IN_CROWD
from uacproxy.transport.inbound import Inbound
from uacproxy.transport.linger import Linger
from uacproxy.transport.overload import SETTLES, Overload
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.udp import UdpListener
from uacproxy.transport.wire import READ_AT_ONCE, PlainWire


class FakeSocket:
    """A socket that takes what the test lets it take."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.room = 0  # datagrams
        self.error: OSError | None = None
        self.arrived: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.looked = 0  # times somebody asked what waits

    def fileno(self) -> int:
        return 9

    def sendto(self, octets: bytes, address: object) -> None:
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError
        self.room -= 1
        self.sent.append(octets)

    def recvfrom(self, _most: int) -> tuple[bytes, tuple[str, int]]:
        if not self.arrived:
            raise BlockingIOError
        return self.arrived.popleft()

    def recvmsg(self, *_: int) -> None:
        self.looked += 1
        raise BlockingIOError

    def setsockopt(self, *_: int) -> None: ...

    def getsockopt(self, *_: int) -> int:
        return 0

    def close(self) -> None: ...


class FakeReactor(SteppingClock):
    def __init__(self) -> None:
        super().__init__()
        self.readers: set[object] = set()
        self.writers: set[object] = set()
        self.addReader = self.readers.add
        self.addWriter = self.writers.add
        self.removeReader = self.readers.discard
        self.removeWriter = self.writers.discard


class Bench:
    def __init__(self, host: str = "127.0.0.1") -> None:
        self.reactor = FakeReactor()
        self.here = "127.0.0.1"  # whence the kernel would send
        self.socket = FakeSocket()
        self.counters = TransportCounters()
        self.failures: list[str] = []
        self.deliver: Callable[[Message, Flow], None] = lambda _message, _flow: None
        self.overload = Overload(
            delay=0.1,
            retry_after=6,
            counters=OverloadCounters(),
            seconds=self.reactor.seconds,
            log=KeptLog(),
        )
        self.queue = self.overload.queue()
        local = LocalAddresses(self.reactor.seconds, source_toward=lambda _: self.here)
        names = OwnNames(None, local)
        inbound = Inbound(
            limits=LimitSettings(),
            counters=self.counters,
            is_ours=names.is_ours,
            deliver=lambda message, flow: self.deliver(message, flow),
            reject=lambda _error, _flow: None,
            clock=self.reactor,
            log=KeptLog(),
        )
        self.listener = UdpListener(
            cast(socket.socket, self.socket),
            PlainWire(cast(socket.socket, self.socket)),
            ListenAddress(b"UDP", host, 5060),
            reactor=cast(Any, self.reactor),
            inbound=inbound,
            names=names,
            counters=self.counters,
            queue=self.queue,
            linger=Linger(-1),
        )
        self.flow = self.listener.flow("127.0.0.1", 5062)

    def crowd(self) -> None:
        """Have messages wait until that has lasted."""
        self.queue.seen(9.0, 0.0)
        self.reactor.run_for(SETTLES)
        self.queue.seen(9.0, 0.0)

    def send(self, octets: bytes) -> None:
        self.flow.send(octets, lambda: self.failures.append(octets.decode()))

    @property
    def waits_to_write(self) -> bool:
        return self.listener in self.reactor.writers


def test_what_finds_no_room_waits_and_leaves_in_its_order() -> None:
    bench = Bench()
    for octets in (b"one", b"two", b"three"):
        bench.send(octets)
    assert (bench.socket.sent, bench.waits_to_write) == ([], True)
    bench.socket.room = 2
    bench.listener.doWrite()
    bench.socket.room = 2
    bench.send(b"four")
    assert (bench.socket.sent, bench.waits_to_write) == ([b"one", b"two"], True)
    bench.listener.doWrite()
    assert bench.socket.sent == [b"one", b"two", b"three", b"four"]
    assert (bench.waits_to_write, bench.counters.sent) == (False, 4)


def test_more_than_can_wait_is_dropped_and_counted_like_a_loss() -> None:
    bench = Bench()
    for _ in range(MAX_WAITING + 3):
        bench.send(b"v")
    bench.reactor.run_for(1.0)
    assert (bench.counters.dropped, bench.failures) == (3, [])


def test_a_refusal_while_waiting_fails_that_datagram_alone() -> None:
    bench = Bench()
    bench.send(b"one")
    bench.socket.error = OSError(90, "too long")
    bench.listener.doWrite()
    assert bench.failures == []
    bench.reactor.run_for(0.0)
    assert (bench.failures, bench.waits_to_write) == (["one"], False)


def test_a_wake_up_reads_no_more_than_its_share() -> None:
    bench = Bench()
    bench.socket.arrived.extend((b"rubbish", ("127.0.0.1", 5062)) for _ in range(READ_AT_ONCE + 1))
    bench.listener.doRead()
    assert bench.counters.received == READ_AT_ONCE
    bench.listener.doRead()
    assert bench.counters.received == READ_AT_ONCE + 1


def test_what_waits_is_looked_at_behind_a_full_burst_alone() -> None:
    bench = Bench()
    for datagrams in (READ_AT_ONCE - 1, READ_AT_ONCE):
        bench.socket.arrived.extend([(b"rubbish", ("127.0.0.1", 5062))] * datagrams)
        bench.listener.doRead()
    assert bench.socket.looked == (sys.platform == "linux")


def test_a_crowded_socket_is_read_further_up_to_a_bound_and_all_of_it_is_taken() -> None:
    bench = Bench()
    bench.crowd()
    heard: list[tuple[bytes, object]] = []
    bench.deliver = lambda message, flow: heard.append((message.method, flow.remote))
    bench.socket.arrived.extend(
        (invite(), ("127.0.0.1", 5062 + number)) for number in range(READ_IN_CROWD + 3)
    )
    bench.listener.doRead()
    assert heard == [(b"INVITE", ("127.0.0.1", 5062 + at)) for at in range(READ_IN_CROWD)]
    bench.listener.doRead()
    assert len(heard) == READ_IN_CROWD + 3


@pytest.mark.parametrize(
    ("maddr", "answered"),
    [(b"127.0.0.9", "127.0.0.9"), (b"[::1]", "127.0.0.1"), (b"a.b", "127.0.0.1")],
)
def test_an_answer_goes_to_a_maddr_only_of_the_family_of_the_socket(
    maddr: bytes, answered: str
) -> None:
    bench = Bench()
    via = parse_via(b"SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa;maddr=" + maddr)
    assert bench.flow.answering(via).remote == (answered, 5062)


def test_what_is_sent_while_a_burst_is_read_leaves_at_its_end_or_when_it_is_much() -> None:
    bench = Bench()
    bench.socket.room = READ_AT_ONCE
    gone_by: list[int] = []

    def deliver(_message: Message, flow: Flow) -> None:
        flow.send(b"an answer", None)
        gone_by.append(len(bench.socket.sent))

    bench.deliver = deliver
    bench.socket.arrived.extend([(invite(), ("127.0.0.1", 5062))] * (GATHERED + 2))
    bench.listener.doRead()
    assert gone_by == [*[0] * (GATHERED - 1), *[GATHERED] * 3]
    assert len(bench.socket.sent) == GATHERED + 2


def test_what_is_gathered_leaves_at_the_flush_or_when_it_is_much_and_the_next_at_once() -> None:
    bench = Bench()
    bench.socket.room = READ_AT_ONCE
    bench.listener.gather()
    for _ in range(GATHERED - 1):
        bench.send(b"a request")
    assert bench.socket.sent == []
    bench.send(b"a request")
    bench.send(b"one more")
    assert len(bench.socket.sent) == GATHERED
    bench.listener.flush()
    assert len(bench.socket.sent) == GATHERED + 1
    bench.send(b"the next")
    assert len(bench.socket.sent) == GATHERED + 2


def test_an_error_condition_is_not_the_end() -> None:
    bench = Bench()
    bench.send(b"one")
    bench.reactor.readers.clear()
    bench.reactor.writers.clear()
    bench.listener.connectionLost(cast(Any, Failure)(ConnectionDone()))
    assert bench.listener in bench.reactor.readers
    assert bench.waits_to_write


def test_a_flow_from_a_wildcard_listener_says_the_address_of_the_moment() -> None:
    bench = Bench("0.0.0.0")
    assert bench.flow.sent_by == b"127.0.0.1:5060"
    bench.here = "127.0.0.7"  # the lease was renewed, or the address moved to us
    bench.reactor.run_for(31.0)
    assert bench.flow.sent_by == b"127.0.0.7:5060"


def test_flows_are_forgotten_before_they_are_too_many() -> None:
    bench = Bench()
    for port in range(MAX_FLOWS):
        bench.listener.flow("127.0.0.2", port)
    assert bench.listener.flow("127.0.0.1", 5062) is not bench.flow
    assert bench.listener.flow("127.0.0.2", 1) is bench.listener.flow("127.0.0.2", 1)
