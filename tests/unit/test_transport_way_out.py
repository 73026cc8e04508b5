"""The flow to a target, and what is remembered of it (``ports.Transports``)."""

from __future__ import annotations

from collections.abc import Callable

from uacproxy.flow import Flow
from uacproxy.ports import Target
from uacproxy.settings import ListenAddress, parse_listen
from uacproxy.sip.via import Via
from uacproxy.testing.clock import SteppingClock
from uacproxy.transport.addresses import LocalAddresses
from uacproxy.transport.own_names import OwnNames
from uacproxy.transport.way_out import MAX_FOUND, WayOut

UDP, TCP = parse_listen("udp:127.0.0.1:5060"), parse_listen("tcp:127.0.0.1:5060")


class NoFlow(Flow):
    """Stands for one; nothing is sent."""

    @property
    def sent_by(self) -> bytes:
        return b"127.0.0.1"

    def send(self, octets: bytes, failed: Callable[[], None] | None) -> None:
        raise AssertionError

    def answering(self, via: Via) -> Flow:
        return self


def flow_from(listening: ListenAddress, host: str, port: int) -> Flow:
    local = (listening.host, listening.port)
    return NoFlow(listening.transport, (host, port), local, reliable=False)


def way_out() -> WayOut:
    local = LocalAddresses(SteppingClock().seconds)
    return WayOut(
        udp={UDP: None},
        tcp=[TCP],
        udp_flow=flow_from,
        tcp_flow=flow_from,
        addresses=local,
        names=OwnNames(None, local),
    )


def test_a_flow_is_remembered_until_there_are_too_many() -> None:
    way = way_out()
    targets = [Target(b"UDP", "127.0.0.2", port) for port in range(1, MAX_FOUND + 2)]
    flows = [way.flow_to(target) for target in targets[:MAX_FOUND]]
    assert all(way.flow_to(targets[at]) is flows[at] for at in range(MAX_FOUND))
    way.flow_to(targets[MAX_FOUND])
    again = way.flow_to(targets[0])
    assert again is not None
    assert again.remote == ("127.0.0.2", 1)
    assert again is not flows[0]


def test_flows_over_tcp_are_left_to_the_connections() -> None:
    way = way_out()
    target = Target(b"TCP", "127.0.0.2", 5060)
    assert way.flow_to(target) is not way.flow_to(target)
