"""URIs: parts and comparison (RFC 3261 19.1, RFC 3966)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uacproxy.errors import ParseError
from uacproxy.sip.uri import is_number, is_scheme_known, parse_uri, with_host, with_user


def test_a_uri_is_parsed_once_but_none_is_kept_that_takes_much_room() -> None:
    short = b"sip:a@b.example;lr"
    long = b"sip:a@b.example" + b";ab" * 2700  # a quarter of a megabyte once parsed
    assert parse_uri(short) is parse_uri(bytes(bytearray(short)))
    assert parse_uri(long) is not parse_uri(long)
    assert len(parse_uri(long).params) == 2700
    many = b"sip:a@b.example" + b";a" * 300
    assert parse_uri(many) is not parse_uri(many)


def equal(one: bytes, other: bytes) -> bool:
    here, there = parse_uri(one), parse_uri(other)
    assert here.equals(there) == there.equals(here)
    return here.equals(there)


@pytest.mark.parametrize(
    ("one", "other"),
    [  # 19.1.4
        (b"sip:%61lice@atlanta.com;transport=TCP", b"sip:alice@AtLanTa.CoM;Transport=tcp"),
        (b"sip:carol@chicago.com", b"sip:carol@chicago.com;newparam=5"),
        (b"sip:carol@chicago.com", b"sip:carol@chicago.com;security=on"),
        (b"sip:carol@chicago.com;newparam=5", b"sip:carol@chicago.com;security=on"),
        (
            b"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            b"sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            b"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            b"sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        (b"SIP:a@b", b"sip:a@b"),
        (b"sip:a:%70w@b", b"sip:a:pw@b"),
        (b"sip:a%2fb@c", b"sip:a%2Fb@c"),
        (b"sip:a@[2001:DB8::1]", b"sip:a@[2001:db8::1]"),
    ],
)
def test_equivalent_uris_are_equal(one: bytes, other: bytes) -> None:
    assert equal(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [  # 19.1.4
        (b"SIP:ALICE@AtLanTa.CoM;Transport=udp", b"sip:alice@AtLanTa.CoM;Transport=UDP"),
        (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com:5060"),
        (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com;transport=udp"),
        (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com:6000;transport=tcp"),
        (b"sip:carol@chicago.com", b"sip:carol@chicago.com?Subject=next%20meeting"),
        (b"sip:bob@phone21.boxesbybob.com", b"sip:bob@192.0.2.4"),
        (b"sip:carol@chicago.com;security=on", b"sip:carol@chicago.com;security=off"),
        (b"sip:a@b;user=phone", b"sip:a@b"),
        (b"sip:a@b;ttl=1", b"sip:a@b"),
        (b"sip:a@b;maddr=192.0.2.1", b"sip:a@b"),
        (b"sip:a@b;method=INVITE", b"sip:a@b"),
        (b"sips:a@b", b"sip:a@b"),
        (b"sip:a:b@c", b"sip:a@c"),
        (b"sip:a:@c", b"sip:a@c"),
        (b"sip:a:b@c", b"sip:a:B@c"),
        (b"sip:a%3Bb@c", b"sip:a;b@c"),
        (b"sip:@c".replace(b"@", b"x@"), b"sip:c"),
        (b"http://a", b"http://A"),
        (b"tel:+1", b"sip:+1@a"),
    ],
)
def test_different_uris_are_not_equal(one: bytes, other: bytes) -> None:
    assert not equal(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [  # RFC 3966 5
        (b"tel:+1-201-555-0123", b"tel:+12015550123"),
        (b"tel:+1(201)555.0123;ext=12-3", b"tel:+12015550123;ext=123"),
        (b"tel:7042;phone-context=Example.COM", b"TEL:7042;phone-context=example.com"),
        (b"tel:863;phone-context=+1-914-555", b"tel:863;phone-context=+1914555"),
        (b"tel:1;a=1;b=2", b"tel:1;b=2;a=1"),
        (b"tel:+1A", b"tel:+1a"),
    ],
)
def test_a_telephone_number_is_the_same_without_its_separators(one: bytes, other: bytes) -> None:
    assert equal(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"tel:+12015550123", b"tel:12015550123"),
        (b"tel:7042;phone-context=a.example", b"tel:7042"),
        (b"tel:7042;phone-context=a-b.example", b"tel:7042;phone-context=ab.example"),
        (b"tel:1;ext=1", b"tel:1;ext=2"),
    ],
)
def test_another_telephone_number_is_not_the_same(one: bytes, other: bytes) -> None:
    assert not equal(one, other)


def test_every_part_of_a_uri_is_found_and_kept_as_written() -> None:
    uri = parse_uri(b"SIPS:al%69ce:p%20w@Example.COM:5071;Transport=tcp;lr?Subject=a%20b&x=y")
    assert (uri.scheme, uri.user, uri.password) == (b"sips", b"al%69ce", b"p%20w")
    assert (uri.host, uri.port) == (b"example.com", 5071)
    assert uri.params == [(b"transport", b"tcp"), (b"lr", b"")]
    assert (uri.param(b"lr"), uri.param(b"maddr"), uri.transport) == (b"", None, b"TCP")
    assert uri.headers == b"Subject=a%20b&x=y"


@pytest.mark.parametrize(
    ("raw", "user", "host"),
    [
        (b"sip:user;par=u%40example.net@example.com", b"user;par=u%40example.net", b"example.com"),
        (b"sip:a?b/c&d=e+f$,g@h", b"a?b/c&d=e+f$,g", b"h"),
        (b"sip:%00@h", b"%00", b"h"),
        (
            b"sip:sips%3Auser%40example.com@example.net",
            b"sips%3Auser%40example.com",
            b"example.net",
        ),
        (b"sip:h", b"", b"h"),
        (b"sip:\xc3\xa9@h", b"\xc3\xa9", b"h"),
        (b"sip:a@under_score.example", b"a", b"under_score.example"),
    ],
)
def test_a_user_may_hold_nearly_anything(raw: bytes, user: bytes, host: bytes) -> None:
    uri = parse_uri(raw)
    assert (uri.user, uri.host, uri.params, uri.headers) == (user, host, [], b"")


@pytest.mark.parametrize(
    ("raw", "host", "port", "address"),
    [
        (b"sip:[2001:DB8::10]", b"[2001:db8::10]", None, b"2001:db8::10"),
        (b"sip:u@[2001:db8::10]:5070", b"[2001:db8::10]", 5070, b"2001:db8::10"),
        (b"sip:[2001:db8::10:5070]", b"[2001:db8::10:5070]", None, b"2001:db8::10:5070"),
        (b"sip:[::ffff:192.0.2.1];lr", b"[::ffff:192.0.2.1]", None, b"::ffff:192.0.2.1"),
        (b"sip:192.0.2.1:0", b"192.0.2.1", 0, b"192.0.2.1"),
    ],
)
def test_an_ipv6_reference_keeps_its_brackets(
    raw: bytes, host: bytes, port: int | None, address: bytes
) -> None:
    uri = parse_uri(raw)
    assert (uri.host, uri.port, uri.address) == (host, port, address)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"sip",
        b":a@b",
        b"sip:",
        b"sip:@host",
        b"sip::pw@host",
        b"sip:a@",
        b"sip:a@b:",
        b"sip:a@b:65536",
        b"sip:a@b:5o",
        b"sip:a b@c",
        b"sip:a:b c@d",
        b"sip:a\0b@c",
        b"sip:a@b\x7f",
        b"sip:a@b;x=\x01",
        b"sip:a@b; lr",
        b"sip:a@b;;lr",
        b"sip:a@b;",
        b"sip:a@b;=1",
        b"sip:a@b?x=\r\ny",
        b"sip:a@b@c",
        b"<sip:a@b>",
        b'sip:"a"@b',
        b"sip:2001:db8::10",
        b"sip:[2001:db8::10",
        b"sip:[2001:db8::10]5060",
        b"sip:[2001:db8:::192.0.2.1]",
        b"sip:[fe80::1%25eth0]",
        b"sip:[::1%\xff]",
        b"sip:[\xc3\xa9]",
        b"sip:caf\xc3\xa9",
        b"tel:",
        b"tel:+",
        b"tel:abcxyz",
        b"tel:1 2",
        b"http://a b",
        b"isbn:\t1",
        b"1sip:a@b",
    ],
)
def test_a_malformed_uri_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_uri(raw)
    assert caught.value.status == 400


def test_a_uri_of_another_scheme_is_no_error_but_cannot_be_routed() -> None:
    uri = parse_uri(b"soap.beep://192.0.2.103:3002")
    assert (uri.scheme, uri.is_sip, is_scheme_known(uri.raw)) == (b"soap.beep", False, False)
    assert is_scheme_known(b"SIPS:a@b") and is_scheme_known(b"tel:1")


@pytest.mark.parametrize(
    ("user", "told"), [(b"+1-201", True), (b"201", True), (b"bob", False), (b"", False)]
)
def test_a_number_is_told_from_a_name(user: bytes, told: bool) -> None:
    assert is_number(user) is told


@pytest.mark.parametrize("more", [b"", b";a;b=1;c;d=2"])
def test_of_parameters_with_one_name_the_first_counts_however_many_there_are(more: bytes) -> None:
    uri = parse_uri(b"sip:host;X=1" + more + b";x=2;flag")
    assert (uri.param(b"x"), uri.param(b"flag"), uri.param(b"y")) == (b"1", b"", None)


def test_another_user_or_host_leaves_the_rest_as_written() -> None:
    uri = parse_uri(b"SIP:a:pw@Host:5061;LR?x=y")
    assert with_user(uri, b"b") == b"SIP:b@Host:5061;LR?x=y"
    assert with_user(uri, b"") == b"SIP:Host:5061;LR?x=y"
    assert with_host(uri, b"[::1]:5") == b"SIP:a:pw@[::1]:5;LR?x=y"
    for user in (b"b c", b"b@c", b"<"):
        with pytest.raises(ParseError):
            with_user(uri, user)
    with pytest.raises(ParseError):
        with_host(parse_uri(b"tel:1"), b"h")


PART = st.sampled_from(
    [b"sip:", b"tel:", b"a", b"%41", b"%", b":", b"@", b"[::1]", b"[", b";", b"=", b"?", b"&"]
)
ANY = st.one_of(st.binary(max_size=40), st.lists(PART, max_size=12).map(b"".join))


@given(ANY)
@example(b"sip:a?%41=b")
def test_any_octets_are_a_uri_or_an_error(raw: bytes) -> None:
    try:
        uri = parse_uri(raw)
    except ParseError:
        return
    assert uri.raw == raw
    assert uri.equals(uri)
    if uri.is_sip or uri.scheme == b"tel":  # others are compared octet by octet
        assert uri.equals(parse_uri(raw.replace(b"%41", b"A")))


@given(ANY, ANY)
def test_comparison_is_the_same_both_ways(one: bytes, other: bytes) -> None:
    try:
        equal(b"sip:" + one, b"sip:" + other)
    except ParseError:
        return
