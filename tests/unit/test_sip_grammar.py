"""The pieces of grammar every field shares (RFC 3261 7.3.1, 25.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import ParseError
from uacproxy.sip.grammar import (
    comment_depth,
    is_token,
    octets_of,
    parse_number,
    parse_params,
    quote,
    split_list,
    text,
    unescape,
    unfold,
    unquote,
)


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (b"a, b ,c", [b"a", b"b", b"c"]),
        (b'"Watson, Thomas" <sip:t@a>, <sip:b@a>', [b'"Watson, Thomas" <sip:t@a>', b"<sip:b@a>"]),
        (b"<sip:a,b@c>, <sip:d@e>", [b"<sip:a,b@c>", b"<sip:d@e>"]),
        (rb'"a\", b" <sip:a@b>, x', [rb'"a\", b" <sip:a@b>', b"x"]),
        (rb'"ends in \\", x', [rb'"ends in \\"', b"x"]),
        (b",, a,, b,", [b"a", b"b"]),
        (b"", []),
    ],
)
def test_a_list_is_cut_at_commas_outside_quotes_and_brackets(
    value: bytes, elements: list[bytes]
) -> None:
    assert split_list(value) == elements


@pytest.mark.parametrize("value", [b'"a, b', b"<sip:a, b", rb'"a\", b', b'a, "'])
def test_a_list_with_an_open_quote_or_bracket_is_an_error(value: bytes) -> None:
    with pytest.raises(ParseError):
        split_list(value)


def test_folding_is_one_space() -> None:
    assert unfold(b" a\r\n   b\r\n\t c ") == b"a b c"


@given(st.binary(max_size=40))
def test_what_is_quoted_comes_back_unquoted(content: bytes) -> None:
    assert unquote(quote(content)) == content


@pytest.mark.parametrize("value", [b"token", b'"', b'"open', b"'single'", b""])
def test_what_is_no_quoted_string_is_left_alone(value: bytes) -> None:
    assert unquote(value) == value


def test_any_character_may_be_escaped_in_a_quoted_string() -> None:
    assert unquote(rb'"\J\"\\\\"') == rb'J"\\'


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (b"%61lice", b"alice"),
        (b"a%00b", b"a\0b"),
        (b"%zz%4", b"%zz%4"),
        (b"%", b"%"),
        (b"100%25", b"100%"),
        (b"%2525", b"%25"),
    ],
)
def test_an_escape_is_undone_once_and_a_lone_percent_stays(escaped: bytes, plain: bytes) -> None:
    assert unescape(escaped) == plain


def test_parameters_keep_order_value_and_spelling_of_the_value() -> None:
    params = parse_params(b' ; Tag = aB ;lr; x="a;b" ;Y=<sip:a;b>')
    assert params == [
        (b"tag", b"aB"),
        (b"lr", None),
        (b"x", b'"a;b"'),
        (b"y", b"<sip:a;b>"),
    ]


@pytest.mark.parametrize("raw", [b";", b";;a", b"a=1", b";=1", b";a b", b';x="', b";\xc3=1"])
def test_a_parameter_without_a_proper_name_is_an_error(raw: bytes) -> None:
    with pytest.raises(ParseError):
        parse_params(raw)


@pytest.mark.parametrize(
    "digits", [b"", b"-1", b"+1", b" 1", b"1 2", b"0x1", b"2147483648", b"1" * 5000, b"\xb2"]
)
def test_what_is_no_number_below_two_to_the_31_is_an_error(digits: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_number(digits, field=b"cseq")
    assert (caught.value.field, caught.value.status) == (b"cseq", 400)


def test_leading_zeros_are_part_of_a_number() -> None:
    assert parse_number(b"0009", field=b"cseq") == 9
    assert parse_number(b"2147483647", field=b"cseq") == 2**31 - 1


@pytest.mark.parametrize(
    ("value", "depth"),
    [
        (b"none", 0),
        (b"a (b (c) d) (e)", 2),
        (b"((((", 4),
        (rb"(\(\()", 1),
        (b'"((("', 0),
        (b'("(")', 2),
        (b")))(", 1),
        (b'"(((', 0),
        (b"(\\", 1),
    ],
)
def test_comments_are_as_deep_as_their_open_parentheses(value: bytes, depth: int) -> None:
    assert comment_depth(value) == depth


@given(st.binary(max_size=40))
def test_octets_come_back_from_text_whatever_they_were(octets: bytes) -> None:
    assert octets_of(text(octets)) == octets


@given(st.binary(max_size=3))
def test_a_token_has_no_separator_and_no_octet_beyond_ascii(octets: bytes) -> None:
    allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~"
    assert is_token(octets) == (octets != b"" and all(octet in allowed for octet in octets))
