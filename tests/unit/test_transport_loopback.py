"""The network in memory loses, doubles and disorders, and does so the same way each time."""

from __future__ import annotations

from tests.support.log import KeptLog
from tests.support.sip_sockets import request, response
from uacproxy.ports import Flow, Target
from uacproxy.sip.message import Message
from uacproxy.testing.clock import SteppingClock
from uacproxy.testing.loopback import Network, Weather


class Bench:
    """A sends a hundred numbered requests to B."""

    def __init__(self, weather: Weather, seed: int = 1) -> None:
        self.clock = SteppingClock()
        self.network = Network(self.clock, weather=weather, seed=seed)
        self.log = KeptLog()
        self.heard: list[tuple[Message, Flow]] = []
        self.returned: list[Message] = []
        self.a = self.network.endpoint(
            "192.0.2.1", 5060, deliver=lambda m, _: self.returned.append(m), log=self.log
        )
        self.b = self.network.endpoint(
            "192.0.2.2", 5060, deliver=lambda m, f: self.heard.append((m, f)), log=self.log
        )
        self.failures = 0

    def fail(self) -> None:
        self.failures += 1

    def send(self, count: int = 100) -> list[int]:
        """Send, let it all arrive, and return which arrived in which order."""
        flow = self.a.flow_to(Target(b"UDP", "192.0.2.2", 5060))
        assert flow is not None
        for number in range(count):
            via = f"SIP/2.0/UDP {flow.sent_by.decode()};rport"
            flow.send(request(via, branch=str(number)), self.fail)
            self.clock.run_for(0.001)
        self.clock.run_for(1.0)
        return [int(message.via.branch[7:]) for message, _ in self.heard]


def test_fair_weather_delivers_all_in_order() -> None:
    bench = Bench(Weather())
    assert bench.send() == list(range(100))
    assert len(bench.network.sent) == 100


def test_loss_loses_about_its_share() -> None:
    assert 50 < len(set(Bench(Weather(loss=0.3)).send())) < 90


def test_duplication_doubles_some() -> None:
    arrived = Bench(Weather(duplication=0.3)).send()
    assert len(set(arrived)) == 100
    assert 115 < len(arrived) < 150


def test_reordering_lets_some_be_overtaken() -> None:
    arrived = Bench(Weather(reordering=0.2)).send()
    assert sorted(arrived) == list(range(100))
    assert arrived != sorted(arrived)


def test_the_same_seed_makes_the_same_weather() -> None:
    foul = Weather(loss=0.2, duplication=0.2, reordering=0.2)
    assert Bench(foul, seed=7).send() == Bench(foul, seed=7).send()
    assert Bench(foul, seed=7).send() != Bench(foul, seed=8).send()


def test_a_request_is_marked_and_its_answer_finds_back() -> None:
    bench = Bench(Weather())
    bench.send(1)
    message, flow = bench.heard[0]
    assert (message.via.rport, message.via.received) == (5060, b"192.0.2.1")
    flow.answering(message.via).send(response("SIP/2.0/UDP 192.0.2.1:5060"), None)
    bench.clock.run_for(1.0)
    assert [each.status for each in bench.returned] == [200]


def test_where_nobody_is_attached_a_send_fails_in_a_later_turn() -> None:
    bench = Bench(Weather())
    bench.network.detach(bench.b)
    bench.send(1)
    assert bench.failures == 1


def test_a_loss_can_be_chosen() -> None:
    bench = Bench(Weather())
    bench.network.swallows = lambda datagram: b"z9hG4bK3\r\n" in datagram.octets
    assert bench.send(5) == [0, 1, 2, 4]
    assert [each.first_word for each in bench.network.sent] == [b"OPTIONS"] * 5
