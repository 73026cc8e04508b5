"""A mark in our Record-Route that says the dialog began here (RFC 3261 16.6 step 4).

Whoever puts our address into a Route and makes up a To tag would otherwise pass for a
party of a dialog, and dialogs route themselves. The mark binds our entry to Call-ID and
caller's tag; without it a request is a new one, for the script to judge. It is no
protection against the parties themselves, who know it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from uacproxy.sip.grammar import unescape
from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri

PARAM: Final = b"ck"
_LENGTH: Final = 8  # octets
_PERSON: Final = b"route mark"


@final
class RouteMark:
    """Makes and checks marks; the first key makes, all are accepted."""

    __slots__ = ("_keys",)

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = keys

    def mark(self, call_id: bytes, caller_tag: bytes) -> bytes:
        """Return the mark for a request that may begin a dialog."""
        return _mark(self._keys[0], call_id, caller_tag)

    def fits(self, own: Uri, request: Message) -> bool:
        """Tell whether our Route entry was made for the dialog of this request."""
        given = own.param(PARAM)
        tag = unescape(own.param(b"ftag") or b"")
        if given is None or (tag != request.from_.tag and tag != request.to.tag):
            return False
        call_id = request.call_id
        return given in [_mark(key, call_id, tag) for key in self._keys]


def _mark(key: bytes, call_id: bytes, tag: bytes) -> bytes:
    made = blake2b(call_id + b"\n" + tag, digest_size=_LENGTH, key=key, person=_PERSON)
    return made.hexdigest().encode("ascii")
