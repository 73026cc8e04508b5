"""Corners of bridged calls over real sockets: what crosses, comes in parts, ends by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.support.bridge_line import SDP, Line, line, phone
from tests.support.identity_peers import Field
from tests.support.uacproxy_process import UacproxyProcess, uacproxy
from uacproxy.sip.build import build_ack
from uacproxy.sip.uri import parse_uri

INI: Final = """\
[sip]
listen = udp:@HERE@
t1 = 200ms
t4 = 200ms

[bridge]
session_expires = 90

[routing]
script = route.py
"""

SCRIPT: Final = """\
from uacproxy.routing import Bridge, request_route


@request_route
def main(ctx):
    longest = ctx["$hdr(X-Longest)"]
    return Bridge(
        from_='"Trunk 7" <sip:7@trunk.example>',
        to='"Desk" <sip:desk@z.example;user=phone>',
        max_call_time=float(longest) if longest else None,
    )
"""

HOLD: Final = SDP + b"a=sendonly\r\n"
HELD: Final = SDP + b"a=recvonly\r\n"
ANSWER: Final = SDP.replace(b"o=- 1", b"o=- 2")
TIMED: Final[Field] = (b"supported", b"timer")
LONGER_THAN_A_SESSION: Final = 80.0  # s: 90, of which the last 30 are not waited for


@pytest.fixture(scope="module")
def service() -> Iterator[UacproxyProcess]:
    """Give the one service of all calls here; in the end nothing is left of any."""
    with uacproxy(INI, files={"route.py": SCRIPT}) as running:
        yield running
        running.wait_for(bridge_calls=0, bridge_legs=0)


@pytest.fixture
def call(service: UacproxyProcess) -> Iterator[Line]:
    """Give both sides of a call that is still to be placed."""
    with line((service.host, service.port)) as between:
        yield between


def test_offers_that_cross_are_both_refused_and_one_comes_through_later(call: Line) -> None:
    call.invite()
    call.pick_up()
    ours = call.asks(call.caller, b"INVITE", body=HOLD)
    passed = call.callee.hears_request(b"INVITE")
    theirs = call.asks(call.callee, b"INVITE", body=HOLD)
    glare = call.callee.hears_response(b"INVITE", 491)
    call.callee.send_again(build_ack(theirs, glare), call.hop)
    call.callee.answer(passed, 491)
    call.callee.hears_request(b"ACK")
    glare = call.caller.hears_response(b"INVITE", 491)
    call.caller.send_again(build_ack(ours, glare), call.hop)
    call.offers(call.callee, HOLD, HELD)
    call.says(call.caller, b"BYE")


def test_each_callee_that_rings_is_a_dialog_of_its_own_and_stays_it(call: Line) -> None:
    call.invite()
    tags: dict[bytes, bytes] = {}
    for one, status in (
        (b"one", 183),
        (b"two", 183),
        (b"three", 180),
        (b"two", 180),
        (b"one", 182),
    ):
        body = SDP.replace(b"o=-", b"o=" + one) if status == 183 else b""
        call.callee.answer(call.heard, status, tag=one, body=body)
        rings = call.caller.hears_response(b"INVITE", status)
        assert rings.body == body
        assert tags.setdefault(one, rings.to.tag) == rings.to.tag
    assert len(set(tags.values())) == 3
    ok = call.callee.answer(call.heard, 200, tag=b"two", body=ANSWER)
    final = call.caller.hears_response(b"INVITE", 200)
    assert final.to.tag == tags[b"two"]
    call.callee.hears_request(b"ACK")
    call.answered(ok, final)
    call.caller.send(call.ends[call.caller].request(b"ACK"), call.hop)
    call.says(call.callee, b"BYE")


def test_an_offer_that_comes_with_the_200_is_answered_in_the_ack(call: Line) -> None:
    heard = call.invite(body=b"")
    assert heard.body == b""
    ok = call.callee.answer(heard, 200, tag=call.tag, body=SDP)
    final = call.caller.hears_response(b"INVITE", 200)
    assert final.body == SDP
    call.answered(ok, final)
    ack = call.ends[call.caller].request(b"ACK")
    ack.append(b"content-type", b"application/sdp")
    ack.set_body(ANSWER)
    call.caller.send(ack, call.hop)
    assert call.callee.hears_request(b"ACK").body == ANSWER
    call.says(call.caller, b"BYE")


def test_a_call_is_held_and_taken_up_again_by_either_side(call: Line) -> None:
    call.invite()
    call.pick_up(body=ANSWER)
    for one in (call.caller, call.callee):
        call.offers(one, HOLD, HELD)
        call.offers(one, SDP, ANSWER)
    call.says(call.caller, b"BYE")


def test_a_call_that_has_lasted_too_long_is_ended_on_both_sides(call: Line) -> None:
    call.invite((b"x-longest", b"0.5"))
    call.pick_up()
    for one in (call.caller, call.callee):
        one.answer(one.hears_request(b"BYE"), 200)


def test_a_transfer_finds_the_other_call_by_ids_that_only_we_can_read(
    service: UacproxyProcess, call: Line
) -> None:
    """RFC 3891, RFC 5589 7: the transferor talks to both, its two calls become one."""
    hop = call.hop
    with phone("mike", "127.0.23.1") as third:
        consulting = Line(call.caller, third, hop)
        call.invite()
        call.pick_up()
        consulting.invite()
        consulting.pick_up()
        end = consulting.ends[call.caller]
        tags = (_tag(end.remote), _tag(end.local))
        ids = b"%b%%3Bto-tag%%3D%b%%3Bfrom-tag%%3D%b" % (end.call_id, *tags)
        refer_to = b"<" + third.contact + b"?Replaces=" + ids + b">"
        call.asks(call.caller, b"REFER", (b"refer-to", refer_to))
        refer = call.callee.hears_request(b"REFER")
        call.callee.answer(refer, 202)
        call.caller.hears_response(b"REFER", 202)
        given = refer.need(b"refer-to")
        for word in (end.call_id, *tags, b"mike"):
            assert word not in given
        uri = parse_uri(given.strip(b"<>"))
        found = re.search(rb"Replaces=(.*)", uri.headers)
        assert found is not None
        replaces = re.sub(rb"%([0-9A-F]{2})", lambda one: bytes([int(one[1], 16)]), found[1])
        transferred = Line(call.callee, third, hop)
        heard = transferred.invite(
            (b"replaces", replaces), uri=b"sip:%b@%b:%d" % (uri.user, hop[0].encode(), hop[1])
        )
        theirs = consulting.ends[third]
        wanted = b"%b;to-tag=%b;from-tag=%b" % (
            theirs.call_id,
            _tag(theirs.local),
            _tag(theirs.remote),
        )
        assert heard.need(b"replaces") == wanted
        transferred.pick_up()
        consulting.says(third, b"BYE")  # replaced
        call.says(call.caller, b"BYE")
        transferred.says(third, b"BYE")


def _tag(address: bytes) -> bytes:
    return address.rpartition(b";tag=")[2]


@pytest.mark.slow
def test_a_session_that_its_peer_does_not_refresh_is_ended_on_both_sides(
    service: UacproxyProcess,
) -> None:
    """RFC 4028 10: once it is the caller that has gone silent, once the callee."""
    hop = (service.host, service.port)
    with ExitStack() as stack:
        lines = [stack.enter_context(line(hop)) for _ in range(2)]
        by_caller, by_callee = lines
        by_caller.invite(TIMED, (b"session-expires", b"90;refresher=uac"))
        by_caller.pick_up()
        heard = by_callee.invite()
        assert heard.need(b"session-expires").startswith(b"90")
        by_callee.pick_up((b"session-expires", b"90;refresher=uas"), (b"require", b"timer"))
        for each in lines:
            for one in (each.caller, each.callee):
                one.be_patient(LONGER_THAN_A_SESSION)
                one.answer(one.hears_request(b"BYE"), 200)
