"""Which challenge is answered, with which credential, and when no more (RFC 3261 22, RFC 8760)."""

from __future__ import annotations

import hashlib

import pytest

from uacproxy.errors import NoCredential, UacproxyError, UnsupportedChallenge
from uacproxy.sip.digest import read_challenges
from uacproxy.sip.digest_hash import find_algorithm
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHORIZATION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    VIA,
    WWW_AUTHENTICATE,
)
from uacproxy.sip.parse import parse_message
from uacproxy.uac.auth import MAX_REALMS as MAX_ANSWERED_REALMS
from uacproxy.uac.auth import (
    Attempts,
    CredentialRefused,
    authorize,
    authorize_ahead,
    is_retry_useful,
)
from uacproxy.uac.credentials import Credential, CredentialList, parse_credential
from uacproxy.uac.nonces import MAX_REALMS, NonceBook

ALICE = Credential(b"alice", b"r1", b"secret")
ANY = Credential(b"anyone", b"", b"other")
PEER = b"gw.example"


def invite() -> Message:
    return parse_message(
        b"INVITE sip:bob@b.example SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\n"
        b"From: <sip:alice@a.example>;tag=1\r\nTo: <sip:bob@b.example>\r\n"
        b"Call-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )


def challenged(status: int, *values: bytes) -> Message:
    response = parse_message(b"SIP/2.0 %d No\r\nContent-Length: 0\r\n\r\n" % status)
    for value in values:
        response.append(WWW_AUTHENTICATE if status == 401 else PROXY_AUTHENTICATE, value)
    return response


def asking(realm: bytes, nonce: bytes, more: bytes = b', qop="auth"') -> bytes:
    return b'Digest realm="%b", nonce="%b"%b' % (realm, nonce, more)


# -- credentials ----------------------------------------------------------------------


def test_a_credential_line_may_have_spaces_around_its_first_two_colons() -> None:
    credential = parse_credential(" alice : r1 : a:b:c ")
    assert (credential.username, credential.realm) == (b"alice", b"r1")
    given, wanted = (
        authorize(invite(), challenged(401, asking(b"r1", b"n")), CredentialList([one])).value
        for one in (credential, Credential(b"alice", b"r1", b"a:b:c"))
    )
    assert given == wanted


@pytest.mark.parametrize("line", ["alice:r1", "alice::secret", ":r1:secret", "a b:r1:secret", ""])
def test_a_broken_credential_line_is_refused_without_being_shown(line: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_credential(line)
    assert "secret" not in str(caught.value)


def test_a_printed_credential_does_not_show_its_secret() -> None:
    shown = repr([ALICE, Credential(b"u", b"r", ha1=b"5ec2e7")])
    assert "alice" in shown
    assert "secret" not in shown
    assert "5ec2e7" not in shown


def test_of_the_credentials_for_one_realm_the_last_wins() -> None:
    later = Credential(b"carol", b"r1", b"x")
    assert CredentialList([ALICE, later, ANY]).pick(b"r1") is later


def test_a_realm_is_compared_exactly_and_one_for_any_realm_comes_last() -> None:
    credentials = CredentialList([ALICE, ANY])
    assert credentials.pick(b"r1") is ALICE
    assert credentials.pick(b"R1") is ANY
    assert CredentialList([ALICE]).pick(b"R1") is None


def test_a_preferred_credential_comes_before_the_static_ones_where_it_fits() -> None:
    credentials = CredentialList([ALICE]).with_first(Credential(b"own", b"r2", b"x"))
    assert [credential.username for credential in credentials] == [b"own", b"alice"]
    picked = [credentials.pick(realm) for realm in (b"r2", b"r1")]
    assert [one.username for one in picked if one is not None] == [b"own", b"alice"]


def test_the_credentials_of_one_user_are_found_by_name() -> None:
    credentials = CredentialList([ALICE, ANY]).of_user(b"anyone")
    assert credentials.pick(b"r1") is ANY


# -- choice ---------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "name"), [(401, AUTHORIZATION), (407, PROXY_AUTHORIZATION)])
def test_a_401_is_answered_in_authorization_and_a_407_in_proxy_authorization(
    status: int, name: bytes
) -> None:
    given = authorize(
        invite(), challenged(status, asking(b"r1", b"n")), CredentialList([ALICE]), cnonce=b"c"
    )
    assert (given.name, given.username, given.realm) == (name, b"alice", b"r1")
    assert (given.nonce, given.nc) == (b"n", 1)
    assert given.value.startswith(
        b'Digest username="alice", realm="r1", nonce="n", uri="sip:bob@b.example", '
        b'qop=auth, nc=00000001, cnonce="c", response="'
    )


def test_a_401_is_not_answered_by_its_proxy_authenticate() -> None:
    response = challenged(401)
    response.append(PROXY_AUTHENTICATE, asking(b"r1", b"n"))
    with pytest.raises(UnsupportedChallenge):
        authorize(invite(), response, CredentialList([ALICE]))


CHOICES: list[tuple[list[bytes], list[Credential], bytes | type[UacproxyError]]] = [
    # challenges, credentials -> nonce answered, or error
    ([asking(b"r2", b"1"), asking(b"r1", b"2")], [ALICE], b"2"),
    ([asking(b"r1", b"1"), asking(b"r1", b"2")], [ALICE], b"1"),
    ([asking(b"r1", b"1"), asking(b"r1", b"2", b", algorithm=SHA-256")], [ALICE], b"2"),
    (
        [
            asking(b"r1", b"1", b", algorithm=MD5"),
            asking(b"r1", b"2", b", algorithm=SHA-256"),
            asking(b"r1", b"3", b", algorithm=SHA-512-256"),
        ],
        [ALICE],
        b"2",
    ),
    ([asking(b"r1", b"1", b", algorithm=X"), asking(b"r1", b"2")], [ALICE], b"2"),
    ([b'Basic realm="r1"', asking(b"r1", b"2")], [ALICE], b"2"),
    (
        [asking(b"r1", b"1", b", algorithm=SHA-256"), asking(b"r1", b"2")],
        [Credential(b"alice", b"r1", ha1=b"0" * 32)],
        b"2",
    ),
    ([asking(b"r2", b"1")], [ALICE, ANY], b"1"),
    ([asking(b"r2", b"1")], [ALICE], NoCredential),
    ([asking(b"r1", b"1")], [], NoCredential),
    ([asking(b"r1", b"1", b", algorithm=X"), asking(b"r2", b"2")], [ALICE], UnsupportedChallenge),
    ([asking(b"r1", b"1", b', qop="foo"')], [ALICE], UnsupportedChallenge),
    ([b'Digest realm="r1"'], [ALICE], UnsupportedChallenge),
    ([], [ALICE], UnsupportedChallenge),
]


@pytest.mark.parametrize(("challenges", "credentials", "wanted"), CHOICES)
def test_choice(
    challenges: list[bytes],
    credentials: list[Credential],
    wanted: bytes | type[UacproxyError],
) -> None:
    response = challenged(407, *challenges)
    if isinstance(wanted, bytes):
        assert authorize(invite(), response, CredentialList(credentials)).nonce == wanted
    else:
        with pytest.raises(wanted):
            authorize(invite(), response, CredentialList(credentials))


def test_only_401_and_407_can_be_answered() -> None:
    with pytest.raises(UnsupportedChallenge):
        authorize(invite(), challenged(403, asking(b"r1", b"n")), CredentialList([ALICE]))


def test_a_cnonce_of_its_own_differs_from_one_nonce_and_one_request_to_the_next() -> None:
    other = invite()
    other.set(VIA, b"SIP/2.0/UDP a.example;branch=z9hG4bKb")
    values = {
        authorize(request, challenged(401, asking(b"r1", nonce)), CredentialList([ALICE]))
        .value.partition(b'cnonce="')[2]
        .partition(b'"')[0]
        for request in (invite(), other)
        for nonce in (b"n", b"m")
    }
    assert len(values) == 4
    assert {len(value) for value in values} == {16}


# -- again ----------------------------------------------------------------------------


def retried(request: Message, response: Message, attempts: Attempts | None = None) -> Message:
    """Return the request with its answer in it, as it would be sent again."""
    given = authorize(request, response, CredentialList([ALICE, ANY]), attempts=attempts)
    again = request.branch_copy()
    again.remove(given.name)
    again.append(given.name, given.value)
    return again


@pytest.mark.parametrize(
    ("nonce", "more", "useful"),
    [(b"n", b"", False), (b"n", b", stale=true", True), (b"m", b"", True)],
)
def test_a_challenge_after_an_answer_is_worth_another_when_only_the_nonce_was_old(
    nonce: bytes, more: bytes, useful: bool
) -> None:
    challenge = read_challenges(asking(b"r1", nonce, more))[0]
    assert is_retry_useful(b"n", challenge) is useful


def test_the_same_nonce_again_means_a_wrong_password() -> None:
    again = retried(invite(), challenged(401, asking(b"r1", b"n")))
    with pytest.raises(CredentialRefused):
        authorize(again, challenged(401, asking(b"r1", b"n")), CredentialList([ALICE]))


def test_what_another_user_was_refused_is_not_held_against_ours() -> None:
    request = invite()
    request.append(
        AUTHORIZATION,
        b'Digest username="phone", realm="r1", nonce="n", uri="sip:b", response="0"',
    )
    given = authorize(request, challenged(401, asking(b"r1", b"n")), CredentialList([ALICE]))
    assert given.username == b"alice"


def test_a_stale_nonce_is_answered_once_more_and_no_third_time() -> None:
    attempts = Attempts()
    request = retried(invite(), challenged(401, asking(b"r1", b"1")), attempts)
    request = retried(request, challenged(401, asking(b"r1", b"2", b", stale=true")), attempts)
    with pytest.raises(CredentialRefused):
        retried(request, challenged(401, asking(b"r1", b"3", b", stale=true")), attempts)


def test_a_proxy_and_the_far_end_are_both_answered() -> None:
    attempts = Attempts()
    request = retried(invite(), challenged(407, asking(b"r1", b"1")), attempts)
    request = retried(request, challenged(401, asking(b"r1", b"2")), attempts)
    assert request.has(PROXY_AUTHORIZATION)
    assert request.has(AUTHORIZATION)


def test_a_refused_realm_does_not_stop_the_answer_to_another() -> None:
    attempts = Attempts()
    request = retried(invite(), challenged(407, asking(b"r1", b"1")), attempts)
    both = challenged(407, asking(b"r1", b"1"), asking(b"r2", b"2"))
    assert authorize(request, both, CredentialList([ALICE, ANY]), attempts=attempts).nonce == b"2"


def test_a_peer_with_a_new_realm_each_time_is_not_followed_for_ever() -> None:
    attempts = Attempts()
    request = invite()
    for number in range(MAX_ANSWERED_REALMS):
        request = retried(request, challenged(407, asking(b"x%d" % number, b"n")), attempts)
    with pytest.raises(CredentialRefused):
        retried(request, challenged(407, asking(b"one-more", b"n")), attempts)


# -- nonces ---------------------------------------------------------------------------


def test_nc_rises_with_each_use_of_a_nonce_and_starts_again_with_a_new_one() -> None:
    nonces = NonceBook()
    uses = [
        authorize(
            invite(),
            challenged(401, asking(b"r1", nonce)),
            CredentialList([ALICE]),
            nonces=nonces,
            peer=PEER,
        ).nc
        for nonce in (b"n", b"n", b"m", b"m")
    ]
    assert uses == [1, 2, 1, 2]


def test_a_known_nonce_is_used_before_anybody_asks() -> None:
    nonces = NonceBook()
    credentials = CredentialList([ALICE])
    response = challenged(407, asking(b"r1", b"n", b', qop="auth", opaque="o"'))
    authorize(invite(), response, credentials, nonces=nonces, peer=PEER)
    ahead = authorize_ahead(invite(), credentials, nonces=nonces, peer=PEER)
    assert [(one.name, one.nonce, one.nc) for one in ahead] == [(PROXY_AUTHORIZATION, b"n", 2)]
    assert b'opaque="o"' in ahead[0].value


def test_a_request_without_a_via_yet_can_be_answered_ahead() -> None:
    nonces = NonceBook()
    nonces.remember(b"alice", PEER, AUTHORIZATION, read_challenges(asking(b"r1", b"n"))[0])
    request = invite()
    request.remove(VIA)
    assert len(authorize_ahead(request, CredentialList([ALICE]), nonces=nonces, peer=PEER)) == 1


def test_a_nonce_serves_neither_another_user_nor_another_peer() -> None:
    nonces = NonceBook()
    nonces.remember(b"alice", PEER, AUTHORIZATION, read_challenges(asking(b"r1", b"n"))[0])
    assert authorize_ahead(invite(), CredentialList([ANY]), nonces=nonces, peer=PEER) == []
    assert authorize_ahead(invite(), CredentialList([ALICE]), nonces=nonces, peer=b"x") == []


def test_a_refusal_and_an_acceptance_ahead_count_for_their_realm_and_field_alone() -> None:
    nonces = NonceBook()
    kept = [(AUTHORIZATION, b"r1"), (AUTHORIZATION, b"r2"), (PROXY_AUTHORIZATION, b"r1")]
    for name, realm in kept:
        nonces.remember(b"alice", PEER, name, read_challenges(asking(realm, b"n"))[0])
        nonces.ahead_refused(b"alice", PEER, name, realm)
    nonces.ahead_taken(b"alice", PEER, *kept[0])
    assert [one.refused for one in nonces.known(b"alice", PEER)] == [0, 1, 1]
    nonces.ahead_refused(b"alice", PEER, *kept[2])
    assert [one.refused for one in nonces.known(b"alice", PEER)] == [0, 1, 2]
    nonces.renew(b"alice", PEER, *kept[1], b"m")
    newest = {(one.name, one.challenge.realm): one for one in nonces.known(b"alice", PEER)}
    assert [newest[each].challenge.nonce for each in kept] == [b"n", b"m", b"n"]
    assert [newest[each].refused for each in kept] == [0, 0, 2]


def test_of_two_credentials_of_one_user_only_the_fitting_one_answers_ahead() -> None:
    nonces = NonceBook()
    nonces.remember(b"alice", PEER, AUTHORIZATION, read_challenges(asking(b"r1", b"n"))[0])
    both = CredentialList([Credential(b"alice", b"", b"other"), ALICE])
    assert len(authorize_ahead(invite(), both, nonces=nonces, peer=PEER)) == 1


def test_the_401_to_an_old_nonce_is_the_first_challenge_of_its_request() -> None:
    nonces = NonceBook()
    nonces.remember(b"alice", PEER, AUTHORIZATION, read_challenges(asking(b"r1", b"n"))[0])
    request = invite()
    for one in authorize_ahead(request, CredentialList([ALICE]), nonces=nonces, peer=PEER):
        request.append(one.name, one.value)
    attempts = Attempts()
    request = retried(request, challenged(401, asking(b"r1", b"m")), attempts)
    request = retried(request, challenged(401, asking(b"r1", b"o", b", stale=true")), attempts)
    with pytest.raises(CredentialRefused):
        retried(request, challenged(401, asking(b"r1", b"p")), attempts)


def test_the_book_keeps_no_more_than_it_may() -> None:
    nonces = NonceBook(max_entries=2)
    challenge = read_challenges(asking(b"r1", b"n"))[0]
    for user in (b"a", b"b"):
        nonces.remember(user, PEER, AUTHORIZATION, challenge)
    assert len(nonces.known(b"a", PEER)) == 1
    nonces.remember(b"c", PEER, AUTHORIZATION, challenge)
    assert [len(nonces.known(user, PEER)) for user in (b"a", b"b", b"c")] == [1, 0, 1]
    for number in range(MAX_REALMS + 1):
        realm = read_challenges(asking(b"r%d" % number, b"n"))[0]
        nonces.remember(b"c", PEER, AUTHORIZATION, realm)
    assert len(nonces.known(b"c", PEER)) == MAX_REALMS


def test_a_forgotten_user_is_not_answered_for() -> None:
    nonces = NonceBook()
    nonces.remember(b"alice", PEER, AUTHORIZATION, read_challenges(asking(b"r1", b"n"))[0])
    nonces.forget(b"alice", PEER)
    assert authorize_ahead(invite(), CredentialList([ALICE]), nonces=nonces, peer=PEER) == []
    assert len(nonces) == 0


def test_a_password_for_any_realm_answers_each_realm_by_its_own_sum() -> None:
    credential = Credential(b"me", b"", b"secret")
    for realm in [b"r%d" % number for number in range(3)] * 2:
        for name, make in ((b"MD5", hashlib.md5), (b"SHA-256", hashlib.sha256)):
            algorithm = find_algorithm(name)
            assert algorithm is not None
            expected = make(b"me:" + realm + b":secret").hexdigest().encode("ascii")
            assert credential.ha1(algorithm, realm) == expected
