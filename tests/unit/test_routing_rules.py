"""Rules of the ini file: conditions, outcomes, order (docs/routing.md)."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tests.support.calls import Call, Provider, last_of, responses_to
from tests.support.one_account import OneAccount
from tests.support.world import CALLEE, CALLER, OTHER, World, answer, invite
from uacproxy.registrar.digest_server import Verdict
from uacproxy.routing.settings import (
    RuleAuth,
    RuleRelay,
    RuleReply,
    RuleSettings,
    parse_relay,
    parse_replacement,
)
from uacproxy.uac.account import Account
from uacproxy.uac.credentials import CredentialList, parse_credential

HERE = RuleReply(480, "this one")
CREDENTIALS = CredentialList(
    [parse_credential("me:trunk.example:secret"), parse_credential("you:trunk.example:other")]
)


def rule(**settings: Any) -> RuleSettings:
    settings.setdefault("name", "one")
    if not any(settings.get(outcome) for outcome in ("relay", "reply", "drop")):
        settings["reply"] = HERE
    return RuleSettings(**settings)


def account(**changed: Any) -> Account:
    values: dict[str, Any] = {
        "l_uuid": "trunk1",
        "l_username": "bob",
        "l_domain": "pbx.example",
        "r_username": "49301",
        "r_domain": "trunk.example",
        "realm": "trunk.example",
        "auth_username": "account",
        "auth_password": "of the account",
        "auth_ha1": "",
        "auth_proxy": "sip:trunk.example",
        "expires": 600,
        "flags": 0,
        "reg_delay": 0,
        "contact_addr": "",
        "contact_user": "",
        "socket": "",
    }
    return Account(**(values | changed))


def outcome(world: World, octets: bytes = b"") -> str:
    """Return status and reason of what the caller was answered."""
    world.receive(octets or invite())
    final = world.last_to(CALLER)
    return f"{final.status} {final.reason.decode()}"


THIS = "480 this one"
NONE = "404 Not Found"


def networks(*words: str) -> tuple[Any, ...]:
    return tuple(ipaddress.ip_network(word) for word in words)


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True),
        ({"method": ("INVITE",)}, True),
        ({"method": ("MESSAGE", "INVITE")}, True),
        ({"method": ("MESSAGE",)}, False),
        ({"from_uri": ("sip:*@a.example",)}, True),
        ({"from_uri": ("sip:carol@*", "sip:a?ice@a.example")}, True),
        ({"from_uri": ("sip:*@b.example",)}, False),
        ({"to_uri": ("sip:bob@*",)}, True),
        ({"to_uri": ("sip:carol@*",)}, False),
        ({"request_uri": ("sip:[a-c]ob@192.0.2.2",)}, True),
        ({"request_uri": ("sip:bob@192.0.2",)}, False),
        ({"source": networks("192.0.2.0/24")}, True),
        ({"source": networks("192.0.2.1/32", "10.0.0.0/8")}, True),
        ({"source": networks("2001:db8::/32")}, False),
        ({"source": networks("10.0.0.0/8")}, False),
        ({"method": ("INVITE",), "source": networks("10.0.0.0/8")}, False),
    ],
)
def test_a_rule_applies_where_all_its_conditions_hold(
    conditions: dict[str, Any], fits: bool
) -> None:
    assert outcome(World(rules=[rule(**conditions)])) == (THIS if fits else NONE)


def test_an_ipv4_peer_on_a_socket_for_both_is_known_by_its_ipv4_address() -> None:
    world = World(rules=[rule(source=networks("192.0.2.0/24"))])
    peer = ("::ffff:192.0.2.1", 5060)
    world.receive(invite().replace(b";branch", b";rport;branch"), peer)
    assert world.last_to(peer).reason == b"this one"


def test_an_ipv6_peer_with_a_zone_is_known_by_its_address() -> None:
    world = World(rules=[rule(source=networks("fe80::/10"))])
    peer = ("fe80::1%eth0", 5060)
    world.receive(invite().replace(b";branch", b";rport;branch"), peer)
    assert world.last_to(peer).reason == b"this one"


def test_the_first_rule_that_fits_wins() -> None:
    rules = [
        rule(name="no", method=("MESSAGE",)),
        rule(name="yes", reply=RuleReply(486, "first")),
        rule(name="late", reply=RuleReply(487, "second")),
    ]
    assert outcome(World(rules=rules)) == "486 first"


def test_no_rule_at_all_is_404() -> None:
    assert outcome(World(rules=[])) == NONE


def test_a_reply_without_a_reason_has_the_usual_one() -> None:
    assert outcome(World(rules=[rule(reply=RuleReply(603, ""))])) == "603 Decline"


def test_a_dropped_request_is_not_answered() -> None:
    world = World(rules=[rule(drop=True)])
    world.receive(invite())
    assert world.sent == []


def test_relay_yes_goes_where_the_request_uri_says() -> None:
    world = World(rules=[rule(relay=RuleRelay(()))])
    world.receive(invite())
    assert last_of(world, CALLEE, b"INVITE").request_uri == b"sip:bob@192.0.2.2"


def test_targets_are_tried_in_their_order() -> None:
    world = World(rules=[rule(relay=RuleRelay(("sip:192.0.2.2", "sip:carol@192.0.2.3")))])
    world.receive(invite())
    assert world.sent_to(OTHER) == []
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 500), CALLEE)
    assert last_of(world, OTHER, b"INVITE").request_uri == b"sip:carol@192.0.2.3"


def test_targets_may_hold_pseudo_variables() -> None:
    relay = parse_relay("<sip:$rU@192.0.2.3;from=$fU>")
    world = World(rules=[rule(relay=relay)])
    world.receive(invite())
    assert last_of(world, OTHER, b"INVITE").request_uri == b"sip:bob@192.0.2.3;from=alice"


def test_an_unknown_pseudo_variable_is_a_logged_500() -> None:
    world = World(rules=[rule(relay=RuleRelay(("sip:$nonsense@192.0.2.3",)))])
    assert outcome(world).startswith("500")
    assert any("$nonsense" in line for line in world.log.lines)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("sip:7@trunk.example", b'"Alice" <sip:7@trunk.example>'),
        ('"Office" sip:7@trunk.example', b'"Office" <sip:7@trunk.example>'),
        ('"Office"', b'"Office" <sip:alice@a.example>'),
        ('""', b"<sip:alice@a.example>"),
        ('"" <sip:7@trunk.example>', b"<sip:7@trunk.example>"),
        ("sip:$rU@trunk.example", b'"Alice" <sip:bob@trunk.example>'),
        ("$fn sip:7@trunk.example", b'"Alice" <sip:7@trunk.example>'),
    ],
)
def test_replace_from_takes_uri_display_or_both(text: str, sent: bytes) -> None:
    world = World(rules=[rule(replace_from=parse_replacement(text), relay=RuleRelay(()))])
    call = Call(world)
    assert call.sent.from_.head == sent
    assert call.final.from_.head == b'"Alice" <sip:alice@a.example>'


def test_replace_to_does_the_same_to_to() -> None:
    world = World(rules=[rule(replace_to=parse_replacement('"B" sip:b@z.cc'), relay=RuleRelay(()))])
    call = Call(world)
    assert call.sent.to.head == b'"B" <sip:b@z.cc>'
    assert call.final.to.head == b"<sip:bob@b.example>"


def test_an_identity_that_cannot_be_replaced_never_leaves_as_it_came() -> None:
    world = World(
        rules=[
            rule(name="out", replace_from=parse_replacement("sip:$hdr(X-Id)"), relay=RuleRelay(()))
        ]
    )
    assert outcome(world, invite(fields=b"X-Id: <evil>\r\n")).startswith("500")
    assert world.sent_to(CALLEE) == []
    assert any("[rule:out]" in line for line in world.log.lines)


def test_a_later_request_without_our_route_keeps_its_identity_and_goes_on() -> None:
    world = World(
        rules=[rule(replace_from=parse_replacement("sip:7@trunk.example"), relay=RuleRelay(()))]
    )
    world.receive(invite(method=b"BYE", to=b"<sip:bob@b.example>;tag=bt1"))
    assert world.kinds_to(CALLEE) == ["BYE"]


# -- auth ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "user", "password"),
    [
        (RuleAuth("realm", ""), b"you", b"other"),  # the last line for a realm wins
        (RuleAuth("user", "me"), b"me", b"secret"),
        (RuleAuth("account", "trunk1"), b"account", b"of the account"),
    ],
)
def test_a_rule_says_whose_credentials_answer(auth: RuleAuth, user: bytes, password: bytes) -> None:
    world = World(
        rules=[rule(auth=auth, relay=RuleRelay(()))],
        credentials=CREDENTIALS,
        accounts=OneAccount(account()),
    )
    world.receive(invite())
    provider = Provider(world)
    world.receive(provider.challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    sent = last_of(world, CALLEE, b"INVITE")
    assert provider.judge(sent, user, password) == Verdict.OK
    world.receive(answer(sent, 200), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 200]


@pytest.mark.parametrize("auth", [None, RuleAuth("user", "nobody"), RuleAuth("account", "unknown")])
def test_a_challenge_nobody_can_answer_is_the_callers(auth: RuleAuth | None) -> None:
    world = World(
        rules=[rule(auth=auth, relay=RuleRelay(()))],
        credentials=CREDENTIALS,
        accounts=OneAccount(account()),
    )
    world.receive(invite())
    world.receive(Provider(world).challenge(last_of(world, CALLEE, b"INVITE")), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 407]


def test_a_rule_with_auth_passes_other_failures_through() -> None:
    world = World(rules=[rule(auth=RuleAuth("realm", ""), relay=RuleRelay(()))])
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 486), CALLEE)
    assert responses_to(world, CALLER, b"INVITE") == [100, 486]


def test_targets_that_fail_are_passed_over_before_the_challenge_is_answered() -> None:
    world = World(
        rules=[
            rule(auth=RuleAuth("realm", ""), relay=RuleRelay(("sip:192.0.2.2", "sip:192.0.2.3")))
        ],
        credentials=CREDENTIALS,
    )
    world.receive(invite())
    world.receive(answer(last_of(world, CALLEE, b"INVITE"), 500), CALLEE)
    provider = Provider(world)
    world.receive(provider.challenge(last_of(world, OTHER, b"INVITE")), OTHER)
    assert provider.judge(last_of(world, OTHER, b"INVITE"), b"you", b"other") == Verdict.OK


# -- accounts and dialogs --------------------------------------------------------------


def test_a_call_to_an_account_goes_to_its_local_user() -> None:
    world = World(
        rules=[rule(reg_lookup=True, relay=RuleRelay(()))], accounts=OneAccount(account())
    )
    world.names[b"pbx.example"] = [OTHER]
    world.receive(invite(uri=b"sip:trunk1@proxy.example"))
    assert last_of(world, OTHER, b"INVITE").request_uri == b"sip:bob@pbx.example"


def test_a_call_to_anybody_else_is_left_to_the_next_rule() -> None:
    rules = [rule(reg_lookup=True, relay=RuleRelay(())), rule(name="rest")]
    world = World(rules=rules, accounts=OneAccount(account()))
    assert outcome(world, invite(uri=b"sip:stranger@proxy.example")) == THIS
    assert outcome(World(rules=rules)) == THIS


def test_a_tracked_rule_tracks_the_dialog() -> None:
    call = Call(World(rules=[rule(track=True, relay=RuleRelay(()))]))
    assert [one["state"] for one in call.world.tracker.dialogs()] == ["confirmed"]
    assert b";did=" in call.sent.need(b"record-route")


def test_calls_beyond_the_most_dialogs_are_answered_503() -> None:
    world = World(rules=[rule(track=True, relay=RuleRelay(()))], max_dialogs=1)
    Call(world)
    world.receive(invite(branch=b"z9hG4bK2", call_id=b"two"))
    assert world.last_to(CALLER).status == 503
    assert world.last_to(CALLER).has(b"retry-after")
    assert world.kinds_to(CALLEE) == ["INVITE"]


def test_other_methods_pass_a_tracked_rule_without_a_dialog() -> None:
    world = World(rules=[rule(track=True, relay=RuleRelay(()))])
    world.receive(invite(method=b"MESSAGE"))
    assert world.kinds_to(CALLEE) == ["MESSAGE"]
    assert len(world.tracker) == 0
