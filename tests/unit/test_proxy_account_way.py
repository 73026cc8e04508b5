"""A call of an account goes where its REGISTER went (RFC 3608, RFC 5626 4.3).

An INVITE that reached another address of the provider was refused there (IssabelPBX #53,
esphome-intercom #105, asterisk #1927, pjproject #4477).
"""

from __future__ import annotations

from tests.support.calls import Provider, last_of
from tests.support.one_account import OneAccount
from tests.support.registrar import account
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.ports import Target
from uacproxy.routing.settings import RuleSettings, parse_auth, parse_relay
from uacproxy.sip.names import PROXY_AUTHORIZATION, ROUTE
from uacproxy.sip.uri import parse_uri
from uacproxy.uac.account_way import AccountWay

HOP = parse_uri(b"sip:trunk.example")
TO_OTHER = Target(b"UDP", *OTHER)


def calling(
    target: Target | None = TO_OTHER, *routes: bytes, relay: str = "sip:trunk.example"
) -> World:
    """Return a world whose rule sends calls of account u1 to a trunk with two addresses."""
    rule = RuleSettings(name="out", auth=parse_auth("account:u1"), relay=parse_relay(relay))
    way = AccountWay(HOP, target, routes, None)
    world = World(
        rules=[rule],
        accounts=OneAccount(account()),
        account_way={"u1": way}.get,
    )
    world.names[b"trunk.example"] = [CALLEE, OTHER]
    world.names[b"elsewhere.example"] = [CALLEE]
    return world


def test_an_invite_goes_to_the_target_that_answered_the_register() -> None:
    world = calling()
    world.receive(invite())
    assert world.kinds_to(OTHER) == ["INVITE"]
    assert world.kinds_to(CALLEE) == []


def test_without_a_target_the_next_hop_is_resolved() -> None:
    world = calling(None)
    world.receive(invite())
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_a_call_to_another_place_is_not_the_accounts_way() -> None:
    world = calling(relay="sip:elsewhere.example")
    world.receive(invite())
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_when_the_target_fails_the_others_are_asked_and_it_is_not_asked_again() -> None:
    world = calling()
    world.receive(invite())
    world.receive(answer(world.last_to(OTHER), 503), OTHER)
    assert world.kinds_to(OTHER) == ["INVITE", "ACK"]
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_when_the_target_cannot_be_reached_the_others_are_asked() -> None:
    world = calling()
    world.unreachable.add(OTHER)
    world.receive(invite())
    world.let(0.1)
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_a_service_route_is_the_route_of_the_call_and_of_its_answer_to_a_challenge() -> None:
    world = calling(TO_OTHER, b"<sip:trunk.example;lr>", b"<sip:inner.example;lr>")
    world.receive(invite())
    assert world.kinds_to(OTHER) == ["INVITE"]
    first = world.last_to(OTHER)
    assert first.fields(ROUTE) == [b"<sip:trunk.example;lr>", b"<sip:inner.example;lr>"]
    world.receive(Provider(world).challenge(first), OTHER)
    invites = [one for one in world.sent_to(OTHER) if one.method == b"INVITE"]
    assert [one.has(PROXY_AUTHORIZATION) for one in invites] == [False, True]
    assert invites[1].fields(ROUTE) == first.fields(ROUTE)


def test_a_request_inside_the_dialog_has_its_own_route() -> None:
    world = calling(TO_OTHER, b"<sip:trunk.example;lr>")
    world.receive(invite())
    sent = last_of(world, OTHER, b"INVITE")
    world.receive(answer(sent, 200), OTHER)
    route = b"Route: " + sent.fields(b"record-route")[0] + b"\r\n"
    world.receive(
        invite(
            method=b"BYE",
            cseq=2,
            branch=b"z9hG4bKbye",
            fields=route,
            to=b"<sip:bob@b.example>;tag=bt1",
            uri=b"sip:bob@192.0.2.2",
        ),
        CALLER,
    )
    assert last_of(world, CALLEE, b"BYE").fields(ROUTE) == []


SCRIPT = """
from uacproxy.routing import Relay, request_route

@request_route
def main(ctx):
    if ctx.uac.reg_request_to("alice", 1):
        return Relay()
"""


def test_a_call_that_a_script_sends_as_the_account_goes_where_its_register_went() -> None:
    """``reg_request_to`` names the next hop only; the address of it that knows us is the way's."""
    way = AccountWay(
        parse_uri(b"sip:proxy.provider.example"), TO_OTHER, (b"<sip:in.example;lr>",), None
    )
    world = World(script=SCRIPT, accounts=OneAccount(account()), account_way={"u1": way}.get)
    world.names[b"proxy.provider.example"] = [CALLEE, OTHER]
    world.receive(invite())
    assert world.kinds_to(CALLEE) == []
    sent = last_of(world, OTHER, b"INVITE")
    assert sent.request_uri == b"sip:trunk7@provider.example"
    assert sent.fields(ROUTE) == [b"<sip:in.example;lr>"]
