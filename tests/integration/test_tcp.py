"""SIP over TCP on real loopback sockets (RFC 3261 18; RFC 5626 3.5.1)."""

from __future__ import annotations

import socket

import pytest_twisted

from tests.support.free_ports import free_port
from tests.support.sip_sockets import (
    Service,
    TcpServer,
    connect,
    let_pass,
    open_descriptors,
    request,
    response,
    until,
)
from uacproxy.ports import Flow
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.parse import MalformedMessage

TCP = b"TCP"
ANSWER = b"SIP/2.0 200 OK\r\n\r\n"
REFUSAL = b"SIP/2.0 %d No\r\n\r\n"
PING = b"\r\n\r\n"
PONG = b"\r\n"
HALTS = 0.4  # s, more than a busy machine leaves us alone between two turns


def answer(message: Message, flow: Flow) -> None:
    flow.answering(message.via).send(ANSWER, None)


def refuse(error: MalformedMessage, flow: Flow) -> None:
    flow.send(REFUSAL % error.status, None)


@pytest_twisted.ensureDeferred
async def test_a_message_may_come_octet_by_octet() -> None:
    async with Service("tcp:127.0.0.1:0") as service:
        peer = await connect(service.here)
        for octet in request("SIP/2.0/TCP 127.0.0.1", body=b"sdp"):
            peer.send(bytes([octet]))
            await let_pass(0)
        message, flow = await service.heard.get()
        assert message.body == b"sdp"
        assert (flow.remote, flow.reliable) == (peer.address, True)
        await peer.close()


@pytest_twisted.ensureDeferred
async def test_messages_and_pings_in_one_segment_are_told_apart() -> None:
    async with Service("tcp:127.0.0.1:0") as service:
        service.on_message = answer
        peer = await connect(service.here)
        via = "SIP/2.0/TCP 127.0.0.1"
        one, two = request(via, branch="1", body=b"a"), request(via, branch="2")
        peer.send(PING + one + PING + PING + two + PONG + one[:40])
        expected = PONG + ANSWER + PONG + PONG + ANSWER
        assert await peer.hears(len(expected)) == expected
        assert [(await service.heard.get())[0].via.branch for _ in range(2)] == [
            b"z9hG4bK1",
            b"z9hG4bK2",
        ]
        await peer.close()


@pytest_twisted.ensureDeferred
async def test_ipv6_is_accepted_and_connected_to() -> None:
    async with Service("tcp:[::1]:0") as service, TcpServer("::1") as server:
        service.on_message = answer
        peer = await connect(service.here)
        peer.send(request("SIP/2.0/TCP [::1]"))
        await peer.hears(len(ANSWER))
        flow = service.flow_to(TCP, server.address)
        flow.send(b"hello", None)
        accepted = await server.accepted.get()
        assert await accepted.hears(5) == b"hello"
        assert flow.sent_by == b"[::1]:%d" % service.listening.port


@pytest_twisted.ensureDeferred
async def test_one_connection_carries_all_we_send_to_an_address_and_its_answers() -> None:
    async with Service("tcp:127.0.0.2:0") as service, TcpServer() as server:
        flow = service.flow_to(TCP, server.address)
        flow.send(b"one", None)
        flow.send(b"two", None)
        accepted = await server.accepted.get()
        await accepted.hears(6)
        service.flow_to(TCP, server.address).send(b"three", None)
        assert await accepted.hears(11) == b"onetwothree"
        accepted.send(response(f"SIP/2.0/TCP {flow.sent_by.decode()}"))
        message, came_on = await service.heard.get()
        assert message.status == 200
        assert came_on.remote == server.address
        assert service.counters.connected == 1
        assert accepted.remote[0] == "127.0.0.2"


@pytest_twisted.ensureDeferred
async def test_a_connection_the_peer_opened_serves_only_what_came_on_it() -> None:
    async with Service("tcp:127.0.0.1:0") as service, TcpServer() as server:
        service.on_message = answer
        peer = await connect(service.here)
        peer.send(request(f"SIP/2.0/TCP 127.0.0.1:{server.address[1]}"))
        assert await peer.hears(len(ANSWER)) == ANSWER
        service.flow_to(TCP, server.address).send(b"new", None)
        accepted = await server.accepted.get()
        assert await accepted.hears(3) == b"new"
        assert peer.read == ANSWER


@pytest_twisted.ensureDeferred
async def test_after_the_peer_closed_the_next_send_connects_anew() -> None:
    async with Service("tcp:127.0.0.1:0") as service, TcpServer() as server:
        flow = service.flow_to(TCP, server.address)
        flow.send(b"one", None)
        first = await server.accepted.get()
        await first.hears(3)
        await first.close()
        await until(lambda: service.counters.connections == 0)
        flow.send(b"two", None)
        second = await server.accepted.get()
        assert await second.hears(3) == b"two"


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_fails_every_message_that_waited_for_it() -> None:
    async with Service("tcp:127.0.0.1:0") as service:
        failures: list[int] = []
        flow = service.flow_to(TCP, ("127.0.0.1", free_port()))
        for number in range(3):
            flow.send(b"message", lambda number=number: failures.append(number))  # type: ignore[misc]
        assert failures == []
        await until(lambda: len(failures) == 3)
        assert failures == [0, 1, 2]
        assert service.counters.connect_failures == 1


@pytest_twisted.ensureDeferred
async def test_what_has_not_left_when_the_connection_breaks_fails() -> None:
    async with Service("tcp:127.0.0.1:0") as service, TcpServer() as server:
        failures: list[str] = []
        flow = service.flow_to(TCP, server.address)
        flow.send(b"one", lambda: failures.append("one"))
        accepted = await server.accepted.get()
        await accepted.hears(3)
        await let_pass(0)
        accepted.stop_reading()
        while not service.counters.failed and service.counters.sent < 1000:
            flow.send(b"v" * 60000, lambda: failures.append("more"))
            await let_pass(0)
            if service.counters.sent == 100:
                accepted.abort()
        await until(lambda: len(failures) > 0)
        assert set(failures) == {"more"}


@pytest_twisted.ensureDeferred
async def test_a_peer_that_never_reads_is_given_up() -> None:
    async with Service("tcp:127.0.0.1:0") as service, TcpServer() as server:
        flow = service.flow_to(TCP, server.address)
        flow.send(b"one", None)
        accepted = await server.accepted.get()
        accepted.stop_reading()
        failures: list[str] = []
        for _ in range(200):
            flow.send(b"v" * 60000, lambda: failures.append("failed"))
        await until(lambda: len(failures) == 200)
        assert service.counters.timed_out == 1
        accepted.abort()


@pytest_twisted.ensureDeferred
async def test_an_answer_opens_a_connection_to_sent_by_when_the_first_is_gone() -> None:
    """RFC 3261 18.2.2."""
    async with Service("tcp:127.0.0.1:0") as service, TcpServer() as server:
        peer = await connect(service.here)
        peer.send(request(f"SIP/2.0/TCP wherever.example:{server.address[1]}"))
        message, flow = await service.heard.get()
        back = flow.answering(message.via)
        await peer.close()
        await until(lambda: service.counters.connections == 0)
        back.send(ANSWER, None)
        accepted = await server.accepted.get()
        assert await accepted.hears(len(ANSWER)) == ANSWER


@pytest_twisted.ensureDeferred
async def test_a_request_on_a_connection_that_is_gone_fails() -> None:
    async with Service("tcp:127.0.0.1:0") as service:
        peer = await connect(service.here)
        peer.send(request("SIP/2.0/TCP 127.0.0.1"))
        _, flow = await service.heard.get()
        await peer.close()
        await until(lambda: service.counters.connections == 0)
        failures: list[str] = []
        flow.send(b"INVITE", lambda: failures.append("failed"))
        assert failures == []
        await until(lambda: failures == ["failed"])


@pytest_twisted.ensureDeferred
async def test_a_stream_without_a_length_is_answered_400_and_closed() -> None:
    async with Service("tcp:127.0.0.1:0") as service:
        service.on_message, service.on_reject = answer, refuse
        peer = await connect(service.here)
        sound = request("SIP/2.0/TCP 192.0.2.1")
        broken = sound.replace(b"Content-Length", b"Content-Lungth")
        peer.send(sound + broken + sound)
        await peer.lost
        assert peer.read == ANSWER + REFUSAL % 400
        error, _ = await service.rejected.get()
        assert error.message is not None
        assert error.message.via.received == b"127.0.0.1"
        assert service.counters.broken_streams == 1


@pytest_twisted.ensureDeferred
async def test_a_send_while_a_broken_connection_ends_opens_the_next() -> None:
    async with Service("tcp:127.0.0.1:0") as service, TcpServer() as server:
        flow = service.flow_to(TCP, server.address)
        flow.send(b"one", None)
        first = await server.accepted.get()
        await first.hears(3)
        first.send(request("SIP/2.0/TCP h").replace(b"Content-Length", b"Content-Lungth"))
        first.stop_reading()  # so that it does not close in return
        await until(lambda: service.counters.broken_streams == 1)
        flow.send(b"two", None)
        second = await server.accepted.get()
        assert await second.hears(3) == b"two"
        first.abort()


@pytest_twisted.ensureDeferred
async def test_a_message_announced_too_long_is_answered_513_before_its_body() -> None:
    limits = LimitSettings(max_message=2000)
    async with Service("tcp:127.0.0.1:0", limits=limits) as service:
        service.on_reject = refuse
        peer = await connect(service.here)
        head = request("SIP/2.0/TCP 127.0.0.1")
        peer.send(head.replace(b"Length: 0", b"Length: 100000") + b"v" * 100000)
        await peer.lost
        assert peer.read == REFUSAL % 513


@pytest_twisted.ensureDeferred
async def test_rubbish_without_an_end_is_closed() -> None:
    limits = LimitSettings(max_message=2000)
    async with Service("tcp:127.0.0.1:0", limits=limits) as service:
        peer = await connect(service.here)
        peer.send(b"v" * 3000)
        await peer.lost
        assert peer.read == b""


@pytest_twisted.ensureDeferred
async def test_a_broken_message_that_ends_leaves_the_connection_open() -> None:
    async with Service("tcp:127.0.0.1:0") as service:
        service.on_message, service.on_reject = answer, refuse
        peer = await connect(service.here)
        sound = request("SIP/2.0/TCP 127.0.0.1")
        peer.send(sound.replace(b"CSeq: 1", b"CSeq: one") + sound)
        expected = REFUSAL % 400 + ANSWER
        assert await peer.hears(len(expected)) == expected
        await peer.close()


@pytest_twisted.ensureDeferred
async def test_a_message_that_never_ends_closes_its_connection() -> None:
    async with Service("tcp:127.0.0.1:0", message_timeout=HALTS) as service:
        peer = await connect(service.here)
        whole = request("SIP/2.0/TCP 127.0.0.1")
        peer.send(whole)
        await service.heard.get()
        await let_pass(HALTS * 1.5)
        assert not peer.is_lost
        peer.send(whole[:-10])
        await peer.lost
        assert service.counters.timed_out == 1


@pytest_twisted.ensureDeferred
async def test_a_peer_that_connects_and_says_nothing_is_closed() -> None:
    async with Service("tcp:127.0.0.1:0", message_timeout=HALTS) as service:
        peer = await connect(service.here)
        await peer.lost
        assert service.counters.timed_out == 1


@pytest_twisted.ensureDeferred
async def test_a_connection_without_traffic_is_closed() -> None:
    async with Service("tcp:127.0.0.1:0", idle=HALTS) as service:
        peer = await connect(service.here)
        peer.send(request("SIP/2.0/TCP 127.0.0.1"))
        await peer.lost
        assert (service.counters.timed_out, service.counters.received) == (1, 1)


@pytest_twisted.ensureDeferred
async def test_a_connection_beyond_the_most_is_closed_and_the_others_live() -> None:
    limits = LimitSettings(max_connections=2)
    async with Service("tcp:127.0.0.1:0", limits=limits) as service, TcpServer() as server:
        service.on_message = answer
        first, second = await connect(service.here), await connect(service.here)
        await until(lambda: service.counters.connections == 2)
        third = await connect(service.here)
        await third.lost
        failures: list[str] = []
        service.flow_to(TCP, server.address).send(b"v", lambda: failures.append("failed"))
        await until(lambda: failures == ["failed"])
        for peer in (first, second):
            peer.send(request("SIP/2.0/TCP 127.0.0.1"))
            await peer.hears(len(ANSWER))
        assert service.counters.refused == 2


@pytest_twisted.ensureDeferred
async def test_closing_lets_the_last_words_leave_and_leaves_no_descriptor() -> None:
    async with Service("tcp:127.0.0.1:0"):
        pass
    before = open_descriptors()
    for _ in range(5):
        async with TcpServer() as server:
            async with Service("tcp:127.0.0.1:0") as service:
                peer = await connect(service.here)
                peer.send(request("SIP/2.0/TCP 127.0.0.1"))
                message, flow = await service.heard.get()
                service.flow_to(TCP, server.address).send(b"v", None)
                accepted = await server.accepted.get()
                flow.answering(message.via).send(ANSWER, None)
            await peer.lost
            await accepted.lost
            assert peer.read == ANSWER
    await until(lambda: open_descriptors() <= before)


@pytest_twisted.ensureDeferred
async def test_closing_while_connecting_fails_what_waits() -> None:
    failures: list[str] = []
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())  # the backlog is full: who comes now gets no answer
        async with Service("tcp:127.0.0.1:0") as service:
            flow = service.flow_to(TCP, full.getsockname())
            flow.send(b"v", lambda: failures.append("failed"))
            await let_pass(0.01)
            assert failures == []
        await let_pass(0)
        assert failures == ["failed"]
