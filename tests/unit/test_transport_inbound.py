"""The border between sockets and transactions: whatever comes, nothing is raised."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.log import KeptLog
from tests.support.sip_sockets import request, response
from uacproxy.counters import TransportCounters
from uacproxy.ports import Flow
from uacproxy.sip.framing import Framer, StreamBroken
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.parse import MalformedMessage
from uacproxy.testing.clock import SteppingClock
from uacproxy.testing.loopback import Network
from uacproxy.transport.inbound import Inbound

SOUND = request("SIP/2.0/UDP 192.0.2.1:5060;rport")
PIECES = st.sampled_from(
    [SOUND, response("SIP/2.0/UDP 192.0.2.9:5060"), b"\r\n", b"\0", b"\xff", b"SIP/2.0 ", b","]
)
OCTETS = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=6).map(b"".join))


class Bench:
    def __init__(self) -> None:
        clock = SteppingClock()
        self.counters = TransportCounters()
        self.log = KeptLog()
        self.delivered: list[Message] = []
        self.rejected: list[MalformedMessage] = []
        self.inbound = Inbound(
            limits=LimitSettings(),
            counters=self.counters,
            is_ours=lambda host, _port, _transport: host == b"192.0.2.9",
            deliver=lambda message, _flow: self.delivered.append(message),
            reject=lambda error, _flow: self.rejected.append(error),
            clock=clock,
            log=self.log,
        )
        endpoint = Network(clock).endpoint(
            "192.0.2.9", 5060, deliver=lambda _message, _flow: None, log=self.log
        )
        self.flow: Flow = endpoint.flow(("192.0.2.1", 5062))


@given(OCTETS)
@example(b"")
@example(SOUND.replace(b"192.0.2.1:5060", b"[2001:db8::1%eth0]"))
def test_any_octets_are_a_message_a_keep_alive_or_counted(octets: bytes) -> None:
    bench = Bench()
    bench.inbound.datagram_received(octets, bench.flow)
    counters = bench.counters
    known = counters.malformed + counters.strays + len(bench.delivered)
    assert counters.received == known
    assert counters.received + counters.keepalives == 1
    assert counters.own_mistakes == 0


@given(st.lists(OCTETS, max_size=4))
def test_a_stream_that_breaks_is_counted_once(chunks: list[bytes]) -> None:
    bench = Bench()
    framer = Framer()
    try:
        for chunk in chunks:
            framer.feed(chunk, [])
    except StreamBroken as error:
        bench.inbound.stream_broken(error, bench.flow)
        assert bench.counters.malformed == 1
        assert all(each.status in (400, 513) for each in bench.rejected)


def test_a_zone_is_no_business_of_the_peer() -> None:
    bench = Bench()
    endpoint = Network(SteppingClock()).endpoint(
        "fe80::9", 5060, deliver=lambda _message, _flow: None, log=bench.log
    )
    flow = endpoint.flow(("fe80::1%eth0", 5060))
    bench.inbound.datagram_received(SOUND, flow)
    assert bench.delivered[0].via.received == b"fe80::1"
