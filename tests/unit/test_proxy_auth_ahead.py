"""A trunk whose nonces serve one request is let ask first, and tried again later."""

from __future__ import annotations

import re

from tests.support.calls import last_of
from tests.support.trunk import ask, asking, given, trunked
from tests.support.world import CALLEE, World, answer, invite
from uacproxy.proxy.route_mark import RouteMark
from uacproxy.routing.settings import RuleSettings, parse_auth, parse_relay
from uacproxy.sip.message import Message
from uacproxy.sip.names import PROXY_AUTHORIZATION, RECORD_ROUTE
from uacproxy.uac.nonces import REFUSED_MOST, WAITS_FIRST

RULES = [RuleSettings(name="o", auth=parse_auth("yes"), relay=parse_relay("sip:trunk.example"))]


def call(world: World, number: int) -> Message:
    """Begin a call; return what the trunk gets of it first."""
    world.receive(invite(call_id=b"c%d@a.example" % number, branch=b"z9hG4bKn%d" % number))
    return last_of(world, CALLEE, b"INVITE")


def challenged_calls(world: World, first: int, count: int) -> list[bool]:
    """Make calls that are all challenged with a new nonce; tell which came with an answer."""
    ahead = []
    for number in range(first, first + count):
        ahead.append(call(world, number).has(PROXY_AUTHORIZATION))
        sent = ask(world, asking(nonce=b"n%d" % number))
        assert [one.nonce for one in given(sent)] == [b"n%d" % number]
        world.receive(answer(sent, 200, b"bt%d" % number), CALLEE)
    return ahead


def test_a_trunk_that_takes_no_nonce_twice_is_let_ask_first_for_ever_longer() -> None:
    world = trunked(rules=RULES)
    assert challenged_calls(world, 0, 1 + REFUSED_MOST) == [False] + [True] * REFUSED_MOST
    waits = WAITS_FIRST
    at = 100
    for _ in range(3):
        assert challenged_calls(world, at, waits + 1) == [False] * waits + [True]
        at += 1000
        waits *= 2


def test_an_answer_that_is_taken_makes_up_for_those_refused_before() -> None:
    world = trunked(rules=RULES)
    challenged_calls(world, 0, REFUSED_MOST)
    sent = call(world, 100)
    assert sent.has(PROXY_AUTHORIZATION)
    world.receive(answer(sent, 200, b"bt100"), CALLEE)
    assert challenged_calls(world, 200, 2) == [True, True]


def test_a_nonce_that_the_trunk_offers_is_used_although_others_were_refused() -> None:
    world = trunked(rules=RULES)
    challenged_calls(world, 0, 1 + REFUSED_MOST)
    call(world, 100)
    sent = ask(world, asking(nonce=b"n100"))
    info = b'Proxy-Authentication-Info: nextnonce="n101"\r\n'
    world.receive(answer(sent, 200, b"bt100", info), CALLEE)
    assert [one.nonce for one in given(call(world, 101))] == [b"n101"]


def test_what_may_outgrow_udp_uses_a_nonce_once_for_each_time_it_is_sent() -> None:
    world = trunked(rules=RULES)
    call(world, 0)
    ask(world)
    for number, size in ((2, 100), (3, 2000), (4, 100)):
        fields = b"X-Padding: " + b"x" * size + b"\r\n"
        world.receive(
            invite(call_id=b"c%d@a" % number, branch=b"z9hG4bKn%d" % number, fields=fields)
        )
        sent = last_of(world, CALLEE, b"INVITE")
        assert sent.via.transport == (b"TCP" if size > 1300 else b"UDP")
        assert [one.nc for one in given(sent)] == [b"%08x" % number]


def test_a_challenged_invite_leaves_again_with_the_same_marks_in_its_record_route() -> None:
    world = trunked(rules=RULES)
    world.wiring.route_mark = RouteMark([b"k" * 32])
    first = call(world, 0).need(RECORD_ROUTE)
    again = ask(world).need(RECORD_ROUTE)
    assert again.replace(b";cs=1", b"") == first
    other = call(world, 1).need(RECORD_ROUTE)
    for param in (b"ck", b"au"):
        mine, theirs = (re.search(b";%b=[^;>]+" % param, one) for one in (first, other))
        assert mine is not None and theirs is not None and mine[0] != theirs[0]
