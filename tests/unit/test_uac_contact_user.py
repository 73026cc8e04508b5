"""The user of a Contact: hidden in the Contact, put back in the Request-URI."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_uac_privacy import request, response
from uacproxy.errors import OwnMistake, RestoreFailed
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTACT
from uacproxy.uac.contact_user import ContactSeal, hide_contact, reveal_contact

SEAL = ContactSeal([b"k" * 32])

CONTACTS = [
    # value, hidden without a seal
    (b"<sip:alice@h:5070;transport=tcp;ob>", b"<sip:anonymous@h:5070;transport=tcp;ob>"),
    (b'"Alice" <sip:alice@192.0.2.1>;expires=60', b"<sip:anonymous@192.0.2.1>;expires=60"),
    (b"sip:alice@192.0.2.1;q=0.5", b"<sip:anonymous@192.0.2.1>;q=0.5"),
    (b"<sips:+4930:pw@[2001:db8::1]:5061>", b"<sips:anonymous@[2001:db8::1]:5061>"),
    (b"<sip:anonymous:4930@h>", b"<sip:anonymous@h>"),
    (b"Alice <sip:192.0.2.1>", b"<sip:192.0.2.1>"),
    (b'<sip:alice@h>;+sip.instance="<urn:uuid:1;2>";reg-id=1', b"<sip:anonymous@h>;reg-id=1"),
    (b'<sip:h>; +SIP.instance ="<urn:uuid:1>"', b"<sip:h>"),
    (b"<sip:alice@h>, Bob <sip:bob@h>", b"<sip:anonymous@h>, <sip:anonymous@h>"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hidden"), CONTACTS)
def test_a_contact_loses_display_name_user_and_device(value: bytes, hidden: bytes) -> None:
    message = request(b"Contact: " + value)
    assert hide_contact(message, None)
    assert message.fields(CONTACT) == [hidden]


@pytest.mark.parametrize(
    "value", [b"<sip:192.0.2.1:5060>", b"sip:h;q=1", b"<sip:anonymous@h;x>;expires=5 ;y"]
)
def test_a_contact_that_names_nobody_stays_octet_for_octet(value: bytes) -> None:
    message = request(b"m:  " + value)
    before = message.encode()
    assert not hide_contact(message, SEAL)
    assert not hide_contact(request(), SEAL)
    assert not hide_contact(request(b"Contact: <sip:h>", b"Contact: <sip:i>"), SEAL)
    assert message.encode() == before


@pytest.mark.parametrize(
    "value", [b'"Alice <sip:a@h>', b"<tel:+4930123>", b"alice", b"<alice@h>", b"<im:a@h>", b","]
)
def test_a_contact_that_cannot_be_read_is_removed(value: bytes) -> None:
    message = request(b"Contact: " + value)
    assert hide_contact(message, SEAL)
    assert not message.has(CONTACT)


@pytest.mark.parametrize("status", [180, 200, 400, 480, 486, 491, 603])
def test_a_refusal_hides_the_contact_that_many_phones_put_there(status: int) -> None:
    refusal = response(b"Contact: <sip:alice@h>")
    refusal.status = status
    assert hide_contact(refusal, None)
    assert refusal.fields(CONTACT) == [b"<sip:anonymous@h>"]


def test_a_485_keeps_the_addresses_to_choose_from() -> None:
    ambiguous = response(b"Contact: <sip:alice@h>")
    ambiguous.status = 485
    assert not hide_contact(ambiguous, SEAL)


def test_a_registration_and_a_redirection_keep_their_contacts() -> None:
    register = request(b"Contact: <sip:alice@h>")
    register.method = b"REGISTER"
    redirection = response(b"Contact: <sip:alice@h>")
    redirection.status = 302
    assert not hide_contact(register, SEAL)
    assert not hide_contact(redirection, SEAL)
    assert hide_contact(response(b"Contact: <sip:alice@h>"), SEAL)


def request_back(hidden: Message, call_id: bytes = b"c1") -> Message:
    """Return a request of the callee: its Request-URI is the Contact's URI (12.2.1.1)."""
    message = request(to=b"<sip:alice@a.example>;tag=at1")
    message.set_request_uri(hidden.addresses(CONTACT)[0].uri)
    message.set(b"call-id", call_id)
    return message


def hidden_contact(uri: bytes) -> Message:
    message = request(b"Contact: Alice <" + uri + b">;expires=60")
    assert hide_contact(message, SEAL)
    return message


@pytest.mark.parametrize(
    "uri",
    [
        b"sip:alice@192.0.2.1:5070;transport=tcp;ob",
        b"sip:alice:secret@192.0.2.1",
        b"sips:+49%2030@[2001:db8::1]:5061;line=7?Subject=x",
        b"sip:anonymous:x@h",
    ],
)
def test_a_request_back_arrives_at_the_contact_as_it_was_written(uri: bytes) -> None:
    hidden = hidden_contact(uri)
    assert b"sip" in hidden.encode() and b"anonymous@" in hidden.encode()
    back = request_back(hidden)
    assert reveal_contact(back, SEAL)
    assert back.request_uri == uri
    assert back.start == b"INVITE " + uri + b" SIP/2.0"


@given(
    user=st.from_regex(rb"[A-Za-z0-9+._-]{1,200}", fullmatch=True), call_id=st.binary(max_size=99)
)
def test_any_user_comes_back_and_is_not_seen_meanwhile(user: bytes, call_id: bytes) -> None:
    sealed = SEAL.seal(user, call_id)
    assert len(user) < 8 or user not in sealed
    assert SEAL.open(sealed, call_id) == user


def test_hiding_twice_seals_once() -> None:
    hidden = hidden_contact(b"sip:alice@h")
    once = hidden.encode()
    assert not hide_contact(hidden, SEAL)
    assert hidden.encode() == once


def test_a_new_key_in_front_still_opens_what_the_old_one_sealed() -> None:
    hidden = hidden_contact(b"sip:alice@h")
    back = request_back(hidden)
    assert reveal_contact(back, ContactSeal([b"n" * 32, b"k" * 32]))
    assert back.request_uri == b"sip:alice@h"


@pytest.mark.parametrize("call_id", [b"c2", b""])
def test_a_contact_of_another_dialog_is_not_opened(call_id: bytes) -> None:
    back = request_back(hidden_contact(b"sip:alice@h"), call_id)
    before = back.request_uri
    with pytest.raises(RestoreFailed):
        reveal_contact(back, SEAL)
    assert back.request_uri == before


@given(
    value=st.one_of(st.binary(max_size=60), st.from_regex(rb"[A-Za-z0-9_-]{0,60}", fullmatch=True))
)
def test_no_other_value_is_opened(value: bytes) -> None:
    with pytest.raises(RestoreFailed):
        SEAL.open(value, b"c1")


@pytest.mark.parametrize(
    "uri",
    [
        b"sip:anonymous@h;cuser=%zz",
        b"sip:anonymous@h;cuser=",
        b"sip:a@[;cuser=x",
        b"sip:a@h;cuser=AAAAA",
    ],
)
def test_an_altered_contact_stays_as_it_came(uri: bytes) -> None:
    back = request()
    back.set_request_uri(uri)
    with pytest.raises(RestoreFailed):
        reveal_contact(back, SEAL)
    assert back.request_uri == uri


@pytest.mark.parametrize(
    "uri", [b"sip:alice@h", b"sip:cuser=1@h", b"tel:+49;cuser=1", b"sip:h?a;cuser=1"]
)
def test_a_request_uri_without_our_parameter_is_not_touched(uri: bytes) -> None:
    back = request()
    back.set_request_uri(uri)
    assert not reveal_contact(back, SEAL)
    assert back.request_uri == uri


@pytest.mark.parametrize("keys", [[], [b"short"]])
def test_a_seal_needs_keys_of_the_right_length(keys: list[bytes]) -> None:
    with pytest.raises(OwnMistake):
        ContactSeal(keys)
