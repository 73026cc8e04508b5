"""A request of our own, from what a script says of it: the keys of ``$uac_req`` (RFC 3261 8.1.1).

The names are Kamailio's. What a key may hold is checked here, so that whatever a script
writes becomes a sound request or an error that names the key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from uacproxy.errors import FeatureError, ParseError
from uacproxy.ports import Random
from uacproxy.settings import ListenAddress, parse_listen
from uacproxy.sip.build import build_request
from uacproxy.sip.grammar import LARGEST, is_digits, is_token, octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr, parse_name_addr
from uacproxy.sip.names import (
    CALL_ID,
    CONTACT,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    RECORD_ROUTE,
    REQUIRE,
    ROUTE,
    SUPPORTED,
    TO,
    USER_AGENT,
    VIA,
    canonical,
    spelling,
)
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.uac.credentials import Credential, CredentialList

FIRST_CSEQ: Final = 10
LONGEST: Final = 4096  # octets of a key
LONGEST_HEADERS: Final = 32768  # octets of hdrs
LONGEST_BODY: Final = 60000  # octets: the message still fits a datagram
MOST_HEADERS: Final = 200  # lines of hdrs
LONGEST_WAIT: Final = 3_600_000  # ms

HA1: Final = 1  # of flags: apasswd is no password but HA1

_BEGINS_DIALOG: Final = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER"))  # 8.1.1.8
_NOT_KEPT: Final = frozenset((b"100rel", b"timer"))
_NOT_ALONE: Final = (b"ACK", b"CANCEL")
_OURS: Final = frozenset((VIA, FROM, TO, CALL_ID, CSEQ, CONTENT_LENGTH, RECORD_ROUTE))
_CONTROLS: Final = bytes(range(0x20)) + b"\x7f"
_HEX: Final = b"0123456789abcdefABCDEF"
_SEVENTY: Final = b"70"


class BadKey(FeatureError):
    """A key of ``$uac_req`` that no request can be made of; the value is not repeated."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"$uac_req({key}) {why}")
        self.code = "bad-key"
        self.key = key


class RequestKeys(NamedTuple):
    """What a script says of a request; texts are empty and numbers 0 where it says nothing."""

    method: str = ""
    ruri: str = ""
    furi: str = ""  # a URI, or an address with display name and parameters; so turi
    turi: str = ""
    ftag: str = ""
    ttag: str = ""  # makes a request inside a dialog the script knows of
    callid: str = ""
    cseqno: int = 0
    ouri: str = ""
    sock: str = ""
    hdrs: str = ""
    body: str = ""
    auser: str = ""
    apasswd: str = ""
    flags: int = 0
    fr_timeout: int = 0  # ms; so the next
    fr_inv_timeout: int = 0

    def __repr__(self) -> str:
        """Show what is asked for, and nothing that may be secret."""
        return f"RequestKeys(method={self.method!r}, ruri={self.ruri!r})"


@final
class OwnRequest:
    """One request to be sent, checked."""

    __slots__ = (
        "contact_user",
        "credentials",
        "message",
        "next_cseq",
        "next_hop",
        "ring_within",
        "socket",
        "wait_for",
    )

    def __init__(
        self,
        message: Message,
        next_hop: Uri,
        socket: ListenAddress | None,
        credentials: CredentialList,
        wait_for: float,
        ring_within: float,
    ) -> None:
        self.message = message  # without Via
        self.contact_user = b""  # of the Contact to put in; b"" leaves the message's own, or none
        self.next_cseq: Callable[[], int] | None = None  # of a dialog; None counts on by itself
        self.next_hop = next_hop
        self.socket = socket
        self.credentials = credentials  # empty: a challenge is the answer
        self.wait_for = wait_for  # s; 0 leaves it to the transaction; so the next
        self.ring_within = ring_within


def make_request(
    keys: RequestKeys, random: Random, user_agent: bytes, known: CredentialList
) -> OwnRequest:
    """Make the request that the keys describe.

    From and To default to the Request-URI, Call-ID and From tag are fresh, CSeq begins at
    10. The next hop is ``ouri``, else the first Route among ``hdrs``, else the Request-URI.

    Args:
        keys: as the script wrote them.
        random: for Call-ID and tag.
        user_agent: of the field; b"" leaves it out.
        known: where the credentials of an ``auser`` without ``apasswd`` are looked for.

    Raises:
        BadKey: naming the key.
    """
    method = _method(keys.method)
    request_uri = _uri("ruri", keys.ruri, needed=True)
    fields = [
        (TO, _address("turi", keys.turi or keys.ruri, "ttag", keys.ttag, b"")),
        (FROM, _address("furi", keys.furi or keys.ruri, "ftag", keys.ftag, random.token())),
        (CSEQ, b"%d " % _number("cseqno", keys.cseqno or FIRST_CSEQ, 1, LARGEST) + method),
        (CALL_ID, _call_id(keys.callid) or random.token()),
    ]
    extra = _headers(keys.hdrs)
    names = [field.name for field in extra]
    body = _limited("body", keys.body, LONGEST_BODY)
    if MAX_FORWARDS not in names:
        fields.append((MAX_FORWARDS, _SEVENTY))
    fields.append((CONTENT_LENGTH, b"%d" % len(body)))
    if user_agent and USER_AGENT not in names:
        fields.append((USER_AGENT, user_agent))
    if method == b"INVITE":
        _check_promises(extra)
    message = build_request(method, request_uri.raw, fields, body)
    for field in extra:
        message.append_line(field.name, field.spelled + b": " + field.value)
    if body and CONTENT_TYPE not in names:  # 7.4.1: it has to be there
        message.append(CONTENT_TYPE, b"application/sdp" if body[:2] == b"v=" else b"text/plain")
    if CONTACT in names and message.get(CONTACT) != b"*":
        _addresses(message, CONTACT)
    own = OwnRequest(
        message,
        _next_hop(keys, message, request_uri),
        _socket(keys.sock),
        _credentials(keys, known),
        _number("fr_timeout", keys.fr_timeout, 0, LONGEST_WAIT) / 1000,
        _number("fr_inv_timeout", keys.fr_inv_timeout, 0, LONGEST_WAIT) / 1000,
    )
    if method in _BEGINS_DIALOG and CONTACT not in names:
        own.contact_user = random.token()
    return own


class HeaderLine(NamedTuple):
    """One header field of a script."""

    name: bytes  # canonical
    spelled: bytes  # as written
    value: bytes  # a folded line is unfolded


def parse_headers(key: str, value: str) -> list[HeaderLine]:
    """Parse header lines as a script writes them, each ended by CRLF or LF, the last perhaps not.

    Raises:
        BadKey: a line that is no field, or a field that is ours to write.
    """
    found: list[HeaderLine] = []
    octets = _limited(key, value, LONGEST_HEADERS)
    for at, line in enumerate(octets.replace(b"\r\n", b"\n").split(b"\n"), 1):
        if not line.strip(b" \t"):
            continue
        if line[:1] in (b" ", b"\t") and found:
            name, spelled, begun = found[-1]
            found[-1] = HeaderLine(name, spelled, begun + b" " + _field_value(key, at, line))
            continue
        spelled, colon, rest = line.partition(b":")
        spelled = spelled.rstrip(b" \t")
        if not colon or not is_token(spelled):
            raise BadKey(key, f"has no header field in line {at}")
        name = canonical(spelled)
        if name in _OURS:
            raise BadKey(key, f"may not hold {spelling(name).decode('ascii')} (line {at})")
        found.append(HeaderLine(name, spelled, _field_value(key, at, rest)))
        if len(found) > MOST_HEADERS:
            raise BadKey(key, f"has more than {MOST_HEADERS} header fields")
    return found


def _field_value(key: str, at: int, value: bytes) -> bytes:
    value = value.strip(b" \t")
    if len(value.replace(b"\t", b" ").translate(None, _CONTROLS)) != len(value):
        raise BadKey(key, f"has a control character in line {at}")
    return value


def _headers(value: str) -> list[HeaderLine]:
    found = parse_headers("hdrs", value) if value else []
    hops = [field.value for field in found if field.name == MAX_FORWARDS]
    if len(hops) > 1 or any(len(each) > 3 or not is_digits(each) for each in hops):
        raise BadKey("hdrs", "has a Max-Forwards that is not one number")
    return found


def _check_promises(extra: list[HeaderLine]) -> None:
    """Refuse what a call of ours would have to keep up: PRACK (RFC 3262), refreshes (RFC 4028)."""
    for field in extra:
        if field.name == SUPPORTED or field.name == REQUIRE:
            for tag in field.value.lower().replace(b",", b" ").split():
                if tag in _NOT_KEPT:
                    raise BadKey("hdrs", f"promises {tag.decode('ascii')}, which is not kept here")


def _method(value: str) -> bytes:
    method = _limited("method", value)
    if not method:
        raise BadKey("method", "is not set")
    if not is_token(method):
        raise BadKey("method", "is no method: it has to be a token such as OPTIONS")
    if method in _NOT_ALONE:
        raise BadKey("method", f"cannot be {value}, which belongs to a request before it")
    return method


def _uri(key: str, value: str, *, needed: bool = False) -> Uri:
    octets = _limited(key, value)
    if not octets and needed:
        raise BadKey(key, "is not set")
    try:
        return parse_uri(octets)
    except ParseError as error:
        raise BadKey(key, f"is no URI: {error.why}") from error


def _address(key: str, value: str, tag_key: str, tag: str, otherwise: bytes) -> bytes:
    """Return the value of From or To: a URI gets its brackets, an address keeps its form."""
    octets = _limited(key, value).strip(b" \t")
    if b"<" not in octets:
        octets = b"<" + _uri(key, value.strip(" \t")).raw + b">"
    if octets.translate(None, _CONTROLS) != octets:
        raise BadKey(key, "has a control character")
    try:
        address = parse_name_addr(octets)
        known = address.address
    except ParseError as error:
        raise BadKey(key, f"is no address: {error.why}") from error
    if address.tag:
        raise BadKey(key, f"has a tag, which is for $uac_req({tag_key})")
    if known.headers:  # 19.1.1: From and To have none
        raise BadKey(key, "has header fields in its URI")
    token = _limited(tag_key, tag) or otherwise
    if not token:
        return octets
    if not is_token(token):
        raise BadKey(tag_key, "is no token")
    return octets + b";tag=" + token


def _call_id(value: str) -> bytes:
    octets = _limited("callid", value)
    if len(octets.translate(None, _CONTROLS + b" ")) != len(octets):
        raise BadKey("callid", "has white space or a control character")
    return octets


def _next_hop(keys: RequestKeys, message: Message, request_uri: Uri) -> Uri:
    if keys.ouri:
        next_hop = _uri("ouri", keys.ouri)
        if not next_hop.is_sip:
            raise BadKey("ouri", "is no SIP URI")
        return next_hop
    if not message.has(ROUTE):
        return request_uri
    return _addresses(message, ROUTE)[0].address


def _addresses(message: Message, name: bytes) -> list[NameAddr]:
    try:
        found = message.addresses(name)
        for each in found:
            parse_uri(each.uri)
    except ParseError as error:
        why = f"has a malformed {spelling(name).decode('ascii')}: {error.why}"
        raise BadKey("hdrs", why) from error
    return found


def _socket(value: str) -> ListenAddress | None:
    if not value:
        return None
    try:
        return parse_listen(value)
    except ValueError as error:
        raise BadKey("sock", f"is no socket: {error}") from error


def _credentials(keys: RequestKeys, known: CredentialList) -> CredentialList:
    """Return what a challenge is answered with: ``auser`` and ``apasswd``, for any realm."""
    user = _limited("auser", keys.auser)
    secret = _limited("apasswd", keys.apasswd)
    if user.translate(None, _CONTROLS) != user:
        raise BadKey("auser", "has a control character")
    if not user:
        return CredentialList()
    if not secret:
        found = known.of_user(user)
        if not len(found):
            raise BadKey("apasswd", "is not set, and no [uac] credential is of that auser")
        return found
    if keys.flags & HA1:
        if len(secret) not in (32, 64) or secret.translate(None, _HEX):
            raise BadKey("apasswd", "is no HA1: 32 or 64 hexadecimal digits, as flags say")
        return CredentialList([Credential(user, b"", ha1=secret)])
    return CredentialList([Credential(user, b"", secret)])


def _limited(key: str, value: str, longest: int = LONGEST) -> bytes:
    try:
        octets = octets_of(value)
    except ValueError:
        raise BadKey(key, "has a character that cannot be sent") from None
    if len(octets) > longest:
        raise BadKey(key, f"is longer than {longest} octets")
    return octets


def _number(key: str, value: int, lowest: int, largest: int) -> int:
    if not lowest <= value <= largest:
        raise BadKey(key, f"is not between {lowest} and {largest}")
    return value
