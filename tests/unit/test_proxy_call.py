"""One call through the proxy core, message by message (RFC 3261 16, RFC 3665 3)."""

from __future__ import annotations

from tests.support.world import CALLEE, CALLER, World, answer, invite
from uacproxy.sip.message import Message

RELAY = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    return Relay()
"""

HIDE = """
from uacproxy.routing import Relay, request_route

@request_route
async def main(ctx):
    ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")
    ctx.uac.replace_to("sip:b@z.cc")
    return Relay("sip:192.0.2.2")
"""


def in_dialog(
    method: bytes, final: Message, routes: list[bytes], cseq: int, *, branch: bytes = b"z9hG4bKd1"
) -> bytes:
    """Return a request of the caller inside the dialog that ``final`` made."""
    route = b"".join(b"Route: " + value + b"\r\n" for value in routes)
    return invite(
        method=method,
        uri=b"sip:bob@192.0.2.2",
        branch=branch,
        cseq=cseq,
        fields=route,
        from_=final.from_.raw,
        to=final.to.raw,
    )


def test_a_call_goes_through_and_ends() -> None:
    world = World(RELAY)
    world.receive(invite())
    sent = world.last_to(CALLEE)
    assert world.kinds_to(CALLER) == ["100"]
    assert sent.get(b"max-forwards") == b"69"
    assert len(sent.fields(b"via")) == 2
    assert b";lr;ftag=at1>" in sent.need(b"record-route")
    world.receive(answer(sent, 180), CALLEE)
    world.receive(answer(sent, 200), CALLEE)
    final = world.last_to(CALLER)
    assert world.kinds_to(CALLER) == ["100", "180", "200"]
    assert final.fields(b"via") == [b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKinvite1"]
    world.receive(in_dialog(b"ACK", final, final.fields(b"record-route"), 1))
    ack = world.last_to(CALLEE)
    assert (ack.method, ack.has(b"route"), ack.get(b"max-forwards")) == (b"ACK", False, b"69")
    world.receive(in_dialog(b"BYE", final, final.fields(b"record-route"), 2, branch=b"z9hG4bKbye"))
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    assert world.kinds_to(CALLEE) == ["INVITE", "ACK", "BYE"]
    assert world.last_to(CALLER).cseq.method == b"BYE"
    world.let(40.0)
    assert (world.table.servers, world.table.clients) == (0, 0)


def test_each_side_sees_its_own_identities_for_the_whole_call() -> None:
    world = World(HIDE)
    world.receive(invite())
    sent = world.last_to(CALLEE)
    assert sent.from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'
    assert sent.to.raw == b"<sip:b@z.cc>"
    world.receive(answer(sent, 200), CALLEE)
    final = world.last_to(CALLER)
    assert final.from_.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
    assert final.to.raw == b"<sip:bob@b.example>;tag=bt1"
    routes = final.fields(b"record-route")
    world.receive(in_dialog(b"ACK", final, routes, 1))
    assert world.last_to(CALLEE).from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'
    world.receive(
        invite(
            method=b"BYE",
            uri=b"sip:alice@192.0.2.1",
            branch=b"z9hG4bKfromcallee",
            fields=b"Route: " + routes[0] + b"\r\n",
            from_=b"<sip:b@z.cc>;tag=bt1",
            to=b'"Trunk 7" <sip:7@trunk.example>;tag=at1',
        ).replace(b"192.0.2.1:5060;branch", b"192.0.2.2:5060;branch"),
        CALLEE,
    )
    bye = world.last_to(CALLER)
    assert bye.from_.raw == b"<sip:bob@b.example>;tag=bt1"
    assert bye.to.raw == b'"Alice" <sip:alice@a.example>;tag=at1'
    world.receive(answer(bye, 200), CALLER)
    assert world.last_to(CALLEE).to.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=at1'
    assert world.last_to(CALLEE).from_.raw == b"<sip:b@z.cc>;tag=bt1"


def test_a_tag_that_no_uri_could_hold_brings_the_later_requests_back_all_the_same() -> None:
    world = World(HIDE)
    world.receive(invite(from_=b'"Alice" <sip:alice@a.example>;tag=1-2@192.0.2.1'))
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    final = world.last_to(CALLER)
    world.receive(in_dialog(b"ACK", final, final.fields(b"record-route"), 1))
    ack = world.last_to(CALLEE)
    assert (ack.request_uri, ack.has(b"route")) == (b"sip:bob@192.0.2.2", False)
    assert ack.from_.raw == b'"Trunk 7" <sip:7@trunk.example>;tag=1-2@192.0.2.1'
