"""A mark in our Record-Route that says the dialog began here (RFC 3261 16.6 step 4).

Whoever puts our address into a Route and makes up a To tag would otherwise pass for a
party of a dialog, and dialogs route themselves. The mark binds our entry to Call-ID and
caller's tag; without it a request is refused, for it is of no dialog that began here.
Where the caller is hidden, the policy is bound as well: neither can a callee take that out
of its Route, nor pass for the caller, whom the mark knows whatever ``ftag`` says. Against
parties that route as they are told it is no protection: they know it.
"""

from __future__ import annotations

from binascii import hexlify
from hashlib import blake2b
from typing import Any, Final, final

from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri
from uacproxy.uac.hiding import policy_of_route, route_value

PARAM: Final = b"ck"
_LENGTH: Final = 8  # octets
_PERSON: Final = b"route mark"
MOST_KEPT: Final = 4096  # marks remembered; a forgotten one is computed again
_LONGEST_KEPT: Final = 512  # octets of what a remembered mark is of


@final
class RouteMark:
    """Makes and checks marks; the first key makes, all are accepted."""

    __slots__ = ("_begun", "_made")

    def __init__(self, keys: list[bytes]) -> None:
        self._begun: list[Any] = [
            blake2b(digest_size=_LENGTH, key=key, person=_PERSON) for key in keys
        ]
        self._made: dict[bytes, bytes] = {}  # what recent marks are of: most ACKs come soon

    def mark(self, call_id: bytes, caller_tag: bytes, hidden: bytes = b"") -> bytes:
        """Return the mark for a request that may begin a dialog.

        Args:
            call_id: of the request.
            caller_tag: of its From.
            hidden: the policy by which the caller is hidden, as in our Record-Route.
        """
        of = _what(call_id, caller_tag, hidden)
        made = _mark(self._begun[0], of)
        self._remember(made, of)
        return made

    def direction(self, own: Uri, request: Message) -> bool | None:
        """Tell whether a request goes toward the callee, None where our entry is not of its dialog.

        Args:
            own: our Route entry.
            request: as it came; where both tags are the same, the caller's.
        """
        given = own.param(PARAM)
        if given is None:
            return None
        policy = policy_of_route(own)
        hidden = b"" if policy is None else route_value(policy)
        call_id = request.call_id
        from_caller = _what(call_id, request.from_.tag, hidden)
        from_callee = _what(call_id, request.to.tag, hidden)
        known = self._made.get(given)
        if known is not None:
            if known == from_caller:
                return True
            if known == from_callee:
                return False
        for begun in self._begun:
            if given == _mark(begun, from_caller):
                self._remember(given, from_caller)
                return True
            if given == _mark(begun, from_callee):
                self._remember(given, from_callee)
                return False
        return None

    def _remember(self, mark: bytes, of: bytes) -> None:
        if len(of) > _LONGEST_KEPT:
            return
        if len(self._made) >= MOST_KEPT:
            self._made.clear()
        self._made[mark] = of


def _what(call_id: bytes, tag: bytes, hidden: bytes) -> bytes:
    """Return what a mark is of; no part can hold a line's end."""
    of = call_id + b"\n" + tag
    return of + b"\n" + hidden if hidden else of


def _mark(begun: Any, of: bytes) -> bytes:
    made = begun.copy()
    made.update(of)
    return hexlify(made.digest())
