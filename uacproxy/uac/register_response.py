"""What a registrar's answer says: of our binding among others, and of where else to go.

RFC 3261 10.2.4 for the Contacts of a 2xx, 8.1.3.4 for those of a 3xx; RFC 3608 for
Service-Route.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from uacproxy.errors import ParseError
from uacproxy.sip.fields import contact_expires, expires_of
from uacproxy.sip.grammar import COMMA, split_list
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr, parse_name_addr
from uacproxy.sip.names import CONTACT
from uacproxy.sip.uri import SIP, Uri
from uacproxy.uac.register_request import LINE, RegisterRequest

MOST_NAMED: Final = 3  # foreign Contacts told to the operator
LONGEST_TEXT: Final = 160  # characters of what a peer wrote

MOST_ROUTES: Final = 8  # of a Service-Route; a longer one is not followed
LONGEST_ROUTE: Final = 512  # octets of one of them

_SERVICE_ROUTE: Final = b"service-route"
_INSTANCE: Final = b"+sip.instance"

_EXACT: Final = 5
_BY_INSTANCE: Final = 4
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

    The best match counts: the very URI, else our instance (RFC 5626), else our ``line``
    parameter, else our user, since registrars rewrite hosts and drop parameters. The expiry
    is that Contact's own, else that of the Expires field, else what we asked for.
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


def read_redirection(response: Message) -> Uri | None:
    """Return where a 3xx sends a REGISTER: the SIP URI of the highest q, None for none.

    A Request-URI of REGISTER has no user (10.2), and one with headers cannot be one.
    """
    best: Uri | None = None
    best_q = -1.0
    for contact in _contacts(response):
        try:
            uri = contact.address
        except ParseError:
            continue
        q = _q_of(contact)
        if uri.scheme == SIP and not uri.user and not uri.headers and q > best_q:
            best = uri
            best_q = q
    return best


def _q_of(contact: NameAddr) -> float:
    value = contact.param(b"q")
    if value is None:
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0


def read_service_route(response: Message) -> tuple[bytes, ...]:
    """Return the Service-Route of a 2xx (RFC 3608 5), none where it cannot be used whole."""
    routes: list[bytes] = []
    for value in response.fields(_SERVICE_ROUTE):
        try:
            parts = split_list(value)
        except ParseError:
            return ()
        for part in parts:
            try:
                is_loose = parse_name_addr(part).address.param(b"lr") is not None
            except ParseError:
                return ()
            if not is_loose or len(part) > LONGEST_ROUTE or len(routes) >= MOST_ROUTES:
                return ()
            routes.append(bytes(part))
    return tuple(routes)


def _contacts(response: Message) -> list[NameAddr]:
    """Return every Contact that can be read; one that cannot spoils no other."""
    found: list[NameAddr] = []
    for value in response.fields(CONTACT):
        parts = [value]
        if COMMA in value:
            try:
                parts = split_list(value)
            except ParseError:
                pass
        for part in parts:
            try:
                found.append(parse_name_addr(part))
            except ParseError:
                continue
    return found


def _rank(contact: NameAddr, request: RegisterRequest) -> int:
    if contact.uri == request.contact_raw:
        return _EXACT
    try:
        uri = contact.address
    except ParseError:
        return _OTHER
    if uri.equals(request.contact):
        return _EXACT
    if request.instance:
        instance = contact.param(_INSTANCE)
        if instance is not None and request.instance in instance:
            return _BY_INSTANCE
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
    ours = readable(request.contact_raw)
    if not others:
        return f"the answer lists no Contact, not ours either: {ours}"
    named = ", ".join(others[:MOST_NAMED])
    if len(others) > MOST_NAMED:
        named = f"{named} and {len(others) - MOST_NAMED} more"
    return f"our Contact {ours} is not in the answer, which lists {named}"


def readable(octets: bytes) -> str:
    """Return what a peer wrote as text for people: on one line, of bounded length."""
    if octets == b"OK":
        return "OK"
    text = octets[:LONGEST_TEXT].decode("utf-8", "replace")
    return "".join([one if one.isprintable() else "?" for one in text])
