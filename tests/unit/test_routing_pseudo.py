"""Pseudo-variables: what each reads, which can be written, null and nonsense."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.world import CALLER, World, answer, invite
from uacproxy.errors import ParseError, ScriptError
from uacproxy.routing import pseudo
from uacproxy.routing.scope import Scope
from uacproxy.routing.uac_req import Value
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message

WORLD = World("from uacproxy.routing import *\n@request_route\ndef main(ctx): ...\n")

REQUEST = invite(
    uri=b"sip:bob:pw@b.example:5070;transport=tcp",
    fields=b"User-Agent: Phone/1\r\nX-Two: one\r\nX-Two: two\r\nm2: x\r\n",
    to=b'"Bob B" <sip:bob@b.example>;tag=tt1',
    cseq=7,
    body=b"v=0",
)


def scope_of(octets: bytes = REQUEST) -> Scope:
    message = parse_message(octets)
    return Scope(message, message.branch_copy(), WORLD.flow(5060, CALLER[0], b"UDP"), False)


def no_dialog(scope: Scope, name: str, value: str | None) -> None:
    raise ScriptError("no dialog")


def write(scope: Scope, word: str, value: Value) -> None:
    pseudo.write(word, value, scope, no_dialog)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$ru", "sip:bob:pw@b.example:5070;transport=tcp"),
        ("$rU", "bob"),
        ("$rd", "b.example"),
        ("$rp", 5070),
        ("$rm", "INVITE"),
        ("$ou", "sip:bob:pw@b.example:5070;transport=tcp"),
        ("$oU", "bob"),
        ("$od", "b.example"),
        ("$fu", "sip:alice@a.example"),
        ("$fU", "alice"),
        ("$fd", "a.example"),
        ("$fn", '"Alice"'),
        ("$ft", "at1"),
        ("$tu", "sip:bob@b.example"),
        ("$tU", "bob"),
        ("$td", "b.example"),
        ("$tn", '"Bob B"'),
        ("$tt", "tt1"),
        ("$ci", "call-1@a.example"),
        ("$cs", 7),
        ("$ct", "sip:alice@192.0.2.1"),
        ("$ua", "Phone/1"),
        ("$si", "192.0.2.1"),
        ("$sp", 5060),
        ("$Ri", "192.0.2.100"),
        ("$Rp", 5060),
        ("$pr", "udp"),
        ("$rb", "v=0"),
        ("$du", None),
        ("$rs", None),
        ("$rr", None),
        ("$T_reply_code", None),
        ("$T_branch_idx", 0),
        ("$null", None),
        ("$hdr(X-Two)", "one"),
        ("$hdr(user-agent)", "Phone/1"),
        ("$hdr(i)", "call-1@a.example"),
        ("$hdr(X-None)", None),
        ("$avp(x)", None),
        ("$var(x)", None),
        ("$dlg_var(x)", None),
        ("$(ru)", "sip:bob:pw@b.example:5070;transport=tcp"),
        ("$(hdr(X-Two))", "one"),
    ],
)
def test_a_request_is_read_by_these_names(word: str, value: Value) -> None:
    assert pseudo.read(word, scope_of()) == value


@pytest.mark.parametrize("word", ["$rU", "$fU", "$tU", "$oU", "$fn", "$tn", "$tt", "$ft"])
def test_what_is_not_there_is_null(word: str) -> None:
    bare = scope_of(invite(uri=b"sip:b.example", from_=b"<sip:a.example>", to=b"<sip:b.example>"))
    assert pseudo.read(word, bare) is None


def test_a_contact_that_is_not_there_is_null() -> None:
    octets = REQUEST.replace(b"Contact: <sip:alice@192.0.2.1>\r\n", b"")
    assert pseudo.read("$ct", scope_of(octets)) is None


def test_the_port_of_a_uri_that_names_none_is_the_usual_one() -> None:
    assert pseudo.read("$rp", scope_of(invite(uri=b"sip:b.example"))) == 5060


@pytest.mark.parametrize("word", ["$fU", "$fd", "$tU", "$td", "$ct"])
def test_a_peers_nonsense_reads_as_null(word: str) -> None:
    octets = invite(from_=b"<sip:a@b@c>;tag=1", to=b"<sip:[x]>")
    scope = scope_of(octets.replace(b"Contact: <sip:alice@192.0.2.1>", b"Contact: <"))
    assert pseudo.read(word, scope) is None


def in_reply_of(scope: Scope) -> Scope:
    response: Message = parse_message(answer(scope.received, 183, b"bt9", b"Server: Gate\r\n"))
    scope.response = response
    return scope


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$rs", 183),
        ("$rr", "Whatever"),
        ("$T_reply_code", 183),
        ("$hdr(Server)", "Gate"),
        ("$ct", "sip:bob@192.0.2.2"),
        ("$ua", None),
        ("$ru", "sip:bob@192.0.2.2"),
        ("$tt", "bt9"),
    ],
)
def test_in_a_reply_route_the_response_is_read(word: str, value: Value) -> None:
    assert pseudo.read(word, in_reply_of(scope_of(invite()))) == value


@pytest.mark.parametrize(
    ("word", "value", "uri"),
    [
        ("$ru", "sip:carol@c.example", b"sip:carol@c.example"),
        ("$ru", "tel:+4930", b"tel:+4930"),
        ("$rU", "carol", b"sip:carol@b.example:5070;transport=tcp"),
        ("$rU", None, b"sip:b.example:5070;transport=tcp"),
        ("$rU", 123, b"sip:123@b.example:5070;transport=tcp"),
        ("$rd", "c.example", b"sip:bob:pw@c.example:5070;transport=tcp"),
    ],
)
def test_the_request_uri_is_written_whole_or_in_part(word: str, value: Value, uri: bytes) -> None:
    scope = scope_of()
    write(scope, word, value)
    assert scope.request.request_uri == uri
    assert scope.request.start == b"INVITE " + uri + b" SIP/2.0"
    assert scope.received.request_uri == b"sip:bob:pw@b.example:5070;transport=tcp"
    assert pseudo.read("$ou", scope) == "sip:bob:pw@b.example:5070;transport=tcp"


def test_the_next_hop_is_written_and_emptied() -> None:
    scope = scope_of()
    write(scope, "$du", "sip:gw.example;transport=tcp")
    assert pseudo.read("$du", scope) == "sip:gw.example;transport=tcp"
    write(scope, "$du", None)
    assert pseudo.read("$du", scope) is None


@pytest.mark.parametrize("word", ["$avp(x)", "$var(x)"])
def test_variables_hold_text_numbers_and_nothing(word: str) -> None:
    scope = scope_of()
    for value in ("text", 7, None):
        write(scope, word, value)
        assert pseudo.read(word, scope) == value


def test_avps_and_vars_are_different_things() -> None:
    scope = scope_of()
    write(scope, "$avp(x)", "a")
    assert pseudo.read("$var(x)", scope) is None


def test_dialog_variables_go_to_the_dialog() -> None:
    written: list[Any] = []
    pseudo.write("$dlg_var(x)", 7, scope_of(), lambda *values: written.append(values[1:]))
    pseudo.write("$dlg_var(x)", None, scope_of(), lambda *values: written.append(values[1:]))
    assert written == [("x", "7"), ("x", None)]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$ru", "no uri"),
        ("$ru", None),
        ("$ru", "sip:a@b\r\nX: y"),
        ("$rU", "a b"),
        ("$rd", "a b"),
        ("$rd", None),
        ("$du", "nonsense"),
        ("$fu", "sip:x@y"),
        ("$ci", "x"),
        ("$hdr(X)", "y"),
        ("$null", "x"),
        ("$avp()", "x"),
        ("$rs", 200),
        ("$nonsense", 1),
        ("ru", "x"),
        ("$$", "x"),
        ("$ru and more", "x"),
        ("", "x"),
    ],
)
def test_what_cannot_be_written_is_the_scripts_mistake(word: str, value: Value) -> None:
    scope = scope_of()
    with pytest.raises((ScriptError, ParseError)):
        write(scope, word, value)
    assert scope.request.request_uri == scope.received.request_uri


@pytest.mark.parametrize(
    "word", ["$nonsense", "$fux", "$ru(x)", "$hdr", "$avp", "$uac_req(nothing)", "fu", "$", "$$"]
)
def test_what_does_not_exist_is_the_scripts_mistake(word: str) -> None:
    with pytest.raises(ScriptError):
        pseudo.read(word, scope_of())


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$fU", "alice"),
        ("sip:$rU@$td;x=$cs", "sip:bob@b.example;x=7"),
        ("$(fU)x", "alicex"),
        ("a$$b", "a$b"),
        ("$$fu", "$fu"),
        ("[$du]", "[]"),
        ("$hdr(X-Two),$hdr(X-None)", "one,"),
        ("100 $", "100 $"),
        ("$5", "$5"),
    ],
)
def test_templates_are_expanded(template: str, text: str) -> None:
    assert pseudo.expand(template, scope_of()) == text


def test_a_template_with_an_unknown_variable_is_the_scripts_mistake() -> None:
    with pytest.raises(ScriptError, match=r"\$nonsense"):
        pseudo.expand("sip:$nonsense@x", scope_of())


@pytest.mark.parametrize(
    ("word", "is_one"),
    [
        ("$ru", True),
        ("$avp(x)", True),
        ("$(ru)", True),
        ("$ru ", False),
        ("x$ru", False),
        ("$$", False),
    ],
)
def test_one_variable_is_told_from_a_template(word: str, is_one: bool) -> None:
    assert pseudo.is_variable(word) is is_one


@given(st.text(max_size=40))
def test_values_are_put_in_as_they_are_and_never_expanded_again(value: str) -> None:
    scope = scope_of()
    write(scope, "$var(x)", value)
    assert pseudo.expand("<$var(x)>", scope) == f"<{value}>"


@given(st.text(alphabet="$()abfru_ \\", max_size=30))
def test_a_template_is_expanded_or_refused_never_more(template: str) -> None:
    try:
        assert isinstance(pseudo.expand(template, scope_of()), str)
    except ScriptError:
        pass
