"""The first sight of a request and the 503 made of it are those of the whole reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.errors import ParseError
from uacproxy.sip.build import build_response
from uacproxy.sip.names import RETRY_AFTER, VIA
from uacproxy.sip.parse import check_required, parse_message
from uacproxy.sip.sketch import build_refusal, sketch_of
from uacproxy.transaction.key import invite_key

HOST, PORT = "192.0.2.1", 5062
PLAIN = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP pc.example.com;branch=z9hG4bK1;rport"
    b"\r\nv: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK0\r\nMax-Forwards: 70\r\n"
    b'From: "A. Tag" <sip:alice@example.com>;tag=a1\r\nTo: "Tag" <sip:tag@example.com>;x=y\r\n'
    b"Contact: <sip:alice@192.0.2.1>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


def refusal_at_length(octets: bytes) -> bytes:
    """Return the 503 that parsing and building make."""
    message = parse_message(octets)
    check_required(message)
    marked = message.via.marked(HOST, PORT)
    if marked is not None:
        message.set(VIA, marked.raw)
    response = build_response(message, 503, to_tag=b"ours")
    response.append(RETRY_AFTER, b"7")
    return response.encode()


def same_fields(octets: bytes) -> list[bytes]:
    return sorted(octets.split(b"\r\n"))


@pytest.mark.parametrize(
    "octets",
    [
        PLAIN,
        PLAIN.replace(b";rport", b""),
        PLAIN.replace(b"Via:", b"VIA :").replace(b"Call-ID", b"i"),
        PLAIN.replace(b"INVITE", b"REGISTER"),
        PLAIN.replace(b"pc.example.com", b"192.0.2.1:5062").replace(b";rport", b""),
    ],
)
def test_a_refusal_at_sight_is_the_one_made_at_length(octets: bytes) -> None:
    sketch = sketch_of(octets)
    assert sketch is not None
    message = parse_message(octets)
    assert (sketch.method, sketch.key) == (message.method, invite_key(message))
    at_sight = build_refusal(sketch, HOST, PORT, b"ours", 7)
    assert same_fields(at_sight.replace(b"VIA :", b"Via:")) == same_fields(
        refusal_at_length(octets).replace(b"VIA :", b"Via:")
    )
    parse_message(at_sight)


@pytest.mark.parametrize(
    "octets",
    [
        PLAIN.replace(b";x=y", b";tag=b"),
        PLAIN.replace(b";x=y", b" ; TAG = b"),
        PLAIN.replace(b"INVITE", b"BYE"),
        PLAIN.replace(b"INVITE", b"ACK"),
        PLAIN.replace(b"INVITE", b"CANCEL"),
        b"SIP/2.0 200 OK" + PLAIN[PLAIN.find(b"\r\n") :],
        PLAIN.replace(b"Max-Forwards: ", b"Max-Forwards:\r\n "),
        PLAIN.replace(b"Max-Forwards: ", b"Max-Forwards:\r\n\t"),
        PLAIN.replace(b"Call-ID: 1\r\n", b""),
        PLAIN.replace(b"Call-ID: 1\r\n", b"Call-ID: 1\r\nCall-ID: 2\r\n"),
        PLAIN.replace(b"Call-ID: 1", b"Call-ID: 1\nX: y"),
        PLAIN.replace(b"Call-ID: 1", b"Call-ID: 1\rX: y"),
        PLAIN.replace(b"z9hG4bK1", b"1"),
        PLAIN.replace(b";rport", b";rport, SIP/2.0/UDP 192.0.2.8"),
        PLAIN.replace(b" SIP/2.0\r\nVia", b" SIP/3.0\r\nVia"),
        PLAIN[:-2],
        b"\r\n" + PLAIN,
        b"",
    ],
)
def test_what_is_not_plain_or_not_new_is_left_to_the_parser(octets: bytes) -> None:
    assert sketch_of(octets) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(PLAIN)), st.sampled_from([b"", b" ", b"\r\n", b";", b",", b"t:"])
        ),
        max_size=3,
    )
)
def test_whatever_is_taken_at_sight_is_new_to_the_parser_too(
    edits: list[tuple[int, bytes]],
) -> None:
    octets = PLAIN
    for at, what in edits:
        octets = octets[:at] + what + octets[at + len(what) :]
    sketch = sketch_of(octets)
    if sketch is None:
        return
    build_refusal(sketch, HOST, PORT, b"ours", 7)
    try:
        message = parse_message(octets)
        check_required(message)
    except ParseError:
        return
    assert not message.to.tag
    sketch = sketch_of(octets)
    assert sketch is not None
    assert invite_key(message) == sketch.key
