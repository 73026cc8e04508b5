"""A mark in our Record-Route that says the dialog began here (RFC 3261 16.6 step 4).

Whoever puts our address into a Route and makes up a To tag would otherwise pass for a
party of a dialog, and dialogs route themselves. The mark binds our entry to Call-ID and
caller's tag; without it a request is refused, for it is of no dialog that began here. It
is no protection against the parties themselves, who know it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

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
        if given is None:
            return False
        call_id = request.call_id
        for key in self._keys:
            # either side may be the caller; what ``ftag`` says of it may have been altered
            if given == _mark(key, call_id, request.from_.tag):
                return True
            if given == _mark(key, call_id, request.to.tag):
                return True
        return False


def _mark(key: bytes, call_id: bytes, tag: bytes) -> bytes:
    made = blake2b(call_id + b"\n" + tag, digest_size=_LENGTH, key=key, person=_PERSON)
    return made.hexdigest().encode("ascii")
