"""What a challenged request is sent again as: an edit of what was sent, where that will do."""

from __future__ import annotations

import pytest

from tests.support.calls import last_of, script
from tests.support.trunk import ask, challenge, given, is_right, trunked
from tests.support.world import CALLEE, OTHER, answer, invite
from uacproxy.routing.settings import RuleSettings, parse_auth, parse_relay, parse_replacement
from uacproxy.sip.message import Message
from uacproxy.sip.names import PROXY_AUTHORIZATION, RECORD_ROUTE, VIA

RULES = [
    RuleSettings(
        name="o",
        auth=parse_auth("yes"),
        relay=parse_relay("sip:trunk.example"),
        replace_from=parse_replacement("sip:trunk01@provider.example.net"),
    )
]
MORE = b"Accept: application/sdp\r\nX-More: here\r\n"

IN_A_BRANCH = script(
    """
@request_route
def main(ctx):
    ctx.uac.auth_as("yes")
    ctx.on_branch("MARK")
    return Relay("sip:trunk.example")

@branch_route("MARK")
def mark(ctx):
    ctx["$avp(asked)"] = (ctx["$avp(asked)"] or 0) + 1
    ctx.request.append("X-Branch", str(ctx["$avp(asked)"]))
"""
)


def told(sent: Message) -> list[bytes]:
    """Return the fields of a request but those that differ from one attempt to the next."""
    return [
        line.replace(b";cs=1", b"")
        for name, line in zip(sent.names, sent.lines, strict=True)
        if name != PROXY_AUTHORIZATION and not line.startswith(b"CSeq:")
    ]


@pytest.mark.parametrize("came_by", [b"UDP", b"TCP"])
def test_it_differs_in_its_answer_its_numbers_and_nothing_else(came_by: bytes) -> None:
    world = trunked(rules=RULES)
    world.receive(invite(fields=MORE), transport=came_by)
    first = last_of(world, CALLEE, b"INVITE")
    again = ask(world)
    assert is_right(again)
    assert again.names[-1] == PROXY_AUTHORIZATION and len(given(again)) == 1
    assert again.cseq.number == first.cseq.number + 1
    assert (again.start, again.body) == (first.start, first.body)
    assert again.via.branch != first.via.branch
    assert told(again)[1:] == told(first)[1:]
    routes = again.fields(RECORD_ROUTE)
    assert [b";cs=1;" in route for route in routes] == [True] * (1 if came_by == b"UDP" else 2)
    assert again.names.count(VIA) == 2


def test_both_attempts_are_told_apart_by_their_branch_and_the_first_is_acknowledged() -> None:
    world = trunked(rules=RULES)
    world.receive(invite())
    first = last_of(world, CALLEE, b"INVITE")
    again = ask(world)
    world.receive(challenge(first), CALLEE)  # once more: the ACK was lost
    acks = [one for one in world.sent_to(CALLEE) if one.method == b"ACK"]
    assert [one.via.branch for one in acks] == [first.via.branch] * 2
    assert not acks[0].has(PROXY_AUTHORIZATION)
    assert len([one for one in world.sent_to(CALLEE) if one.method == b"INVITE"]) == 2
    world.receive(answer(again, 486, b"bt"), CALLEE)
    ack = last_of(world, CALLEE, b"ACK")
    assert (ack.via.branch, given(ack)[0].nonce) == (again.via.branch, b"n1")


def test_one_that_outgrows_udp_by_its_answer_goes_by_tcp() -> None:
    world = trunked(rules=RULES)
    world.receive(invite())
    short = last_of(world, CALLEE, b"INVITE").length
    fields = b"X-Padding: " + b"x" * (world.wiring.udp_limit - short - 20) + b"\r\n"
    world.receive(invite(call_id=b"long@a.example", branch=b"z9hG4bKlong", fields=fields))
    assert last_of(world, CALLEE, b"INVITE").via.transport == b"UDP"
    again = ask(world)
    assert (again.via.transport, again.names.count(VIA)) == (b"TCP", 2)
    assert is_right(again)
    assert len(given(again)) == len([one for one in again.names if one == PROXY_AUTHORIZATION]) == 1


def test_a_branch_route_is_asked_again_and_its_edit_stands_once() -> None:
    world = trunked(IN_A_BRANCH)
    world.receive(invite())
    again = ask(world)
    assert is_right(again)
    assert again.fields(b"x-branch") == [b"2"]


def test_it_goes_on_to_the_next_address_when_the_one_that_asked_is_gone() -> None:
    world = trunked(rules=RULES)
    world.names[b"trunk.example"] = [CALLEE, OTHER]
    world.receive(invite())
    again = ask(world)
    world.receive(answer(again, 503, b"bt"), CALLEE)
    elsewhere = last_of(world, OTHER, b"INVITE")
    assert elsewhere.names.count(VIA) == 2 and len(elsewhere.fields(RECORD_ROUTE)) == 1
