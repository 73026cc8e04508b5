"""Addresses in From, To, Contact and Route (RFC 3261 20.10, 20.20, 20.34)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import ParseError
from uacproxy.sip.name_addr import parse_name_addr, split_name_addrs


@pytest.mark.parametrize(
    ("raw", "display", "uri", "tail", "tag"),
    [
        (b"<sip:a@b>;tag=1", b"", b"sip:a@b", b";tag=1", b"1"),
        (b'"A \\" <B>" <sip:a@b>;tag=1', b'"A \\" <B>"', b"sip:a@b", b";tag=1", b"1"),
        (b"Bob Q. Smith<sip:a@b>", b"Bob Q. Smith", b"sip:a@b", b"", b""),
        (b"J\xc3\xbcrgen <sip:a@b>;x;TAG = 2", b"J\xc3\xbcrgen", b"sip:a@b", b";x;TAG = 2", b"2"),
        (b'""<sip:a@b> ; tag=3 ; x="y;tag=4"', b'""', b"sip:a@b", b' ; tag=3 ; x="y;tag=4"', b"3"),
        (b"<sip:a@b;tag=no?x=y>", b"", b"sip:a@b;tag=no?x=y", b"", b""),
        (b"<sip:a,b;c@d>;tag=5", b"", b"sip:a,b;c@d", b";tag=5", b"5"),
        (b"<tel:+1>;tag", b"", b"tel:+1", b";tag", b""),
        (b"<tel:+1>;tag=6 ;x", b"", b"tel:+1", b";tag=6 ;x", b"6"),
        (b"<tel:+1>;tag=7\t;x", b"", b"tel:+1", b";tag=7\t;x", b"7"),
        (b'<tel:+1>;tag="8;9"', b"", b"tel:+1", b';tag="8;9"', b'"8;9"'),
    ],
)
def test_a_name_addr_has_a_head_and_a_tail(
    raw: bytes, display: bytes, uri: bytes, tail: bytes, tag: bytes
) -> None:
    address = parse_name_addr(raw)
    assert (address.display, address.uri, address.tail, address.tag) == (display, uri, tail, tag)
    assert address.bracketed and address.head + address.tail == raw


@pytest.mark.parametrize(
    ("raw", "uri", "tag"),
    [
        (b"sip:a@b;tag=1", b"sip:a@b", b"1"),
        (b"sip:a@b", b"sip:a@b", b""),
        (b"sip:a@b ;  tag    = 1", b"sip:a@b", b"1"),
        (b"sip:a@b;x=<y>;tag=2", b"sip:a@b", b"2"),
        (b"*", b"*", b""),
    ],
)
def test_without_brackets_every_parameter_is_the_fields(raw: bytes, uri: bytes, tag: bytes) -> None:
    address = parse_name_addr(raw)
    assert (address.uri, address.tag, address.bracketed, address.display) == (uri, tag, False, b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b'"',
        b'"a',
        b'"a"',
        b'"a" sip:a@b',
        b'"a" b <sip:a@b>',
        b'"Mr. J. User <sip:j.user@example.com>',
        b"Bell, Alexander <sip:a@b>",
        b"<>",
        b"<sip:a@b",
        b"< sip:a@b>",
        b"<sip:a@b >",
        b"sip:a@b c",
        b"sip:a@b?Route=%3Csip:c%3E",
        b"sip:a,b@c",
        b"<sip:a@b> x",
        b"<sip:a@b>;",
        b"<sip:a@b>;x;;y",
        b';tag="',
    ],
)
def test_a_malformed_address_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_name_addr(raw)
    assert caught.value.status == 400


def test_the_uri_is_parsed_when_it_is_asked_for() -> None:
    assert parse_name_addr(b"<sip:a@B>").address.host == b"b"
    with pytest.raises(ParseError):
        _ = parse_name_addr(b"<nonsense>").address


def test_a_parameter_is_found_without_regard_to_case() -> None:
    address = parse_name_addr(b'<sip:a@b>;Expires=60;q="a;b";ob')
    assert address.param(b"expires") == b"60"
    assert (address.param(b"q"), address.param(b"ob")) == (b'"a;b"', b"")
    assert address.param(b"x") is None


def test_addresses_of_several_fields_are_one_list() -> None:
    found = split_name_addrs([b'"a,b" <sip:a,b@c>, sip:d@e ,', b"<sip:f@g>;q=0.1"])
    assert [address.uri for address in found] == [b"sip:a,b@c", b"sip:d@e", b"sip:f@g"]


@pytest.mark.parametrize("values", [[b""], [b","], [b"<sip:a@b>", b" , "], [b"<sip:a@b>, <c"]])
def test_a_field_of_addresses_without_one_is_an_error(values: list[bytes]) -> None:
    with pytest.raises(ParseError):
        split_name_addrs(values)


PIECE = st.sampled_from(
    [b'"', b"\\", b"<", b">", b"sip:a@b", b";", b"=", b"tag", b",", b" ", b"\r\n ", b"?", b"x"]
)


@given(st.one_of(st.binary(max_size=40), st.lists(PIECE, max_size=14).map(b"".join)))
def test_any_octets_are_an_address_in_two_parts_or_an_error(raw: bytes) -> None:
    try:
        address = parse_name_addr(raw)
    except ParseError:
        return
    assert address.head + address.tail == raw
    assert address.uri in address.head and address.display in address.head
    try:
        address.param(b"x")
        _ = address.address
    except ParseError:
        return
