"""What a registrar's 2xx says of our binding among others (RFC 3261 10.2.4)."""

from __future__ import annotations

from typing import Final, NamedTuple

from uacproxy.errors import ParseError
from uacproxy.sip.fields import contact_expires, expires_of
from uacproxy.sip.grammar import split_list
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr, parse_name_addr
from uacproxy.sip.names import CONTACT
from uacproxy.sip.uri import Uri
from uacproxy.uac.register_request import LINE, RegisterRequest

MOST_NAMED: Final = 3  # foreign Contacts told to the operator
LONGEST_TEXT: Final = 160  # characters of what a peer wrote

_EXACT: Final = 4
_BY_LINE: Final = 3
_BY_USER: Final = 2
_BY_CONTACT_USER: Final = 1
_OTHER: Final = 0


class Granted(NamedTuple):
    """Our binding as the registrar has it, or what it has instead."""

    expires: int  # s; 0: none of ours
    others: int  # bindings of somebody else
    why: str  # where there is none of ours


def read_granted(response: Message, request: RegisterRequest, asked: int) -> Granted:
    """Find our Contact and its time to live.

    The best match counts: the very URI, else our ``line`` parameter, else our user, since
    registrars rewrite hosts and drop parameters. The expiry is that Contact's own, else
    that of the Expires field, else what we asked for.
    """
    best: NameAddr | None = None
    best_rank = _OTHER
    others: list[str] = []
    for contact in _contacts(response):
        rank = _rank(contact, request)
        if rank > best_rank:
            if best is not None:
                others.append(readable(best.uri))
            best = contact
            best_rank = rank
        else:
            others.append(readable(contact.uri))
    if best is None:
        return Granted(0, len(others), _mismatch(request, others))
    expires = contact_expires(best)
    if expires is None:
        expires = expires_of(response)
    if expires is None:
        expires = asked
    why = "" if expires else "granted for 0 s"
    return Granted(expires, len(others), why)


def _contacts(response: Message) -> list[NameAddr]:
    """Return every Contact that can be read; one that cannot spoils no other."""
    found: list[NameAddr] = []
    for value in response.fields(CONTACT):
        try:
            parts = split_list(value)
        except ParseError:
            parts = [value]
        for part in parts:
            try:
                found.append(parse_name_addr(part))
            except ParseError:
                continue
    return found


def _rank(contact: NameAddr, request: RegisterRequest) -> int:
    try:
        uri = contact.address
    except ParseError:
        return _OTHER
    if uri.equals(request.contact):
        return _EXACT
    if request.contact_user:
        return _rank_by_line(uri, request)
    return _BY_USER if uri.user == request.l_uuid else _OTHER


def _rank_by_line(uri: Uri, request: RegisterRequest) -> int:
    line = uri.param(LINE)
    if line is not None:
        return _BY_LINE if line == request.l_uuid else _OTHER
    if uri.user == request.l_uuid:
        return _BY_USER
    return _BY_CONTACT_USER if uri.user == request.contact_user else _OTHER


def _mismatch(request: RegisterRequest, others: list[str]) -> str:
    ours = readable(request.contact.raw)
    if not others:
        return f"the answer lists no Contact, not ours either: {ours}"
    named = ", ".join(others[:MOST_NAMED])
    if len(others) > MOST_NAMED:
        named = f"{named} and {len(others) - MOST_NAMED} more"
    return f"our Contact {ours} is not in the answer, which lists {named}"


def readable(octets: bytes) -> str:
    """Return what a peer wrote as text for people: on one line, of bounded length."""
    text = octets[:LONGEST_TEXT].decode("utf-8", "replace")
    return "".join([one if one.isprintable() else "?" for one in text])
