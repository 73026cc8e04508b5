"""What the Contacts of a REGISTER ask for, and for how long (RFC 3261 10.3 steps 6 and 7)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from uacproxy.errors import ParseError
from uacproxy.ports import Flow, Target
from uacproxy.registrar.binding import DEFAULT_Q, Binding
from uacproxy.registrar.settings import RegistrarSettings
from uacproxy.sip.fields import contact_expires, expires_of
from uacproxy.sip.grammar import CR, LF, end_of_quoted, is_digits, parse_params, unquote
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr
from uacproxy.sip.names import CONTACT, EXPIRES, VIA

PATH: Final = b"path"
ONE_HOUR: Final = 3600  # s; a longer wish is never too brief
_WILDCARD: Final = b"*"
_DELIMITERS: Final = b' \t\r\n",;<>\\'


class TooBrief(ParseError):
    """A Contact wishes for less than we grant (423 with Min-Expires)."""

    code = "too-brief"

    def __init__(self) -> None:
        super().__init__("expiration below the minimum", field=CONTACT, status=423)


def asks_to_clear(request: Message) -> bool:
    """Tell whether this is ``Contact: *`` with ``Expires: 0``: remove all bindings.

    Raises:
        ParseError: (400) ``*`` with anything beside it, or with another expiration.
    """
    values = request.values(CONTACT)
    if _WILDCARD not in values:
        return False
    expires = request.get(EXPIRES)
    if len(values) > 1 or expires is None or not is_digits(expires) or int(expires[:20]) != 0:
        raise ParseError("a wildcard stands alone, with Expires 0", field=CONTACT)
    return True


def read_contacts(
    request: Message, flow: Flow, settings: RegistrarSettings, now_utc: float
) -> list[Binding]:
    """Return a binding for each Contact; one to be removed has expired at ``now_utc``.

    Raises:
        ParseError: (400) a Contact that is malformed or has no URI.
        TooBrief: (423) one that would have to be refreshed too often.
    """
    contacts = request.addresses(CONTACT)
    if not contacts:
        return []
    call_id = request.call_id
    cseq = request.cseq.number
    path = request.values(PATH)
    received = Target(flow.transport, flow.remote[0], flow.remote[1])
    found: list[Binding] = []
    for contact in contacts:
        granted = _granted(contact, request, settings)
        reg_id = contact.param(b"reg-id") or b""
        found.append(
            Binding(
                contact=contact.uri,
                params=_params_to_keep(contact),
                expires_at_utc=now_utc + granted,
                q=_q_of(contact),
                call_id=call_id,
                cseq=cseq,
                received=received,
                behind_nat=_is_behind_nat(contact, request, received.host),
                path=path,
                instance=unquote(contact.param(b"+sip.instance") or b""),
                reg_id=int(reg_id[:9]) if is_digits(reg_id) else 0,
            )
        )
    return found


def _granted(contact: NameAddr, request: Message, settings: RegistrarSettings) -> int:
    wish = contact_expires(contact)
    if wish is None:
        wish = expires_of(request)
    if wish is None:
        wish = settings.default_expires
    elif 0 < wish < min(settings.min_expires, ONE_HOUR):
        raise TooBrief
    return min(wish, settings.max_expires)


def _params_to_keep(contact: NameAddr) -> bytes:
    """Return the field's parameters as written, without ``expires``: every answer has its own.

    What would not read back among others is refused, since it goes into answers to others.
    """
    kept = b""
    for name, value in parse_params(contact.tail):
        if value is not None and not _stands_alone(value):
            raise ParseError("malformed parameter", field=CONTACT)
        if name != b"expires":
            kept += b";" + name if value is None else b";" + name + b"=" + value
    return kept


def _stands_alone(value: bytes) -> bool:
    if value[:1] == b'"':
        return end_of_quoted(value, 0) == len(value) and LF not in value and CR not in value
    return len(value.translate(None, _DELIMITERS)) == len(value)


def _q_of(contact: NameAddr) -> float:
    value = contact.param(b"q")
    if value is None:
        return DEFAULT_Q
    whole, _, fraction = value.partition(b".")
    if whole not in (b"0", b"1", b"") or (fraction and not is_digits(fraction)):
        return DEFAULT_Q
    return min(1.0, float(b"0" + whole + b"." + fraction + b"0"))


def _is_behind_nat(contact: NameAddr, request: Message, source: str) -> bool:
    """Tell whether the user agent believes in an address that its request did not come from.

    Only where nobody stands between it and us. A name that nothing resolves (``.invalid``,
    RFC 7118) will not do either. Where Contact and Via differ, the user agent has thought
    about its Contact, and may well be right.
    """
    uri = contact.address
    if not uri.is_sip or len(request.values(VIA)) != 1:
        return False
    if uri.host.endswith(b".invalid"):
        return True
    sent_by = request.via.host
    return uri.host == sent_by and _is_other_address(uri.address, source)


def _is_other_address(host: bytes, source: str) -> bool:
    try:
        return ip_address(host.decode("ascii")) != ip_address(source)
    except ValueError:
        return False
