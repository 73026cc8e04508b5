"""Credentials: who we are for a realm, and the secret that proves it.

They come from ``credential`` lines, from accounts and from scripts. Nothing here prints
a secret: neither ``repr`` nor an error holds one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, final

from uacproxy.sip.digest_hash import Algorithm, compute_ha1
from uacproxy.sip.grammar import octets_of
from uacproxy.uac.settings import StaticCredential
from uacproxy.uac.settings import parse_credential as parse_line

_CONTROLS: Final = bytes(range(0x20)) + b"\x7f"


@final
class Credential:
    """A username with a password or an HA1 for one realm, or for any (realm b"")."""

    __slots__ = (
        "_computed",
        "_ha1",
        "_ha1_hash",
        "_ha1s",
        "_password",
        "can_be_sent",
        "realm",
        "username",
    )

    def __init__(
        self,
        username: bytes,
        realm: bytes,
        password: bytes = b"",
        *,
        ha1: bytes = b"",
        ha1_algorithm: bytes = b"",
        ha1s: dict[bytes, bytes] | None = None,
    ) -> None:
        """Keep what proves a user.

        Args:
            username: as it goes on the wire, without quotes.
            realm: compared octet by octet; b"" fits any.
            password: may be empty where ``ha1`` is given.
            ha1: hexadecimal H(username:realm:password); wins over ``password``.
            ha1_algorithm: its hash; b"" where only its length tells: 32 digits are MD5,
                64 are taken for whatever of that length the peer asks for.
            ha1s: further ones by the name of their hash, ``b"SHA-256"``; each wins for its own.
        """
        self.username = username
        self.can_be_sent = username.translate(None, _CONTROLS) == username  # in a field
        self.realm = realm
        self._password = password
        self._ha1 = ha1.lower()
        self._ha1_hash = ha1_algorithm.removesuffix(b"-sess").upper()
        self._ha1s = {} if ha1s is None else ha1s
        self._computed: tuple[bytes, bytes, bytes] | None = None  # hash, realm, HA1

    def fits(self, realm: bytes) -> bool:
        """Tell whether this is a credential for ``realm``."""
        return not self.realm or self.realm == realm

    def can_answer(self, algorithm: Algorithm) -> bool:
        """Tell whether an HA1 can be had for this algorithm."""
        if algorithm.hash_name in self._ha1s:
            return True
        if not self._ha1:
            return not self._ha1s or len(self._password) > 0
        if self._ha1_hash and self._ha1_hash != algorithm.hash_name:
            return False
        return len(self._ha1) == algorithm.digits

    def ha1(self, algorithm: Algorithm, realm: bytes) -> bytes:
        """Return the HA1 for a realm this credential fits; ask ``can_answer`` before."""
        known = self._ha1s.get(algorithm.hash_name)
        if known is not None:
            return known
        if self._ha1:
            return self._ha1
        computed = self._computed
        if computed is None or computed[0] != algorithm.hash_name or computed[1] != realm:
            ha1 = compute_ha1(algorithm, self.username, realm, self._password)
            computed = (algorithm.hash_name, realm, ha1)
            self._computed = computed
        return computed[2]

    def __repr__(self) -> str:
        """Show everything but the secret."""
        return f"Credential(username={self.username!r}, realm={self.realm!r})"


def credential_of(line: StaticCredential) -> Credential:
    """Return the credential an operator wrote as a ``credential`` line."""
    return Credential(octets_of(line.user), octets_of(line.realm), octets_of(line.password))


def parse_credential(line: str) -> Credential:
    """Parse ``user:realm:password``, white space allowed around the first two colons.

    User and realm hold neither colon nor white space; the password may hold colons.

    Raises:
        ValueError: with nothing of the line in it.
    """
    return credential_of(parse_line(line.strip()))


@final
class CredentialList:
    """Credentials in the order an operator wrote them; of those for one realm the last wins."""

    def __init__(
        self, credentials: Iterable[Credential] = (), *, first: Credential | None = None
    ) -> None:
        self._all = tuple(credentials)
        self._first = first
        self._by_realm = {credential.realm: credential for credential in self._all}
        self._of_users: dict[bytes, CredentialList] = {}

    def __len__(self) -> int:
        """Return how many credentials there are."""
        return len(self._all) + (self._first is not None)

    def __iter__(self) -> Iterator[Credential]:
        """Give all of them, the preferred one first."""
        return iter(self.all)

    @property
    def all(self) -> tuple[Credential, ...]:
        """Return all of them, the preferred one first."""
        return self._all if self._first is None else (self._first, *self._all)

    def pick(self, realm: bytes) -> Credential | None:
        """Return the preferred one if it fits, else that of this very realm, else that of any."""
        if self._first is not None and self._first.fits(realm):
            return self._first
        exact = self._by_realm.get(realm)
        return exact if exact is not None else self._by_realm.get(b"")

    def with_first(self, credential: Credential) -> CredentialList:
        """Return a list that prefers ``credential`` wherever it fits."""
        return CredentialList(self._all, first=credential)

    def of_user(self, username: bytes) -> CredentialList:
        """Return a list of what ``username`` has."""
        found = self._of_users.get(username)
        if found is None:
            found = CredentialList([one for one in self.all if one.username == username])
            if len(found):  # whoever else is named is not remembered: there is no end of names
                self._of_users[username] = found
        return found
