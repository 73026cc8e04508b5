"""The Via field (RFC 3261 18.2, 20.42; RFC 3581)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import ParseError
from uacproxy.sip.via import parse_via


def test_every_part_of_a_via_is_found() -> None:
    via = parse_via(b"SIP/2.0/udp Pc33.Example:5070;rport;branch=z9hG4bKa;maddr=224.2.0.1;x=y")
    assert (via.version, via.transport, via.sent_by) == (b"2.0", b"UDP", b"Pc33.Example:5070")
    assert (via.host, via.port, via.branch) == (b"pc33.example", 5070, b"z9hG4bKa")
    assert (via.rport, via.maddr, via.received) == (0, b"224.2.0.1", b"")
    assert via.is_rfc3261 and via.is_sound


def test_white_space_may_stand_around_every_separator() -> None:
    raw = (
        b'SIP  /\t 2.0  / TCP     spindle.example.com : 5070  ; branch  =   z9hG4bK9 ; a = "b ; c"'
    )
    via = parse_via(raw)
    assert (via.transport, via.host, via.port) == (b"TCP", b"spindle.example.com", 5070)
    assert via.branch == b"z9hG4bK9"
    assert via.raw == b'SIP/2.0/TCP spindle.example.com:5070;branch=z9hG4bK9;a="b ; c"'


def test_a_separator_in_a_quoted_string_separates_nothing() -> None:
    via = parse_via(b'SIP/2.0/UDP h;x="a;branch=no;received=no";branch=z9hG4bKa')
    assert (via.branch, via.received) == (b"z9hG4bKa", b"")
    marked = via.marked("192.0.2.1", 5060)
    assert marked is not None and marked.raw == via.raw + b";received=192.0.2.1"


@pytest.mark.parametrize("transport", [b"UDP", b"TCP", b"TLS", b"UNKNOWN"])
def test_without_a_port_answers_go_to_5060(transport: bytes) -> None:
    assert parse_via(b"SIP/2.0/" + transport + b" h;branch=1").port == 5060  # 18.2.2


@pytest.mark.parametrize(
    ("received", "value"),
    [(b"[2001:db8::9]", b"[2001:db8::9]"), (b"2001:db8::9", b"2001:db8::9"), (b'"x"', b"x")],
)
def test_received_is_read_with_and_without_brackets(received: bytes, value: bytes) -> None:
    via = parse_via(b"SIP/2.0/UDP [2001:db8::9:1];received=" + received + b";branch=z9hG4bKa")
    assert (via.host, via.received) == (b"[2001:db8::9:1]", value)


@pytest.mark.parametrize(
    ("params", "host", "port", "marked"),
    [
        (b";branch=1", "192.0.2.1", 5060, None),
        (b";branch=1", "192.0.2.2", 5060, b";branch=1;received=192.0.2.2"),
        (b";rport;branch=1", "192.0.2.1", 99, b";rport=99;branch=1;received=192.0.2.1"),
        (b";rport=1;branch=1", "192.0.2.1", 99, b";rport=99;branch=1;received=192.0.2.1"),
        (b";received=9.9.9.9", "192.0.2.1", 5060, b""),
        (b";RECEIVED=9.9.9.9;a", "2001:db8::1", 5060, b";a;received=2001:db8::1"),
    ],
)
def test_a_via_says_where_its_request_came_from(
    params: bytes, host: str, port: int, marked: bytes | None
) -> None:
    sent_by = b"SIP/2.0/UDP 192.0.2.1"
    expected = None if marked is None else sent_by + marked
    found = parse_via(sent_by + params).marked(host, port)
    assert (None if found is None else found.raw) == expected


def test_an_ipv6_source_is_compared_with_its_reference() -> None:
    via = parse_via(b"SIP/2.0/UDP [2001:DB8::1];branch=1")
    assert via.marked("2001:db8::1", 5060) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b",",
        b"SIP/2.0/UDP",
        b"SIP/2.0 h",
        b"SIP/2.0/UDP/x h",
        b"SIP/2.0/ h",
        b"SIP/2.0/UDP h x",
        b"SIP/2.0/UDP h:x",
        b"SIP/2.0/UDP h:70000",
        b"SIP/2.0/UDP [::1",
        b"SIP/2.0/UDP [::1%eth0]",
        b"SIP/2.0/UDP ;branch=1",
        b"SIP/2.0/UDP h;rport=x",
        b"SIP/2.0/UDP h;rport=65536",
        b"SIP/2.0/UDP h;=1",
        b'SIP/2.0/UDP h;x="',
        b"SIP/2.0/UDP h;a b",
    ],
)
def test_a_malformed_via_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_via(raw)
    assert caught.value.status == 400


@pytest.mark.parametrize("params", [b";", b";;", b";branch=1;", b";;branch=1", b"; ;branch=1"])
def test_an_empty_parameter_leaves_a_via_that_can_be_answered_by(params: bytes) -> None:
    via = parse_via(b"SIP/2.0/UDP 192.0.2.15" + params)
    assert (via.host, via.is_sound) == (b"192.0.2.15", False)


def test_white_space_without_end_costs_no_more_than_its_length() -> None:
    via = parse_via(b"SIP/2.0/UDP h" + b" " * 1_000_000 + b";branch=1" + b"\t" * 1_000_000)
    assert via.raw == b"SIP/2.0/UDP h;branch=1"


PIECE = st.sampled_from(
    [
        b"SIP/2.0/UDP h",
        b"[::1]",
        b":",
        b"/",
        b";",
        b"=",
        b" ",
        b'"',
        b"rport",
        b"branch",
        b"1",
        b",",
    ]
)


@given(
    st.one_of(st.binary(max_size=40), st.lists(PIECE, max_size=14).map(b"".join)),
    st.sampled_from([("192.0.2.1", 5060), ("2001:db8::1", 1), ("h", 0)]),
)
def test_any_octets_are_a_via_that_can_be_marked_or_an_error(
    raw: bytes, source: tuple[str, int]
) -> None:
    try:
        via = parse_via(raw)
    except ParseError:
        return
    marked = via.marked(*source)
    if marked is not None:
        again = parse_via(marked.raw)
        assert (again.host, again.branch, again.sent_by) == (via.host, via.branch, via.sent_by)
        assert (again.rport is None) == (via.rport is None)
        for part in ("host", "port", "branch", "rport", "received", "maddr", "is_sound", "version"):
            assert getattr(again, part) == getattr(marked, part)
