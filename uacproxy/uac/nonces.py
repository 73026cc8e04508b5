"""Nonces kept for the next request, so that it need not be challenged (RFC 7616 3.4, 3.6).

Some servers make a nonce for one request alone. Answers to it sent ahead only cost them and
us, so after a few that were refused the server is let ask first, and tried again later.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from uacproxy.sip.digest import Challenge
from uacproxy.sip.message import Message

MAX_REALMS: Final = 8  # of one peer; further ones push the oldest out
MAX_KINDS: Final = 32  # of requests one realm challenges
REFUSED_MOST: Final = 3  # answers ahead in a row; then its challenges are waited for
WAITS_FIRST: Final = 16  # challenges until the next answer ahead; twice as many each time
WAITS_LONGEST: Final = 1024


def kind_of(request: Message) -> bytes:
    """Return what challenges go by: the method, and whether the request is inside a dialog."""
    return request.method + b" inside" if request.to.tag else request.method


@final
class KnownNonce:
    """The newest challenge of one realm, and how often its nonce has been used."""

    __slots__ = ("asked", "challenge", "name", "nc", "refused", "waits")

    def __init__(self, name: bytes, challenge: Challenge) -> None:
        self.asked: list[bytes] = []  # kinds of requests that were challenged
        self.name = name  # AUTHORIZATION or PROXY_AUTHORIZATION
        self.challenge = challenge
        self.nc = 0
        self.refused = 0  # answers ahead in a row
        self.waits = 0  # for so many challenges before it is answered ahead again

    def take_after(self, old: KnownNonce) -> None:
        """Know of the realm what its former challenge did."""
        if old.challenge.nonce == self.challenge.nonce:
            self.nc = old.nc
        self.asked = old.asked
        self.refused = old.refused
        self.waits = old.waits

    def ahead_refused(self) -> None:
        """Hear that an answer nobody had asked for was challenged."""
        self.refused += 1
        if self.refused >= REFUSED_MOST:
            doubled = min(self.refused - REFUSED_MOST, 16)
            self.waits = min(WAITS_FIRST << doubled, WAITS_LONGEST)


@final
class NonceBook:
    """What each peer asked each user last; the pair not used for longest gives way.

    A peer is whatever octets the caller names it by: the registrar of an account, the
    next hop of a trunk.
    """

    def __init__(self, max_entries: int = 10000) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[tuple[bytes, bytes], list[KnownNonce]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many pairs of user and peer there are."""
        return len(self._entries)

    def remember(
        self,
        username: bytes,
        peer: bytes,
        name: bytes,
        challenge: Challenge,
        kind: bytes = b"",
        *,
        nc: int = 0,
    ) -> None:
        """Note a challenge in place of the realm's former one; the same nonce keeps its count.

        Args:
            username: who was asked.
            peer: by whom.
            name: of the field to answer in.
            challenge: what was asked.
            kind: of the request that was challenged, from ``kind_of``.
            nc: uses so far of a nonce that is new to the book.
        """
        key = (username, peer)
        known = self._entries.get(key)
        if known is None:
            known = []
            self._entries[key] = known
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        fresh = KnownNonce(name, challenge)
        fresh.nc = nc
        for at, old in enumerate(known):
            if old.name == name and old.challenge.realm == challenge.realm:
                fresh.take_after(old)
                del known[at]
                break
        if kind:
            if kind not in fresh.asked:
                fresh.asked = [*fresh.asked[1 - MAX_KINDS :], kind]
            if fresh.waits:
                fresh.waits -= 1
        known.append(fresh)
        if len(known) > MAX_REALMS:
            del known[0]

    def renew(self, username: bytes, peer: bytes, name: bytes, realm: bytes, nonce: bytes) -> None:
        """Take the nonce a peer wants to see next (``nextnonce``, RFC 7616 3.5)."""
        for known in self.known(username, peer):
            if known.name == name and known.challenge.realm == realm:
                known.refused = known.waits = 0  # it says itself that this one is of use
                if known.challenge.nonce != nonce:
                    self.remember(username, peer, name, known.challenge.with_nonce(nonce))
                return

    def ahead_refused(self, username: bytes, peer: bytes, name: bytes, realm: bytes) -> None:
        """Hear that an answer ahead was challenged, the challenge being noted already."""
        for known in self.known(username, peer):
            if known.name == name and known.challenge.realm == realm:
                known.ahead_refused()

    def ahead_taken(self, username: bytes, peer: bytes, name: bytes, realm: bytes) -> None:
        """Hear that an answer ahead was as good as one to a challenge."""
        for known in self.known(username, peer):
            if known.name == name and known.challenge.realm == realm:
                known.refused = 0
                known.waits = 0

    def next_nc(self, username: bytes, peer: bytes, name: bytes, challenge: Challenge) -> int:
        """Count one more use of this nonce and return which it is; one not remembered is at 1."""
        for known in self.known(username, peer):
            if known.name == name and known.challenge.nonce == challenge.nonce:
                if known.challenge.realm == challenge.realm:
                    known.nc += 1
                    return known.nc
        return 1

    def known(self, username: bytes, peer: bytes) -> list[KnownNonce]:
        """Return what there is for a user at a peer, one per field name and realm."""
        key = (username, peer)
        known = self._entries.get(key)
        if known is None:
            return []
        self._entries.move_to_end(key)
        return known.copy()

    def forget(self, username: bytes, peer: bytes) -> None:
        """Drop all of a user at a peer, as when the account is gone."""
        self._entries.pop((username, peer), None)
