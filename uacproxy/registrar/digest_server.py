"""Digest as the server side: nonces that need no memory, and their check.

RFC 7616 3.3 and 3.4, RFC 3261 22, RFC 8760. A nonce carries the time it was made and a
seal of ours, so any number of requests may be challenged and none be remembered. What is
remembered is how often a nonce was used, from the first success on, in bounded space.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, final

from uacproxy.errors import OwnMistake
from uacproxy.sip.digest import Challenge, DigestCredentials
from uacproxy.sip.digest_hash import AUTH, Algorithm, compute_response, find_algorithm
from uacproxy.sip.grammar import HEX
from uacproxy.sip.message import Message

MAX_NONCES: Final = 10000  # whose uses are counted at a time

_TIME_DIGITS: Final = 12  # ms of the epoch
_SERIAL_DIGITS: Final = 8
_SEAL_DIGITS: Final = 32
_NONCE_LENGTH: Final = _TIME_DIGITS + _SERIAL_DIGITS + _SEAL_DIGITS


class Verdict(IntEnum):
    """What a proof is worth."""

    OK = 0
    STALE = 1  # the secret is right, the nonce is not any more: to be asked again
    REJECTED = 2


@final
class DigestServer:
    """One realm and its nonces.

    Several instances with the same key accept each other's nonces; a key made anew at
    each start makes those of before stale, no more.
    """

    def __init__(
        self,
        realm: bytes,
        key: bytes,
        now_utc: Callable[[], float],
        nonce_lifetime: float,
        *,
        algorithms: Sequence[bytes] = (b"MD5",),
        max_nonces: int = MAX_NONCES,
    ) -> None:
        """Keep what nonces are made of.

        Args:
            realm: named in every challenge.
            key: secret, 16 octets at least.
            now_utc: s of the epoch.
            nonce_lifetime: s.
            algorithms: offered in this order, one challenge each. The HA1s to verify
                against must be of the one that is used.
            max_nonces: when more are in use, the oldest become stale early.
        """
        self.realm = realm
        self._key = key
        self._now_utc = now_utc
        self._lifetime = nonce_lifetime
        self._max_nonces = max_nonces
        self._serial = 0
        self._uses: OrderedDict[bytes, int] = OrderedDict()  # nonce to the highest nc seen
        self._forgotten_at = 0  # ms of the epoch; an unknown nonce this old may be a replay
        self._algorithms: list[Algorithm] = []
        for name in algorithms:
            algorithm = find_algorithm(name)
            if algorithm is None or algorithm.is_session:
                raise OwnMistake(f"no algorithm to offer: {name!r}")
            self._algorithms.append(algorithm)

    def challenges(self, *, stale: bool = False) -> list[bytes]:
        """Return a value for each WWW-Authenticate or Proxy-Authenticate field, best first."""
        nonce = self._new_nonce()
        return [
            Challenge(
                realm=self.realm,
                nonce=nonce,
                qop=[AUTH],
                algorithm=algorithm.name,
                stale=stale,
            ).encode()
            for algorithm in self._algorithms
        ]

    def verify(self, request: Message, credentials: DigestCredentials, ha1: bytes) -> Verdict:
        """Check a proof, and count the use of its nonce where it is good.

        The ``uri`` that was signed need not be the Request-URI: a proxy may have
        retargeted the request on its way here (RFC 3261 22.4).

        Args:
            request: as received; only its method counts, as only ``auth`` is offered.
            credentials: for our realm; others are rejected.
            ha1: of ``credentials.username``, in hexadecimal digits.
        """
        algorithm = find_algorithm(credentials.algorithm)
        if credentials.realm != self.realm or algorithm not in self._algorithms:
            return Verdict.REJECTED
        assert algorithm is not None
        if credentials.qop not in (b"", AUTH) or len(ha1) != algorithm.digits:
            return Verdict.REJECTED
        expected = compute_response(
            algorithm,
            ha1=ha1.lower(),
            nonce=credentials.nonce,
            method=request.method,
            uri=credentials.uri,
            qop=credentials.qop,
            nc=credentials.nc,
            cnonce=credentials.cnonce,
        )
        if not hmac.compare_digest(expected, credentials.response.lower()):
            return Verdict.REJECTED
        return self._count_use(credentials)

    def _new_nonce(self) -> bytes:
        self._serial = (self._serial + 1) % 16**_SERIAL_DIGITS
        made_at = int(self._now_utc() * 1000) % 16**_TIME_DIGITS
        return self._sealed(b"%012x%08x" % (made_at, self._serial))

    def _sealed(self, head: bytes) -> bytes:
        seal = hmac.new(self._key, head + self.realm, hashlib.sha256).hexdigest()
        return head + seal[:_SEAL_DIGITS].encode("ascii")

    def _made_at(self, nonce: bytes) -> int | None:
        """Return when a nonce of ours was made, ms of the epoch; None for any other."""
        if len(nonce) != _NONCE_LENGTH or nonce.translate(None, HEX):
            return None
        if not hmac.compare_digest(self._sealed(nonce[:-_SEAL_DIGITS]), nonce):
            return None
        return int(nonce[:_TIME_DIGITS], 16)

    def _count_use(self, credentials: DigestCredentials) -> Verdict:
        """Accept each nc of a nonce once, in rising order; without qop the nonce itself once."""
        nonce = credentials.nonce
        made_at = self._made_at(nonce)
        if made_at is None or not self._is_fresh(made_at):
            return Verdict.STALE
        nc = 1
        if credentials.qop:
            if len(credentials.nc) != 8 or credentials.nc.translate(None, HEX):
                return Verdict.REJECTED
            nc = int(credentials.nc, 16)
        last = self._uses.get(nonce)
        if last is None:
            if made_at <= self._forgotten_at:
                return Verdict.STALE
            last = 0
        if nc <= last:
            return Verdict.STALE
        self._uses[nonce] = nc
        self._forget_old()
        return Verdict.OK

    def _is_fresh(self, made_at: int) -> bool:
        age = self._now_utc() - made_at / 1000
        return -1.0 <= age <= self._lifetime  # instances' clocks differ by a little

    def _forget_old(self) -> None:
        """Drop the nonce first used longest ago while it is stale anyway, or there are too many."""
        while self._uses:
            oldest = next(iter(self._uses))
            made_at = int(oldest[:_TIME_DIGITS], 16)
            if self._is_fresh(made_at) and len(self._uses) <= self._max_nonces:
                return
            del self._uses[oldest]
            self._forgotten_at = max(self._forgotten_at, made_at)
