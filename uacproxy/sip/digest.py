"""Digest challenges and credentials on the wire.

RFC 7616 3.3 and 3.4, RFC 3261 20.7, 20.27, 20.28 and 20.44. What is computed from them
is in ``digest_hash``; who asks and who answers is for ``registrar`` and ``uac``.

Reading is tolerant, since servers write what they like: parameters in any order,
quoted or not, apart by commas or white space, several challenges in one field or in
several. What cannot be understood is left out; nobody is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, final

from uacproxy.sip import scan
from uacproxy.sip.grammar import is_token, quote, unquote
from uacproxy.sip.message import Message

DIGEST: Final = b"digest"

_AUTH: Final = b"auth"
_USUAL: Final = b"MD5"

_GAP: Final = re.compile(rb"[ \t\r\n,]*")
_WORD: Final = re.compile(rb"([A-Za-z0-9\-.!%*_+`'~]+)[ \t\r\n]*(=?)[ \t\r\n]*")
_QUOTED: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_CONTROLS: Final = bytes(range(0x20)).replace(b"\t", b"") + b"\x7f"
_BARE: Final = re.compile(rb'[^ \t\r\n,"]*')


@final
class Challenge:
    """One challenge; those of other schemes say no more than their scheme and realm."""

    __slots__ = (
        "algorithm",
        "nonce",
        "opaque",
        "qop",
        "raw",
        "realm",
        "scheme",
        "stale",
        "userhash",
    )

    def __init__(
        self,
        *,
        realm: bytes,
        nonce: bytes,
        scheme: bytes = DIGEST,
        opaque: bytes | None = None,
        qop: Sequence[bytes] = (),
        algorithm: bytes = b"",
        stale: bool = False,
        userhash: bool = False,
        raw: bytes = b"",
    ) -> None:
        self.scheme = scheme  # lower case
        self.realm = realm  # here and below: escapes removed
        self.nonce = nonce
        self.opaque = opaque  # None when absent, b"" when empty
        self.qop = list(qop)  # as spelled, in order; empty: none offered
        self.algorithm = algorithm  # as spelled, b"" when absent
        self.stale = stale
        self.userhash = userhash
        self.raw = raw  # its own octets in the field

    @property
    def is_digest(self) -> bool:
        """Tell whether it can be answered at all."""
        return self.scheme == DIGEST

    def with_nonce(self, nonce: bytes) -> Challenge:
        """Return what the server would ask for if it challenged with this nonce now."""
        return Challenge(
            realm=self.realm,
            nonce=nonce,
            scheme=self.scheme,
            opaque=self.opaque,
            qop=self.qop,
            algorithm=self.algorithm,
            userhash=self.userhash,
        )

    def encode(self) -> bytes:
        """Return the field value a server sends."""
        parts = [b"realm=" + quote(self.realm), b"nonce=" + quote(self.nonce)]
        if self.opaque is not None:
            parts.append(b"opaque=" + quote(self.opaque))
        if self.stale:
            parts.append(b"stale=true")
        if self.algorithm:
            parts.append(b"algorithm=" + self.algorithm)
        if self.qop:
            parts.append(b"qop=" + quote(b",".join(self.qop)))
        return b"Digest " + b", ".join(parts)

    def __repr__(self) -> str:
        """Show what tells challenges apart."""
        return f"Challenge(realm={self.realm!r}, algorithm={self.algorithm!r}, qop={self.qop!r})"


@final
class DigestCredentials:
    """What a client proves with: the content of Authorization or Proxy-Authorization."""

    __slots__ = (
        "algorithm",
        "cnonce",
        "nc",
        "nonce",
        "opaque",
        "qop",
        "realm",
        "response",
        "uri",
        "username",
    )

    def __init__(
        self,
        *,
        username: bytes,
        realm: bytes,
        nonce: bytes,
        uri: bytes,
        response: bytes,
        opaque: bytes | None = None,
        qop: bytes = b"",
        nc: bytes = b"",
        cnonce: bytes = b"",
        algorithm: bytes = b"",
    ) -> None:
        self.username = username
        self.realm = realm
        self.nonce = nonce
        self.uri = uri  # b"" when absent, as in the example of RFC 3261 20.28
        self.response = response
        self.opaque = opaque
        self.qop = qop
        self.nc = nc  # as written; eight hexadecimal digits where it is sound
        self.cnonce = cnonce
        self.algorithm = algorithm

    def encode(self) -> bytes:
        """Return the field value, in the order and with the quotes that peers are used to."""
        parts = [
            b"Digest username=",
            quote(self.username),
            b", realm=",
            quote(self.realm),
            b", nonce=",
            quote(self.nonce),
            b", uri=",
            quote(self.uri),
        ]
        if self.opaque is not None:
            parts.append(b", opaque=")
            parts.append(quote(self.opaque))
        if self.qop:
            parts.append(b", qop=" + self.qop)
            parts.append(b", nc=" + self.nc)
            parts.append(b", cnonce=")
            parts.append(quote(self.cnonce))
        parts.append(b", response=")
        parts.append(quote(self.response))
        if self.algorithm:
            parts.append(b", algorithm=")
            parts.append(self.algorithm)
        return b"".join(parts)

    def __repr__(self) -> str:
        """Show who speaks; the response is left out, a dictionary could be tried on it."""
        return f"DigestCredentials(username={self.username!r}, realm={self.realm!r})"


def parse_challenges(message: Message, name: bytes) -> list[Challenge]:
    """Return every challenge in the fields called ``name``, in the order of the message.

    Challenges of other schemes than Digest are among them; malformed ones are not.
    """
    found: list[Challenge] = []
    for value in message.fields(name):
        found.extend(read_challenges(value))
    return found


def read_challenges(value: bytes) -> list[Challenge]:
    """Return every challenge in one field value, malformed ones left out."""
    found: list[Challenge] = []
    for part in _split(value):
        params = part.params
        if part.scheme == DIGEST and (not part.is_sound or not params.get(b"nonce")):
            continue
        if part.scheme == DIGEST and b"realm" not in params:
            continue
        algorithm = params.get(b"algorithm", b"")
        if algorithm and algorithm != _USUAL and not is_token(algorithm):
            continue
        found.append(
            Challenge(
                scheme=part.scheme,
                realm=params.get(b"realm", b""),
                nonce=params.get(b"nonce", b""),
                opaque=params.get(b"opaque"),
                qop=_words(params.get(b"qop", b"")),
                algorithm=algorithm,
                stale=params.get(b"stale", b"").lower() == b"true",
                userhash=params.get(b"userhash", b"").lower() == b"true",
                raw=value[part.begin : part.end],
            )
        )
    return found


def _words(value: bytes) -> list[bytes]:
    if value == _AUTH or is_token(value):
        return [value]  # most servers offer one
    return [word for word in re.split(rb"[\s,]+", value) if word]


def read_next_nonce(value: bytes) -> bytes:
    """Return ``nextnonce`` of an Authentication-Info field, b"" where there is none to use.

    The field holds parameters without a scheme (RFC 7616 3.5).
    """
    parts = _split(b"Digest " + value)
    if len(parts) != 1 or not parts[0].is_sound:
        return b""
    return parts[0].params.get(b"nextnonce", b"")


def remove_credentials(message: Message, name: bytes, realm: bytes) -> None:
    """Remove the Digest credentials for a realm from the fields called ``name``."""
    if message.has(name):
        message.remove_where(name, lambda value: _is_for(value, realm))


def _is_for(value: bytes, realm: bytes) -> bool:
    for part in _split(value):
        if part.scheme == DIGEST and part.params.get(b"realm") == realm:
            return True
    return False


def parse_credentials(message: Message, name: bytes) -> list[DigestCredentials]:
    """Return the Digest credentials in the fields called ``name``, malformed ones left out.

    Other schemes are as if they were not there (RFC 4475 3.3.7).
    """
    found: list[DigestCredentials] = []
    for value in message.fields(name):
        for part in _split(value):
            if part.scheme == DIGEST and part.is_sound:
                credentials = _credentials(part.params)
                if credentials is not None:
                    found.append(credentials)
    return found


def _credentials(params: dict[bytes, bytes]) -> DigestCredentials | None:
    for name in (b"username", b"realm", b"nonce", b"response"):
        if name not in params:
            return None
    return DigestCredentials(
        username=params[b"username"],
        realm=params[b"realm"],
        nonce=params[b"nonce"],
        uri=params.get(b"uri", b""),
        response=params[b"response"],
        opaque=params.get(b"opaque"),
        qop=params.get(b"qop", b""),
        nc=params.get(b"nc", b""),
        cnonce=params.get(b"cnonce", b""),
        algorithm=params.get(b"algorithm", b""),
    )


@final
class _Part:
    """A scheme and the parameters behind it."""

    __slots__ = ("begin", "end", "is_sound", "params", "scheme")

    def __init__(self, scheme: bytes, begin: int, end: int) -> None:
        self.scheme = scheme
        self.begin = begin
        self.end = end
        self.params: dict[bytes, bytes] = {}
        self.is_sound = True

    def add(self, name: bytes, value: bytes, end: int) -> None:
        """Take a parameter; one with two values, or one that would not pass as text, spoils all."""
        if (
            self.params.setdefault(name, value) != value
            or value.translate(None, _CONTROLS) != value
        ):
            self.is_sound = False
        self.end = end


def _split(value: bytes) -> list[_Part]:
    """Cut a field value where a word that is no parameter's name begins another scheme."""
    params = scan.digest(value)
    if params is None:
        return split_step_by_step(value)
    part = _Part(DIGEST, 0, len(value))
    part.params = params
    return [part]


def split_step_by_step(value: bytes) -> list[_Part]:
    """Cut a field value as ``_split`` does, whatever it looks like."""
    parts: list[_Part] = []
    part = _Part(b"", 0, 0)  # takes what stands before the first scheme; nobody reads it
    at = _end(_GAP, value, 0)
    while at < len(value):
        word = _WORD.match(value, at)
        if word is None:
            part.is_sound = False
            at = _behind_junk(value, at)
        elif not word[2]:
            part = _Part(word[1].lower(), at, word.end(1))
            parts.append(part)
            at = word.end()
        else:
            begin = word.end()
            if value[begin : begin + 1] != b'"':
                at = _end(_BARE, value, begin)
            else:
                at = _end(_QUOTED, value, begin)
                if at == begin:  # it never closes: all the rest is inside
                    part.is_sound = False
                    break
            part.add(word[1].lower(), unquote(value[begin:at]), at)
        at = _end(_GAP, value, at)
    return parts


def _end(pattern: re.Pattern[bytes], value: bytes, at: int) -> int:
    """Return where a match that begins at ``at`` ends; ``at`` itself without a match."""
    match = pattern.match(value, at)
    return at if match is None else match.end()


def _behind_junk(value: bytes, at: int) -> int:
    quoted = _end(_QUOTED, value, at)
    if quoted > at:
        return quoted
    comma = value.find(b",", at)
    return len(value) if comma < 0 else comma
