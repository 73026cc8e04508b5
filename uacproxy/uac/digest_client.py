"""Answering one digest challenge (RFC 7616 3.4, RFC 3261 22.4, RFC 8760)."""

from __future__ import annotations

from uacproxy.errors import NoCredential, UnsupportedChallenge
from uacproxy.sip.digest import Challenge, DigestCredentials
from uacproxy.sip.digest_hash import (
    AUTH,
    AUTH_INT,
    Algorithm,
    compute_response,
    find_algorithm,
)
from uacproxy.uac.credentials import Credential


def answer(
    challenge: Challenge,
    credential: Credential,
    *,
    method: bytes,
    uri: bytes,
    nc: int,
    cnonce: bytes,
    body: bytes = b"",
    algorithm: Algorithm | None = None,
) -> bytes:
    """Return the value of the Authorization or Proxy-Authorization field.

    Args:
        challenge: as parsed; without ``qop`` the form of RFC 2069 is used.
        credential: one that fits the realm.
        method: of the request to be sent.
        uri: its Request-URI, octet for octet.
        nc: uses of this nonce including this one, from 1.
        cnonce: fresh; left out where no qop was offered.
        body: of the request; counts where ``auth-int`` is all the server offers.
        algorithm: what ``usable_algorithm`` says of the challenge, where that is known.

    Raises:
        UnsupportedChallenge: an algorithm or qop we do not have, or an HA1 of another
            algorithm; the peer's own 401/407 goes on as it came.
        NoCredential: a username that cannot stand in a field.
    """
    if algorithm is None:
        algorithm = usable_algorithm(challenge)
    if not credential.can_answer(algorithm):
        raise UnsupportedChallenge("the HA1 held is of another algorithm")
    if not credential.can_be_sent:
        raise NoCredential("a username with control characters cannot be sent")
    qop = pick_qop(challenge)
    uses = b"%08x" % nc if qop else b""
    response = compute_response(
        algorithm,
        ha1=credential.ha1(algorithm, challenge.realm),
        nonce=challenge.nonce,
        method=method,
        uri=uri,
        qop=qop,
        nc=uses,
        cnonce=cnonce,
        body=body,
    )
    return DigestCredentials(
        username=credential.username,
        realm=challenge.realm,
        nonce=challenge.nonce,
        uri=uri,
        response=response,
        opaque=challenge.opaque,
        qop=qop,
        nc=uses,
        cnonce=cnonce,
        algorithm=challenge.algorithm or algorithm.name,
    ).encode()


def usable_algorithm(challenge: Challenge) -> Algorithm:
    """Return the algorithm of a challenge that can be answered.

    Raises:
        UnsupportedChallenge: another scheme, an unknown algorithm, only unknown qop
            values, or a ``-sess`` algorithm without qop: it needs a cnonce, which must
            not be sent then (RFC 2617 3.2.2).
    """
    if not challenge.is_digest:
        raise UnsupportedChallenge("not a Digest challenge")
    algorithm = find_algorithm(challenge.algorithm)
    if algorithm is None:
        raise UnsupportedChallenge("an algorithm we do not have")
    qop = pick_qop(challenge)
    if challenge.qop and not qop:
        raise UnsupportedChallenge("no quality of protection we have")
    if algorithm.is_session and not qop:
        raise UnsupportedChallenge("a session algorithm without quality of protection")
    return algorithm


def pick_qop(challenge: Challenge) -> bytes:
    """Return ``auth`` where it is offered, else ``auth-int``, else b"".

    ``auth`` first: whoever alters a body on the way breaks ``auth-int``. Spelling counts,
    since it goes into the hash and servers differ on any but the usual one.
    """
    if AUTH in challenge.qop:
        return AUTH
    if AUTH_INT in challenge.qop:
        return AUTH_INT
    return b""
