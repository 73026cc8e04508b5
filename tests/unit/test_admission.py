"""Who is refused while too much waits, who never is, and who is worked on first."""

from __future__ import annotations

import pytest

from tests.support.log import KeptLog
from uacproxy.counters import OverloadCounters, TransportCounters
from uacproxy.ports import Flow
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.via import Via
from uacproxy.testing.clock import SteppingClock
from uacproxy.testing.loopback import Network
from uacproxy.transport.admission import Admission
from uacproxy.transport.inbound import Inbound
from uacproxy.transport.overload import SETTLES, Overload

HERE = ("192.0.2.9", 5060)
THERE = ("192.0.2.1", 5062)


def octets(method: str, uri: str = "sip:bob@example.com", tag: str = "", number: int = 1) -> bytes:
    return (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK{number}\r\n"
        f"From: <sip:alice@example.com>;tag=a{number}\r\nTo: <sip:bob@example.com>{tag}\r\n"
        f"Call-ID: {number}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


RESPONSE = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1\r\n"
    b"From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>;tag=b\r\n"
    b"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


class KeptFlow(Flow):
    """A flow that keeps what is sent on it."""

    sent_by = b"192.0.2.9:5060"

    def __init__(self, sent: list[bytes]) -> None:
        super().__init__(b"UDP", THERE, HERE, reliable=False)
        self._sent = sent

    def send(self, octets: bytes, _failed: object) -> None:
        self._sent.append(octets)

    def answering(self, _via: object) -> Flow:
        return self


class Bench:
    """A border whose only queue is as late as the test says."""

    def __init__(self) -> None:
        clock = SteppingClock()
        self.log = KeptLog()
        self.counters = TransportCounters()
        self.delivered: list[Message] = []
        self.refused: list[Message] = []
        self.stateless_tag = b"ours"
        self.known: set[bytes] = set()  # keys
        self.sent_here: set[bytes] = set()  # branches
        self.overload = Overload(
            delay=0.1,
            retry_after=6,
            counters=OverloadCounters(),
            seconds=clock.seconds,
            log=self.log,
        )
        self.queue = self.overload.queue()
        self.inbound = Inbound(
            limits=LimitSettings(),
            counters=self.counters,
            is_ours=lambda host, _port, _transport: host == b"192.0.2.9",
            deliver=lambda message, _flow: self.delivered.append(message),
            reject=lambda _error, _flow: None,
            clock=clock,
            log=self.log,
            queue=self.queue,
            admission=Admission(self.overload, self),
        )
        endpoint = Network(clock).endpoint(*HERE, deliver=lambda *_: None, log=self.log)
        self.sent: list[bytes] = []
        self.flow: Flow = KeptFlow(self.sent)
        self.ours: Flow = endpoint.flow(HERE)
        self.queue.seen(9.0, 0.0)
        clock.advance(SETTLES)

    def late(self, delays: float) -> None:
        """Be late by so many times what is allowed."""
        self.queue.seen(delays * 0.1, 0.0)

    def is_own(self, _method: bytes, via: Via) -> bool:
        return via.branch in self.sent_here

    def knows(self, _method: bytes, key: bytes) -> bool:
        return key in self.known

    def refuse(self, request: Message, _flow: Flow, retry_after: int) -> None:
        assert 3 <= retry_after <= 9
        self.refused.append(request)

    def burst(self, *each: bytes) -> None:
        """Let them come in one burst."""
        self.inbound.crowd_received(list(each), [self.flow] * len(each), self.queue)

    def give(self, *each: bytes, flow: Flow | None = None) -> tuple[int, int]:
        """Let them come; return how many were handed on and how many refused."""
        for one in each:
            self.inbound.datagram_received(one, flow or self.flow)
        return len(self.delivered), len(self.refused)


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "MESSAGE", "NOTIFY", "ODD"])
def test_what_begins_something_is_refused(method: str) -> None:
    bench = Bench()
    bench.late(2)
    assert bench.give(octets(method)) == (0, 1)


def test_a_branch_that_passed_once_is_no_pass_for_others() -> None:
    bench = Bench()
    bench.late(1.5)
    sent_by = b"192.0.2.1:5062"
    hosts = [b"h%d.example" % number for number in range(200)]
    bench.give(*(octets("INVITE").replace(sent_by, host, 1) for host in hosts))
    assert 40 < len(bench.refused) < 160  # of one branch; half of 200
    bench.refused.clear()
    methods = [f"ODD{number}" for number in range(200)]
    bench.burst(*(octets(method) for method in methods))
    assert 40 < len(bench.sent) < 160


@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO", "UPDATE", "SUBSCRIBE", "REGISTER"])
def test_what_is_inside_a_dialog_is_never_refused(method: str) -> None:
    bench = Bench()
    bench.late(50)
    assert bench.give(octets(method, tag=";tag=b")) == (1, 0)


@pytest.mark.parametrize("method", ["ACK", "CANCEL", "BYE", "PRACK"])
def test_what_ends_or_confirms_is_never_refused(method: str) -> None:
    bench = Bench()
    bench.late(50)
    assert bench.give(octets(method)) == (1, 0)


def test_responses_and_what_we_sent_to_ourselves_are_never_refused() -> None:
    bench = Bench()
    bench.late(50)
    assert bench.give(RESPONSE) == (1, 0)
    bench.sent_here.add(b"z9hG4bK7")  # whatever listener of ours it left by
    assert bench.give(octets("INVITE", number=7), octets("INVITE", number=8)) == (2, 1)
    bench.burst(octets("INVITE", number=7), octets("INVITE", number=8))
    assert (len(bench.delivered), len(bench.sent)) == (3, 1)


def test_who_writes_our_address_as_its_source_is_refused_like_others() -> None:
    bench = Bench()
    bench.late(50)
    assert bench.give(octets("INVITE"), flow=bench.ours) == (0, 1)


@pytest.mark.parametrize("remote", [("fe80::1%eth0", 5070), ("fe80::1", 5070)])
def test_a_refusal_at_sight_says_where_the_request_came_from(remote: tuple[str, int]) -> None:
    bench = Bench()
    bench.late(50)
    bench.flow.remote = remote
    bench.burst(octets("INVITE").replace(b";branch", b";rport;branch"))
    [refusal] = bench.sent
    assert b";rport=5070;" in refusal and b";received=fe80::1\r\n" in refusal


def test_a_retransmission_of_what_was_admitted_reaches_its_transaction() -> None:
    bench = Bench()
    bench.late(50)
    bench.known.add(b"z9hG4bK7 192.0.2.1:5062")
    assert bench.give(octets("INVITE", number=7), octets("INVITE", number=8)) == (1, 1)


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("REGISTER", "sip:example.com"),
        ("OPTIONS", "sip:example.com"),
        ("INVITE", "urn:service:sos"),
        ("INVITE", "urn:service:sos.fire"),
    ],
)
def test_the_last_to_be_refused(method: str, uri: str) -> None:
    bench = Bench()
    bench.late(2)
    assert bench.give(octets(method, uri)) == (1, 0)
    bench.late(3)
    assert bench.give(octets(method, uri)) == (1, 1)


def test_of_one_burst_what_belongs_to_something_comes_first() -> None:
    bench = Bench()
    bench.late(1)
    inside = octets("BYE", tag=";tag=b", number=3)
    bench.burst(octets("INVITE", number=1), octets("INVITE", number=2), RESPONSE, inside)
    starts = [bytes(each.start[:6]) for each in bench.delivered]
    assert starts == [b"SIP/2.", b"BYE si", b"INVITE", b"INVITE"]
    assert [each.call_id for each in bench.delivered[2:]] == [b"1", b"2"]


def test_a_cancel_does_not_overtake_its_invite() -> None:
    bench = Bench()
    bench.late(1)
    folded = octets("INVITE").replace(b"Call-ID: ", b"Call-ID:\r\n ")
    for invite in (octets("INVITE"), folded):
        bench.delivered.clear()
        bench.burst(invite, octets("CANCEL"), RESPONSE)
        assert [each.method for each in bench.delivered] == [b"", b"INVITE", b"CANCEL"]


def test_in_a_burst_plain_requests_and_odd_ones_are_refused_alike() -> None:
    bench = Bench()
    bench.late(2)
    odd = octets("INVITE", number=2).replace(b"To: ", b"TO :\r\n ")
    bench.burst(octets("INVITE"), odd, octets("MESSAGE", tag=";tag=b", number=3))
    assert [each.call_id for each in bench.refused] == [b"2"]
    assert (len(bench.sent), len(bench.delivered)) == (1, 1)
    assert bench.sent[0].startswith(b"SIP/2.0 503 ")
    assert bench.counters.received == 3


def test_in_a_burst_what_is_known_is_not_refused() -> None:
    bench = Bench()
    bench.late(50)
    bench.known.add(b"z9hG4bK7 192.0.2.1:5062")
    bench.burst(octets("INVITE", number=7), octets("INVITE", number=8))
    assert [each.call_id for each in bench.delivered] == [b"7"]


def test_the_ack_of_a_refusal_ends_at_sight() -> None:
    bench = Bench()
    bench.late(50)
    bench.burst(octets("ACK", tag=";tag=ours"), octets("ACK", tag=";tag=other"))
    assert [each.to.tag for each in bench.delivered] == [b"other"]
    assert bench.overload.counters.acknowledged == 1


def test_a_mistake_in_one_does_not_keep_the_others() -> None:
    bench = Bench()
    bench.late(1)
    bench.known = None  # type: ignore[assignment]  # so that asking raises TypeError
    bench.burst(octets("INVITE", number=1), octets("INVITE", number=2))
    assert bench.counters.own_mistakes == 2
    assert bench.give(octets("INVITE", tag=";tag=b")) == (1, 0)


def test_a_queue_on_time_costs_nobody_anything() -> None:
    bench = Bench()
    bench.late(0.5)
    assert bench.give(octets("INVITE"), octets("OPTIONS")) == (2, 0)
