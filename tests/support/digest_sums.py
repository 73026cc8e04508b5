"""Digest responses computed anew, by hashlib and the RFC's formulas alone (RFC 7616 3.4).

The service's own sums are what tests doubt, so nothing of the package is imported here.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_PAIR = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')
_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}


class Answer(NamedTuple):
    """What a request says in answer to one challenge."""

    field: str  # authorization or proxy-authorization
    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str  # "" where none is named
    qop: str  # "" for none; so the next two
    nc: str
    cnonce: str
    opaque: str

    def is_right(self, password: str, method: str, body: bytes = b"") -> bool:
        """Tell whether somebody who knows the password has made it for this request."""
        return self.response == compute(self, password, method, body)


def read_answer(field: str, value: str) -> Answer:
    """Read the value of an Authorization or Proxy-Authorization field."""
    scheme, _, rest = value.strip().partition(" ")
    assert scheme == "Digest", value
    found = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(rest)}
    return Answer(field, *(found.get(name, "") for name in Answer._fields[1:]))


def compute(answer: Answer, password: str, method: str, body: bytes = b"") -> str:
    """Return what ``response`` has to be."""
    algorithm = answer.algorithm.lower()
    name = algorithm.removesuffix("-sess") or "md5"

    def digest(octets: bytes) -> str:
        return hashlib.new(_HASHES[name], octets).hexdigest()

    def of(*words: str) -> str:
        return digest(":".join(words).encode())

    ha1 = of(answer.username, answer.realm, password)
    if algorithm.endswith("-sess"):
        ha1 = of(ha1, answer.nonce, answer.cnonce)
    entity = [digest(body)] if answer.qop == "auth-int" else []
    ha2 = of(method, answer.uri, *entity)
    if not answer.qop:
        return of(ha1, answer.nonce, ha2)
    return of(ha1, answer.nonce, answer.nc, answer.cnonce, answer.qop, ha2)
