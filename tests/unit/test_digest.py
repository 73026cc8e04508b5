"""Challenges and credentials as octets (RFC 7616 3.3 and 3.4, RFC 3261 20.27 and 20.44)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.sip.digest import (
    Challenge,
    DigestCredentials,
    parse_challenges,
    parse_credentials,
    read_challenges,
    remove_credentials,
)
from uacproxy.sip.digest_hash import find_algorithm
from uacproxy.sip.names import AUTHORIZATION, PROXY_AUTHORIZATION, WWW_AUTHENTICATE
from uacproxy.sip.parse import parse_message

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).parents[1].joinpath("data/digest-vectors.json").read_text("utf-8")
)
PRINTABLE = st.binary(max_size=30).map(
    lambda octets: octets.translate(None, bytes(range(32)) + b"\x7f")
)


def with_fields(name: bytes, *values: bytes) -> Any:
    lines = b"".join(name + b": " + value + b"\r\n" for value in values)
    return parse_message(b"SIP/2.0 401 Unauthorized\r\n" + lines + b"Content-Length: 0\r\n\r\n")


def one(value: bytes) -> Challenge:
    found = read_challenges(value)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("vector", VECTORS["challenge_parse"])
def test_what_servers_send_is_read(vector: dict[str, Any]) -> None:
    challenge = one(vector["value"].encode())
    found = {
        "realm": challenge.realm.decode(),
        "nonce": challenge.nonce.decode(),
        "opaque": challenge.opaque.decode() if challenge.opaque is not None else None,
        "qop": [word.decode() for word in challenge.qop],
        "algorithm": challenge.algorithm.decode().upper(),
        "stale": challenge.stale,
        "unsupported_algorithm": find_algorithm(challenge.algorithm) is None,
    }
    assert {name: found[name] for name in vector["expect"]} == vector["expect"]


@pytest.mark.parametrize("vector", VECTORS["credentials_parse"])
def test_credentials_of_the_examples_in_the_rfcs_are_read(vector: dict[str, Any]) -> None:
    message = with_fields(AUTHORIZATION, vector["value"].encode())
    found = parse_credentials(message, AUTHORIZATION)
    assert len(found) == 1
    assert b'response="' + found[0].response + b'"' in vector["value"].encode()


@pytest.mark.parametrize(
    "value",
    [
        b'Digest realm="r",nonce="n"',
        b'digest  realm = "r" , nonce = "n"',
        b"DIGEST realm=r, nonce=n",
        b'Digest realm="r" nonce="n"',
        b'Digest ,, realm="r",, nonce="n",',
        b'Digest realm="r", nonce="n", realm="r"',
        b'Digest realm="r", nonce="n", domain="sip:a,b <c", x="\\"", charset=UTF-8',
        b'Digest nonce="n"\r\n\t,realm="r"',
    ],
)
def test_spelling_spacing_and_strangers_do_not_matter(value: bytes) -> None:
    challenge = one(value)
    assert (challenge.realm, challenge.nonce) == (b"r", b"n")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Digest",
        b'Digest realm="r"',
        b'Digest nonce="n"',
        b'Digest realm="r", nonce=""',
        b'Digest realm="r", nonce="n',
        b'Digest realm="r", nonce="n\\"',
        b'Digest realm="r", nonce="n", nonce="m"',
        b'Digest realm="r", nonce="n\rVia: x"',
        b'Digest realm="r", nonce="n\nVia: x"',
        b'Digest realm="r", nonce="n", algorithm="MD5, x"',
        b'Digest realm="r", nonce="n", @@@',
        b'realm="r", nonce="n"',
    ],
)
def test_a_malformed_challenge_is_left_out(value: bytes) -> None:
    assert read_challenges(value) == []


def test_escapes_are_undone() -> None:
    assert one(rb'Digest realm="a \"quoted\" \\ realm", nonce="n"').realm == rb'a "quoted" \ realm'


def test_the_flags_are_read_in_any_case() -> None:
    challenge = one(
        b'Digest realm="r", nonce="n", stale=TRUE, userhash="True", qop="auth, auth-int"'
    )
    assert (challenge.stale, challenge.userhash) == (True, True)
    assert challenge.qop == [b"auth", b"auth-int"]


def test_an_empty_opaque_is_not_an_absent_one() -> None:
    assert one(b'Digest realm="r", nonce="n", opaque=""').opaque == b""
    assert one(b'Digest realm="r", nonce="n"').opaque is None


def test_challenges_come_in_the_order_of_the_message_from_one_field_or_several() -> None:
    message = with_fields(
        WWW_AUTHENTICATE,
        b'Digest realm="a", nonce="1", qop="auth,auth-int", Basic realm="b", '
        b"digest realm=c,nonce=2",
        b"Negotiate",
        b'Digest realm="d", nonce="3"',
    )
    found = parse_challenges(message, WWW_AUTHENTICATE)
    assert [(each.scheme, each.realm) for each in found] == [
        (b"digest", b"a"),
        (b"basic", b"b"),
        (b"digest", b"c"),
        (b"negotiate", b""),
        (b"digest", b"d"),
    ]
    assert found[0].raw == b'Digest realm="a", nonce="1", qop="auth,auth-int"'
    assert [each.is_digest for each in found] == [True, False, True, False, True]


def test_a_broken_challenge_does_not_take_its_neighbours_along() -> None:
    value = b'NewScheme abc/def==, Digest realm="a", Digest realm="b", nonce="2", Digest nonce="3"'
    assert [each.realm for each in read_challenges(value) if each.is_digest] == [b"b"]


def test_a_challenge_we_send_reads_like_this() -> None:
    challenge = Challenge(
        realm=b'a "b"', nonce=b"n", opaque=b"o", qop=[b"auth"], algorithm=b"MD5", stale=True
    )
    assert challenge.encode() == (
        rb'Digest realm="a \"b\"", nonce="n", opaque="o", stale=true, algorithm=MD5, qop="auth"'
    )


def test_credentials_leave_in_the_order_peers_are_used_to() -> None:
    credentials = DigestCredentials(
        username=b'ali"ce',
        realm=b"r",
        nonce=b"n",
        uri=b"sip:b",
        response=b"0" * 32,
        opaque=b"o",
        qop=b"auth",
        nc=b"00000001",
        cnonce=b"c",
        algorithm=b"MD5",
    )
    assert credentials.encode() == (
        rb'Digest username="ali\"ce", realm="r", nonce="n", uri="sip:b", opaque="o", '
        b'qop=auth, nc=00000001, cnonce="c", response="' + b"0" * 32 + b'", algorithm=MD5'
    )


def test_an_unknown_scheme_is_as_if_there_were_no_credentials() -> None:
    """RFC 4475 3.3.7."""
    message = with_fields(AUTHORIZATION, b"NoOneKnowsThisScheme opaque-data=here")
    assert parse_credentials(message, AUTHORIZATION) == []


def test_every_credentials_for_a_realm_are_removed_neighbours_too() -> None:
    other = b'Digest username="u", realm="other", nonce="n", uri="sip:b", response="0"'
    ours = other.replace(b"other", b"r")
    message = with_fields(PROXY_AUTHORIZATION, ours, ours, other, ours)
    remove_credentials(message, PROXY_AUTHORIZATION, b"r")
    assert message.fields(PROXY_AUTHORIZATION) == [other]


@pytest.mark.parametrize("missing", [b"username", b"realm", b"nonce", b"response"])
def test_credentials_without_their_heart_are_left_out(missing: bytes) -> None:
    value = b'Digest username="u", realm="r", nonce="n", uri="sip:b", response="0"'
    message = with_fields(AUTHORIZATION, value.replace(missing, b"x-" + missing))
    assert parse_credentials(message, AUTHORIZATION) == []


def test_neither_shows_its_response_or_nonce_when_printed() -> None:
    credentials = DigestCredentials(
        username=b"u", realm=b"r", nonce=b"n", uri=b"sip:b", response=b"5ec2e7"
    )
    assert "5ec2e7" not in repr(credentials)


@given(st.binary(max_size=200))
def test_any_octets_are_read_without_complaint(octets: bytes) -> None:
    for challenge in read_challenges(octets):
        assert challenge.nonce or not challenge.is_digest


@given(
    st.lists(
        st.sampled_from([b"Digest ", b'realm="', b'"', b"nonce", b"=", b",", b"\\", b" ", b"x"])
    )
)
def test_any_pieces_of_a_challenge_are_read_without_complaint(pieces: list[bytes]) -> None:
    for challenge in read_challenges(b"".join(pieces)):
        assert challenge.nonce or not challenge.is_digest


@given(PRINTABLE, PRINTABLE.filter(bool), PRINTABLE, st.booleans())
def test_what_is_encoded_reads_back(realm: bytes, nonce: bytes, opaque: bytes, stale: bool) -> None:
    challenge = one(Challenge(realm=realm, nonce=nonce, opaque=opaque, stale=stale).encode())
    assert (challenge.realm, challenge.nonce) == (realm, nonce)
    assert (challenge.opaque, challenge.stale) == (opaque, stale)


def said(challenge: Challenge) -> list[object]:
    """Return all that a challenge says."""
    return [
        *(challenge.scheme, challenge.realm, challenge.nonce, challenge.opaque, challenge.qop),
        *(challenge.algorithm, challenge.stale, challenge.userhash, challenge.raw),
    ]


_VALUE = st.text('aZ0-_ .:;=,\\"\t\x7fé', max_size=6).map(lambda text: text.encode())


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([b"realm", b"nonce", b"opaque", b"qop"]), _VALUE).map(
                lambda pair: pair[0] + b'="' + pair[1] + b'"'
            ),
            st.sampled_from([b"algorithm=MD5", b'qop="auth"', b"stale=true", b'algorithm="MD5"']),
        ),
        max_size=5,
    ),
    st.sampled_from([b", ", b","]),
)
def test_a_usual_challenge_is_read_like_any_other(parts: list[bytes], comma: bytes) -> None:
    value = b"Digest " + comma.join([b'realm="r"', b'nonce="n"', *parts])
    for each in (value, b"Digest " + comma.join(parts)):
        anyhow = read_challenges(b" " + each)  # which is not usual
        assert [said(challenge) for challenge in read_challenges(each)] == [
            said(challenge) for challenge in anyhow
        ]
