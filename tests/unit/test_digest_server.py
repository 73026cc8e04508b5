"""Nonces of ours and the proofs made with them (RFC 7616 3.3, RFC 3261 22)."""

from __future__ import annotations

import pytest

from uacproxy.errors import OwnMistake
from uacproxy.registrar.digest_server import DigestServer, Verdict
from uacproxy.sip.digest import Challenge, DigestCredentials, read_challenges
from uacproxy.sip.digest_hash import compute_ha1, compute_response, find_algorithm
from uacproxy.sip.message import Message
from uacproxy.sip.parse import parse_message

REGISTER = (
    b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n"
    b"Call-ID: c\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
)
KEY = b"k" * 32


class Bench:
    """A server with its clock, and a client that knows the password."""

    def __init__(self, *, key: bytes = KEY, max_nonces: int = 100) -> None:
        self.now = 1e9
        self.request: Message = parse_message(REGISTER)
        self.server = DigestServer(
            b"example.com", key, lambda: self.now, 300.0, max_nonces=max_nonces
        )

    def challenge(self, *, stale: bool = False) -> Challenge:
        values = self.server.challenges(stale=stale)
        assert len(values) == 1
        return read_challenges(values[0])[0]

    def prove(
        self,
        challenge: Challenge,
        *,
        nc: bytes = b"00000001",
        password: bytes = b"secret",
        qop: bytes = b"auth",
        realm: bytes = b"example.com",
        algorithm: bytes = b"MD5",
        method: bytes = b"REGISTER",
    ) -> DigestCredentials:
        known = find_algorithm(algorithm)
        assert known is not None
        response = compute_response(
            known,
            ha1=compute_ha1(known, b"alice", realm, password),
            nonce=challenge.nonce,
            method=method,
            uri=b"sip:example.com",
            qop=qop,
            nc=nc,
            cnonce=b"c",
        )
        return DigestCredentials(
            username=b"alice",
            realm=realm,
            nonce=challenge.nonce,
            uri=b"sip:example.com",
            response=response,
            qop=qop,
            nc=nc,
            cnonce=b"c",
            algorithm=algorithm,
        )

    def verdict(self, credentials: DigestCredentials) -> Verdict:
        algorithm = find_algorithm(b"MD5")
        assert algorithm is not None
        ha1 = compute_ha1(algorithm, b"alice", b"example.com", b"secret")
        return self.server.verify(self.request, credentials, ha1)


def test_a_challenge_offers_md5_with_auth_and_a_nonce_of_its_own() -> None:
    bench = Bench()
    first, second = bench.challenge(), bench.challenge(stale=True)
    assert (first.realm, first.algorithm, first.qop) == (b"example.com", b"MD5", [b"auth"])
    assert (first.stale, second.stale) == (False, True)
    assert first.nonce != second.nonce


def test_the_right_password_is_accepted_and_nc_may_rise() -> None:
    bench = Bench()
    challenge = bench.challenge()
    assert bench.verdict(bench.prove(challenge)) is Verdict.OK
    assert bench.verdict(bench.prove(challenge, nc=b"00000002")) is Verdict.OK
    assert bench.verdict(bench.prove(challenge, nc=b"0000000A")) is Verdict.OK


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": b"other"},
        {"realm": b"example.org"},
        {"algorithm": b"SHA-256"},
        {"algorithm": b"MD5-sess"},
        {"qop": b"auth-int"},
        {"method": b"INVITE"},
        {"nc": b"1"},
        {"nc": b"0000000g"},
    ],
)
def test_a_wrong_proof_is_rejected(wrong: dict[str, bytes]) -> None:
    bench = Bench()
    assert bench.verdict(bench.prove(bench.challenge(), **wrong)) is Verdict.REJECTED


def test_an_unknown_algorithm_is_rejected() -> None:
    bench = Bench()
    credentials = bench.prove(bench.challenge())
    credentials.algorithm = b"CHACHA123"
    assert bench.verdict(credentials) is Verdict.REJECTED


def test_an_ha1_of_another_algorithm_is_rejected() -> None:
    bench = Bench()
    credentials = bench.prove(bench.challenge())
    assert bench.server.verify(bench.request, credentials, b"0" * 64) is Verdict.REJECTED


def test_a_nonce_is_good_for_its_lifetime_and_stale_afterwards() -> None:
    bench = Bench()
    challenge = bench.challenge()
    bench.now += 299
    assert bench.verdict(bench.prove(challenge)) is Verdict.OK
    bench.now += 2
    assert bench.verdict(bench.prove(challenge, nc=b"00000002")) is Verdict.STALE


def test_an_old_nonce_with_a_wrong_password_is_not_called_stale() -> None:
    bench = Bench()
    challenge = bench.challenge()
    bench.now += 301
    assert bench.verdict(bench.prove(challenge, password=b"other")) is Verdict.REJECTED


def test_a_nonce_from_before_a_restart_is_stale_unless_the_key_is_kept() -> None:
    challenge = Bench().challenge()
    other = Bench(key=b"o" * 32)
    same = Bench()
    assert other.verdict(other.prove(challenge)) is Verdict.STALE
    assert same.verdict(same.prove(challenge)) is Verdict.OK


@pytest.mark.parametrize("nonce", [b"n", b"f" * 52, b"z" * 52])
def test_a_nonce_nobody_made_is_stale(nonce: bytes) -> None:
    bench = Bench()
    made_up = Challenge(realm=b"example.com", nonce=nonce)
    assert bench.verdict(bench.prove(made_up)) is Verdict.STALE


def test_a_nonce_with_another_time_in_it_is_stale() -> None:
    bench = Bench()
    nonce = bench.challenge().nonce
    bench.now += 1000
    fresher = bench.challenge().nonce
    forged = Challenge(realm=b"example.com", nonce=fresher[:12] + nonce[12:])
    assert bench.verdict(bench.prove(forged)) is Verdict.STALE


@pytest.mark.parametrize("nc", [b"00000005", b"00000004"])
def test_a_use_that_was_counted_already_is_a_replay(nc: bytes) -> None:
    bench = Bench()
    challenge = bench.challenge()
    bench.verdict(bench.prove(challenge, nc=b"00000005"))
    assert bench.verdict(bench.prove(challenge, nc=nc)) is Verdict.STALE


def test_a_wrong_proof_does_not_use_the_nonce_up() -> None:
    bench = Bench()
    challenge = bench.challenge()
    bench.verdict(bench.prove(challenge, nc=b"ffffffff", password=b"other"))
    assert bench.verdict(bench.prove(challenge)) is Verdict.OK


def test_without_qop_a_nonce_serves_once() -> None:
    bench = Bench()
    challenge = bench.challenge()
    assert bench.verdict(bench.prove(challenge, qop=b"")) is Verdict.OK
    assert bench.verdict(bench.prove(challenge, qop=b"")) is Verdict.STALE


def test_a_nonce_pushed_out_of_memory_cannot_be_replayed() -> None:
    bench = Bench(max_nonces=2)
    challenges = []
    for _ in range(4):
        challenges.append(bench.challenge())
        bench.now += 1
    proofs = [bench.prove(challenge) for challenge in challenges]
    assert [bench.verdict(proof) for proof in proofs] == [Verdict.OK] * 4
    assert [bench.verdict(proof) for proof in proofs] == [Verdict.STALE] * 4


def test_memory_is_bounded_by_asking_again_who_waits_with_an_older_nonce() -> None:
    bench = Bench(max_nonces=2)
    waiting = bench.challenge()
    for _ in range(3):
        bench.now += 1
        bench.verdict(bench.prove(bench.challenge()))
    assert bench.verdict(bench.prove(waiting)) is Verdict.STALE


def test_sha_256_is_offered_and_accepted_where_it_is_configured() -> None:
    bench = Bench()
    bench.server = DigestServer(
        b"example.com", KEY, lambda: bench.now, 300.0, algorithms=[b"SHA-256", b"MD5"]
    )
    offered = [read_challenges(value)[0] for value in bench.server.challenges()]
    sha = find_algorithm(b"SHA-256")
    assert sha is not None
    ha1 = compute_ha1(sha, b"alice", b"example.com", b"secret")
    proof = bench.prove(offered[0], algorithm=b"SHA-256")
    assert [challenge.algorithm for challenge in offered] == [b"SHA-256", b"MD5"]
    assert bench.server.verify(bench.request, proof, ha1) is Verdict.OK


@pytest.mark.parametrize("name", [b"MD5-sess", b"ROT13"])
def test_an_algorithm_we_cannot_offer_is_our_own_mistake(name: bytes) -> None:
    with pytest.raises(OwnMistake):
        DigestServer(b"r", KEY, lambda: 0.0, 300.0, algorithms=[name])
