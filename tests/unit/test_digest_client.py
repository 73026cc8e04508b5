"""Answers to challenges, against published sums (RFC 2617, 7616, 8760 and other systems)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from uacproxy.errors import NoCredential, UnsupportedChallenge
from uacproxy.sip.digest import Challenge, read_challenges
from uacproxy.sip.digest_hash import compute_ha1, find_algorithm
from uacproxy.uac.credentials import Credential
from uacproxy.uac.digest_client import answer

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).parents[1].joinpath("data/digest-vectors.json").read_text("utf-8")
)
ALICE = Credential(b"alice", b"r1", b"secret")
URI = b"sip:bob@127.0.0.1:15060"


def reply(
    challenge: Challenge | bytes,
    credential: Credential = ALICE,
    *,
    cnonce: bytes = b"c",
    nc: int = 1,
    body: bytes = b"",
) -> bytes:
    if isinstance(challenge, bytes):
        challenge = read_challenges(b'Digest realm="r1", ' + challenge)[0]
    return answer(challenge, credential, method=b"INVITE", uri=URI, nc=nc, cnonce=cnonce, body=body)


def response_in(value: bytes) -> bytes:
    return value.partition(b'response="')[2].partition(b'"')[0]


@pytest.mark.parametrize("vector", VECTORS["digest"], ids=lambda vector: str(vector["id"]))
def test_published_response(vector: dict[str, Any]) -> None:
    octets = {name: str(value).encode() for name, value in vector.items()}
    challenge = Challenge(
        realm=octets["realm"],
        nonce=octets["nonce"],
        qop=[octets["qop"]] if "qop" in octets else [],
        algorithm=octets.get("algorithm", b""),
    )
    value = answer(
        challenge,
        Credential(octets["username"], octets["realm"], octets["password"]),
        method=octets["method"],
        uri=octets["uri"],
        nc=int(octets.get("nc", b"1"), 16),
        cnonce=octets.get("cnonce", b""),
        body=octets.get("body", b""),
    )
    assert response_in(value) == octets["expect"]


@pytest.mark.parametrize("vector", VECTORS["ha1"], ids=lambda vector: str(vector["id"]))
def test_published_ha1(vector: dict[str, Any]) -> None:
    for name, wanted in vector["ha1"].items():
        algorithm = find_algorithm(name.encode())
        assert algorithm is not None
        found = compute_ha1(
            algorithm,
            vector["username"].encode(),
            vector["realm"].encode(),
            vector["password"].encode(),
        )
        assert found == wanted.encode()


@pytest.mark.parametrize(
    ("challenge", "cnonce", "wanted"),
    [
        (b'nonce="n1"', b"", b"da06b8f1a179a782644de5c0bd6cf115"),
        (b'nonce="n1", qop=""', b"", b"da06b8f1a179a782644de5c0bd6cf115"),
        (b'nonce="n1", qop="auth,auth-int"', b"25606", b"53123d80bc9ec41f77d18eb0f8bd5d6d"),
        (b'nonce="n1", qop="auth-int,auth"', b"25606", b"53123d80bc9ec41f77d18eb0f8bd5d6d"),
        (
            b'nonce="n2", qop="auth", algorithm=SHA-256',
            b"25603",
            b"670da2fc21cd88299d859466e4fa500c47442c3e38047d2bc1a6ed9c909c5bcc",
        ),
    ],
)
def test_the_response_is_the_one_kamailio_gives(
    challenge: bytes, cnonce: bytes, wanted: bytes
) -> None:
    assert response_in(reply(challenge, cnonce=cnonce)) == wanted


def test_a_stored_ha1_stands_for_the_password() -> None:
    stored = Credential(b"alice", b"", ha1=b"0123456789ABCDEF" * 2)
    assert response_in(reply(b'nonce="n1"', stored)) == b"bdb33dc62e6a386809e578adeca464e1"


def test_fields_stand_in_the_order_and_quotes_of_kamailio() -> None:
    value = reply(b'nonce="n1", opaque="o", qop="auth"', cnonce=b"25606")
    assert value == (
        b'Digest username="alice", realm="r1", nonce="n1", uri="sip:bob@127.0.0.1:15060", '
        b'opaque="o", qop=auth, nc=00000001, cnonce="25606", '
        b'response="53123d80bc9ec41f77d18eb0f8bd5d6d", algorithm=MD5'
    )


def test_without_qop_there_is_neither_nc_nor_cnonce() -> None:
    """RFC 2617 3.2.2."""
    value = reply(b'nonce="n1"')
    assert value == (
        b'Digest username="alice", realm="r1", nonce="n1", uri="sip:bob@127.0.0.1:15060", '
        b'response="da06b8f1a179a782644de5c0bd6cf115", algorithm=MD5'
    )


def test_the_algorithm_comes_back_as_it_was_spelled() -> None:
    assert reply(b'nonce="n1", algorithm=md5').endswith(b", algorithm=md5")


def test_nc_has_eight_hexadecimal_digits() -> None:
    assert b"nc=000000ff, " in reply(b'nonce="n1", qop="auth"', nc=255)


def test_quotes_in_a_username_and_realm_are_escaped() -> None:
    challenge = read_challenges(rb'Digest realm="a\"b\\", nonce="n"')[0]
    value = answer(
        challenge, Credential(b'q"x', b"", b"p"), method=b"BYE", uri=b"sip:b", nc=1, cnonce=b"c"
    )
    assert value.startswith(rb'Digest username="q\"x", realm="a\"b\\", nonce="n"')


def test_auth_int_covers_the_body_where_nothing_else_is_offered() -> None:
    challenge = b'nonce="n1", qop="auth-int"'
    assert b"qop=auth-int, " in reply(challenge)
    assert response_in(reply(challenge, body=b"v=0")) != response_in(reply(challenge, body=b"v=1"))


@pytest.mark.parametrize(
    "challenge",
    [
        b'nonce="n", algorithm=CHACHA123',
        b'nonce="n", qop="foo"',
        b'nonce="n", qop="AUTH"',
        b'nonce="n", algorithm=MD5-sess',
        b'nonce="n", algorithm=SHA-256-sess, qop=""',
    ],
)
def test_what_cannot_be_computed_is_refused(challenge: bytes) -> None:
    with pytest.raises(UnsupportedChallenge):
        reply(challenge)


def test_another_scheme_is_refused() -> None:
    with pytest.raises(UnsupportedChallenge):
        reply(read_challenges(b'Basic realm="r1"')[0])


@pytest.mark.parametrize(
    ("ha1", "told", "algorithm", "good"),
    [
        (b"0" * 32, b"", b"MD5", True),
        (b"0" * 32, b"", b"MD5-sess", True),
        (b"0" * 32, b"", b"SHA-256", False),
        (b"0" * 64, b"", b"MD5", False),
        (b"0" * 64, b"", b"SHA-256", True),
        (b"0" * 64, b"", b"SHA-512-256", True),
        (b"0" * 64, b"SHA-512-256", b"SHA-256", False),
        (b"0" * 64, b"SHA-512-256", b"SHA-512-256-sess", True),
        (b"0" * 31, b"", b"MD5", False),
    ],
)
def test_an_ha1_answers_only_its_own_algorithm(
    ha1: bytes, told: bytes, algorithm: bytes, good: bool
) -> None:
    stored = Credential(b"alice", b"r1", ha1=ha1, ha1_algorithm=told)
    challenge = b'nonce="n", qop="auth", algorithm=' + algorithm
    if good:
        assert response_in(reply(challenge, stored))
    else:
        with pytest.raises(UnsupportedChallenge):
            reply(challenge, stored)


def test_a_username_that_would_end_the_line_is_not_sent() -> None:
    with pytest.raises(NoCredential):
        reply(b'nonce="n"', Credential(b"alice\r\nVia: x", b"r1", b"secret"))
