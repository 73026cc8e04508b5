"""Replacing display name and URI of one field, everything else left byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import FeatureError
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.names import FROM, TO
from uacproxy.sip.parse import parse_message
from uacproxy.uac.replace import LONGEST_HEAD, Identities, replace_head, replace_in

ANON = b"sip:anonymous@anonymous.invalid"


def invite(from_line: bytes, to_line: bytes = b"To: <sip:bob@b.example>") -> Message:
    return parse_message(
        b"INVITE sip:bob@b.example SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\n"
        + from_line
        + b"\r\n"
        + to_line
        + b"\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )


HEADS = [
    # field value, display, uri -> field value
    # the examples of the original
    (
        b'"Alice" <sip:alice@a.example>;tag=at1;x=1',
        None,
        ANON,
        b'"Alice" <sip:anonymous@anonymous.invalid>;tag=at1;x=1',
    ),
    (
        b"sip:alice@a.example;tag=at5",
        b'"An on"',
        ANON,
        b'"An on" <sip:anonymous@anonymous.invalid>;tag=at5',
    ),
    (b'"Alice"   <sip:a@b>;tag=at3', b"", ANON, b"<" + ANON + b">;tag=at3"),
    (b"sip:bob@b.example", None, b"sip:t@t;user=phone", b"<sip:t@t;user=phone>"),
    # display alone
    (b'"Alice" <sip:a@b>;tag=1', b'"Bob"', b"", b'"Bob" <sip:a@b>;tag=1'),
    (b'"Alice"   <sip:a@b>;tag=1', b'"Bob"', b"", b'"Bob"   <sip:a@b>;tag=1'),
    (b'"Alice"<sip:a@b>', b'"Bob"', b"", b'"Bob"<sip:a@b>'),
    (b'"Alice"<sip:a@b>', b"Bob", b"", b"Bob <sip:a@b>"),
    (b"Alice Smith <sip:a@b>", b"Bob", b"", b"Bob <sip:a@b>"),
    (b"Alice\tSmith  <sip:a@b>", b"", b"", b"<sip:a@b>"),
    (b"<sip:a@b>;tag=1", b'"Bob"', b"", b'"Bob" <sip:a@b>;tag=1'),
    (b"<sip:a@b>;tag=1", b"", b"", b"<sip:a@b>;tag=1"),
    (b'"" <sip:a@b>;tag=1', b'"Bob"', b"", b'"Bob" <sip:a@b>;tag=1'),
    (b'"" <sip:a@b>;tag=1', b"", b"", b"<sip:a@b>;tag=1"),
    (b"sip:a@b;tag=1", b"Bob", b"", b"Bob <sip:a@b>;tag=1"),
    (b"sip:a@b;tag=1", b"", b"", b"sip:a@b;tag=1"),
    (b'"a\\"<b>\\\\" <sip:a@b>;tag=1', b'"\\"x"', b"", b'"\\"x" <sip:a@b>;tag=1'),
    (b'"Alice" <sip:a@b>', "Müller".encode(), b"", "Müller <sip:a@b>".encode()),
    (b"Alice <sip:a@b>", '"Мария"'.encode(), b"", '"Мария" <sip:a@b>'.encode()),
    # URI alone
    (b"sip:a@b;tag=1", None, b"sip:x@y", b"sip:x@y;tag=1"),
    (b"sip:a@b ;tag=1", None, b"sip:x@y", b"sip:x@y ;tag=1"),
    (b"sip:a@b;tag=1", None, b"sip:x@y;user=phone", b"<sip:x@y;user=phone>;tag=1"),
    (b"sip:a@b;tag=1", None, b"sip:x@y?Subject=1", b"<sip:x@y?Subject=1>;tag=1"),
    (b"sip:a@b;tag=1", None, b"sip:x,y@z", b"<sip:x,y@z>;tag=1"),
    (b"<sip:a@b>;tag=1", None, b"sip:x@y;user=phone?a=1", b"<sip:x@y;user=phone?a=1>;tag=1"),
    (b"<sip:a@b;user=phone>;tag=1", None, b"tel:+4930", b"<tel:+4930>;tag=1"),
    (b"Al <sip:a@b>; tag=1 ;x", None, b"sips:x@y", b"Al <sips:x@y>; tag=1 ;x"),
    (b"<sip:a@b>;tag=1", None, b"", b"<sip:a@b>;tag=1"),
    (b"sip:a@b;tag=1", None, b"", b"sip:a@b;tag=1"),
    # both
    (b"sip:a@b;tag=1", b"", b"sip:x@y;p", b"<sip:x@y;p>;tag=1"),
    (b"Al <sip:a@b>;tag=1", b'"B"', b"sip:x@y", b'"B" <sip:x@y>;tag=1'),
]


@pytest.mark.parametrize(("value", "display", "uri", "wanted"), HEADS)
def test_a_head_is_replaced_and_the_tail_kept(
    value: bytes, display: bytes | None, uri: bytes, wanted: bytes
) -> None:
    address = parse_name_addr(value)
    assert replace_head(address, display, uri) + address.tail == wanted


LINES = [
    (b"f:  sip:alice@a.example;tag=1", b"f:  <sip:x@y;p>;tag=1"),
    (b"FROM :<sip:alice@a.example>;tag=1", b"FROM :<sip:x@y;p>;tag=1"),
    (b"From: Al <sip:a@b>\r\n ;tag=1\r\n\t;x=1", b"From: Al <sip:x@y;p>\r\n ;tag=1\r\n\t;x=1"),
    (b"From:\r\n <sip:a@b>;tag=1", b"From:\r\n <sip:x@y;p>;tag=1"),
    (b"From: Al\r\n  <sip:a@b>;tag=1", b"From: Al <sip:x@y;p>;tag=1"),
    # the head as unfolded stands in the line once more, in a parameter
    (b'From: A\r\n <sip:a@b>;p="A <sip:a@b>";tag=1', b'From: A <sip:x@y;p>;p="A <sip:a@b>";tag=1'),
]


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_the_rest_of_the_line_stays(line: bytes, wanted: bytes) -> None:
    request = invite(line)
    before = list(request.lines)
    replace_in(request, FROM, None, b"sip:x@y;p", Identities())
    assert request.lines == [wanted if old == line else old for old in before]


def test_what_was_and_what_is_shown_is_kept() -> None:
    request = invite(b'From: "Alice" <sip:alice@a.example>;tag=1')
    kept = Identities()
    replace_in(request, FROM, b"", ANON, kept)
    replace_in(request, TO, None, b"sip:b@z.cc", kept)
    assert kept.from_original == b'"Alice" <sip:alice@a.example>'
    assert kept.from_shown == b"<" + ANON + b">"
    assert kept.to_original == b"<sip:bob@b.example>"
    assert kept.to_shown == b"<sip:b@z.cc>"


def test_a_second_replacement_wins_and_the_first_original_stays() -> None:
    request = invite(b'From: "Alice" <sip:alice@a.example>;tag=1')
    kept = Identities()
    replace_in(request, FROM, b'"One"', b"sip:1@one", kept)
    replace_in(request, FROM, b'"Two"', b"", kept)
    assert request.from_.raw == b'"Two" <sip:1@one>;tag=1'
    assert kept.from_original == b'"Alice" <sip:alice@a.example>'
    assert kept.from_shown == b'"Two" <sip:1@one>'


def test_a_display_name_alone_is_kept_too() -> None:
    kept = Identities()
    replace_in(invite(b'From: "Alice" <sip:a@b>;tag=1'), FROM, b'"Anon"', b"", kept)
    assert (kept.from_original, kept.from_shown) == (b'"Alice" <sip:a@b>', b'"Anon" <sip:a@b>')


def test_white_space_around_a_display_name_is_dropped() -> None:
    request = invite(b"From: <sip:a@b>;tag=1")
    kept = Identities()
    replace_in(request, FROM, b" Bob  ", b"", kept)
    assert request.from_.raw == b"Bob <sip:a@b>;tag=1"
    replace_in(request, FROM, b" ", b"sip:x@y", kept)
    assert request.from_.raw == b"<sip:x@y>;tag=1"
    assert kept.from_shown == b"<sip:x@y>"


@pytest.mark.parametrize("name", [FROM, TO])
def test_what_is_put_back_is_not_replaced_any_more(name: bytes) -> None:
    request = invite(b"From: <sip:a@b>;tag=1", b"To: <sip:a@b>")
    kept = Identities()
    replace_in(request, name, None, b"sip:x@y", kept)
    assert (kept.from_original, kept.to_original).count(b"<sip:a@b>") == 1
    replace_in(request, name, None, b"sip:a@b", kept)
    assert kept.is_empty
    assert request.from_.raw == b"<sip:a@b>;tag=1"


def test_replacing_by_the_same_is_no_replacement_and_no_edit() -> None:
    request = invite(b"From: Al\r\n <sip:a@b>;tag=1")
    octets = request.encode()
    kept = Identities()
    replace_in(request, FROM, b"Al", b"sip:a@b", kept)
    assert kept.is_empty
    assert request.encode() == octets


def test_branches_are_replaced_apart() -> None:
    received = invite(b"From: <sip:a@b>;tag=1")
    kept = Identities()
    replace_in(received, FROM, None, b"sip:all@y", kept)
    branch, of_branch = received.branch_copy(), kept.copy()
    replace_in(branch, FROM, None, b"sip:one@y", of_branch)
    assert (received.from_.uri, branch.from_.uri) == (b"sip:all@y", b"sip:one@y")
    assert (kept.from_shown, of_branch.from_shown) == (b"<sip:all@y>", b"<sip:one@y>")
    assert of_branch.from_original == b"<sip:a@b>"


REFUSED = [
    (b'"x"\r\nEvil: 1', b"", "control characters"),
    (None, b"sip:a@b\r\nEvil: 1", "control characters"),
    (b'"\0"', b"", "control characters"),
    (b"sip:alice@a.example", b"", "needs quotes"),
    (b'"open', b"", "quoted string"),
    (b'"x"<"', b"", "display name: "),
    (b'"x" <sip:evil@e>', b"", "display name: "),
    (b"<sip:evil@e>;tag=9;x=", b"", "holds an address"),
    (b"<sip:a@b>;x=", b"", "holds an address"),
    (None, b"sip:a@b>;tag=9", "URI"),
    (None, b"bob", "scheme"),
    (None, b"sip:a b@c", "white space"),
    (None, b"sip:", "host"),
    (None, b"urn:x>y", "brackets"),
    (b'"' + b"x" * LONGEST_HEAD + b'"', b"", "longer"),
]


@pytest.mark.parametrize(("display", "uri", "why"), REFUSED)
@pytest.mark.parametrize(
    "line",
    [b"From: Al <sip:a@b>;tag=1", b"From: sip:a@b;tag=1", b'f: "Al"<sip:a@b>;tag=1'],
)
def test_what_would_break_the_field_changes_nothing(
    line: bytes, display: bytes | None, uri: bytes, why: str
) -> None:
    request = invite(line)
    octets = request.encode()
    kept = Identities()
    with pytest.raises(FeatureError, match=f"^From not replaced: .*{why}"):
        replace_in(request, FROM, display, uri, kept)
    assert request.encode() == octets
    assert kept.is_empty


@given(
    st.sampled_from(
        [b"From: Al <sip:a@b>;tag=1", b"From: sip:a@b;tag=1", b'f: "x"<sip:a@b>;tag=1']
    ),
    st.one_of(
        st.none(), st.binary(max_size=12), st.text('"\\<>; sip:a@,', max_size=8).map(str.encode)
    ),
    st.one_of(
        st.just(b""), st.just(b"sip:x@y"), st.text('sip:a@<>;?, "', max_size=12).map(str.encode)
    ),
)
def test_whatever_is_given_the_field_stays_one_address_with_its_tag(
    line: bytes, display: bytes | None, uri: bytes
) -> None:
    request = invite(line)
    try:
        replace_in(request, FROM, display, uri, Identities())
    except FeatureError:
        pass
    arrived = parse_message(request.encode())
    assert arrived.from_.tag == b"1"
    assert arrived.from_.tail == b";tag=1"
    assert len(arrived.lines) == 6
