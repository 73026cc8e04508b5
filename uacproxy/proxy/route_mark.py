"""A mark in our Record-Route that says the dialog began here (RFC 3261 16.6 step 4).

Whoever puts our address into a Route and makes up a To tag would otherwise pass for a
party of a dialog, and dialogs route themselves. The mark binds our entry to Call-ID and
caller's tag; without it a request is refused, for it is of no dialog that began here. It
is no protection against the parties themselves, who know it.
"""

from __future__ import annotations

from binascii import hexlify
from hashlib import blake2b
from typing import Any, Final, final

from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri

PARAM: Final = b"ck"
_LENGTH: Final = 8  # octets
_PERSON: Final = b"route mark"
MOST_KEPT: Final = 4096  # marks remembered; a forgotten one is computed again


@final
class RouteMark:
    """Makes and checks marks; the first key makes, all are accepted."""

    __slots__ = ("_begun", "_made")

    def __init__(self, keys: list[bytes]) -> None:
        self._begun: list[Any] = [
            blake2b(digest_size=_LENGTH, key=key, person=_PERSON) for key in keys
        ]
        self._made: dict[bytes, bytes] = {}  # what recent marks are of: most ACKs come soon

    def mark(self, call_id: bytes, caller_tag: bytes) -> bytes:
        """Return the mark for a request that may begin a dialog."""
        made = _mark(self._begun[0], call_id, caller_tag)
        self._remember(made, call_id + b"\n" + caller_tag)
        return made

    def fits(self, own: Uri, request: Message) -> bool:
        """Tell whether our Route entry was made for the dialog of this request."""
        given = own.param(PARAM)
        if given is None:
            return False
        call_id = request.call_id
        # either side may be the caller; what ``ftag`` says of it may have been altered
        tags = (request.from_.tag, request.to.tag)
        known = self._made.get(given)
        if known is not None:
            for tag in tags:
                if known == call_id + b"\n" + tag:
                    return True
        for begun in self._begun:
            for tag in tags:
                if given == _mark(begun, call_id, tag):
                    self._remember(given, call_id + b"\n" + tag)
                    return True
        return False

    def _remember(self, mark: bytes, of: bytes) -> None:
        if len(self._made) >= MOST_KEPT:
            self._made.clear()
        self._made[mark] = of


def _mark(begun: Any, call_id: bytes, tag: bytes) -> bytes:
    made = begun.copy()
    made.update(call_id + b"\n" + tag)
    return hexlify(made.digest())
