"""The REGISTER of one account (RFC 3261 10.2), in the form of Kamailio's uac module.

Request-URI ``sip:r_domain``; To and From ``sip:r_username@r_domain``; Contact
``sip:l_uuid@contact_addr``, or ``sip:contact_user@contact_addr;line=l_uuid`` where a
contact_user is set. The next hop is ``auth_proxy`` or the Request-URI; there is no Route.

With RFC 5626 the Contact carries ``reg-id`` and an instance that is the same after each
restart, and Supported says so; RFC 3327 5.1 has ``path`` there for the proxies on the way.
"""

from __future__ import annotations

import hashlib
from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.settings import ListenAddress, parse_listen
from uacproxy.sip.build import build_request
from uacproxy.sip.grammar import ALPHANUM, octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    CALL_ID,
    CONTACT,
    CONTENT_LENGTH,
    CSEQ,
    EXPIRES,
    FROM,
    MAX_FORWARDS,
    SUPPORTED,
    TO,
    USER_AGENT,
)
from uacproxy.sip.uri import SIP, Uri, parse_uri, with_host
from uacproxy.uac.account import Account, BadRow

LINE: Final = b"line"
TRANSPORT: Final = b"transport"
FIRST_CSEQ: Final = 10

MOST_SHARED: Final = 1000  # URIs that many accounts have alike, parsed once

_MAX_FORWARDS: Final = b"70"
_PLAIN: Final = ALPHANUM + b"-_."  # a user of these needs no second look in a URI
_SHARED: Final[dict[bytes, Uri]] = {}


@final
class RegisterRequest:
    """What all REGISTER requests of an account have in common.

    Raises:
        BadRow: a column that cannot become the URI it is meant for.
    """

    __slots__ = (
        "_contact",
        "_contact_params",
        "_supported",
        "_user_agent",
        "address_of_record",
        "contact_raw",
        "contact_user",
        "instance",
        "is_outbound",
        "l_uuid",
        "next_hop",
        "request_uri",
        "socket",
    )

    def __init__(
        self,
        account: Account,
        contact_addr: str,
        user_agent: bytes,
        *,
        public: bytes = b"",
        outbound: bool = False,
        path: bool = False,
    ) -> None:
        """Prepare.

        Args:
            account: the row.
            contact_addr: HOST[:PORT][;params] where the account has none of its own.
            user_agent: of the field; b"" leaves it out.
            public: HOST:PORT that replaces the one of the Contact; b"": none does.
            outbound: speak RFC 5626.
            path: take Path (RFC 3327).
        """
        l_uuid = octets_of(account.l_uuid)
        domain = octets_of(account.r_domain)
        user = octets_of(account.r_username)
        self.l_uuid = l_uuid
        self.request_uri = b"sip:" + domain
        self.next_hop = _parse(account, "r_domain", self.request_uri)
        self.address_of_record = self.request_uri
        if user:
            self.address_of_record = _with_user(account, "r_username", user, domain)
        contact_addr = account.contact_addr or contact_addr
        self._contact: Uri | None = None
        self.contact_raw = _contact_of(account, octets_of(contact_addr))
        if public:
            self.contact_raw = with_host(parse_uri(self.contact_raw), public)
        self.contact_user = octets_of(account.contact_user)
        if account.auth_proxy:
            self.next_hop = _parse(account, "auth_proxy", octets_of(account.auth_proxy))
        transport = octets_of(account.settings.transport)
        if transport and self.next_hop.param(TRANSPORT) is None and not self.next_hop.headers:
            self.next_hop = _shared(self.next_hop.raw + b";transport=" + transport)
        self.socket = _socket_of(account)
        self._user_agent = user_agent
        self.is_outbound = outbound
        self.instance = instance_of(account) if outbound else b""
        self._contact_params = b""
        tags: list[bytes] = []
        if path or outbound:
            tags.append(b"path")
        if outbound:
            tags.append(b"outbound")
            self._contact_params = b';reg-id=1;+sip.instance="<' + self.instance + b'>"'
        self._supported = b", ".join(tags)

    @property
    def contact(self) -> Uri:
        """Return the Contact's URI."""
        contact = self._contact
        if contact is None:
            contact = parse_uri(self.contact_raw)
            self._contact = contact
        return contact

    def build(
        self,
        call_id: bytes,
        from_tag: bytes,
        cseq: int,
        expires: int,
        *,
        request_uri: bytes = b"",
        old_contact: bytes = b"",
        plain: bool = False,
    ) -> Message:
        """Make one REGISTER without Via and credentials.

        Args:
            call_id: of the series.
            from_tag: of the series.
            cseq: number.
            expires: s; 0 takes the binding back.
            request_uri: another registrar's; b"": the account's.
            old_contact: URI of one more Contact, to be taken back.
            plain: nothing of RFC 5626, which a hop has refused.
        """
        address = b"<" + self.address_of_record + b">"
        fields = [
            (TO, address),
            (FROM, address + b";tag=" + from_tag),
            (CSEQ, b"%d REGISTER" % cseq),
            (CALL_ID, call_id),
            (MAX_FORWARDS, _MAX_FORWARDS),
            (CONTENT_LENGTH, b"0"),
        ]
        if self._user_agent:
            fields.append((USER_AGENT, self._user_agent))
        contact = b"<" + self.contact_raw + b">"
        if not plain:
            contact += self._contact_params
        fields.append((CONTACT, contact))
        if old_contact and old_contact != self.contact_raw:
            fields.append((CONTACT, b"<" + old_contact + b">;expires=0"))
        if self._supported and not (plain and self.is_outbound):
            fields.append((SUPPORTED, self._supported))
        fields.append((EXPIRES, b"%d" % expires))
        return build_request(b"REGISTER", request_uri or self.request_uri, fields)


def instance_of(account: Account) -> bytes:
    """Return the URN that names this account's user agent (RFC 5626 4.1), made of its names.

    It is a UUID of version 5 in form (RFC 4122 4.3), so it outlives any restart without
    being kept.
    """
    names = "\0".join((account.l_uuid, account.r_username, account.r_domain))
    digest = bytearray(hashlib.sha256(names.encode("utf-8", "replace")).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x50
    digest[8] = (digest[8] & 0x3F) | 0x80
    digits = bytes(digest).hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return ("urn:uuid:" + "-".join(parts)).encode("ascii")


def _socket_of(account: Account) -> ListenAddress | None:
    if not account.socket:
        return None
    try:
        return parse_listen(account.socket)
    except ValueError as error:
        raise BadRow(account.l_uuid, "socket", str(error)) from None


def _contact_of(account: Account, contact_addr: bytes) -> bytes:
    """Return our Contact's URI; it reads back as what it was made of."""
    l_uuid = octets_of(account.l_uuid)
    if not contact_addr:
        raise BadRow(account.l_uuid, "contact_addr", "is empty, and so is reg_contact_addr")
    place = _parse(account, "contact_addr", b"sip:" + contact_addr)
    if place.user:
        raise BadRow(account.l_uuid, "contact_addr", "has a user")
    if not account.contact_user:
        return _with_user(account, "l_uuid", l_uuid, contact_addr)
    if place.param(LINE) is not None or place.headers:
        raise BadRow(account.l_uuid, "contact_addr", "has a line parameter or headers already")
    user = octets_of(account.contact_user)
    plain = _with_user(account, "contact_user", user, contact_addr)
    contact = _sip(account, "l_uuid", plain + b";line=" + l_uuid)
    if contact.param(LINE) != l_uuid or contact.headers:
        raise BadRow(account.l_uuid, "l_uuid", "cannot be a parameter of a SIP URI")
    return contact.raw


def _with_user(account: Account, column: str, user: bytes, rest: bytes) -> bytes:
    """Return the URI of a user at what is a URI without one."""
    uri = b"sip:" + user + b"@" + rest
    is_plain = not user.translate(None, _PLAIN) and b"@" not in rest
    if not is_plain and _sip(account, column, uri).user != user:
        raise BadRow(account.l_uuid, column, "cannot be the user of a SIP URI")
    return uri


def _shared(uri: bytes) -> Uri:
    """Return a URI that other accounts have too."""
    known = _SHARED.get(uri)
    if known is None:
        known = parse_uri(uri)
        if len(_SHARED) >= MOST_SHARED:
            _SHARED.clear()
        _SHARED[uri] = known
    return known


def _parse(account: Account, column: str, uri: bytes) -> Uri:
    """Return a column's URI, which other accounts have too."""
    known = _SHARED.get(uri)
    if known is not None and known.scheme == SIP:
        return known
    _sip(account, column, uri)
    return _shared(uri)


def _sip(account: Account, column: str, uri: bytes) -> Uri:
    try:
        parsed = parse_uri(uri)
    except ParseError as error:
        raise BadRow(account.l_uuid, column, f"makes no SIP URI: {error.why}") from None
    if parsed.scheme != SIP:
        raise BadRow(account.l_uuid, column, "is no sip: URI")
    return parsed
