"""What is read in one pass is what step by step would give; where it would not, nothing is."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import ParseError
from uacproxy.sip import digest, name_addr, parse, scan, uri, via
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.lines import unfolded, value_of
from uacproxy.sip.message import Message

LIMITS = LimitSettings(max_fields=16, max_field=256, max_nesting=1)

INVITE = (
    b"INVITE sip:bob@b.example SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport\r\n"
    b'FROM: "Alice" <sip:alice@a.example>;tag=a1\r\n'
    b"to: <sip:bob@b.example>\r\n"
    b"Call-ID: 1@a\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"X-Own: (comment)\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)
RINGING = (
    b"SIP/2.0 180 Ringing it is\r\nVia: SIP/2.0/tcp [::1];maddr=192.0.2.9;received=192.0.2.8\r\n"
    b"From: sip:a@b;tag=1\r\nTo: B o b <sip:b@b>;tag=2;x\r\nCall-ID: a\r\nCSeq: 1 BYE\r\n\r\n"
)

PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\r",
            b"\n",
            b" ",
            b"\t",
            b":",
            b";",
            b",",
            b"(",
            b'"',
            b"\\",
            b"<",
            b">",
            b"=",
        ),
        *(b"=", b"", b"sip:", b"SIP/2.0", b"tag=", b";tag=", b"Via", b"l", b"9", b"\xff", b"\x00"),
        *(b"a", b"?", b"rport", b";rport=7", b"branch=", b"65536", b"[::1]", b"UDP", b"@", b"%41"),
    ]
)


def spoiled(octets: bytes) -> st.SearchStrategy[bytes]:
    """Return messages with some pieces put in or over other octets."""
    places = st.tuples(st.integers(0, len(octets)), st.integers(0, 3), PIECES)

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = octets
        for at, over, piece in edits:
            changed = changed[:at] + piece + changed[at + over :]
        return changed

    return st.lists(places, max_size=3).map(apply)


def test_a_message_of_many_fields_is_read_step_by_step() -> None:
    octets = b"ACK sip:a@b SIP/2.0\r\n" + b"X-Own: 1\r\n" * 129 + b"\r\n"
    assert scan.split(octets, (65535, 256, 8192, 16)) is None
    assert parse.parse_message(octets).names == [b"x-own"] * 129


def parts(message: Message) -> tuple[object, ...]:
    return (
        *(message.start, message.method, message.request_uri, message.status, message.reason),
        *(message.names, message.lines, message.body, message.present, message.repeated),
    )


@given(st.one_of(spoiled(INVITE), spoiled(RINGING)))
def test_a_message_read_in_one_pass_is_the_same_message(octets: bytes) -> None:
    found = scan.split(octets, (4096, 16, 256, 1))
    if found is None:
        return
    quick = parse.parse_message(octets, LIMITS)
    slow = parse.parse_slowly(octets, LIMITS)
    assert parts(quick) == parts(slow)
    assert views(quick) == views(slow)


def views(message: Message) -> list[object]:
    """Return what every message is asked for, or why it cannot be read."""
    asked: list[Callable[[], object]] = [
        lambda: via_parts(message.via),
        lambda: address_parts(message.from_),
        lambda: address_parts(message.to),
        lambda: message.call_id,
        lambda: (message.cseq.number, message.cseq.method),
    ]
    found: list[object] = []
    for one in asked:
        try:
            found.append(one())
        except ParseError as error:
            found.append((error.why, error.field))
    return found


def test_what_every_message_is_asked_for_is_that_of_the_first_of_several() -> None:
    octets = INVITE.replace(b"CSeq", b"Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKb\r\nCSeq")
    message = parse.parse_message(octets)
    assert (message.via.transport, message.via.branch) == (b"UDP", b"z9hG4bKa")
    assert (message.from_.tag, message.to.tag, message.call_id) == (b"a1", b"", b"1@a")


@given(spoiled(b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport;received=192.0.2.2"))
def test_a_via_read_in_one_pass_is_the_same_via(value: bytes) -> None:
    if scan.via(value) is not None:
        assert via_parts(via.parse_via(value)) == via_parts(via.parse_slowly(value))


def via_parts(one: via.Via) -> tuple[object, ...]:
    return (
        *(one.raw, one.version, one.transport, one.sent_by, one.host, one.port, one.is_sound),
        *(one.branch, one.received, one.maddr, one.rport),
    )


@given(
    st.one_of(
        spoiled(b'"Al \\"ice" <sip:alice@a.example;x=1>;tag=a1;y=2'),
        spoiled(b"Alice A. <sip:alice@a.example>"),
    )
)
def test_an_address_read_in_one_pass_is_the_same_address(value: bytes) -> None:
    if scan.address(value) is not None:
        assert address_parts(name_addr.parse_name_addr(value)) == address_parts(
            name_addr.parse_slowly(value)
        )


def address_parts(one: name_addr.NameAddr) -> tuple[object, ...]:
    return (one.raw, one.display, one.uri, one.bracketed, one.head_end, one.tag)


@given(spoiled(b"SIPs:al%41ice:secret@a.example:5061;transport=udp;LR;x=?subject=a&b=c"))
def test_a_uri_read_in_one_pass_is_the_same_uri(raw: bytes) -> None:
    if scan.uri(raw) is not None:
        assert uri_parts(uri.parse_uri(raw)) == uri_parts(uri.parse_slowly(raw))


def uri_parts(one: uri.Uri) -> tuple[object, ...]:
    return (
        *(one.raw, one.scheme, one.user, one.password, one.host, one.port),
        *(one.params, one.headers),
    )


CHALLENGE = b'Digest realm="a.example", nonce="n/1=", opaque="", qop="auth,auth-int",algorithm=MD5'


@given(spoiled(CHALLENGE))
def test_a_challenge_read_in_one_pass_is_the_same_challenge(value: bytes) -> None:
    found = scan.digest(value)
    if found is not None:
        (part,) = digest.split_step_by_step(value)
        assert (part.scheme, part.is_sound, part.params) == (b"digest", True, found)
        assert (part.begin, part.end) == (0, len(value))


@given(spoiled(b"Subject:\t a: b  "))
def test_a_value_read_in_one_pass_is_the_same_value(line: bytes) -> None:
    assert value_of(line) == unfolded(line)


@given(spoiled(b"4711 INVITE"))
def test_a_cseq_read_in_one_pass_is_the_same_cseq(value: bytes) -> None:
    found = scan.cseq(value)
    if found is not None:
        words = value.split()
        assert found == (int(words[0]), words[1])
        assert len(words) == 2


def test_the_compiled_core_reads_what_is_usual_in_one_pass() -> None:
    if os.environ.get("UACPROXY_COMPILE") == "1":
        assert scan.split(INVITE, (4096, 16, 256, 1)) is not None
        assert scan.via(b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport") is not None
        assert scan.address(b'"Alice" <sip:alice@a.example>;tag=a1') is not None
        assert scan.uri(b"sip:bob@b.example;lr") is not None
        assert scan.digest(CHALLENGE) is not None
        assert scan.cseq(b"1 INVITE") == (1, b"INVITE")
        assert scan.value(b"To: <sip:bob@b.example> ") == b"<sip:bob@b.example>"
