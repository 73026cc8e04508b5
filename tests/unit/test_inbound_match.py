"""Calls from providers: to which account they are, and by what that is known."""

from __future__ import annotations

import pytest

from tests.support.registrar import HERE, account, ok, status
from tests.support.world import CALLEE, CALLER, World, invite
from tests.unit.test_registrations import Bench
from uacproxy.routing.settings import RuleSettings, parse_relay
from uacproxy.sip.parse import parse_message
from uacproxy.uac.account import Account
from uacproxy.uac.account_settings import AccountSettings

ELSEWHERE = ("192.0.2.99", 5060)
REGISTRAR = (HERE.host, HERE.port)


def own(l_uuid: str, source: str = "", *did: str, **columns: object) -> Account:
    settings = AccountSettings(did_source=source, did=did)
    columns = {"l_username": f"local-{l_uuid}", "r_username": f"49{l_uuid}", **columns}
    return account(l_uuid, settings=settings, **columns)


def found(
    bench: Bench,
    uri: bytes = b"sip:unknown@192.0.2.100",
    *,
    to: bytes = b"<sip:nobody@here.example>",
    fields: bytes = b"",
    remote: tuple[str, int] = ELSEWHERE,
) -> tuple[str, str] | None:
    """Return l_uuid, and by what it was found."""
    match = bench.table.match(parse_message(invite(uri=uri, to=to, fields=fields)), remote)
    return None if match is None else (match.l_uuid, match.by)


def registered(*accounts: Account) -> Bench:
    bench = Bench(ok(), accounts=accounts)
    bench.let(3.0)
    return bench


def test_the_line_of_the_contact_we_registered_comes_first() -> None:
    """Trunks that share all addresses (kamailio #2714, futel #558, asterisk #672 #958)."""
    bench = registered(own("a", contact_user="trunk"), own("b"))
    assert found(bench, b"sip:b@192.0.2.100;line=a") == ("a", "line")
    assert found(bench, b"sip:b@192.0.2.100;line=gone") == ("b", "user")


def test_the_user_of_the_request_uri_is_an_l_uuid_or_a_contact_user() -> None:
    bench = registered(own("a", contact_user="trunk"), own("b"), own("c", contact_user="x"))
    assert found(bench, b"sip:b@192.0.2.100") == ("b", "user")
    assert found(bench, b"sip:trunk@192.0.2.100") == ("a", "contact_user")
    assert found(bench, b"tel:+49301234") is None


def test_a_contact_user_that_several_have_tells_nothing_unless_the_address_does() -> None:
    bench = registered(own("a", contact_user="trunk"), own("b", contact_user="trunk", flags=1))
    assert found(bench, b"sip:trunk@192.0.2.100") is None
    assert found(bench, b"sip:trunk@192.0.2.100", remote=REGISTRAR) == ("a", "contact_user")


@pytest.mark.parametrize(
    ("source", "to", "fields"),
    [
        ("to", b"<sip:+4930123@trunk.example>", b""),
        ("to", b"<tel:+49-30-123>", b""),
        ("p-called-party-id", b"", b"P-Called-Party-ID: <sip:4930123@trunk.example>\r\n"),
        ("p-called-party-id", b"", b"P-Called-Party-ID: <sip:broken\r\nX: 1\r\n"),
        ("header:x-did", b"", b"X-DID: 4930123\r\n"),
        ("header:x-did", b"", b"X-DID: 1\r\nx-did: sip:+49.30.123@x;user=phone\r\n"),
    ],
)
def test_a_number_is_found_where_the_provider_puts_it(
    source: str, to: bytes, fields: bytes
) -> None:
    bench = registered(own("a", source, "+4930123"), own("b", "header:other", "1"))
    expected = None if b"broken" in fields else ("a", source)
    assert found(bench, to=to or b"<sip:nobody@x.example>", fields=fields) == expected


def test_numbers_may_be_patterns_and_a_number_of_its_own_goes_before_them() -> None:
    bench = registered(own("range", "to", "4930123*", "+49401?"), own("one", "to", "4930123456"))
    asked = [b"<sip:4930123456@x>", b"<sip:4930123457@x>", b"<sip:49401@x>", b"<sip:494019@x>"]
    answers = [found(bench, to=to) for to in asked]
    assert answers == [("one", "to"), ("range", "to"), None, ("range", "to")]


def test_without_numbers_the_account_is_its_r_username() -> None:
    bench = registered(own("a", "to", r_username="+4930123"))
    assert found(bench, to=b"<sip:4930123@x>") == ("a", "to")


def test_without_a_did_source_no_field_is_looked_at() -> None:
    bench = registered(own("a", r_username="4930123"))
    assert found(bench, to=b"<sip:4930123@x>") is None


def test_a_number_that_several_have_tells_nothing() -> None:
    bench = registered(own("a", "to", "1"), own("b", "to", "1"))
    assert found(bench, to=b"<sip:1@x>") is None


def test_the_one_account_registered_at_an_address_gets_what_comes_from_there() -> None:
    bench = registered(own("a"))
    assert found(bench, remote=REGISTRAR) == ("a", "address")
    assert found(bench, remote=(HERE.host, 40000)) is None
    two = registered(own("a"), own("b"))
    assert found(two, remote=REGISTRAR) is None


def test_an_account_that_is_not_registered_is_at_no_address() -> None:
    bench = Bench(status(500), accounts=[own("a")])
    bench.let(3.0)
    assert found(bench, remote=REGISTRAR) is None
    bench = registered(own("a"), own("b"))
    bench.table.unregister("l_uuid", "b")
    bench.let(3.0)
    assert found(bench, remote=REGISTRAR) == ("a", "address")


def test_what_a_reload_changes_counts_from_then_on() -> None:
    bench = registered(own("a", "to", "1"), own("b", "to", "2"))
    bench.source.accounts = [own("a", "to", "3"), own("c", "to", "2")]
    assert bench.table.loader is not None
    bench.table.loader.catch_up()
    bench.let(3.0)
    asked = [b"<sip:1@x>", b"<sip:2@x>", b"<sip:3@x>"]
    assert [found(bench, to=to) for to in asked] == [None, ("c", "to"), ("a", "to")]
    assert found(bench, b"sip:b@192.0.2.100") is None


def test_a_rule_sends_a_call_of_a_number_to_the_accounts_local_user() -> None:
    bench = registered(own("a", "to", "4930123", l_username="bob", l_domain="192.0.2.2"))
    rule = RuleSettings(name="in", reg_lookup=True, relay=parse_relay("yes"))
    world = World(rules=[rule], accounts=bench.table)
    world.receive(invite(uri=b"sip:x@192.0.2.100", to=b"<sip:+4930123@trunk.example>"))
    assert world.last_to(CALLEE).request_uri == b"sip:bob@192.0.2.2"
    assert "for account a, by to" in "\n".join(world.log.lines)


def test_a_script_hears_whose_call_it_is() -> None:
    script = """
from uacproxy.routing import Reply, request_route

@request_route
def main(ctx):
    whose = ctx.uac.reg_match("$var(to)")
    return Reply(480, f"{whose} {ctx['$var(to)']} {ctx['$rU']}")
"""
    world = World(script, accounts=registered(own("a$x")).table)
    world.receive(invite(uri=b"sip:a$x@192.0.2.100"))
    assert world.last_to(CALLER).reason == b"a$x sip:local-a$x@pbx.example a$x"
    world.receive(invite(uri=b"sip:b@192.0.2.100", branch=b"z9hG4bKother", call_id=b"2"))
    assert world.last_to(CALLER).reason == b" None b"
