"""From the keys of ``$uac_req`` to a message, or to an error that names the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.registrar import CountingRandom
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTENT_TYPE, FROM, TO, USER_AGENT, VIA
from uacproxy.sip.parse import check_required, parse_message
from uacproxy.sip.uri import parse_uri
from uacproxy.uac.credentials import Credential, CredentialList
from uacproxy.uac.own_request import BadKey, OwnRequest, RequestKeys, make_request

PLAIN = RequestKeys(method="OPTIONS", ruri="sip:peer.example")
KNOWN = CredentialList([Credential(b"carol", b"r1", b"pw")])


def made(**changes: str | int) -> OwnRequest:
    return make_request(PLAIN._replace(**changes), CountingRandom(), b"us/1", KNOWN)  # type: ignore[arg-type]


def sent(message: Message) -> Message:
    """Return the message as the far end would read it."""
    message = message.branch_copy()
    message.push(VIA, b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
    read = parse_message(message.encode())
    check_required(read)
    return read


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("method", "", "is not set"),
        ("method", "NO PE", "is no method"),
        ("method", "ACK", "cannot be ACK"),
        ("method", "CANCEL", "cannot be CANCEL"),
        ("ruri", "", "is not set"),
        ("ruri", "nonsense", "is no URI: URI without a scheme"),
        ("ruri", "sip:a@b\r\nX: y", "is no URI"),
        ("ruri", "sip:a@b c", "is no URI"),
        ("furi", "<sip:a@b>;tag=x", "has a tag, which is for $uac_req(ftag)"),
        ("turi", "<sip:a@b>;tag=x", "has a tag, which is for $uac_req(ttag)"),
        ("furi", '"open <sip:a@b>', "is no address"),
        ("furi", "<sip:a@b>\r\nX: y", "has a control character"),
        ("furi", "<sip:a@b>, <sip:c@d>", "is no address"),
        ("turi", "what", "is no URI"),
        ("turi", "sip:a@b?Subject=x", "has header fields in its URI"),
        ("ftag", "a b", "is no token"),
        ("ttag", "a;b", "is no token"),
        ("callid", "a b", "has white space"),
        ("ouri", "tel:123", "is no SIP URI"),
        ("ouri", "what", "is no URI"),
        ("sock", "udp", "is no socket"),
        ("sock", "udp:here.example:5060", "is no socket"),
        ("hdrs", "no colon", "has no header field in line 1"),
        ("hdrs", "X: 1\nY Z: 2", "has no header field in line 2"),
        ("hdrs", "Via: x", "may not hold Via (line 1)"),
        ("hdrs", "l: 7", "may not hold Content-Length (line 1)"),
        ("hdrs", "X: 1\r\n\r\nContent-Length: 0\r\n\r\nINVITE", "may not hold Content-Length"),
        ("hdrs", "X: a\rb", "has a control character in line 1"),
        ("hdrs", "Max-Forwards: many", "has a Max-Forwards that is not one number"),
        ("hdrs", "Route: <", "has a malformed Route"),
        ("hdrs", "Contact: <", "has a malformed Contact"),
        ("hdrs", "X: 1\r\n" * 300, "has more than 200 header fields"),
        ("hdrs", "X:" + "1" * 40000, "is longer than"),
        ("body", "x" * 60001, "is longer than"),
        ("cseqno", 2**31, "is not between"),
        ("fr_timeout", 3_600_001, "is not between"),
        ("auser", "al\nice", "has a control character"),
        ("auser", "alice", "is not set"),
        ("ruri", "sip:\ud800@b", "has a character that cannot be sent"),
    ],
)
def test_nonsense_is_told_by_its_key(key: str, value: str | int, why: str) -> None:
    with pytest.raises(BadKey) as caught:
        made(**{key: value})
    assert caught.value.why.startswith("$uac_req(")
    assert why in caught.value.why


def test_an_ha1_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(BadKey, match="is no HA1") as caught:
        made(auser="alice", apasswd="secret", flags=1)
    assert "secret" not in str(caught.value)


def test_a_password_shows_in_no_repr() -> None:
    keys = PLAIN._replace(auser="alice", apasswd="secret")
    assert "secret" not in repr(keys)
    assert "secret" not in repr(made(auser="alice", apasswd="secret").credentials)


def test_an_auser_alone_takes_the_credentials_of_the_configuration() -> None:
    (credential,) = made(auser="carol").credentials
    assert credential.realm == b"r1"


def test_without_auser_no_challenge_is_answered() -> None:
    assert len(made().credentials) == 0
    assert len(made(apasswd="secret").credentials) == 0


@pytest.mark.parametrize("hdrs", ["X: 1", "X: 1\n", "X: 1\r\n", "\r\nX: 1\r\n\r\n"])
def test_header_lines_may_end_in_any_way(hdrs: str) -> None:
    assert sent(made(hdrs=hdrs).message).lines[-1] == b"X: 1"


def test_header_fields_keep_their_spelling_and_their_folds_become_spaces() -> None:
    lines = sent(made(hdrs="x-FOO: 1\r\n  2\r\nUser-Agent: me").message).lines
    assert lines[-2:] == [b"x-FOO: 1 2", b"User-Agent: me"]
    assert sent(made(hdrs="User-Agent: me").message).fields(USER_AGENT) == [b"me"]


def test_a_body_has_a_type_and_a_length() -> None:
    message = sent(made(method="MESSAGE", body="grüß").message)
    assert message.body == "grüß".encode()
    assert message.get(CONTENT_TYPE) == b"text/plain"
    assert sent(made(body="v=0\r\n").message).get(CONTENT_TYPE) == b"application/sdp"
    typed = made(body="{}", hdrs="c: application/json").message
    assert sent(typed).fields(CONTENT_TYPE) == [b"application/json"]


def test_the_first_route_is_the_next_hop_where_ouri_is_not() -> None:
    routes = "Route: <sip:one.example;lr>, <sip:two.example;lr>"
    assert made(hdrs=routes).next_hop == parse_uri(b"sip:one.example;lr")
    assert made(hdrs=routes, ouri="sip:out.example").next_hop == parse_uri(b"sip:out.example")
    assert made().next_hop == parse_uri(b"sip:peer.example")


def test_addresses_are_bracketed_where_they_are_bare() -> None:
    message = made(furi=" sip:a@b;x=1 ", turi="Bob <sip:b@c>;p", ftag="t").message
    assert message.get(FROM) == b"<sip:a@b;x=1>;tag=t"
    assert message.get(TO) == b"Bob <sip:b@c>;p"


ODD = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ["sip:", "a@b", "<", ">", '"', ";", ",", "tag=", "\r\n", "\n", " ", ":", "Via", "X: 1"]
        ),
        max_size=8,
    ).map("".join),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "method": ODD,
            "ruri": ODD,
            "furi": ODD,
            "turi": ODD,
            "ftag": ODD,
            "ttag": ODD,
            "callid": ODD,
            "ouri": ODD,
            "hdrs": ODD,
            "body": ODD,
            "auser": ODD,
            "apasswd": ODD,
            "sock": ODD,
        },
    )
)
def test_any_keys_make_a_sound_request_of_the_fields_we_meant_or_an_error(
    keys: dict[str, str],
) -> None:
    try:
        message = made(**keys).message
    except BadKey:
        return
    read = sent(message)
    assert read.names[1:] == message.names
    assert read.body == message.body
    assert read.from_.tag


def test_credentials_fit_any_realm() -> None:
    (credential,) = made(auser="alice", apasswd="secret").credentials
    assert credential.fits(b"whatever")


@pytest.mark.parametrize("hdrs", ["Supported: replaces, 100rel", "k: timer", "Require:100REL"])
def test_a_call_promises_nothing_that_would_not_be_kept(hdrs: str) -> None:
    with pytest.raises(BadKey, match="promises"):
        made(method="INVITE", hdrs=hdrs)
    assert made(method="OPTIONS", hdrs=hdrs)
    assert made(method="INVITE", hdrs="Supported: replaces")


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "REFER"])
def test_a_request_that_may_begin_a_dialog_gets_a_contact_unless_it_has_one(method: str) -> None:
    assert made(method=method).contact_user
    assert not made(method=method, hdrs="m: <sip:us@here.example>").contact_user
    assert not made(method="MESSAGE").contact_user
