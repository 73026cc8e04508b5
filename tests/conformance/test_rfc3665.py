"""The call flows of RFC 3665 section 3, with our service as the proxy in them.

Each test sends what Alice, Bob and the other proxy send in the RFC's figure and asserts
every arrow that leaves us. 3.1 and 3.5 have no proxy of our kind in them, and
3.4 is 3.2 for the proxy that answers.
"""

from __future__ import annotations

from tests.support.world import CALLEE, CALLER, HERE, World, answer, invite
from uacproxy.ports import HostPort
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    MAX_FORWARDS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RECORD_ROUTE,
    ROUTE,
    VIA,
)
from uacproxy.sip.parse import parse_message

ALICE, PROXY_2 = CALLER, CALLEE
WHO: dict[HostPort, str] = {ALICE: "Alice", PROXY_2: "proxy 2"}

SDP = b"v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.101\r\ns=-\r\nt=0 0\r\n"

PROXY_1 = """
from uacproxy.routing import Relay, Reply, request_route

@request_route
def main(ctx):
    return Relay("sip:192.0.2.2")
"""

PROXY_1_CHALLENGING = """
from uacproxy.routing import Relay, Reply, request_route

@request_route
def main(ctx):
    if 'realm="atlanta.example"' not in str(ctx["$hdr(Proxy-Authorization)"]):
        challenge = 'Digest realm="atlanta.example", nonce="wf84f1", algorithm=MD5'
        return Reply(407, fields=[("Proxy-Authenticate", challenge)])
    return Relay("sip:192.0.2.2")
"""


class Flow:
    """One flow with us as proxy 1; each step returns the arrows it made leave us."""

    def __init__(self, script: str = PROXY_1) -> None:
        self.world = World(script)
        self._told = 0

    def arrows(self) -> list[str]:
        """Return what left since the last look, as ``METHOD or status > who``."""
        new = self.world.sent[self._told :]
        self._told = len(self.world.sent)
        return [f"{kind(parse_message(octets))} > {WHO[to]}" for _, to, _, octets in new]

    def alice(self, octets: bytes) -> list[str]:
        self.world.receive(octets, ALICE)
        return self.arrows()

    def proxy_2(self, octets: bytes) -> list[str]:
        self.world.receive(octets, PROXY_2)
        return self.arrows()

    def let(self, seconds: float) -> list[str]:
        self.world.let(seconds)
        return self.arrows()

    def at_alice(self) -> Message:
        return self.world.last_to(ALICE)

    def at_proxy_2(self) -> Message:
        return self.world.last_to(PROXY_2)


def kind(message: Message) -> str:
    """Return the method, or the status with the method it is for."""
    if message.is_request:
        return text(message.method)
    return f"{message.status} {text(message.cseq.method)}"


def ack_of_failure(request: bytes, final: Message) -> bytes:
    """Return Alice's ACK to a 3xx to 6xx: her INVITE's Via, the response's To."""
    invited = parse_message(request)
    return invite(
        method=b"ACK",
        uri=invited.request_uri,
        branch=invited.via.branch,
        cseq=invited.cseq.number,
        to=final.to.raw,
    )


def in_dialog(method: bytes, final: Message, cseq: int, branch: bytes, body: bytes = b"") -> bytes:
    """Return a request of Alice in the dialog that a 2xx made, along its route set."""
    routes = b"".join(
        b"Route: " + route + b"\r\n" for route in reversed(final.values(RECORD_ROUTE))
    )
    return invite(
        method=method,
        uri=final.addresses(b"contact")[0].uri,
        branch=branch,
        cseq=cseq,
        fields=routes,
        to=final.to.raw,
        body=body,
    )


def from_bob(
    method: bytes, received: Message, cseq: int, branch: bytes, body: bytes = b""
) -> bytes:
    """Return a request of Bob in the dialog of the INVITE that reached proxy 2."""
    routes = b"".join(b"Route: " + route + b"\r\n" for route in received.values(RECORD_ROUTE))
    octets = invite(
        method=method,
        uri=b"sip:alice@192.0.2.1",
        branch=branch,
        cseq=cseq,
        fields=routes,
        from_=received.to.raw + b";tag=bt1",
        to=received.from_.raw,
        body=body,
    )
    return octets.replace(b"192.0.2.1:5060;branch", b"192.0.2.2:5060;branch")


def cancel_of(request: bytes) -> bytes:
    invited = parse_message(request)
    return invite(method=b"CANCEL", branch=invited.via.branch, cseq=invited.cseq.number)


def test_3_2_session_establishment_through_two_proxies() -> None:
    flow = Flow()
    assert sorted(flow.alice(invite(body=SDP))) == ["100 INVITE > Alice", "INVITE > proxy 2"]
    invited = flow.at_proxy_2()
    assert invited.body == SDP
    assert invited.max_forwards == 69
    assert [via.partition(b";")[0] for via in invited.values(VIA)] == [
        b"SIP/2.0/UDP 192.0.2.100:5060",
        b"SIP/2.0/UDP 192.0.2.1:5060",
    ]
    assert len(invited.values(RECORD_ROUTE)) == 1
    assert flow.proxy_2(answer(invited, 100, to_tag=b"")) == []
    assert flow.proxy_2(answer(invited, 180)) == ["180 INVITE > Alice"]
    assert flow.proxy_2(answer(invited, 200, body=SDP)) == ["200 INVITE > Alice"]
    final = flow.at_alice()
    assert (final.body, len(final.values(VIA))) == (SDP, 1)
    assert final.values(RECORD_ROUTE) == invited.values(RECORD_ROUTE)
    assert flow.alice(in_dialog(b"ACK", final, 1, b"z9hG4bKack")) == ["ACK > proxy 2"]
    assert not flow.at_proxy_2().has(ROUTE)
    assert flow.at_proxy_2().request_uri == b"sip:bob@192.0.2.2"
    assert flow.proxy_2(from_bob(b"BYE", invited, 231, b"z9hG4bKbye")) == ["BYE > Alice"]
    bye = flow.at_alice()
    assert (bye.request_uri, bye.cseq.number) == (b"sip:alice@192.0.2.1", 231)
    assert not bye.has(RECORD_ROUTE)
    assert flow.alice(answer(bye, 200)) == ["200 BYE > proxy 2"]
    assert flow.let(40.0) == []
    assert (flow.world.table.servers, flow.world.table.clients) == (0, 0)


def test_3_3_session_with_multiple_proxy_authentication() -> None:
    flow = Flow(PROXY_1_CHALLENGING)
    first = invite()
    assert flow.alice(first)[-1:] == ["407 INVITE > Alice"]
    refused = flow.at_alice()
    assert b"atlanta.example" in refused.need(PROXY_AUTHENTICATE)
    assert refused.to.tag
    assert flow.alice(ack_of_failure(first, refused)) == []

    mine = b'Proxy-Authorization: Digest username="alice", realm="atlanta.example"\r\n'
    second = invite(branch=b"z9hG4bKsecond", cseq=2, fields=mine)
    assert sorted(flow.alice(second)) == ["100 INVITE > Alice", "INVITE > proxy 2"]
    invited = flow.at_proxy_2()
    challenge = b'Proxy-Authenticate: Digest realm="biloxi.example", nonce="c1e22c"\r\n'
    challenged = answer(invited, 407, to_tag=b"p2", fields=challenge)
    assert flow.proxy_2(challenged) == ["ACK > proxy 2", "407 INVITE > Alice"]
    refused = flow.at_alice()
    assert [b"biloxi.example" in value for value in refused.fields(PROXY_AUTHENTICATE)] == [True]
    assert flow.alice(ack_of_failure(second, refused)) == []

    both = mine + b'Proxy-Authorization: Digest username="alice", realm="biloxi.example"\r\n'
    assert sorted(flow.alice(invite(branch=b"z9hG4bKthird", cseq=3, fields=both))) == [
        "100 INVITE > Alice",
        "INVITE > proxy 2",
    ]
    invited = flow.at_proxy_2()
    assert any(b"biloxi.example" in value for value in invited.fields(PROXY_AUTHORIZATION))
    assert flow.proxy_2(answer(invited, 200)) == ["200 INVITE > Alice"]
    assert flow.alice(in_dialog(b"ACK", flow.at_alice(), 3, b"z9hG4bKa")) == ["ACK > proxy 2"]


def test_3_6_session_with_the_offer_in_the_200_and_the_answer_in_the_ack() -> None:
    flow = Flow()
    flow.alice(invite())
    invited = flow.at_proxy_2()
    assert invited.body == b""
    flow.proxy_2(answer(invited, 200, body=SDP))
    assert flow.at_alice().body == SDP
    flow.alice(in_dialog(b"ACK", flow.at_alice(), 1, b"z9hG4bKack", SDP + b"a=answer\r\n"))
    assert flow.at_proxy_2().body == SDP + b"a=answer\r\n"


def test_3_7_session_with_a_re_invite() -> None:
    flow = Flow()
    flow.alice(invite())
    invited = flow.at_proxy_2()
    flow.proxy_2(answer(invited, 200))
    flow.alice(in_dialog(b"ACK", flow.at_alice(), 1, b"z9hG4bKack1"))
    flow.arrows()
    again = from_bob(b"INVITE", invited, 14, b"z9hG4bKre", SDP)
    assert sorted(flow.proxy_2(again)) == ["100 INVITE > proxy 2", "INVITE > Alice"]
    assert flow.at_alice().body == SDP
    assert flow.alice(answer(flow.at_alice(), 200)) == ["200 INVITE > proxy 2"]
    assert flow.proxy_2(from_bob(b"ACK", invited, 14, b"z9hG4bKack2")) == ["ACK > Alice"]
    assert flow.proxy_2(from_bob(b"BYE", invited, 15, b"z9hG4bKbye")) == ["BYE > Alice"]
    assert flow.alice(answer(flow.at_alice(), 200)) == ["200 BYE > proxy 2"]


def test_3_8_unsuccessful_no_answer() -> None:
    flow = Flow()
    request = invite()
    flow.alice(request)
    invited = flow.at_proxy_2()
    flow.proxy_2(answer(invited, 180))
    flow.arrows()
    cancelled = flow.alice(cancel_of(request))
    assert sorted(cancelled) == ["200 CANCEL > Alice", "CANCEL > proxy 2"]
    cancel = flow.at_proxy_2()
    assert cancel.via.raw == invited.via.raw
    assert len(cancel.values(VIA)) == 1
    assert flow.proxy_2(answer(cancel, 200)) == []
    assert flow.proxy_2(answer(invited, 487)) == ["ACK > proxy 2", "487 INVITE > Alice"]
    assert flow.alice(ack_of_failure(request, flow.at_alice())) == []
    assert flow.let(40.0) == []
    assert (flow.world.table.servers, flow.world.table.clients) == (0, 0)


def test_3_9_unsuccessful_busy() -> None:
    flow = Flow()
    request = invite()
    flow.alice(request)
    invited = flow.at_proxy_2()
    flow.proxy_2(answer(invited, 100, to_tag=b""))
    assert flow.proxy_2(answer(invited, 486)) == ["ACK > proxy 2", "486 INVITE > Alice"]
    ack = flow.at_proxy_2()
    assert (ack.via.branch, ack.to.tag, ack.cseq.number) == (invited.via.branch, b"bt1", 1)
    assert flow.alice(ack_of_failure(request, flow.at_alice())) == []
    assert flow.let(40.0) == []


def test_3_10_unsuccessful_no_response_from_user_agent() -> None:
    flow = Flow()
    request = invite()
    assert sorted(flow.alice(request)) == ["100 INVITE > Alice", "INVITE > proxy 2"]
    assert flow.let(31.9) == ["INVITE > proxy 2"] * 6
    assert flow.let(0.2) == ["408 INVITE > Alice"]
    assert flow.alice(ack_of_failure(request, flow.at_alice())) == []
    assert flow.let(40.0) == []


def test_3_11_unsuccessful_temporarily_unavailable() -> None:
    flow = Flow()
    request = invite()
    flow.alice(request)
    invited = flow.at_proxy_2()
    flow.proxy_2(answer(invited, 180))
    unavailable = answer(invited, 480, fields=b"Retry-After: 3600\r\n")
    assert flow.proxy_2(unavailable)[-2:] == ["ACK > proxy 2", "480 INVITE > Alice"]
    assert flow.at_alice().get(b"retry-after") == b"3600"
    assert flow.alice(ack_of_failure(request, flow.at_alice())) == []


def test_every_hop_counts_one_off_max_forwards_and_names_itself() -> None:
    flow = Flow()
    flow.alice(invite(max_forwards=b"Max-Forwards: 69\r\n"))
    invited = flow.at_proxy_2()
    assert invited.get(MAX_FORWARDS) == b"68"
    assert invited.via.sent_by == b"%b:%d" % (HERE[0].encode(), HERE[1])
