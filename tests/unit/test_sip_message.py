"""Messages: reading, byte-exact passing on, edits (RFC 3261 7.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from uacproxy.errors import OwnMistake, ParseError
from uacproxy.sip import header as hdr
from uacproxy.sip.lines import value_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    CALL_ID,
    CONTACT,
    CONTENT_LENGTH,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    RECORD_ROUTE,
    ROUTE,
    SPELLING,
    SUPPORTED,
    TO,
    VIA,
    canonical,
    spelling,
)
from uacproxy.sip.parse import parse_message

TORTUOUS = (
    b"INVITE sip:bob@b.example SIP/2.0\r\n"
    b"v:  SIP  / 2.0  / TCP     one.example   ;\r\n"
    b"  branch  =   z9hG4bK9ikj8  ,\r\n"
    b" SIP  /    2.0   / UDP  two.example   ; branch=\r\n"
    b" z9hG4bK30239\r\n"
    b"VIA : SIP/2.0/UDP three.example;branch=z9hG4bK3\r\n"
    b"rOuTe: <sip:a.example;lr> , <sip:b.example;lr>\r\n"
    b"MaX-fOrWaRdS: 0068\r\n"
    b"TO :\r\n sip:bob@b.example ;   tag    = 1918181833n\r\n"
    b'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
    b"i:call 1\r\n"
    b"cseq: 0009\r\n  INVITE\r\n"
    b"s :\r\n"
    b"X-Odd: ;;,,;;,;\r\n"
    b"Route:<sip:c.example;lr>\r\n"
    b'm:"Quoted, \\"" <sip:j@example.com> ; q = 0.33, <sip:k@example.com>\r\n'
    b"l:  0004\r\n"
    b"\r\n"
    b"a\r\n\0"
)


def tortuous() -> Message:
    return parse_message(TORTUOUS)


def changed_lines(message: Message) -> list[tuple[bytes, bytes]]:
    """Return old and new line wherever the two differ; nothing was added or removed."""
    before = TORTUOUS.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"\r\n\0 ").split(b"\r\n")
    after = message.encode().partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"\r\n\0 ").split(b"\r\n")
    assert len(before) == len(after)
    return [(one, other) for one, other in zip(before, after, strict=True) if one != other]


def test_a_message_nobody_touched_leaves_as_it_came() -> None:
    message = tortuous()
    assert message.encode() == TORTUOUS
    _ = message.via, message.cseq, message.from_, message.to, message.uri, message.max_forwards
    assert message.encode() == TORTUOUS


def test_folds_compact_names_and_odd_case_do_not_hide_a_field() -> None:
    message = tortuous()
    assert (message.cseq.number, message.cseq.method) == (9, b"INVITE")
    assert message.from_.display == b'"J Rosenberg \\\\\\""'
    assert (message.from_.uri, message.from_.tag) == (b"sip:jdrosen@example.com", b"98asjd8")
    assert (message.to.uri, message.to.tag) == (b"sip:bob@b.example", b"1918181833n")
    assert (message.call_id, message.max_forwards) == (b"call 1", 68)
    assert (message.via.host, message.via.branch) == (b"one.example", b"z9hG4bK9ikj8")
    assert (message.get(b"subject"), message.get(b"x-odd")) == (b"", b";;,,;;,;")
    assert message.get(b"no-such") is None
    assert message.body == b"a\r\n\0"


def test_values_in_one_field_and_in_several_are_one_list() -> None:
    message = tortuous()
    assert len(message.fields(VIA)) == 2
    assert len(message.values(VIA)) == 3
    assert [str(each.address.host, "ascii") for each in message.addresses(ROUTE)] == [
        "a.example",
        "b.example",
        "c.example",
    ]
    assert [each.param(b"q") for each in message.addresses(CONTACT)] == [b"0.33", None]


def test_an_edit_changes_one_line_and_keeps_its_spelling() -> None:
    message = tortuous()
    message.set(MAX_FORWARDS, b"67")
    assert changed_lines(message) == [(b"MaX-fOrWaRdS: 0068", b"MaX-fOrWaRdS: 67")]
    assert message.max_forwards == 67


def test_setting_a_field_that_is_not_there_adds_it_at_the_end() -> None:
    message = tortuous()
    message.set(SUPPORTED, b"100rel")
    assert message.encode() == TORTUOUS.replace(b"l:  0004", b"l:  0004\r\nSupported: 100rel")


def test_swapping_what_begins_a_value_keeps_folds_behind_it() -> None:
    message = tortuous()
    message.swap_value(FROM, message.from_.head, b"<sip:anonymous@anonymous.invalid>")
    assert b"from   : <sip:anonymous@anonymous.invalid>\r\n  ;\r\n  tag = 98asjd8" in message.lines
    assert (message.from_.uri, message.from_.tag) == (
        b"sip:anonymous@anonymous.invalid",
        b"98asjd8",
    )


def test_swapping_what_a_fold_runs_through_unfolds_the_value() -> None:
    message = parse_message(b'OPTIONS sip:a SIP/2.0\r\nf: "A\r\n B" <sip:a@b>\r\n ;tag=1\r\n\r\n')
    message.swap_value(FROM, b'"A B" <sip:a@b>', b"<sip:c@d>")
    assert message.lines == [b"f: <sip:c@d> ;tag=1"]


@pytest.mark.parametrize("name", [FROM, b"no-such"])
def test_swapping_what_is_not_there_is_our_mistake(name: bytes) -> None:
    message = tortuous()
    with pytest.raises(OwnMistake):
        message.swap_value(name, b"other", b"x")
    assert message.encode() == TORTUOUS


def test_popping_takes_one_value_of_several() -> None:
    message = tortuous()
    seen = []
    while message.has(ROUTE):
        seen.append(message.addresses(ROUTE)[0].uri)
        message.pop(ROUTE)
    assert seen == [b"sip:a.example;lr", b"sip:b.example;lr", b"sip:c.example;lr"]
    message.pop(ROUTE)  # nothing left to take
    assert b"oute" not in message.encode()


def test_popping_a_via_shows_the_next_one() -> None:
    message = tortuous()
    hosts = []
    while message.has(VIA):
        hosts.append(message.via.host)
        message.pop(VIA)
    assert hosts == [b"one.example", b"two.example", b"three.example"]
    with pytest.raises(ParseError):
        _ = message.via


def test_pushed_values_come_first_of_their_name_and_routes_behind_every_via() -> None:
    message = tortuous()
    message.push(VIA, b"SIP/2.0/UDP p.example;branch=z9hG4bKp")
    message.push(RECORD_ROUTE, b"<sip:p.example;lr>")
    message.push(RECORD_ROUTE, b"<sip:q.example;lr>")
    message.push(ROUTE, b"<sip:z.example;lr>")
    assert message.names[:7] == [VIA, VIA, VIA, RECORD_ROUTE, RECORD_ROUTE, ROUTE, ROUTE]
    assert message.via.host == b"p.example"
    assert message.fields(RECORD_ROUTE) == [b"<sip:q.example;lr>", b"<sip:p.example;lr>"]
    assert message.addresses(ROUTE)[0].uri == b"sip:z.example;lr"


def test_a_first_via_goes_on_top() -> None:
    message = parse_message(b"OPTIONS sip:a SIP/2.0\r\nTo: <sip:a>\r\n\r\n")
    message.push(VIA, b"SIP/2.0/UDP p.example")
    assert message.lines == [b"Via: SIP/2.0/UDP p.example", b"To: <sip:a>"]


def test_removing_takes_every_field_of_the_name() -> None:
    message = tortuous()
    message.remove(VIA)
    message.remove(b"no-such")
    assert not message.has(VIA)
    assert len(message.names) == len(message.lines) == 11


def test_removing_some_takes_neighbours_too_and_keeps_the_others() -> None:
    message = tortuous()
    for value in (b"bad 1", b"bad 2", b"good", b"bad 3"):
        message.append(b"x-mark", value)
    message.remove_where(b"x-mark", lambda value: value.startswith(b"bad"))
    assert message.fields(b"x-mark") == [b"good"]
    assert message.lines[:-1] == tortuous().lines


def test_inserting_puts_a_field_where_it_is_told() -> None:
    message = tortuous()
    message.insert(1, SUPPORTED, b"timer")
    assert (message.names[1], message.lines[1]) == (SUPPORTED, b"Supported: timer")


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        (VIA, b"SIP/2.0/UDP new.example", lambda message: message.via.host),
        (FROM, b"<sip:new.example>", lambda message: message.from_.address.host),
        (TO, b"<sip:new.example>", lambda message: message.to.address.host),
        (CALL_ID, b"new.example", lambda message: message.call_id),
        (CSEQ, b"1 new.example", lambda message: message.cseq.method),
    ],
)
def test_whoever_looks_again_after_an_edit_sees_it(
    name: bytes, value: bytes, seen: Callable[[Message], bytes]
) -> None:
    for edit in ("set", "remove", "pop", "swap"):
        message = tortuous()
        assert seen(message) != b"new.example"
        if edit == "set":
            message.set(name, value)
        elif edit == "remove":
            message.remove(name)
            message.append(name, value)
        elif edit == "pop":
            while message.has(name):
                message.pop(name)
            message.push(name, value)
        else:
            message.swap_value(name, message.need(name), value)
        assert seen(message) == b"new.example"


def test_a_whole_line_that_is_added_is_what_is_seen_from_then_on() -> None:
    message = tortuous()
    assert message.to.tag == b"1918181833n"
    hdr.cut(message.header, message.find(TO))  # by whoever keeps no view
    message.append_line(TO, b"To: <sip:new.example>;tag=new")
    assert message.to.tag == b"new"


def test_a_branch_is_edited_apart() -> None:
    message = tortuous()
    _ = message.via, message.from_
    branch = message.branch_copy()
    branch.push(VIA, b"SIP/2.0/UDP p.example")
    branch.set(FROM, b"<sip:x@y>;tag=1")
    branch.set_request_uri(b"sip:elsewhere")
    branch.set_body(b"")
    assert message.encode() == TORTUOUS
    assert (message.via.host, message.from_.tag) == (b"one.example", b"98asjd8")
    assert (branch.via.host, branch.from_.tag) == (b"p.example", b"1")
    message.set(TO, b"<sip:y@z>")
    assert branch.to.tag == b"1918181833n"
    assert branch.encode().startswith(
        b"INVITE sip:elsewhere SIP/2.0\r\nVia: SIP/2.0/UDP p.example\r\n"
    )


def test_a_new_request_uri_is_in_the_start_line() -> None:
    message = tortuous()
    message.set_request_uri(b"sip:new@host;lr")
    assert message.encode().startswith(b"INVITE sip:new@host;lr SIP/2.0\r\n")
    assert message.uri.user == b"new"


def test_a_new_body_brings_its_length_once() -> None:
    message = parse_message(
        b"OPTIONS sip:a SIP/2.0\r\nl: 1\r\nVia: x\r\nContent-Length: 1\r\n\r\nx"
    )
    message.set_body(b"\0\r\n\r\n")
    assert message.encode() == b"OPTIONS sip:a SIP/2.0\r\nl: 5\r\nVia: x\r\n\r\n\0\r\n\r\n"
    bare = parse_message(b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n")
    bare.set_body(b"12")
    assert bare.get(CONTENT_LENGTH) == b"2"


@pytest.mark.parametrize("value", [b"a\r\nX-Evil: 1", b"a\nX-Evil: 1", b"a\rb", b"\n"])
def test_no_edit_lets_a_value_become_two_fields(value: bytes) -> None:
    message = tortuous()
    edits: list[Callable[[], None]] = [
        lambda: message.set(FROM, value),
        lambda: message.set(SUPPORTED, value),
        lambda: message.append(SUPPORTED, value),
        lambda: message.insert(0, SUPPORTED, value),
        lambda: message.push(VIA, value),
        lambda: message.swap_value(FROM, message.from_.head, value),
        lambda: message.set_request_uri(b"sip:" + value),
    ]
    for edit in edits:
        with pytest.raises(OwnMistake):
            edit()
    assert message.encode() == TORTUOUS


def test_a_request_uri_with_a_space_is_our_mistake() -> None:
    with pytest.raises(OwnMistake):
        tortuous().set_request_uri(b"sip:a SIP/2.0")


@pytest.mark.parametrize("value", [b"", b"1", b"x INVITE", b"1 2 3", b"2147483648 INVITE", b"1 @"])
def test_a_malformed_cseq_is_a_bad_request(value: bytes) -> None:
    message = tortuous()
    message.set(CSEQ, value)
    with pytest.raises(ParseError) as caught:
        _ = message.cseq
    assert (caught.value.field, caught.value.status) == (CSEQ, 400)


@pytest.mark.parametrize("value", [b"", b"256", b"-1", b"7x"])
def test_a_malformed_max_forwards_is_a_bad_request(value: bytes) -> None:
    message = tortuous()
    message.set(MAX_FORWARDS, value)
    with pytest.raises(ParseError):
        _ = message.max_forwards


def test_a_via_of_commas_alone_is_a_bad_request() -> None:
    message = tortuous()
    message.remove(VIA)
    message.append(VIA, b" , ,")
    with pytest.raises(ParseError):
        _ = message.via


def test_a_malformed_address_names_its_field() -> None:
    message = tortuous()
    message.set(TO, b'"open <sip:a@b>')
    with pytest.raises(ParseError) as caught:
        _ = message.to
    assert caught.value.field == TO


def test_a_message_shows_no_fields_to_whoever_prints_it() -> None:
    assert repr(tortuous()) == "<Message b'INVITE sip:bob@b.example SIP/2.0'>"


def test_a_field_has_one_name_however_it_is_spelled() -> None:
    for spelled in (b"f", b"F", b"From", b"FROM", b"from", b"fRoM"):
        assert canonical(spelled) is FROM
    assert canonical(b"X-Odd") == b"x-odd"
    assert spelling(b"x-odd") == b"X-Odd"
    assert all(canonical(spelled) == name for name, spelled in SPELLING.items())


def test_the_value_of_a_line_is_what_stands_behind_its_first_colon() -> None:
    assert value_of(b"Contact : <sip:a@b:5060> ") == b"<sip:a@b:5060>"
    assert value_of(b"Subject:\r\n \r\n a\r\n\tb") == b"a b"
