"""``[rule:NAME]`` sections: order, values, and what a rule may not be."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from uacproxy.config.ini import ConfigErrors, read_config
from uacproxy.routing.settings import Replacement, RuleAuth, RuleRelay, RuleReply, RuleSettings


def rules(tmp_path: Path, text: str) -> tuple[RuleSettings, ...]:
    file = tmp_path / "u.ini"
    file.write_text(text)
    return read_config(str(file)).rules


def rule(tmp_path: Path, text: str) -> RuleSettings:
    [only] = rules(tmp_path, f"[rule:one]\n{text}\n")
    return only


def test_rules_keep_the_order_of_the_file_and_the_case_of_their_names(tmp_path: Path) -> None:
    found = rules(tmp_path, "[rule:Zeta]\ndrop=yes\n[log]\n[Rule: alpha ]\ndrop=yes\n")
    assert [one.name for one in found] == ["Zeta", "alpha"]


def test_the_conditions_of_a_rule_are_read(tmp_path: Path) -> None:
    one = rule(
        tmp_path,
        "method = INVITE MESSAGE\nfrom = sip:*@a.example *@b.example\nto = tel:+49*\n"
        "request_uri = sip:[0-9]*@*\nsource = 192.0.2.7 198.51.100.0/24 2001:db8::/32\n"
        "reg_lookup = yes\nrelay = yes",
    )
    assert one.method == ("INVITE", "MESSAGE")
    assert one.from_uri == ("sip:*@a.example", "*@b.example")
    assert (one.to_uri, one.request_uri) == (("tel:+49*",), ("sip:[0-9]*@*",))
    assert one.source == (
        IPv4Network("192.0.2.7/32"),
        IPv4Network("198.51.100.0/24"),
        IPv6Network("2001:db8::/32"),
    )
    assert one.reg_lookup is True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sip:7@trunk.example", Replacement(None, "sip:7@trunk.example")),
        ("<sip:7@trunk.example>", Replacement(None, "sip:7@trunk.example")),
        ('"Trunk 7" sip:$fU@t.example', Replacement('"Trunk 7"', "sip:$fU@t.example")),
        (r'"a \" b" <sip:a@b;user=phone>', Replacement(r'"a \" b"', "sip:a@b;user=phone")),
        ('"" sip:a@b', Replacement("", "sip:a@b")),
        ('"batman"', Replacement('"batman"', "")),
        ("$avp(name) $var(uri)", Replacement("$avp(name)", "$var(uri)")),
        ("$var(uri)", Replacement(None, "$var(uri)")),
    ],
)
def test_a_replacement_is_a_uri_with_or_without_a_display_name(
    tmp_path: Path, text: str, value: Replacement
) -> None:
    assert rule(tmp_path, f"replace_from = {text}").replace_from == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", RuleAuth("realm", "")),
        ("no", None),
        ("alice", RuleAuth("user", "alice")),
        ("account:trunk-7", RuleAuth("account", "trunk-7")),
    ],
)
def test_auth_names_the_list_a_user_or_an_account(
    tmp_path: Path, text: str, value: RuleAuth | None
) -> None:
    assert rule(tmp_path, f"auth = {text}").auth == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", RuleRelay(())),
        ("no", None),
        ("sip:a sip:b;transport=tcp", RuleRelay(("sip:a", "sip:b;transport=tcp"))),
        ("<sip:a>\n  sips:$rU@b", RuleRelay(("sip:a", "sips:$rU@b"))),
    ],
)
def test_relay_names_targets_in_their_order_or_the_request_uri(
    tmp_path: Path, text: str, value: RuleRelay | None
) -> None:
    assert rule(tmp_path, f"relay = {text}").relay == value


def test_a_reply_is_a_final_code_and_perhaps_a_reason(tmp_path: Path) -> None:
    assert rule(tmp_path, "reply = 404 Not  here").reply == RuleReply(404, "Not  here")
    assert rule(tmp_path, "reply = 486").reply == RuleReply(486, "")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("method = invite", "methods are written in capitals: INVITE"),
        ("method = IN(VITE", "cannot be a method"),
        ("from = alice@*", "would match no URI"),
        ("source = 10.0.0.1/8", "the network is 10.0.0.0/8"),
        ("source = pbx.example", "is no address and no network"),
        ("replace_from = Trunk sip:a@b", "a display name goes before it in double quotes"),
        ('replace_to = "Trunk sip:a@b', 'is not URI or "Display" URI'),
        ("replace_to = a@b", "does not begin with sip:"),
        ("relay = gw.example", "does not begin with sip:"),
        ("relay = tel:+4930", "does not begin with sip:"),
        ("reply = 183", "'183' is no final response code"),
        ("reply = Busy", "'Busy' is no final response code"),
        ("auth = account:", "needs the l_uuid"),
        ("auth = alice bob", "without spaces"),
        ("name = x", "unknown key"),
        ("from_uri = *", "unknown key"),
    ],
)
def test_a_value_no_rule_can_use_is_an_error_at_its_key(
    tmp_path: Path, line: str, why: str
) -> None:
    with pytest.raises(ConfigErrors) as caught:
        rule(tmp_path, line)
    [error] = caught.value.errors
    assert str(error).startswith(f"{tmp_path}/u.ini:2: [rule:one] {line.split(' ')[0]}: ")
    assert why in str(error)


def test_a_rule_without_a_usable_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="a rule needs a name"):
        rules(tmp_path, "[rule:]\ndrop = yes\n")
