"""Names of header fields: canonical, compact and usual spellings (RFC 3261 7.3.3 and 20).

Canonical names are lower case octets and interned: code that asks for ``FROM`` finds
it by identity. ``canonical`` is the only way from a spelling on the wire to a name.
"""

from __future__ import annotations

from typing import Final

VIA: Final = b"via"
FROM: Final = b"from"
TO: Final = b"to"
CALL_ID: Final = b"call-id"
CSEQ: Final = b"cseq"
CONTACT: Final = b"contact"
ROUTE: Final = b"route"
RECORD_ROUTE: Final = b"record-route"
MAX_FORWARDS: Final = b"max-forwards"
CONTENT_LENGTH: Final = b"content-length"
CONTENT_TYPE: Final = b"content-type"
EXPIRES: Final = b"expires"
MIN_EXPIRES: Final = b"min-expires"
REQUIRE: Final = b"require"
PROXY_REQUIRE: Final = b"proxy-require"
UNSUPPORTED: Final = b"unsupported"
SUPPORTED: Final = b"supported"
USER_AGENT: Final = b"user-agent"
SERVER: Final = b"server"
REASON: Final = b"reason"
RACK: Final = b"rack"
RETRY_AFTER: Final = b"retry-after"
TIMESTAMP: Final = b"timestamp"
WARNING: Final = b"warning"
ALLOW: Final = b"allow"
AUTHORIZATION: Final = b"authorization"
PROXY_AUTHORIZATION: Final = b"proxy-authorization"
WWW_AUTHENTICATE: Final = b"www-authenticate"
PROXY_AUTHENTICATE: Final = b"proxy-authenticate"
AUTHENTICATION_INFO: Final = b"authentication-info"
PROXY_AUTHENTICATION_INFO: Final = b"proxy-authentication-info"  # RFC 7615

COMPACT: Final[dict[bytes, bytes]] = {
    b"a": b"accept-contact",  # RFC 3841
    b"b": b"referred-by",  # RFC 3892
    b"c": CONTENT_TYPE,
    b"d": b"request-disposition",  # RFC 3841
    b"e": b"content-encoding",
    b"f": FROM,
    b"i": CALL_ID,
    b"j": b"reject-contact",  # RFC 3841
    b"k": SUPPORTED,
    b"l": CONTENT_LENGTH,
    b"m": CONTACT,
    b"n": b"identity-info",  # RFC 4474
    b"o": b"event",  # RFC 6665
    b"r": b"refer-to",  # RFC 3515
    b"s": b"subject",
    b"t": TO,
    b"u": b"allow-events",  # RFC 6665
    b"v": VIA,
    b"x": b"session-expires",  # RFC 4028
    b"y": b"identity",  # RFC 8224
}

SPELLING: Final[dict[bytes, bytes]] = {
    VIA: b"Via",
    FROM: b"From",
    TO: b"To",
    CALL_ID: b"Call-ID",
    CSEQ: b"CSeq",
    CONTACT: b"Contact",
    ROUTE: b"Route",
    RECORD_ROUTE: b"Record-Route",
    MAX_FORWARDS: b"Max-Forwards",
    CONTENT_LENGTH: b"Content-Length",
    CONTENT_TYPE: b"Content-Type",
    EXPIRES: b"Expires",
    MIN_EXPIRES: b"Min-Expires",
    REQUIRE: b"Require",
    PROXY_REQUIRE: b"Proxy-Require",
    UNSUPPORTED: b"Unsupported",
    SUPPORTED: b"Supported",
    USER_AGENT: b"User-Agent",
    SERVER: b"Server",
    REASON: b"Reason",
    RACK: b"RAck",
    RETRY_AFTER: b"Retry-After",
    WARNING: b"Warning",
    ALLOW: b"Allow",
    AUTHORIZATION: b"Authorization",
    PROXY_AUTHORIZATION: b"Proxy-Authorization",
    WWW_AUTHENTICATE: b"WWW-Authenticate",
    PROXY_AUTHENTICATE: b"Proxy-Authenticate",
    b"accept": b"Accept",
    b"accept-encoding": b"Accept-Encoding",
    b"accept-language": b"Accept-Language",
    b"allow-events": b"Allow-Events",
    AUTHENTICATION_INFO: b"Authentication-Info",
    PROXY_AUTHENTICATION_INFO: b"Proxy-Authentication-Info",
    b"call-info": b"Call-Info",
    b"content-disposition": b"Content-Disposition",
    b"content-encoding": b"Content-Encoding",
    b"date": b"Date",
    b"event": b"Event",
    b"organization": b"Organization",
    b"p-asserted-identity": b"P-Asserted-Identity",
    b"path": b"Path",
    b"privacy": b"Privacy",
    b"refer-to": b"Refer-To",
    b"remote-party-id": b"Remote-Party-ID",
    b"replaces": b"Replaces",
    b"rseq": b"RSeq",
    b"service-route": b"Service-Route",
    b"session-expires": b"Session-Expires",
    b"subject": b"Subject",
    b"subscription-state": b"Subscription-State",
    TIMESTAMP: b"Timestamp",
}

ONLY_ONCE: Final[dict[bytes, int]] = {
    FROM: 1,
    TO: 2,
    CALL_ID: 4,
    CSEQ: 8,
    MAX_FORWARDS: 16,
    CONTENT_LENGTH: 32,
}
"""Fields that may stand once in a message (20), each with its bit in ``Message.present``."""

HAS_VIA: Final = 64
REQUIRED: Final = 1 | 2 | 4 | 8 | HAS_VIA
"""From, To, Call-ID, CSeq and Via (8.1.1); Max-Forwards is added where it is missing."""


def _known() -> dict[bytes, bytes]:
    known: dict[bytes, bytes] = {}
    for name, spelling in SPELLING.items():
        for variant in (spelling, name, name.upper()):
            known[variant] = name
    for letter, name in COMPACT.items():
        known[letter] = known.get(name, name)
        known[letter.upper()] = known.get(name, name)
    return known


_KNOWN: Final[dict[bytes, bytes]] = _known()


def spellings() -> dict[bytes, bytes]:
    """Return the canonical name for each spelling in lower case, compact ones too."""
    return {spelled.lower(): name for spelled, name in _KNOWN.items()}


def canonical(spelled: bytes) -> bytes:
    """Return the canonical name for a name as spelled on the wire, white space already off."""
    name = _KNOWN.get(spelled)
    if name is None:
        lower = spelled.lower()
        name = _KNOWN.get(lower, lower)
    return name


def spelling(name: bytes) -> bytes:
    """Return how we write a canonical name; unknown ones get capitals at the hyphens."""
    known = SPELLING.get(name)
    return known if known is not None else name.title()
