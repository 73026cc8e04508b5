"""The algorithms of Digest and what they compute (RFC 7616 3.4, RFC 8760).

Client and server side must agree on these sums; both take them from here. MD5 is what
SIP has, not what anyone would choose: it is marked as no security of ours.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

AUTH: Final = b"auth"
AUTH_INT: Final = b"auth-int"


class Algorithm(NamedTuple):
    """One hash, alone or in its ``-sess`` form (RFC 7616 6.1)."""

    name: bytes  # as registered
    hash_name: bytes  # of the hash alone: an HA1 is good for both forms
    is_session: bool
    digits: int  # hexadecimal, of everything it computes


_HASHES: Final[tuple[tuple[bytes, int], ...]] = (
    (b"MD5", 32),
    (b"SHA-256", 64),
    (b"SHA-512-256", 64),
)


def _known_algorithms() -> dict[bytes, Algorithm]:
    known: dict[bytes, Algorithm] = {}
    for name, digits in _HASHES:
        if name == b"SHA-512-256" and "sha512_256" not in hashlib.algorithms_available:
            continue
        known[name] = known[name.lower()] = Algorithm(name, name, False, digits)
        known[name.lower() + b"-sess"] = Algorithm(name + b"-sess", name, True, digits)
    known[b""] = known[b"MD5"]
    return known


def _quickest_md5() -> Callable[[bytes], Any]:
    """Return CPython's own, where it is there: OpenSSL's takes longer to begin than to compute."""
    try:
        found: Callable[[bytes], Any] = import_module("_md5").md5
    except (ImportError, AttributeError):
        return lambda octets: hashlib.md5(octets, usedforsecurity=False)
    return found


MOST_REGISTRARS: Final = 256
_OF_REGISTRARS: Final[dict[tuple[bytes, bytes], bytes]] = {}  # H(A2) by hash and URI


_ALGORITHMS: Final[dict[bytes, Algorithm]] = _known_algorithms()
_MD5: Final[Callable[[bytes], Any]] = _quickest_md5()


def find_algorithm(spelled: bytes) -> Algorithm | None:
    """Return the algorithm a message names, in any case; an absent one (b"") is MD5."""
    found = _ALGORITHMS.get(spelled)
    return _ALGORITHMS.get(spelled.lower()) if found is None else found


def hash_hex(algorithm: Algorithm, octets: bytes) -> bytes:
    """Return H(octets) as the lower case hexadecimal digits that go on the wire."""
    if algorithm.digits == 32:
        return hexlify(_MD5(octets).digest())
    if algorithm.hash_name == b"SHA-256":
        return hashlib.sha256(octets).hexdigest().encode("ascii")
    return hashlib.new("sha512_256", octets).hexdigest().encode("ascii")


def compute_ha1(algorithm: Algorithm, username: bytes, realm: bytes, password: bytes) -> bytes:
    """Return H(username:realm:password), which databases keep in place of a password."""
    return hash_hex(algorithm, b"%b:%b:%b" % (username, realm, password))


def compute_response(
    algorithm: Algorithm,
    *,
    ha1: bytes,
    nonce: bytes,
    method: bytes,
    uri: bytes,
    qop: bytes = b"",
    nc: bytes = b"",
    cnonce: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """Return the ``response`` of a request (RFC 7616 3.4.1).

    Args:
        algorithm: its ``-sess`` form mixes nonce and cnonce into ``ha1`` here.
        ha1: lower case digits of the hash alone, never of a session.
        nonce: content of the quoted string, escapes removed.
        method: of the request.
        uri: octets of the ``uri`` parameter.
        qop: b"" is the form of RFC 2069, without ``nc`` and ``cnonce``.
        nc: eight digits, as sent.
        cnonce: as sent; the ``-sess`` form needs one.
        body: of the request; counts with ``auth-int`` only.
    """
    if algorithm.is_session:
        ha1 = hash_hex(algorithm, b"%b:%b:%b" % (ha1, nonce, cnonce))
    if method == b"REGISTER" and qop != AUTH_INT:
        ha2 = ha2_of_register(algorithm, uri)
    else:
        a2 = method + b":" + uri
        if qop == AUTH_INT:
            a2 = a2 + b":" + hash_hex(algorithm, body)
        ha2 = hash_hex(algorithm, a2)
    if qop:
        return hash_hex(algorithm, b":".join([ha1, nonce, nc, cnonce, qop, ha2]))
    return hash_hex(algorithm, b":".join([ha1, nonce, ha2]))


def ha2_of_register(algorithm: Algorithm, uri: bytes) -> bytes:
    """Return H(REGISTER:uri): the registrars of many accounts are few."""
    key = (algorithm.hash_name, uri)
    known = _OF_REGISTRARS.get(key)
    if known is None:
        known = hash_hex(algorithm, b"REGISTER:" + uri)
        if len(_OF_REGISTRARS) >= MOST_REGISTRARS:
            _OF_REGISTRARS.clear()
        _OF_REGISTRARS[key] = known
    return known
