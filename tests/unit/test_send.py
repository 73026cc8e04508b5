"""Requests of our own: real transactions on a stepping clock, over wires held in the hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clock import SteppingClock
from tests.support.registrar import CountingRandom
from uacproxy.counters import TransactionCounters
from uacproxy.errors import OwnMistake
from uacproxy.ports import Flow, Target
from uacproxy.settings import ListenAddress
from uacproxy.sip.build import build_request, build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import CALL_ID, CSEQ, FROM, TO, VIA
from uacproxy.sip.parse import parse_message
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.transaction.table import TransactionTable
from uacproxy.uac.send import RequestSender, Sending, SendOutcome

PEER = parse_uri(b"sip:peer.example")
FIRST = Target(b"UDP", "192.0.2.1", 5060)
SECOND = Target(b"UDP", "192.0.2.2", 5060)
SILENT = 0
DEAD = -1
LIFETIME = 32.0  # s: timer F


def options(body: bytes = b"", method: bytes = b"OPTIONS") -> Message:
    fields = [
        (FROM, b"<sip:us@here.example>;tag=1"),
        (TO, b"<sip:peer.example>"),
        (CALL_ID, b"c1"),
        (CSEQ, b"10 " + method),
    ]
    return build_request(method, b"sip:peer.example", fields, body)


class Wire(Flow):
    """A flow whose far end does one thing: answers a status, stays SILENT, or is DEAD."""

    sent_by = b"192.0.2.100:5060"

    def __init__(self, bench: Bench, target: Target) -> None:
        reliable = target.transport == b"TCP"
        remote = (target.host, target.port)
        super().__init__(target.transport, remote, ("192.0.2.100", 5060), reliable=reliable)
        self._bench = bench

    def send(self, octets: bytes, failed: Callable[[], None] | None) -> None:
        bench = self._bench
        bench.sent.append((self.transport, self.remote[0], octets))
        does = bench.does.get((self.transport, self.remote[0]), 200)
        if does == DEAD:
            assert failed is not None
            bench.clock.callLater(0, failed)
        elif does != SILENT:
            bench.clock.callLater(0.01, bench.answer, octets, does, self)

    def answering(self, via: object) -> Wire:
        return self


class Bench:
    """A sender with all three of its ports; the name resolves to ``targets``."""

    def __init__(
        self,
        *targets: Target,
        udp_limit: int = 1300,
        default_socket: ListenAddress | None = None,
    ) -> None:
        self.clock = SteppingClock()
        self.targets = list(targets)
        self.resolved = 0
        self.no_listener: set[bytes] = set()
        self.does: dict[tuple[bytes, str], int] = {}
        self.sent: list[tuple[bytes, str, bytes]] = []
        self.outcomes: list[SendOutcome] = []
        self.pinned: list[ListenAddress] = []  # the sockets flows were asked from
        self.table = TransactionTable(
            clock=self.clock,
            random=CountingRandom(),
            counters=TransactionCounters(),
            user=None,  # type: ignore[arg-type]  # no request comes in
        )
        self.sender = RequestSender(
            transports=self,
            resolver=self,
            table=self.table,
            udp_limit=udp_limit,
            default_socket=default_socket,
        )

    def listens_on(self, socket: ListenAddress) -> bool:
        return socket.host == "192.0.2.100"

    def flow_to(self, target: Target, socket: ListenAddress | None = None) -> Wire | None:
        if socket is not None:
            self.pinned.append(socket)
            if not self.listens_on(socket) or socket.transport != target.transport:
                return None
        return None if target.transport in self.no_listener else Wire(self, target)

    def is_ours(self, host: bytes, port: int | None, transport: bytes | None) -> bool:
        return False

    def resolve(self, uri: Uri, then: Callable[[list[Target]], None]) -> None:
        self.resolved += 1
        self.clock.callLater(0, then, self.targets)

    def answer(self, octets: bytes, status: int, wire: Wire) -> None:
        self.table.response_received(build_response(parse_message(octets), status), wire)

    def send(
        self,
        request: Message | None = None,
        target: Target | None = None,
        socket: ListenAddress | None = None,
    ) -> Sending:
        return self.sender.send(
            request or options(), PEER, self.outcomes.append, target=target, socket=socket
        )

    def let(self, seconds: float) -> None:
        self.clock.run_until(self.clock.seconds() + seconds)

    @property
    def tried(self) -> list[str]:
        seen: list[str] = []
        for _, host, _ in self.sent:
            if not seen or seen[-1] != host:
                seen.append(host)
        return seen

    @property
    def outcome(self) -> SendOutcome:
        (outcome,) = self.outcomes
        return outcome


def test_the_via_is_ours_and_asks_for_rport() -> None:
    bench = Bench(FIRST)
    request = options()
    bench.send(request)
    bench.let(1.0)
    lines = bench.sent[0][2].split(b"\r\n")
    assert lines[1] == (
        b"Via: SIP/2.0/UDP 192.0.2.100:5060;rport;branch=" + bench_branch(bench.sent[0][2])
    )
    assert not request.has(VIA)  # the caller's own stays as it was


def bench_branch(octets: bytes) -> bytes:
    branch = parse_message(octets).via.branch
    assert branch.startswith(b"z9hG4bK") and len(branch) > 16
    return branch


def test_the_final_response_is_told_once_with_where_it_came_from() -> None:
    bench = Bench(FIRST)
    bench.send()
    bench.let(60.0)
    outcome = bench.outcome
    assert (outcome.status, outcome.target, outcome.why) == (200, FIRST, "")
    assert outcome.response is not None
    assert outcome.flow is not None and outcome.flow.remote == ("192.0.2.1", 5060)


def test_a_provisional_response_is_not_the_end() -> None:
    bench = Bench(FIRST)
    bench.does[b"UDP", "192.0.2.1"] = 100
    bench.send()
    bench.let(10.0)
    assert bench.outcomes == []


@pytest.mark.parametrize("does", [SILENT, DEAD, 503])
def test_the_next_target_is_tried_when_one(does: int) -> None:
    bench = Bench(FIRST, SECOND)
    bench.does[b"UDP", "192.0.2.1"] = does
    bench.send()
    bench.let(LIFETIME + 1)
    assert (bench.outcome.status, bench.outcome.target) == (200, SECOND)
    branches = {parse_message(octets).via.branch for _, _, octets in bench.sent}
    assert len(branches) == 2


@pytest.mark.parametrize("does", [302, 404, 500, 600])
def test_any_other_failure_is_an_answer(does: int) -> None:
    bench = Bench(FIRST, SECOND)
    bench.does[b"UDP", "192.0.2.1"] = does
    bench.send()
    bench.let(LIFETIME + 1)
    assert (bench.outcome.status, bench.tried) == (does, ["192.0.2.1"])


@pytest.mark.parametrize(
    ("first", "second", "status", "why"),
    [
        (SILENT, SILENT, 408, "no answer in time"),
        (DEAD, DEAD, 503, "the transport failed"),
        (503, SILENT, 503, ""),
        (SILENT, 503, 503, ""),
        (503, DEAD, 503, ""),
    ],
)
def test_when_all_have_failed_a_503_received_says_more_than_silence(
    first: int, second: int, status: int, why: str
) -> None:
    bench = Bench(FIRST, SECOND)
    bench.does = {(b"UDP", "192.0.2.1"): first, (b"UDP", "192.0.2.2"): second}
    bench.send()
    bench.let(2 * LIFETIME + 1)
    outcome = bench.outcome
    assert (outcome.status, outcome.why) == (status, why)
    assert (outcome.response is None) == (why != "")


def test_a_name_without_an_address_is_unreachable() -> None:
    bench = Bench()
    bench.send()
    bench.let(1.0)
    assert (bench.outcome.status, bench.outcome.target) == (503, None)
    assert bench.outcome.why == "the name of the next hop has no address"


def test_a_transport_we_do_not_listen_on_is_unreachable() -> None:
    bench = Bench(FIRST)
    bench.no_listener = {b"UDP"}
    bench.send()
    bench.let(1.0)
    assert bench.outcome.status == 503
    assert "no listener" in bench.outcome.why


def test_a_target_given_goes_first_and_the_name_is_not_resolved() -> None:
    bench = Bench(FIRST)
    bench.send(target=SECOND)
    bench.let(1.0)
    assert (bench.outcome.target, bench.resolved) == (SECOND, 0)


def test_a_target_given_that_fails_is_not_tried_again_from_the_name() -> None:
    bench = Bench(SECOND, FIRST)
    bench.does[b"UDP", "192.0.2.2"] = 503
    bench.send(target=SECOND)
    bench.let(1.0)
    assert [host for _, host, _ in bench.sent] == ["192.0.2.2", "192.0.2.1"]
    assert bench.outcome.target == FIRST


OPEN = Target(b"UDP", "192.0.2.1", 5060, False)


@pytest.mark.parametrize(
    ("target", "udp_limit", "transport"),
    [(OPEN, 1300, b"TCP"), (FIRST, 1300, b"UDP"), (OPEN, 0, b"UDP"), (OPEN, 9000, b"UDP")],
)
def test_what_is_long_goes_over_tcp_where_the_choice_is_ours(
    target: Target, udp_limit: int, transport: bytes
) -> None:
    bench = Bench(target, udp_limit=udp_limit)
    bench.send(options(b"x" * 1300))
    bench.let(1.0)
    assert bench.sent[0][0] == transport
    assert parse_message(bench.sent[0][2]).via.transport == transport
    assert bench.outcome.status == 200


def test_udp_is_tried_for_what_is_long_when_tcp_fails() -> None:
    bench = Bench(OPEN)
    bench.does[b"TCP", "192.0.2.1"] = DEAD
    bench.send(options(b"x" * 1300))
    bench.let(1.0)
    assert [transport for transport, _, _ in bench.sent] == [b"TCP", b"UDP"]
    assert bench.outcome.status == 200


OUR_UDP = ListenAddress(b"UDP", "192.0.2.100", 5060)
OUR_TCP = ListenAddress(b"TCP", "192.0.2.100", 5060)
NOT_OURS = ListenAddress(b"UDP", "192.0.2.101", 5060)


def test_a_socket_named_is_the_one_every_target_is_reached_from() -> None:
    bench = Bench(FIRST, SECOND, default_socket=NOT_OURS)
    bench.does[b"UDP", "192.0.2.1"] = 503
    bench.send(socket=OUR_UDP)
    bench.let(1.0)
    assert (bench.outcome.target, bench.pinned) == (SECOND, [OUR_UDP, OUR_UDP])


def test_the_default_socket_is_that_of_a_request_that_names_none() -> None:
    bench = Bench(FIRST, default_socket=OUR_UDP)
    bench.send()
    bench.let(1.0)
    assert (bench.outcome.status, bench.pinned) == (200, [OUR_UDP])


def test_a_socket_decides_the_transport_that_the_next_hop_left_open() -> None:
    bench = Bench(OPEN)
    bench.send(socket=OUR_TCP)
    bench.let(1.0)
    assert [transport for transport, _, _ in bench.sent] == [b"TCP"]


@pytest.mark.parametrize(
    ("socket", "why"),
    [
        (OUR_TCP, "tcp:192.0.2.100:5060 does not fit the next hop's transport and address"),
        (NOT_OURS, "udp:192.0.2.101:5060 is no listener of ours"),
    ],
)
def test_nothing_leaves_by_another_socket_than_the_one_named(
    socket: ListenAddress, why: str
) -> None:
    bench = Bench(FIRST)
    bench.send(socket=socket)
    bench.let(1.0)
    assert (bench.outcome.status, bench.outcome.why, bench.sent) == (503, why, [])


def test_what_is_abandoned_sends_nothing_more_and_tells_nobody() -> None:
    bench = Bench(FIRST, SECOND)
    bench.does = {(b"UDP", "192.0.2.1"): SILENT}
    sending = bench.send()
    bench.let(0.1)
    sending.abandon()
    bench.let(2 * LIFETIME)
    assert (len(bench.sent), bench.outcomes, bench.table.clients) == (1, [], 0)


def test_what_is_abandoned_before_the_name_resolves_is_never_sent() -> None:
    bench = Bench(FIRST)
    bench.send().abandon()
    bench.let(1.0)
    assert (bench.sent, bench.outcomes) == ([], [])


@pytest.mark.parametrize("method", [b"INVITE", b"ACK"])
def test_requests_with_rules_of_their_own_are_refused(method: bytes) -> None:
    bench = Bench(FIRST)
    with pytest.raises(OwnMistake):
        bench.send(options(method=method))
