"""The relay that tests put before the service to spoil its weather."""

from __future__ import annotations

import pytest_twisted

from tests.support.sip_sockets import Service, UdpPeer, reactor, request, until
from uacproxy.ports import Flow
from uacproxy.sip.message import Message
from uacproxy.testing.loopback import Weather
from uacproxy.testing.relay import Relay


@pytest_twisted.ensureDeferred
async def test_each_peer_is_heard_and_answered_through_the_relay() -> None:
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as one, UdpPeer() as two:
        relay = Relay(reactor, service.here)

        def answer(message: Message, flow: Flow) -> None:
            flow.answering(message.via).send(b"SIP/2.0 200 " + message.via.branch, None)

        service.on_message = answer
        for branch, peer in (("1", one), ("2", two)):
            peer.send(request(f"SIP/2.0/UDP {peer.sent_by};rport", branch=branch), relay.address)
        assert await one.heard.get() == (b"SIP/2.0 200 z9hG4bK1", relay.address)
        assert await two.heard.get() == (b"SIP/2.0 200 z9hG4bK2", relay.address)
        await relay.close()


@pytest_twisted.ensureDeferred
async def test_what_the_relay_loses_and_doubles_adds_up() -> None:
    foul = Weather(loss=0.2, duplication=0.2, reordering=0.2, delay=0.001)
    async with Service("udp:127.0.0.1:0") as service, UdpPeer() as peer:
        relay = Relay(reactor, service.here, weather=foul, seed=1)
        for number in range(100):
            via = f"SIP/2.0/UDP {peer.sent_by}"
            peer.send(request(via, branch=str(number)), relay.address)
        await until(lambda: service.counters.received == 100 - relay.lost + relay.doubled)
        assert relay.lost > 0
        assert relay.doubled > 0
        await relay.close()
