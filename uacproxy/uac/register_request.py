"""The REGISTER of one account (RFC 3261 10.2), in the form of Kamailio's uac module.

Request-URI ``sip:r_domain``; To and From ``sip:r_username@r_domain``; Contact
``sip:l_uuid@contact_addr``, or ``sip:contact_user@contact_addr;line=l_uuid`` where a
contact_user is set. The next hop is ``auth_proxy`` or the Request-URI; there is no Route.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.sip.build import build_request
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    CALL_ID,
    CONTACT,
    CONTENT_LENGTH,
    CSEQ,
    EXPIRES,
    FROM,
    MAX_FORWARDS,
    TO,
    USER_AGENT,
)
from uacproxy.sip.uri import SIP, Uri, parse_uri
from uacproxy.uac.account import Account, BadRow

LINE: Final = b"line"
TRANSPORT: Final = b"transport"
FIRST_CSEQ: Final = 10

_MAX_FORWARDS: Final = b"70"


@final
class RegisterRequest:
    """What all REGISTER requests of an account have in common.

    Raises:
        BadRow: a column that cannot become the URI it is meant for.
    """

    def __init__(self, account: Account, contact_addr: str, user_agent: bytes) -> None:
        """Prepare.

        Args:
            account: the row.
            contact_addr: HOST[:PORT][;params] where the account has none of its own.
            user_agent: of the field; b"" leaves it out.
        """
        l_uuid = octets_of(account.l_uuid)
        domain = octets_of(account.r_domain)
        user = octets_of(account.r_username)
        self.l_uuid = l_uuid
        self.request_uri = b"sip:" + domain
        _parse(account, "r_domain", self.request_uri)
        self.address_of_record = self.request_uri
        if user:
            self.address_of_record = _with_user(account, "r_username", user, domain).raw
        self.contact = _contact_of(account, octets_of(account.contact_addr or contact_addr))
        self.contact_user = octets_of(account.contact_user)
        self.next_hop = parse_uri(self.request_uri)
        if account.auth_proxy:
            self.next_hop = _parse(account, "auth_proxy", octets_of(account.auth_proxy))
        transport = octets_of(account.settings.transport)
        if transport and self.next_hop.param(TRANSPORT) is None and not self.next_hop.headers:
            self.next_hop = parse_uri(self.next_hop.raw + b";transport=" + transport)
        self._user_agent = user_agent

    def build(self, call_id: bytes, from_tag: bytes, cseq: int, expires: int) -> Message:
        """Make one REGISTER without Via and credentials; ``expires`` 0 takes the binding back."""
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
        fields.append((CONTACT, b"<" + self.contact.raw + b">"))
        fields.append((EXPIRES, b"%d" % expires))
        return build_request(b"REGISTER", self.request_uri, fields)


def _contact_of(account: Account, contact_addr: bytes) -> Uri:
    """Return our Contact's URI; it must read back as what it was made of."""
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
    contact = _parse(account, "l_uuid", plain.raw + b";line=" + l_uuid)
    if contact.param(LINE) != l_uuid or contact.headers:
        raise BadRow(account.l_uuid, "l_uuid", "cannot be a parameter of a SIP URI")
    return contact


def _with_user(account: Account, column: str, user: bytes, rest: bytes) -> Uri:
    uri = _parse(account, column, b"sip:" + user + b"@" + rest)
    if uri.user != user:
        raise BadRow(account.l_uuid, column, "cannot be the user of a SIP URI")
    return uri


def _parse(account: Account, column: str, uri: bytes) -> Uri:
    try:
        parsed = parse_uri(uri)
    except ParseError as error:
        raise BadRow(account.l_uuid, column, f"makes no SIP URI: {error.why}") from None
    if parsed.scheme != SIP:
        raise BadRow(account.l_uuid, column, "is no sip: URI")
    return parsed
