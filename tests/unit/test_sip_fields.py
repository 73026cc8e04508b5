"""Values of smaller fields (RFC 3261 20)."""

from __future__ import annotations

import pytest

from uacproxy.sip.fields import (
    contact_expires,
    contains_token,
    expires_of,
    option_tags,
    parse_delta,
    retry_after,
)
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.names import REQUIRE
from uacproxy.sip.parse import parse_message


def with_fields(*lines: bytes) -> Message:
    return parse_message(b"\r\n".join([b"OPTIONS sip:a SIP/2.0", *lines, b"", b""]))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"3600", 3600),
        (b"00000000000000000000000060", 60),
        (b"4294967296", 2**32 - 1),
        (b"1" + b"0" * 5_000, 2**32 - 1),
        (b"-1", None),
        (b"", None),
        (b"1.5", None),
        (b"never", None),
        (b"\xb2", None),
    ],
)
def test_seconds_are_never_more_than_32_bits(value: bytes, seconds: int | None) -> None:
    assert parse_delta(value) == seconds
    assert expires_of(with_fields(b"Expires: " + value)) == seconds


@pytest.mark.parametrize(
    ("contact", "seconds"),
    [
        (b"<sip:a@b>;Expires=60", 60),
        (b"<sip:a@b;expires=60>", None),
        (b"<sip:a@b>;expires", None),
        (b"<sip:a@b>;expires=x", None),
        (b"<sip:a@b>;tag=1;;expires=60", None),
    ],
)
def test_a_contact_may_say_its_own_expiry(contact: bytes, seconds: int | None) -> None:
    assert contact_expires(parse_name_addr(contact)) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"18000;duration=3600", 18000),
        (b"120 (I'm in a meeting; back (soon))", 120),
        (b" 5 ;x", 5),
        (b"(x) 5", None),
        (b"", None),
    ],
)
def test_retry_after_is_read_without_comment_and_parameters(
    value: bytes, seconds: int | None
) -> None:
    assert retry_after(with_fields(b"Retry-After: " + value)) == seconds


def test_what_is_absent_is_none() -> None:
    message = with_fields(b"Via: x")
    assert (expires_of(message), retry_after(message), option_tags(message, REQUIRE)) == (
        None,
        None,
        [],
    )


def test_option_tags_of_all_fields_are_one_list() -> None:
    message = with_fields(b"Require: a, b", b"REQUIRE:", b"Require: ,c,")
    assert option_tags(message, REQUIRE) == [b"a", b"b", b"c"]


def test_a_token_in_a_list_is_compared_without_case() -> None:
    assert contains_token(b"100rel, Timer", b"timer")
    assert not contains_token(b"100rel-x, timers", b"timer")
