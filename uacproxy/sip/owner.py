"""Which of several workers a message belongs to, from its octets alone.

Every message of a call goes to one worker, with no table of who has what: a request to the
one that its Call-ID names, a REGISTER to the one that the user of its To names (so that
bindings of one user are changed by one worker only), a response to the one whose token is
the branch of our Via, up to a dot, behind which the proxy has its loop mark. The tokens a
worker draws name itself (``OwnTokens``), so calls and registrations of its own come back to
it as well.

The message is not parsed for that: ``_scan.c`` finds the field, or the expressions below,
which say the same. What names nobody belongs to whoever has it.
"""

from __future__ import annotations

import re
from typing import Final

from uacproxy.sip import scan
from uacproxy.sip.token_hash import hash_of

NOBODY: Final = -1

_HEAD_END: Final = re.compile(rb"\n\r?\n")
_FIELDS: Final = re.compile(rb"\n(via|v|call-id|i|to|t)[ \t]*:((?:[^\n]|\n[ \t])*)", re.IGNORECASE)
_BRANCH: Final = re.compile(rb"(?i:branch)=z9hG4bK([^.;, \t\r\n]+)")
_USER: Final = re.compile(rb"(?i:sips?):([^@<>;, \t\r\n]*)(@?)")
_WORD: Final = re.compile(rb"[ \t\r\n]*([^ \t\r\n]+)")


def owner_of(octets: bytes, workers: int) -> int:
    """Return the worker of a message, 0 to ``workers`` - 1, or ``NOBODY``.

    Args:
        octets: of a message, sound or not.
        workers: how many there are.
    """
    found = scan.owner(octets, workers)
    return find_owner(octets, workers) if found is None else found


def find_owner(octets: bytes, workers: int) -> int:
    """Do what ``owner_of`` does, without C."""
    octets = octets.lstrip(b"\r\n")
    end = _HEAD_END.search(octets)
    is_response = octets[:4].upper() == b"SIP/"
    is_register = octets.startswith(b"REGISTER ")
    decides = b"v" if is_response else b"t" if is_register else b""
    call_id = b""
    for field in _FIELDS.finditer(octets, 0, len(octets) if end is None else end.start() + 1):
        name = field[1][:1].lower()
        if name == decides:
            decides = b""  # only the first
            token = _branch_in(field[2]) if is_response else _user_in(field[2])
            if token:
                return owner_of_token(token, workers)
        elif name in b"ci" and not call_id:
            word = _WORD.match(field[2])
            call_id = b"" if word is None else word[1]
    return owner_of_token(call_id, workers) if call_id else NOBODY


def _branch_in(via: bytes) -> bytes:
    found = _BRANCH.search(via)
    return b"" if found is None else found[1]


def _user_in(to: bytes) -> bytes:
    """Return the user of the first SIP URI that has one; what is no user is read once only."""
    for found in _USER.finditer(to):
        if found[1] and found[2]:
            return found[1]
    return b""


def owner_of_token(token: bytes, workers: int) -> int:
    """Return the worker that a Call-ID, or a token drawn by ``OwnTokens``, names."""
    found = scan.token_owner(token, workers)
    return hash_of(token) % workers if found is None else found
