"""New messages made from others (RFC 3261 8.2.6, 9.1, 17.1.1.3)."""

from __future__ import annotations

import pytest

from uacproxy.errors import OwnMistake
from uacproxy.sip.build import build_ack, build_cancel, build_request, build_response
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHORIZATION,
    CONTENT_LENGTH,
    FROM,
    PROXY_AUTHORIZATION,
    TIMESTAMP,
    TO,
    VIA,
)
from uacproxy.sip.parse import check_required, parse_message
from uacproxy.sip.reasons import reason_of

INVITE = (
    b"INVITE sip:bob@b.example;x SIP/2.0\r\n"
    b"v: SIP/2.0/UDP p.example;branch=z9hG4bK2\r\n"
    b"Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n"
    b"Record-Route: <sip:p.example;lr>\r\n"
    b"Route: <sip:q.example;lr>\r\n"
    b"Route: <sip:r.example;lr>\r\n"
    b"Max-Forwards: 69\r\n"
    b'f: "A"\r\n <sip:a@a.example>;tag=1\r\n'
    b"t: <sip:b@b.example> \r\n"
    b"i: call\r\n"
    b"CSeq: 007 INVITE\r\n"
    b"Contact: <sip:a@192.0.2.1>\r\n"
    b"Proxy-Require: x\r\n"
    b"Proxy-Authorization: Digest secret\r\n"
    b"l: 3\r\n\r\nsdp"
)


def invite() -> Message:
    return parse_message(INVITE)


def head_of(message: Message) -> list[bytes]:
    octets = message.encode()
    assert octets.endswith(b"\r\n\r\n")
    check_required(parse_message(octets))
    return octets[:-4].split(b"\r\n")


def test_a_response_carries_what_the_request_brought() -> None:
    response = build_response(invite(), 404, to_tag=b"tt")
    assert head_of(response) == [
        b"SIP/2.0 404 Not Found",
        b"v: SIP/2.0/UDP p.example;branch=z9hG4bK2",
        b"Via: SIP/2.0/UDP a.example;branch=z9hG4bK1",
        b'f: "A"',
        b" <sip:a@a.example>;tag=1",
        b"t: <sip:b@b.example>;tag=tt",
        b"i: call",
        b"CSeq: 007 INVITE",
        b"Content-Length: 0",
    ]


@pytest.mark.parametrize(("status", "kept"), [(100, False), (183, True), (200, True), (300, False)])
def test_record_route_is_for_answers_that_make_a_dialog(status: int, kept: bool) -> None:
    assert build_response(invite(), status, to_tag=b"t").has(b"record-route") is kept


def test_a_100_gets_no_tag_and_an_existing_tag_stays() -> None:
    assert build_response(invite(), 100, to_tag=b"t").to.tag == b""
    request = invite()
    request.set(TO, b"sip:b@b.example;tag=theirs")
    assert build_response(request, 200, to_tag=b"ours").to.raw == b"sip:b@b.example;tag=theirs"


@pytest.mark.parametrize(("status", "kept"), [(100, [b"54"]), (180, []), (200, []), (404, [])])
def test_a_100_alone_says_when_its_request_was_sent(status: int, kept: list[bytes]) -> None:
    request = invite()
    request.append(TIMESTAMP, b"54")
    assert build_response(request, status, to_tag=b"t").fields(TIMESTAMP) == kept


def test_an_address_without_brackets_gets_its_tag_too() -> None:
    request = invite()
    request.set(TO, b"sip:b@b.example;user=phone")
    assert build_response(request, 200, to_tag=b"t").to.tag == b"t"


def test_each_to_of_a_broken_request_gets_its_tag() -> None:
    request = invite()
    request.append(TO, b"<sip:c@c.example>")
    response = build_response(request, 400, to_tag=b"tt")
    assert response.fields(TO) == [b"<sip:b@b.example>;tag=tt", b"<sip:c@c.example>;tag=tt"]


def test_a_to_that_cannot_be_read_goes_back_as_it_came() -> None:
    request = invite()
    request.set(TO, b'"open <sip:b@b.example>')
    response = build_response(request, 400, to_tag=b"t")
    assert response.get(TO) == b'"open <sip:b@b.example>'


@pytest.mark.parametrize(
    ("status", "phrase", "start"),
    [
        (486, b"", b"SIP/2.0 486 Busy Here"),
        (486, b"On \xc3\xa9", b"SIP/2.0 486 On \xc3\xa9"),
        (499, b"", b"SIP/2.0 499 Request Failed"),
        (199, b"", b"SIP/2.0 199 Progress"),
        (699, b"", b"SIP/2.0 699 Declined"),
    ],
)
def test_every_status_has_a_reason(status: int, phrase: bytes, start: bytes) -> None:
    assert build_response(invite(), status, phrase).start == start
    assert reason_of(status)


def test_no_reason_becomes_a_field() -> None:
    with pytest.raises(OwnMistake):
        build_response(invite(), 404, b"No\r\nX-Evil: 1")


def test_an_ack_is_for_one_hop_and_takes_its_to_from_the_response() -> None:
    """The credentials of its INVITE stay with it (RFC 3261 22.1)."""
    final = build_response(invite(), 486, to_tag=b"tt")
    assert head_of(build_ack(invite(), final)) == [
        b"ACK sip:bob@b.example;x SIP/2.0",
        b"Via: SIP/2.0/UDP p.example;branch=z9hG4bK2",
        b"Route: <sip:q.example;lr>",
        b"Route: <sip:r.example;lr>",
        b"Max-Forwards: 69",
        b'f: "A"',
        b" <sip:a@a.example>;tag=1",
        b"i: call",
        b"t: <sip:b@b.example>;tag=tt",
        b"Proxy-Authorization: Digest secret",
        b"CSeq: 7 ACK",
        b"Content-Length: 0",
    ]


def test_an_ack_has_every_credentials_of_its_invite() -> None:
    request = invite()
    request.append(AUTHORIZATION, b"Digest one")
    request.append(AUTHORIZATION, b"Digest two")
    request.append(PROXY_AUTHORIZATION, b"Digest other")
    ack = build_ack(request, build_response(request, 486, to_tag=b"tt"))
    assert ack.fields(AUTHORIZATION) == [b"Digest one", b"Digest two"]
    assert ack.fields(PROXY_AUTHORIZATION) == [b"Digest secret", b"Digest other"]


def test_a_cancel_is_its_invite_without_body_credentials_or_requirements() -> None:
    cancel = build_cancel(invite(), [b"SIP;cause=200", b"Q.850;cause=16"])
    assert head_of(cancel) == [
        b"CANCEL sip:bob@b.example;x SIP/2.0",
        b"Via: SIP/2.0/UDP p.example;branch=z9hG4bK2",
        b"Route: <sip:q.example;lr>",
        b"Route: <sip:r.example;lr>",
        b"Max-Forwards: 69",
        b'f: "A"',
        b" <sip:a@a.example>;tag=1",
        b"i: call",
        b"t: <sip:b@b.example> ",
        b"Reason: SIP;cause=200",
        b"Reason: Q.850;cause=16",
        b"CSeq: 7 CANCEL",
        b"Content-Length: 0",
    ]


def test_a_request_of_our_own_has_its_fields_in_order_and_a_length() -> None:
    request = build_request(b"MESSAGE", b"sip:b@c", [(FROM, b"<sip:a@b>"), (b"x-y", b"1")], b"hi")
    assert request.encode() == (
        b"MESSAGE sip:b@c SIP/2.0\r\nFrom: <sip:a@b>\r\nX-Y: 1\r\nContent-Length: 2\r\n\r\nhi"
    )
    request = build_request(b"OPTIONS", b"sip:b", [(CONTENT_LENGTH, b"0")])
    assert request.fields(CONTENT_LENGTH) == [b"0"]


def test_what_was_built_can_be_edited_like_what_was_received() -> None:
    response = build_response(invite(), 200)
    response.pop(VIA)
    assert response.via.host == b"a.example"
    assert response.cseq.number == 7
