"""SIP over UDP on real loopback sockets (RFC 3261 18, RFC 3581)."""

from __future__ import annotations

import socket
from unittest.mock import ANY

import pytest
import pytest_twisted

from tests.support.free_ports import free_port
from tests.support.sip_sockets import (
    Service,
    UdpPeer,
    let_pass,
    open_descriptors,
    request,
    response,
    until,
)
from uacproxy.errors import ConfigError
from uacproxy.ports import Flow, Target
from uacproxy.settings import Address
from uacproxy.sip.message import Message
from uacproxy.sip.names import VIA
from uacproxy.testing.clock import SteppingClock
from uacproxy.transport.addresses import FORGET_AFTER, LocalAddresses

UDP = b"UDP"
ANSWER = b"SIP/2.0 200 OK\r\n\r\n"


def answer(message: Message, flow: Flow) -> None:
    flow.answering(message.via).send(ANSWER, None)


@pytest_twisted.ensureDeferred
async def test_of_two_listeners_the_nearest_is_looked_for_again_when_routes_may_have_changed() -> (
    None
):
    here = ["127.0.0.1"]
    clock = SteppingClock()
    async with Service("udp:127.0.0.1:0", "udp:127.0.0.2:0") as service:
        service.sockets.way_out._addresses = LocalAddresses(
            clock.seconds, source_toward=lambda _: here[0]
        )
        peer = ("127.0.0.9", 5060)
        assert service.flow_to(UDP, peer).local[0] == "127.0.0.1"
        here[0] = "127.0.0.2"
        assert service.flow_to(UDP, peer).local[0] == "127.0.0.1"  # remembered
        clock.run_for(FORGET_AFTER + 1.0)
        assert service.flow_to(UDP, peer).local[0] == "127.0.0.2"


@pytest_twisted.ensureDeferred
async def test_a_long_request_arrives_whole() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}", body=b"v" * 60000), service.here)
        message, _ = await service.heard.get()
        assert len(message.body) == 60000


@pytest_twisted.ensureDeferred
async def test_rubbish_is_counted_and_the_next_message_still_heard() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        for octets in (b"rubbish", b"\xff" * 2000, b"OPTIONS\r\n\r\n"):
            peer.send(octets, service.here)
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
        await service.heard.get()
        assert (service.counters.malformed, service.counters.received) == (3, 4)


@pytest.mark.parametrize("octets", [b"\r\n\r\n", b"\0\0\0\0", b"", b"\0\1\0\0\x21\x12\xa4\x42"])
@pytest_twisted.ensureDeferred
async def test_a_keep_alive_is_no_message(octets: bytes) -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        peer.send(octets, service.here)
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
        await service.heard.get()
        assert (service.counters.keepalives, service.counters.malformed) == (1, 0)


@pytest_twisted.ensureDeferred
async def test_the_source_is_written_into_the_top_via_where_asked_for() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        peer.send(request("SIP/2.0/UDP 192.0.2.1:5062;rport"), service.here)
        message, _ = await service.heard.get()
        assert message.via.received == b"127.0.0.1"
        assert message.via.rport == peer.address[1]


@pytest_twisted.ensureDeferred
async def test_marking_the_top_via_keeps_the_other_values_of_its_field() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        loose = "SIP / 2.0 / UDP 192.0.2.1 ;rport, SIP/2.0/TCP 192.0.2.2"
        peer.send(request(loose), service.here)
        message, _ = await service.heard.get()
        assert message.values(VIA) == [
            b"SIP/2.0/UDP 192.0.2.1;rport=%d;received=127.0.0.1" % peer.address[1],
            b"SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1",
        ]


@pytest_twisted.ensureDeferred
async def test_an_answer_goes_back_to_the_source_port_with_rport() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer, UdpPeer() as other:
        service.on_message = answer
        peer.send(request(f"SIP/2.0/UDP {other.sent_by};rport"), service.here)
        assert await peer.heard.get() == (ANSWER, service.here)


@pytest_twisted.ensureDeferred
async def test_an_answer_goes_to_the_port_of_sent_by_without_rport() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer, UdpPeer() as other:
        service.on_message = answer
        via = f"SIP/2.0/UDP wherever.example:{other.address[1]}"
        peer.send(request(via), service.here)
        assert await other.heard.get() == (ANSWER, service.here)


@pytest_twisted.ensureDeferred
async def test_an_answer_goes_to_maddr() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer, UdpPeer("127.0.0.3") as m:
        service.on_message = answer
        via = f"SIP/2.0/UDP 127.0.0.1:{m.address[1]};rport;maddr=127.0.0.3"
        peer.send(request(via), service.here)
        assert (await m.heard.get())[0] == ANSWER


@pytest_twisted.ensureDeferred
async def test_ipv6_is_heard_answered_and_named_in_brackets() -> None:
    async with Service("udp:[::1]:0") as service, UdpPeer("::1") as peer:
        service.on_message = answer
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by};rport"), service.here)
        message, flow = await service.heard.get()
        assert await peer.heard.get() == (ANSWER, service.here)
        assert message.via.received == b"::1"
        assert flow.sent_by == b"[::1]:%d" % service.listening.port


@pytest_twisted.ensureDeferred
async def test_a_response_is_heard_only_with_our_own_via_on_top() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        ours = f"SIP/2.0/UDP 127.0.0.1:{service.listening.port}"
        peer.send(response(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
        peer.send(response(ours), service.here)
        message, _ = await service.heard.get()
        assert message.via.sent_by == ours.split()[1].encode()
        assert service.counters.strays == 1


@pytest_twisted.ensureDeferred
async def test_a_broken_request_is_rejected_with_its_source_marked() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        broken = request("SIP/2.0/UDP 192.0.2.1;rport").replace(b"CSeq: 1", b"CSeq: one")
        peer.send(broken, service.here)
        error, flow = await service.rejected.get()
        assert error.status == 400
        assert error.message is not None
        assert error.message.via.rport == peer.address[1]
        assert flow.remote == peer.address


@pytest.mark.parametrize(
    "broken",
    [
        request("SIP/2.0/UDP h", method="ACK").replace(b"CSeq: 1", b"CSeq: one"),
        request("SIP/2.0/UDP h").replace(b"Via", b"Vla"),
        request("SIP/2.0 h"),
        response("SIP/2.0/UDP h").replace(b"CSeq: 1", b"CSeq: one"),
    ],
    ids=["an ACK", "no Via", "an unreadable Via", "a response"],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_answered_is_only_counted(broken: bytes) -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        peer.send(broken, service.here)
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
        await service.heard.get()
        assert service.counters.malformed == 1
        assert service.rejected.pending == []


@pytest_twisted.ensureDeferred
async def test_an_exception_above_costs_one_message_and_one_traceback_a_turn() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:

        def fails(message: Message, _flow: Flow) -> None:
            raise ZeroDivisionError(message.method.decode())

        service.on_message = fails
        for branch in "123":
            peer.send(request(f"SIP/2.0/UDP {peer.sent_by}", branch=branch), service.here)
        for _ in range(3):
            await service.heard.get()
        await let_pass(0)
        service.on_message = answer
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by};rport"), service.here)
        await peer.heard.get()
        assert service.counters.own_mistakes == 3
        assert all("ZeroDivisionError" in line for line in service.log.told("error"))
        assert len(service.log.told("error")) == 1


@pytest_twisted.ensureDeferred
async def test_a_port_where_nobody_listens_fails_and_others_still_get_theirs() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        failures: list[str] = []
        dead = service.flow_to(UDP, ("127.0.0.1", free_port()))
        alive = service.flow_to(UDP, peer.address)
        for _ in range(3):
            dead.send(b"one", lambda: failures.append("dead"))
            alive.send(b"two", lambda: failures.append("alive"))
            assert (await peer.heard.get())[0] == b"two"
            await until(lambda: bool(failures))
            assert failures == ["dead"]
            failures.clear()
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
        await service.heard.get()


@pytest_twisted.ensureDeferred
async def test_a_failure_heard_while_idle_leaves_the_listener_reading() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        failures: list[str] = []
        dead = service.flow_to(UDP, ("127.0.0.1", free_port()))
        dead.send(b"one", lambda: failures.append("failed"))
        await until(lambda: failures == ["failed"])
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
        await service.heard.get()


@pytest_twisted.ensureDeferred
async def test_what_the_system_refuses_fails_in_a_later_turn() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        failures: list[str] = []
        too_long = b"v" * 70000
        service.flow_to(UDP, peer.address).send(too_long, lambda: failures.append("failed"))
        assert failures == []
        await until(lambda: failures == ["failed"])


@pytest_twisted.ensureDeferred
async def test_a_send_after_the_end_fails() -> None:
    async with UdpPeer() as peer:
        async with Service("udp:127.0.0.1:0") as service:
            flow = service.flow_to(UDP, peer.address)
        failures: list[str] = []
        flow.send(b"late", lambda: failures.append("failed"))
        await until(lambda: failures == ["failed"])


@pytest_twisted.ensureDeferred
async def test_the_flow_to_a_peer_is_made_once() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
        _, flow = await service.heard.get()
        assert service.flow_to(UDP, peer.address) is flow


@pytest_twisted.ensureDeferred
async def test_an_address_in_use_is_named_and_nothing_stays_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        before = open_descriptors()
        service = Service("udp:127.0.0.1:0", "tcp:127.0.0.1:0", f"udp:127.0.0.1:{port}")
        with pytest.raises(ConfigError) as caught:
            await service.sockets.open()
    assert f"udp:127.0.0.1:{port}: address already in use" in str(caught.value)
    assert (caught.value.section, caught.value.key) == ("sip", "listen")
    assert service.sockets.local_addresses == []
    assert open_descriptors() <= before


@pytest_twisted.ensureDeferred
async def test_opening_and_closing_leaves_no_descriptor_behind() -> None:
    async with Service("udp:127.0.0.1:0"):
        pass
    before = open_descriptors()
    for _ in range(5):
        async with Service("udp:127.0.0.1:0", "udp:[::1]:0") as service, UdpPeer() as peer:
            peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), service.here)
            await service.heard.get()
    assert open_descriptors() <= before


@pytest_twisted.ensureDeferred
async def test_a_wildcard_is_named_by_the_address_the_peer_can_reach() -> None:
    async with Service("udp:0.0.0.0:0", "udp:[::]:0") as service, UdpPeer() as peer:
        port = service.listening.port
        peer.send(request(f"SIP/2.0/UDP {peer.sent_by}"), ("127.0.0.1", port))
        _, flow = await service.heard.get()
        assert flow.sent_by == b"127.0.0.1:%d" % port
        assert service.sockets.way_out.is_ours(b"127.0.0.1", port, UDP)
        assert not service.sockets.way_out.is_ours(b"192.0.2.1", port, UDP)


@pytest_twisted.ensureDeferred
async def test_the_advertised_address_is_named_and_is_ours() -> None:
    advertise = Address("Sip.Example.com", 0)
    async with Service("udp:127.0.0.1:0", advertise=advertise) as service, UdpPeer() as peer:
        port = service.listening.port
        assert service.flow_to(UDP, peer.address).sent_by == b"sip.example.com:%d" % port
        assert service.sockets.way_out.is_ours(b"sip.example.com", port, None)
        assert service.sockets.way_out.is_ours(b"127.0.0.1", port, None)


@pytest_twisted.ensureDeferred
async def test_the_listener_that_leads_to_the_peer_is_chosen() -> None:
    words = ("udp:0.0.0.0:0", "udp:127.0.0.2:0", "udp:127.0.0.1:0")
    async with Service(*words) as service:
        assert service.flow_to(UDP, ("127.0.0.1", 9)).local[0] == "127.0.0.1"
        assert service.flow_to(UDP, ("192.0.2.1", 9)).local[0] == "0.0.0.0"
        assert service.sockets.way_out.flow_to(Target(UDP, "::1", 9)) is None
        assert service.sockets.way_out.flow_to(Target(b"TCP", "127.0.0.1", 9)) is None
        assert service.sockets.way_out.flow_to(Target(UDP, "no.address.example", 9)) is None
        assert service.sockets.way_out.flow_to(Target(UDP, "127.0.0.1", 9)) == ANY


@pytest_twisted.ensureDeferred
async def test_a_request_leaves_by_the_listener_named_and_by_no_other() -> None:
    words = ("udp:127.0.0.1:0", "udp:127.0.0.2:0", "udp:[0:0::1]:0", "tcp:127.0.0.2:0")
    async with Service(*words) as service, UdpPeer() as peer:
        first, second, six, stream = service.sockets.local_addresses
        target = Target(UDP, *peer.address)
        flow = service.sockets.way_out.flow_to(target, second)
        assert flow is not None
        flow.send(b"hello", None)
        _, source = await peer.heard.get()
        assert source == (second.host, second.port)
        over_tcp = service.sockets.way_out.flow_to(target._replace(transport=b"TCP"), stream)
        assert over_tcp is not None and over_tcp.local == (stream.host, stream.port)
        assert service.sockets.way_out.flow_to(target, stream) is None
        assert service.sockets.way_out.flow_to(target, six) is None
        strange = first._replace(port=stream.port)
        assert service.sockets.way_out.flow_to(target, strange) is None
        assert not service.sockets.way_out.listens_on(strange)
        assert service.sockets.way_out.listens_on(six._replace(host="0:0:0:0:0:0:0:1"))
