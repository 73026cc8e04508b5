"""A dialog at one of its ends: RFC 3261 12."""

from __future__ import annotations

import json

import pytest

from tests.support.world import answer, invite
from uacproxy.dialog.ua_dialog import (
    LARGEST_CSEQ,
    UaDialog,
    contact_uri,
    ua_dialog_of,
    uac_dialog,
    uas_dialog,
)
from uacproxy.errors import OwnMistake, ParseError, StoreCorrupt
from uacproxy.sip.message import Message
from uacproxy.sip.names import CALL_ID, CONTACT, CSEQ, FROM, ROUTE, TO
from uacproxy.sip.parse import parse_message

OURS = b"<sip:token@192.0.2.100:5060>"
RECORD_ROUTE = b"Record-Route: <sip:p2.example;lr>\r\nRecord-Route: <sip:p1.example;lr>;x=1\r\n"


def called(fields: bytes = RECORD_ROUTE, uri: bytes = b"sip:bob@192.0.2.2") -> UaDialog:
    """Return what a UAS has after an INVITE with CSeq 7."""
    return uas_dialog(parse_message(invite(cseq=7, fields=fields, uri=uri)), b"ours", OURS)


def calling(fields: bytes = RECORD_ROUTE, uri: bytes = b"sip:bob@192.0.2.2") -> UaDialog:
    """Return what a UAC has after a 200 to an INVITE with CSeq 7."""
    request = parse_message(invite(cseq=7, uri=uri))
    return uac_dialog(request, parse_message(answer(request, 200, fields=fields)))


def field(message: Message, name: bytes) -> bytes:
    return message.need(name)


def test_the_called_end_keeps_the_route_set_in_order_and_the_number_that_came() -> None:
    dialog = called()
    assert dialog.route_set == [b"<sip:p2.example;lr>", b"<sip:p1.example;lr>;x=1"]
    assert (dialog.local, dialog.remote) == (
        b"<sip:bob@b.example>",
        b'"Alice" <sip:alice@a.example>',
    )
    assert (dialog.local_tag, dialog.remote_tag) == (b"ours", b"at1")
    assert (dialog.local_cseq, dialog.remote_cseq) == (0, 7)
    assert dialog.remote_target == b"sip:alice@192.0.2.1"


def test_the_calling_end_reverses_the_route_set_and_goes_on_counting() -> None:
    dialog = calling()
    assert dialog.route_set == [b"<sip:p1.example;lr>;x=1", b"<sip:p2.example;lr>"]
    assert (dialog.local_tag, dialog.remote_tag) == (b"at1", b"bt1")
    assert (dialog.local_cseq, dialog.remote_cseq) == (7, -1)
    assert dialog.remote_target == b"sip:bob@192.0.2.2"
    assert field(dialog.build(b"BYE"), CSEQ) == b"8 BYE"


def test_a_request_goes_to_the_remote_target_by_the_route_set() -> None:
    dialog = calling()
    info = dialog.build(b"INFO", [(b"content-type", b"text/plain")], b"hello")
    assert info.start == b"INFO sip:bob@192.0.2.2 SIP/2.0"
    assert info.fields(ROUTE) == [b"<sip:p1.example;lr>;x=1", b"<sip:p2.example;lr>"]
    assert field(info, FROM) == b'"Alice" <sip:alice@a.example>;tag=at1'
    assert field(info, TO) == b"<sip:bob@b.example>;tag=bt1"
    assert field(info, CALL_ID) == b"call-1@a.example"
    assert not info.has(CONTACT)
    assert info.encode().endswith(b"Content-Length: 5\r\n\r\nhello")
    assert dialog.next_hop().host == b"p1.example"


def test_without_a_route_set_the_target_is_the_next_hop() -> None:
    assert calling(b"").next_hop().host == b"192.0.2.2"


def test_a_strict_router_comes_into_the_request_uri_and_the_target_ends_the_routes() -> None:
    """RFC 3261 12.2.1.1."""
    dialog = called(b"Record-Route: <sip:strict.example>,<sip:p2.example;lr>\r\n")
    bye = dialog.build(b"BYE")
    assert bye.request_uri == b"sip:strict.example"
    assert bye.fields(ROUTE) == [b"<sip:p2.example;lr>", b"<sip:alice@192.0.2.1>"]
    assert dialog.next_hop().host == b"strict.example"


@pytest.mark.parametrize("method", [b"INVITE", b"UPDATE", b"REFER", b"NOTIFY", b"SUBSCRIBE"])
def test_a_target_refresh_carries_our_contact(method: bytes) -> None:
    assert field(called().build(method), CONTACT) == OURS


def test_an_ack_has_the_number_of_its_invite_and_uses_none_up() -> None:
    dialog = calling()
    assert field(dialog.build(b"ACK", cseq=7), CSEQ) == b"7 ACK"
    assert dialog.local_cseq == 7


def test_only_a_higher_number_is_in_order() -> None:
    dialog = called()
    again = parse_message(invite(cseq=7, method=b"INFO"))
    later = parse_message(invite(cseq=900, method=b"INFO"))
    assert not dialog.take_cseq(again)
    assert dialog.take_cseq(later)  # a gap is no error
    assert not dialog.take_cseq(parse_message(invite(cseq=8, method=b"INFO")))


def test_the_first_number_of_the_called_end_may_be_zero() -> None:
    dialog = calling()
    assert dialog.take_cseq(parse_message(invite(cseq=0, method=b"INFO")))


def test_only_the_other_end_fits() -> None:
    dialog = called()
    to = b"<sip:bob@b.example>;tag=ours"
    assert dialog.fits(parse_message(invite(to=to)))
    assert not dialog.fits(parse_message(invite(to=to + b"x")))
    assert not dialog.fits(parse_message(invite(to=to, call_id=b"other")))
    assert not dialog.fits(parse_message(invite(to=to, from_=b"<sip:a@a.example>;tag=zz")))


def test_a_new_contact_becomes_the_target_and_none_changes_nothing() -> None:
    dialog = called()
    moved = invite().replace(b"<sip:alice@192.0.2.1>", b"<sip:alice@192.0.2.77>")
    assert dialog.refresh_target(parse_message(moved))
    assert dialog.remote_target == b"sip:alice@192.0.2.77"
    without = invite().replace(b"Contact: <sip:alice@192.0.2.1>\r\n", b"")
    assert not dialog.refresh_target(parse_message(without))
    assert dialog.build(b"BYE").request_uri == b"sip:alice@192.0.2.77"


def test_a_2xx_settles_the_route_set_of_an_early_dialog() -> None:
    request = parse_message(invite())
    dialog = uac_dialog(request, parse_message(answer(request, 180)))
    assert dialog.route_set == []
    dialog.confirmed_by(parse_message(answer(request, 200, fields=RECORD_ROUTE)))
    assert dialog.route_set == [b"<sip:p1.example;lr>;x=1", b"<sip:p2.example;lr>"]


def test_sips_makes_a_secure_dialog() -> None:
    assert called(uri=b"SIPS:bob@192.0.2.2").secure
    assert calling(uri=b"sips:bob@192.0.2.2").secure
    assert not calling().secure


@pytest.mark.parametrize(
    "fields", [b"Record-Route: <tel:+123>\r\n", b"Record-Route: <sip:p2.example\r\n"]
)
def test_a_record_route_nobody_can_follow_begins_no_dialog(fields: bytes) -> None:
    with pytest.raises(ParseError):
        called(fields)


def test_an_invite_without_contact_begins_no_dialog() -> None:
    without = invite().replace(b"Contact: <sip:alice@192.0.2.1>\r\n", b"")
    with pytest.raises(ParseError):
        uas_dialog(parse_message(without), b"ours", OURS)


def test_a_contact_that_is_no_sip_uri_is_no_target() -> None:
    assert contact_uri(parse_message(invite(fields=b"m: *\r\n"))) == b""
    assert contact_uri(parse_message(invite(fields=b"m: <tel:+1>\r\n"))) == b""


def test_a_peer_of_rfc2543_has_no_tag() -> None:
    dialog = uas_dialog(parse_message(invite(from_=b"<sip:alice@a.example>")), b"ours", OURS)
    assert field(dialog.build(b"BYE"), TO) == b"<sip:alice@a.example>"


def test_numbers_end_where_the_rfc_says() -> None:
    dialog = called()
    dialog.local_cseq = LARGEST_CSEQ
    with pytest.raises(OwnMistake):
        dialog.build(b"INFO")


def test_what_the_store_keeps_is_the_whole_dialog() -> None:
    dialog = called(RECORD_ROUTE, b"sips:bob@192.0.2.2")
    dialog.remote = b'"J\xfcrg" <sip:j@a.example>'  # octets that are no UTF-8
    again = ua_dialog_of(json.loads(json.dumps(dialog.record())))
    assert again.record() == dialog.record()
    assert again.build(b"BYE").encode() == dialog.build(b"BYE").encode()


@pytest.mark.parametrize(
    "record", [{}, [], [1], [9, 1, 2], None, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]]
)
def test_a_broken_record_is_said_to_be_one(record: object) -> None:
    with pytest.raises(StoreCorrupt):
        ua_dialog_of(record)
