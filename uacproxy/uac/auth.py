"""From a 401 or 407 to the field that answers it (RFC 3261 22.2, 22.3, RFC 8760).

Which challenge is answered: of those we hold a credential for, whose algorithm and qop
we have, and that it makes sense to answer, the one with the longest hash; among equals
the topmost, which is the server's own preference (RFC 8760 2.4). That RFC lets a policy
of ours come before the order of the message; the policy is not to let a hop offer less
than the server did by moving MD5 to the top.

One call builds one field. What earlier challenges of the same request were answered
with stays with the caller, who sends all of it again (407 from a proxy, then 401 from
the far end), and raises CSeq.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from uacproxy.errors import NoCredential, UnsupportedChallenge
from uacproxy.sip.digest import (
    Challenge,
    parse_challenges,
    parse_credentials,
    read_next_nonce,
)
from uacproxy.sip.digest_hash import Algorithm, hash_hex
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    AUTHENTICATION_INFO,
    AUTHORIZATION,
    CALL_ID,
    CSEQ,
    PROXY_AUTHENTICATE,
    PROXY_AUTHENTICATION_INFO,
    PROXY_AUTHORIZATION,
    VIA,
    WWW_AUTHENTICATE,
)
from uacproxy.uac.credentials import Credential, CredentialList
from uacproxy.uac.digest_client import answer, usable_algorithm
from uacproxy.uac.nonces import NonceBook, kind_of

MAX_ANSWERS: Final = 2  # to one realm for one request: the first, and one to a newer nonce
MAX_REALMS: Final = 8  # for one request

_ASKED_BY: Final[dict[int, tuple[bytes, bytes]]] = {
    401: (WWW_AUTHENTICATE, AUTHORIZATION),
    407: (PROXY_AUTHENTICATE, PROXY_AUTHORIZATION),
}
_INFO_ON: Final = (
    (AUTHENTICATION_INFO, AUTHORIZATION),
    (PROXY_AUTHENTICATION_INFO, PROXY_AUTHORIZATION),
)


class CredentialRefused(NoCredential):
    """The peer has seen our credential with this nonce and said no: the password is wrong."""

    def __init__(self, why: str = "", *, status: int = 500) -> None:
        super().__init__(why, status=status)
        self.code = "credential-refused"  # of the instance: a compiled class keeps its base's


@final
class Authorized:
    """One answered challenge: the field to add, and what it was made of."""

    __slots__ = ("name", "nc", "nonce", "realm", "username", "value")

    def __init__(
        self, name: bytes, value: bytes, username: bytes, realm: bytes, nonce: bytes, nc: int
    ) -> None:
        self.name = name  # AUTHORIZATION or PROXY_AUTHORIZATION
        self.value = value
        self.username = username
        self.realm = realm
        self.nonce = nonce
        self.nc = nc


def is_retry_useful(previous_nonce: bytes, challenge: Challenge) -> bool:
    """Tell whether a challenge that follows an answer may be answered once more.

    It may where the server says that only the nonce was too old, or shows as much by
    sending another one. The same nonce again means that the password is wrong.
    """
    return challenge.stale or challenge.nonce != previous_nonce


@final
class Attempts:
    """What was answered for one request and its retries; ends what would go on for ever.

    A server that makes a new nonce for each refusal looks the same as one whose nonces
    last for one request, so the second answer is given and the third is not.
    """

    def __init__(self) -> None:
        self._answered: dict[tuple[bytes, bytes], tuple[bytes, int]] = {}
        self._last: dict[tuple[bytes, bytes], tuple[Challenge, Credential]] = {}

    def allow(self, name: bytes, challenge: Challenge) -> bool:
        """Tell whether this challenge may be answered in a field called ``name``."""
        before = self._answered.get((name, challenge.realm))
        if before is None:
            return len(self._answered) < MAX_REALMS
        nonce, times = before
        return times < MAX_ANSWERS and is_retry_useful(nonce, challenge)

    def note(self, given: Authorized) -> None:
        """Count an answer to a challenge of this request."""
        key = (given.name, given.realm)
        before = self._answered.get(key)
        self._answered[key] = (given.nonce, 1 if before is None else before[1] + 1)

    def keep(self, given: Authorized, challenge: Challenge, credential: Credential) -> None:
        """Keep what an answer was made of, to make it anew for the next hop's challenge."""
        self._last[(given.name, given.realm)] = (challenge, credential)

    def kept(self, given: Authorized) -> tuple[Challenge, Credential] | None:
        """Return what the last answer in this field to this realm was made of."""
        return self._last.get((given.name, given.realm))


def use_again(
    given: Authorized,
    request: Message,
    attempts: Attempts,
    nonces: NonceBook | None = None,
    peer: bytes = b"",
) -> Authorized:
    """Answer a challenge in one more request: each use of a nonce has a count of its own.

    A server that counts takes the same nc twice for a replay (RFC 7616 3.4).

    Args:
        given: the answer before.
        request: as sent with it.
        attempts: of this request, as when it was given.
        nonces: count the uses of its nonce by all requests.
        peer: whom ``nonces`` knows it by.
    """
    kept = attempts.kept(given)
    if kept is None or not kept[0].qop:
        return given  # there is no nc to count with
    challenge, credential = kept
    nc = given.nc + 1
    if nonces is not None:
        nc = max(nc, nonces.next_nc(given.username, peer, given.name, challenge))
    return build_authorization(request, given.name, challenge, credential, nc=nc)


def authorize(
    request: Message,
    response: Message,
    credentials: CredentialList,
    *,
    attempts: Attempts | None = None,
    nonces: NonceBook | None = None,
    peer: bytes = b"",
    cnonce: bytes = b"",
    ahead: Sequence[Authorized] = (),
) -> Authorized:
    """Answer the best challenge of a 401 or 407.

    Args:
        request: as sent on the branch. What it carries in answer to a nonce is not given
            a second time; its method, Request-URI and body go into the digest, so the
            retry has to keep them.
        response: WWW-Authenticate is read in a 401, Proxy-Authenticate in a 407.
        credentials: candidates.
        attempts: of this request; without it the caller has to bound the retries.
        nonces: learns the challenge and counts the uses of its nonce.
        peer: whom ``nonces`` shall know it by.
        cnonce: b"" makes one of the secret, the nonce and the request.
        ahead: what the request carried before anybody asked. Its refusal may be that of the
            nonce, so even the same nonce is answered then, in ``attempts`` for the first time.

    Raises:
        NoCredential: none fits a realm that was named.
        CredentialRefused: what fits has been tried.
        UnsupportedChallenge: what fits cannot be computed, or there is no challenge.
    """
    asked = _ASKED_BY.get(response.status)
    if asked is None:
        raise UnsupportedChallenge(f"a {response.status} asks for no credentials")
    name = asked[1]
    challenge, credential = _pick(
        parse_challenges(response, asked[0]), request, name, credentials, attempts, ahead
    )
    nc = 1
    if nonces is not None:
        nonces.remember(credential.username, peer, name, challenge, kind_of(request))
        if any(one.name == name and one.realm == challenge.realm for one in ahead):
            nonces.ahead_refused(credential.username, peer, name, challenge.realm)
        nc = nonces.next_nc(credential.username, peer, name, challenge)
    given = build_authorization(request, name, challenge, credential, nc=nc, cnonce=cnonce)
    if attempts is not None:
        attempts.note(given)
        attempts.keep(given, challenge, credential)
    return given


def authorize_ahead(
    request: Message,
    credentials: CredentialList,
    *,
    nonces: NonceBook,
    peer: bytes,
    attempts: Attempts | None = None,
    beside: Sequence[Authorized] = (),
    only_asked: bool = False,
    cnonce: bytes = b"",
) -> list[Authorized]:
    """Answer before being asked, with the nonces this peer gave earlier (RFC 7616 3.6).

    The answers are not counted in ``Attempts``: a 401 to them is the first challenge of
    this request. Nothing known gives an empty list; a peer that never challenged one of
    these users for a realm of theirs is told nothing.

    Args:
        request: about to be sent.
        credentials: candidates.
        nonces: what is known.
        peer: whom ``nonces`` knows it by.
        attempts: keep what the answers were made of, for ``use_again``.
        beside: what the request carries already; those realms are left alone.
        only_asked: answer for kinds of requests alone that were challenged before. Who asks
            at some need not take the answers out of others, and they would go on to the
            far end.
        cnonce: b"" makes one of the secret, the nonce and the request.
    """
    given: list[Authorized] = []
    for credential in credentials.all:
        for known in nonces.known(credential.username, peer):
            if known.waits:
                continue
            challenge = known.challenge
            if credentials.pick(challenge.realm) is not credential:
                continue
            if only_asked and kind_of(request) not in known.asked:
                continue
            if not credential.can_answer(usable_algorithm(challenge)):
                continue  # another secret than the one it was answered with then
            if any(one.name == known.name and one.realm == challenge.realm for one in beside):
                continue
            nc = nonces.next_nc(credential.username, peer, known.name, challenge)
            answered = build_authorization(
                request, known.name, challenge, credential, nc=nc, cnonce=cnonce
            )
            if attempts is not None:
                attempts.keep(answered, challenge, credential)
            given.append(answered)
    return given


def ahead_taken(ahead: Sequence[Authorized], nonces: NonceBook, peer: bytes) -> None:
    """Hear a 2xx to a request with answers that nobody had asked for."""
    for one in ahead:
        nonces.ahead_taken(one.username, peer, one.name, one.realm)


def learn_next_nonce(
    response: Message, given: Sequence[Authorized], nonces: NonceBook, peer: bytes
) -> None:
    """Take the nonces that a success offers for the next request (RFC 7616 3.5, RFC 7615).

    Args:
        response: to a request with answers of ours.
        given: those answers. The field names no realm, so with two in one field it is
            nobody's.
        nonces: where they are kept.
        peer: who answered.
    """
    for info, name in _INFO_ON:
        value = response.get(info)
        if value is None:
            continue
        about = [one for one in given if one.name == name]
        nonce = read_next_nonce(value)
        if nonce and len(about) == 1:
            nonces.renew(about[0].username, peer, name, about[0].realm, nonce)


def remove_info(response: Message, given: Sequence[Authorized]) -> None:
    """Take from a response what it says of our answers alone: the sender gave none."""
    for info, name in _INFO_ON:
        if any(one.name == name for one in given):
            response.remove(info)


def build_authorization(
    request: Message,
    name: bytes,
    challenge: Challenge,
    credential: Credential,
    *,
    nc: int,
    cnonce: bytes = b"",
) -> Authorized:
    """Answer one challenge for a request about to be sent.

    Raises:
        UnsupportedChallenge: it cannot be computed.
    """
    algorithm = usable_algorithm(challenge)
    if not cnonce:
        cnonce = _own_cnonce(request, algorithm, challenge, credential, nc)
    value = answer(
        challenge,
        credential,
        method=request.method,
        uri=request.request_uri,
        nc=nc,
        cnonce=cnonce,
        body=request.body,
        algorithm=algorithm,
    )
    return Authorized(name, value, credential.username, challenge.realm, challenge.nonce, nc)


def _pick(
    challenges: list[Challenge],
    request: Message,
    name: bytes,
    credentials: CredentialList,
    attempts: Attempts | None,
    ahead: Sequence[Authorized],
) -> tuple[Challenge, Credential]:
    """Return the challenge to answer, and with what; the module docstring says which."""
    if not challenges:
        raise UnsupportedChallenge("no challenge that can be read")
    sent: dict[tuple[bytes, bytes], bytes] = {}
    if request.has(name):
        for carried in parse_credentials(request, name):
            sent[(carried.username, carried.realm)] = carried.nonce
    for one in ahead:
        if one.name == name:
            sent.pop((one.username, one.realm), None)
    best: tuple[Challenge, Credential] | None = None
    longest = 0
    unsupported: UnsupportedChallenge | None = None
    refused = False
    for challenge in challenges:
        credential = credentials.pick(challenge.realm)
        if credential is None:
            continue
        try:
            algorithm = usable_algorithm(challenge)
        except UnsupportedChallenge as error:
            unsupported = error
            continue
        if not credential.can_answer(algorithm):
            unsupported = UnsupportedChallenge("the HA1 held is of another algorithm")
            continue
        nonce = sent.get((credential.username, challenge.realm))
        useful = nonce is None or is_retry_useful(nonce, challenge)
        if not useful or (attempts is not None and not attempts.allow(name, challenge)):
            refused = True
        elif algorithm.digits > longest:
            longest = algorithm.digits
            best = (challenge, credential)
    if best is not None:
        return best
    if refused:
        raise CredentialRefused("the peer refused our credential")
    if unsupported is not None:
        raise unsupported
    raise NoCredential("no credential for a realm the peer names")


def _own_cnonce(
    request: Message, algorithm: Algorithm, challenge: Challenge, credential: Credential, nc: int
) -> bytes:
    """Return a cnonce no peer can foresee, and which no other request with this nonce has."""
    secret = credential.ha1(algorithm, challenge.realm)
    parts = [secret, challenge.nonce, b"%d" % nc]
    for name in (VIA, CALL_ID, CSEQ):  # a request not yet sent may lack the Via
        parts.append(request.get(name) or b"")
    return hash_hex(algorithm, b"\0".join(parts))[:16]
