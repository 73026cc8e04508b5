"""What arrives finds its transaction (RFC 3261 17.1.3, 17.2.3, 9.2, 8.2.2.2)."""

from __future__ import annotations

import pytest

from tests.support.transactions import (
    CountedRandom,
    Ports,
    RecordingFlow,
    answer,
    request,
)
from uacproxy.errors import OwnMistake
from uacproxy.ports import Flow
from uacproxy.sip.build import build_ack, build_cancel, build_response
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message
from uacproxy.sip.via import parse_via
from uacproxy.transaction.client import ClientTransaction
from uacproxy.transaction.invite_server import InviteServer
from uacproxy.transaction.key import invite_key
from uacproxy.transaction.server import ServerTransaction
from uacproxy.transaction.table import TransactionTable
from uacproxy.transaction.vocabulary import Notice, State


class Bench(Ports):
    """A table, and the transaction user it talks to."""

    def __init__(self, *, reliable: bool = False, max_transactions: int = 1000) -> None:
        super().__init__(reliable=reliable)
        self.servers: list[ServerTransaction] = []
        self.acks: list[Message] = []
        self.cancels: list[tuple[InviteServer, Message]] = []
        self.unmatched: list[Message] = []
        self.heard: list[tuple[bytes, int]] = []
        self.table = TransactionTable(
            clock=self.clock,
            random=CountedRandom(),
            counters=self.counters,
            user=self,
            max_transactions=max_transactions,
        )

    def request_received(self, server: ServerTransaction, request: Message, flow: Flow) -> None:
        assert server.request is request
        assert flow is self.flow
        self.servers.append(server)

    def ack_received(self, ack: Message, flow: Flow) -> None:
        assert flow is self.flow
        self.acks.append(ack)

    def cancel_received(self, server: InviteServer, cancel: Message) -> None:
        self.cancels.append((server, cancel))

    def response_unmatched(self, response: Message, flow: Flow) -> None:
        assert flow is self.flow
        self.unmatched.append(response)

    def give(self, message: Message) -> None:
        """Let a message arrive."""
        if message.is_request:
            self.table.request_received(message, self.flow)
        else:
            self.table.response_received(message, self.flow)

    def respond(self, status: int) -> Message:
        """Answer the last request given to the TU."""
        server = self.servers[-1]
        response = build_response(server.request, status, to_tag=server.local_tag)
        server.respond(response)
        return response

    def send(self, sent: Message, flow: RecordingFlow | None = None) -> ClientTransaction:
        def notify(notice: Notice, response: Message | None) -> None:
            status = response.status if response is not None else -notice
            self.heard.append((sent.method, status))

        return self.table.start_client(sent, flow or self.flow, notify)

    @property
    def last(self) -> Message:
        """Return the message sent last."""
        return parse_message(self.flow.sent[-1][1])


# -- requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS", b"PUBLISH", b"NEWMETHOD"])
def test_a_request_reaches_the_tu_once_however_often_it_comes(method: bytes) -> None:
    bench = Bench()
    for _ in range(100):
        bench.give(request(method))
    assert len(bench.servers) == 1
    assert bench.flow.sent == []
    assert (bench.counters.requests, bench.counters.retransmissions) == (1, 99)


def test_a_storm_of_retransmissions_gets_the_same_octets_each_time() -> None:
    bench = Bench()
    bench.give(request(b"INVITE"))
    bench.respond(180)
    for _ in range(100):
        bench.give(request(b"INVITE"))
    assert len(bench.servers) == 1
    assert len(bench.flow.sent) == 101
    assert len({octets for _, octets in bench.flow.sent}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"branch": b"z9hG4bKother"},
        {"sent_by": b"pc34.atlanta.example"},
        {"sent_by": b"pc33.atlanta.example:5062"},
    ],
)
@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS"])
def test_another_branch_or_sent_by_is_another_request(
    method: bytes, other: dict[str, bytes]
) -> None:
    bench = Bench()
    bench.give(request(method))
    bench.give(request(method, **other))  # type: ignore[arg-type]
    assert len(bench.servers) == 2


def test_another_method_on_the_same_branch_is_another_request() -> None:
    bench = Bench()
    for method in (b"INVITE", b"OPTIONS", b"MESSAGE"):
        bench.give(request(method))
    assert [server.request.method for server in bench.servers] == [
        b"INVITE",
        b"OPTIONS",
        b"MESSAGE",
    ]


def test_a_host_in_sent_by_is_compared_without_case() -> None:
    bench = Bench()
    bench.give(request(b"INVITE"))
    bench.give(request(b"INVITE", sent_by=b"PC33.atlanta.EXAMPLE"))
    assert len(bench.servers) == 1


@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS"])
@pytest.mark.parametrize(
    "different",
    [{"to_tag": b"other"}, {"cseq": 2}, {"uri": b"sip:carol@biloxi.example"}, {"branch": b"2"}],
)
def test_a_peer_without_the_cookie_names_a_request_by_all_its_fields(
    method: bytes, different: dict[str, bytes | int]
) -> None:
    bench = Bench()
    first: dict[str, bytes | int] = {"branch": b"1", "to_tag": b"b1"}
    bench.give(request(method, **first))  # type: ignore[arg-type]
    bench.give(request(method, **first))  # type: ignore[arg-type]
    bench.give(request(method, **{**first, **different}))  # type: ignore[arg-type]
    assert len(bench.servers) == 2


def test_the_received_and_rport_we_note_do_not_matter_to_a_peer_without_the_cookie() -> None:
    bench = Bench()
    bench.give(request(b"INVITE", branch=b""))
    again = request(b"INVITE", branch=b"")
    marked = again.via.marked("192.0.2.77", 40000)
    assert marked is not None
    again.set_via(marked)
    bench.give(again)
    assert len(bench.servers) == 1


@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS"])
def test_a_finished_request_is_new_when_it_comes_again(method: bytes) -> None:
    bench = Bench()
    bench.give(request(method))
    bench.respond(200)
    bench.wait(33.0)
    assert bench.table.servers == 0
    bench.give(request(method))
    assert len(bench.servers) == 2


def test_a_reliable_flow_gets_the_timers_of_a_reliable_transport() -> None:
    bench = Bench(reliable=True)
    bench.give(request(b"OPTIONS"))
    bench.respond(200)
    assert bench.table.servers == 0


# -- ACK -----------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", [b"z9hG4bK776asdhds", b"1", b""])
def test_the_ack_of_a_failure_ends_here(branch: bytes) -> None:
    """With the cookie and without: an RFC 2543 peer's ACK has the To tag of our answer."""
    bench = Bench()
    invite = request(b"INVITE", branch=branch)
    bench.give(invite)
    response = bench.respond(486)
    ack = build_ack(invite, response)
    bench.give(ack)
    bench.give(ack)
    assert bench.servers[0].state is State.CONFIRMED
    assert bench.acks == []


def test_the_ack_of_a_failure_inside_a_dialog_ends_here_for_an_rfc_2543_peer() -> None:
    bench = Bench()
    invite = request(b"INVITE", branch=b"", to_tag=b"callee")
    bench.give(invite)
    bench.give(build_ack(invite, bench.respond(488)))
    assert bench.servers[0].state is State.CONFIRMED
    assert bench.acks == []


@pytest.mark.parametrize(
    "different",
    [
        {"to_tag": b"somebody-else"},
        {"to_tag": b""},
        {"cseq": 2},
        {"call_id": b"other"},
        {"from_tag": b"other"},
        {"uri": b"sip:carol@biloxi.example"},
        {"sent_by": b"elsewhere.example"},
    ],
)
def test_an_rfc_2543_ack_must_match_in_all_that_names_the_invite(
    different: dict[str, bytes | int],
) -> None:
    bench = Bench()
    bench.give(request(b"INVITE", branch=b""))
    bench.respond(486)
    tags: dict[str, bytes | int] = {"to_tag": bench.servers[0].local_tag}
    bench.give(request(b"ACK", branch=b"", **{**tags, **different}))  # type: ignore[arg-type]
    assert bench.servers[0].state is State.COMPLETED
    assert len(bench.acks) == 1


@pytest.mark.parametrize("branch", [b"z9hG4bKfresh", b"z9hG4bK776asdhds"])
def test_the_ack_of_a_2xx_is_the_tus(branch: bytes) -> None:
    """It has a branch of its own; should a peer reuse the INVITE's, RFC 6026 7.1 holds."""
    bench = Bench()
    bench.give(request(b"INVITE"))
    bench.respond(200)
    bench.give(request(b"ACK", branch=branch, to_tag=b"b1"))
    assert len(bench.acks) == 1


def test_the_2xx_ack_of_an_rfc_2543_peer_is_the_tus() -> None:
    bench = Bench()
    bench.give(request(b"INVITE", branch=b""))
    bench.respond(200)
    bench.give(request(b"ACK", branch=b"", to_tag=bench.servers[0].local_tag))
    assert len(bench.acks) == 1


def test_an_ack_before_any_final_response_is_dropped() -> None:
    bench = Bench()
    bench.give(request(b"INVITE"))
    bench.give(request(b"ACK", to_tag=b"b1"))
    assert bench.acks == []
    assert bench.servers[0].state is State.PROCEEDING


def test_an_ack_nobody_knows_is_the_tus() -> None:
    bench = Bench()
    bench.give(request(b"ACK", to_tag=b"b1"))
    assert len(bench.acks) == 1
    assert bench.table.servers == 0


# -- CANCEL --------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", [b"z9hG4bK776asdhds", b"1", b""])
def test_a_cancel_is_answered_and_told_with_the_invite_it_means(branch: bytes) -> None:
    bench = Bench()
    invite = request(b"INVITE", branch=branch)
    bench.give(invite)
    bench.respond(180)
    bench.give(build_cancel(invite, []))
    assert bench.flow.shown == ["180", "200"]
    assert [server for server, _ in bench.cancels] == bench.servers


def test_the_answer_to_a_cancel_has_the_tag_of_our_answers_to_the_invite() -> None:
    bench = Bench()
    invite = request(b"INVITE")
    bench.give(invite)
    bench.give(build_cancel(invite, []))
    tag = bench.last.to.tag
    bench.respond(487)
    assert (bench.last.status, bench.last.to.tag) == (487, tag)


def test_a_repeated_cancel_is_answered_again_and_told_once() -> None:
    bench = Bench()
    invite = request(b"INVITE")
    bench.give(invite)
    for _ in range(3):
        bench.give(build_cancel(invite, []))
    assert bench.flow.shown == ["200"] * 3
    assert len(bench.cancels) == 1


@pytest.mark.parametrize("status", [200, 486])
def test_a_cancel_that_crosses_a_final_response_is_answered_and_no_more(status: int) -> None:
    bench = Bench()
    invite = request(b"INVITE")
    bench.give(invite)
    bench.respond(status)
    bench.give(build_cancel(invite, []))
    assert bench.flow.shown == [str(status), "200"]
    assert bench.cancels == []


def test_a_cancel_of_nothing_is_a_request_like_any_other() -> None:
    bench = Bench()
    bench.give(build_cancel(request(b"INVITE"), []))
    bench.respond(481)
    assert bench.flow.shown == ["481"]
    assert bench.cancels == []


@pytest.mark.parametrize("different", [{"branch": b"z9hG4bKx"}, {"sent_by": b"elsewhere.example"}])
def test_nobody_else_can_cancel_an_invite(different: dict[str, bytes]) -> None:
    bench = Bench()
    bench.give(request(b"INVITE"))
    bench.give(request(b"CANCEL", **different))  # type: ignore[arg-type]
    assert bench.cancels == []


# -- merged requests -----------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS"])
def test_the_second_way_of_a_request_is_merged_and_the_first_is_not(method: bytes) -> None:
    bench = Bench()
    bench.give(request(method))
    bench.give(request(method, branch=b"z9hG4bKother"))
    assert [bench.table.is_merged(server) for server in bench.servers] == [False, True]
    assert bench.counters.merged == 1


@pytest.mark.parametrize(
    "different",
    [
        {"cseq": 2},
        {"call_id": b"other"},
        {"from_tag": b"other"},
    ],
)
def test_another_call_is_not_merged(different: dict[str, bytes | int]) -> None:
    bench = Bench()
    bench.give(request(b"INVITE"))
    bench.give(request(b"INVITE", branch=b"z9hG4bKother", **different))  # type: ignore[arg-type]
    assert not bench.table.is_merged(bench.servers[1])


def test_a_request_inside_a_dialog_is_never_merged() -> None:
    bench = Bench()
    for branch in (b"z9hG4bK1", b"z9hG4bK2"):
        bench.give(request(b"INVITE", branch=branch, to_tag=b"b1"))
    assert not any(bench.table.is_merged(server) for server in bench.servers)


@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS"])
def test_a_request_is_not_merged_with_one_that_is_over(method: bytes) -> None:
    bench = Bench()
    bench.give(request(method))
    bench.respond(200)
    bench.wait(32.0)
    bench.give(request(method, branch=b"z9hG4bKother"))
    assert not bench.table.is_merged(bench.servers[1])


def test_the_cancels_of_merged_requests_are_not_merged() -> None:
    bench = Bench()
    invites = [request(b"INVITE", branch=branch) for branch in (b"z9hG4bK1", b"z9hG4bK2")]
    for invite in invites:
        bench.give(invite)
    for invite in invites:
        bench.give(build_cancel(invite, []))
    assert len(bench.cancels) == 2
    assert bench.counters.merged == 1


# -- too many ------------------------------------------------------------------------------


def test_beyond_the_most_transactions_a_request_is_answered_503_without_one() -> None:
    bench = Bench(max_transactions=2)
    bench.give(request(b"OPTIONS", branch=b"z9hG4bK1"))
    bench.send(request(b"OPTIONS", branch=b"z9hG4bKours"))
    for method in (b"INVITE", b"OPTIONS"):
        bench.give(request(method, branch=b"z9hG4bK3"))
        assert bench.last.status == 503
        assert bench.last.get(b"retry-after") == b"5"
    assert len(bench.servers) == 1
    assert (bench.table.servers, bench.table.clients) == (1, 1)
    assert bench.counters.overload_rejected == 2


def test_the_ack_of_a_503_without_a_transaction_ends_here() -> None:
    bench = Bench(max_transactions=1)
    bench.give(request(b"OPTIONS", branch=b"z9hG4bK1"))
    invite = request(b"INVITE")
    bench.give(invite)
    first = bench.last
    bench.give(invite)
    assert bench.last.to.tag == first.to.tag
    bench.give(build_ack(invite, first))
    assert bench.acks == []


def test_a_full_table_still_answers_retransmissions_and_takes_a_cancel() -> None:
    bench = Bench(max_transactions=1)
    invite = request(b"INVITE")
    bench.give(invite)
    bench.respond(180)
    bench.give(invite)
    bench.give(build_cancel(invite, []))
    assert bench.flow.shown == ["180", "180", "200"]
    assert len(bench.cancels) == 1


def test_a_full_table_takes_what_is_inside_a_dialog_up_to_an_eighth_more() -> None:
    bench = Bench(max_transactions=8)
    for number in range(8):
        bench.give(request(b"OPTIONS", branch=b"z9hG4bK%d" % number))
    inside = [request(b"BYE", branch=b"z9hG4bKin%d" % number, to_tag=b"b") for number in range(2)]
    bench.give(inside[0])
    assert len(bench.servers) == 9
    bench.give(inside[1])
    assert (len(bench.servers), bench.last.status) == (9, 503)


def test_a_request_refused_from_outside_gets_the_tag_whose_ack_ends_here() -> None:
    bench = Bench()
    invite = request(b"INVITE")
    assert not bench.table.knows(b"INVITE", invite_key(invite))
    bench.table.refuse(invite, bench.flow, 7)
    first = bench.last
    assert (first.status, first.get(b"retry-after")) == (503, b"7")
    bench.give(build_ack(invite, first))
    assert (bench.acks, bench.table.servers) == ([], 0)


def test_the_table_knows_what_it_answers_already() -> None:
    bench = Bench()
    for method in (b"INVITE", b"OPTIONS"):
        once = request(method, branch=b"z9hG4bKonce" + method)
        bench.give(once)
        other = request(method, branch=b"z9hG4bKother")
        assert bench.table.knows(method, invite_key(once))
        assert not bench.table.knows(method, invite_key(other))


def test_a_request_of_our_own_is_known_when_it_comes_back_and_no_other_in_its_name() -> None:
    bench = Bench()
    for method, other in ((b"INVITE", b"OPTIONS"), (b"OPTIONS", b"INVITE"), (b"INFO", b"ODD")):
        via = parse_via(b"SIP/2.0/UDP " + bench.flow.sent_by + b";branch=z9hG4bKout" + method)
        assert not bench.table.is_own(method, via)
        sent = request(method, branch=via.branch)
        bench.table.start_client(sent, bench.flow, lambda *_: None)
        assert bench.table.is_own(method, via)
        assert not bench.table.is_own(other, via)
        elsewhere = parse_via(b"SIP/2.0/UDP 192.0.2.77:5060;branch=" + via.branch)
        assert not bench.table.is_own(method, elsewhere)


# -- responses -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"INVITE", b"BYE"])
def test_a_response_finds_its_request(method: bytes) -> None:
    bench = Bench()
    sent = request(method, branch=bench.table.new_branch())
    bench.send(sent)
    bench.give(answer(sent, 180))
    bench.give(answer(sent, 200))
    assert bench.heard == [(method, 180), (method, 200)]


def test_a_cancel_shares_the_branch_of_its_invite_and_each_hears_its_own() -> None:
    bench = Bench()
    invite = request(b"INVITE")
    cancel = build_cancel(invite, [])
    bench.send(invite)
    bench.send(cancel)
    bench.give(answer(cancel, 200))
    bench.give(answer(invite, 487))
    assert bench.heard == [(b"CANCEL", 200), (b"INVITE", 487)]


@pytest.mark.parametrize(
    ("sent", "forged"),
    [
        (b"INVITE", b"BYE"),
        (b"INVITE", b"CANCEL"),
        (b"BYE", b"INVITE"),
        (b"BYE", b"CANCEL"),
        (b"CANCEL", b"BYE"),
        (b"BYE", b"bye"),
    ],
)
def test_a_response_whose_cseq_names_another_method_is_unmatched(
    sent: bytes, forged: bytes
) -> None:
    bench = Bench()
    bench.send(request(sent))
    bench.give(answer(request(forged), 200))
    assert bench.heard == []
    assert len(bench.unmatched) == bench.counters.unmatched_responses == 1


@pytest.mark.parametrize("branch", [b"z9hG4bKother", b"z9hG4bK776ASDHDS", b""])
def test_a_response_with_another_branch_is_unmatched(branch: bytes) -> None:
    bench = Bench()
    bench.send(request(b"INVITE"))
    bench.give(answer(request(b"INVITE", branch=branch), 200))
    assert bench.heard == []
    assert len(bench.unmatched) == 1


def test_a_response_to_what_is_over_is_unmatched() -> None:
    bench = Bench()
    sent = request(b"INVITE")
    client = bench.send(sent)
    client.stop()
    bench.give(answer(sent, 200))
    assert len(bench.unmatched) == 1
    assert bench.table.clients == 0


@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS"])
def test_a_client_that_timed_out_is_forgotten(method: bytes) -> None:
    bench = Bench()
    bench.send(request(method))
    bench.wait(32.0)
    assert bench.heard == [(method, -Notice.TIMEOUT)]
    assert bench.table.clients == 0
    assert bench.counters.timeouts == 1


def test_a_lost_request_is_told_and_forgotten() -> None:
    bench = Bench()
    bench.send(request(b"OPTIONS"))
    bench.flow.fail()
    assert bench.heard == [(b"OPTIONS", -Notice.TRANSPORT_ERROR)]
    assert bench.table.clients == 0
    assert bench.counters.transport_errors == 1


def test_the_tu_may_try_the_next_target_from_inside_a_notice() -> None:
    bench = Bench()
    second = request(b"INVITE", branch=b"z9hG4bKsecond")

    def notify(_notice: Notice, _response: Message | None) -> None:
        bench.send(second)

    bench.table.start_client(request(b"INVITE"), bench.flow, notify)
    bench.flow.fail()
    bench.give(answer(second, 200))
    assert bench.heard == [(b"INVITE", 200)]


@pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS"])
def test_a_branch_serves_once(method: bytes) -> None:
    bench = Bench()
    bench.send(request(method))
    with pytest.raises(OwnMistake):
        bench.send(request(method))
    assert len(bench.flow.sent) == 1


def test_an_ack_is_no_transaction() -> None:
    bench = Bench()
    with pytest.raises(OwnMistake):
        bench.send(request(b"ACK"))


def test_branches_have_the_cookie_and_differ() -> None:
    table = Bench().table
    branches = {table.new_branch() for _ in range(1000)}
    assert len(branches) == 1000
    assert all(branch.startswith(b"z9hG4bK") for branch in branches)


# -- the end -------------------------------------------------------------------------------


def test_stopping_ends_everything_in_silence() -> None:
    bench = Bench()
    for n, method in enumerate([b"INVITE", b"INVITE", b"OPTIONS"]):
        bench.give(request(method, branch=b"z9hG4bKin%d" % n))
        bench.send(request(method, branch=b"z9hG4bKout%d" % n))
    bench.respond(200)
    sent = len(bench.flow.sent)
    bench.table.stop()
    assert (bench.table.servers, bench.table.clients, bench.timers) == (0, 0, 0)
    bench.wait(100.0)
    assert len(bench.flow.sent) == sent
    assert bench.heard == []
