"""SIP, SIPS and tel URIs: parsing and comparison (RFC 3261 19.1, RFC 3966).

A URI keeps the octets it came in; parts are slices of them, not unescaped.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.sip import scan
from uacproxy.sip.grammar import (
    ALPHANUM,
    CONTROLS,
    PERCENT,
    UNRESERVED,
    is_digits,
    is_token,
    parse_number,
    unescape,
)

SIP: Final = b"sip"
SIPS: Final = b"sips"
TEL: Final = b"tel"
SCHEMES: Final = (SIP, SIPS, TEL)
MOST_KEPT: Final = 4096  # URIs remembered; a forgotten one is parsed again
LONGEST_KEPT: Final = 1024  # octets; those of longer ones or many parameters take megabytes
_FEW_PARAMS: Final = 4  # that are looked through faster than a dict of them is made
_MOST_PARAMS: Final = 16  # each takes a hundred octets; our Record-Route has twelve at most

_HOST_CHARACTERS: Final = ALPHANUM + b"-._"  # the underscore is not in 25.1 but in the field
_USER_FORBIDDEN: Final = CONTROLS + b' "<>@'
_PARAM_FORBIDDEN: Final = CONTROLS + b' "<>@,'
_VISUAL_SEPARATORS: Final = b"-.()"  # RFC 3966 3
_MUST_MATCH: Final = (b"user", b"ttl", b"method", b"maddr", b"transport")  # 19.1.4


@final
class Uri:
    """One URI; for a scheme we do not know only ``scheme`` and ``raw`` say anything."""

    __slots__ = (
        "_named",
        "headers",
        "host",
        "params",
        "password",
        "port",
        "raw",
        "scheme",
        "user",
    )

    def __init__(
        self,
        raw: bytes,
        scheme: bytes,
        user: bytes,
        password: bytes | None,
        host: bytes,
        port: int | None,
        params: list[tuple[bytes, bytes]],
        headers: bytes,
    ) -> None:
        self.raw = raw
        self.scheme = scheme  # lower case
        self.user = user  # escapes kept; for tel: the number as written
        self.password = password
        self.host = host  # lower case; an IPv6 reference keeps its brackets
        self.port = port
        self.params = params  # names in lower case, a flag has the value b""
        self.headers = headers  # what follows "?", escapes kept
        self._named: dict[bytes, bytes] | None = None  # of many params, once one was asked for

    def param(self, name: bytes) -> bytes | None:
        """Return the value of a URI parameter, b"" for a flag, None when absent."""
        if len(self.params) > _FEW_PARAMS:
            return self._param_by_name(name)
        for key, value in self.params:
            if key == name:
                return value
        return None

    def _param_by_name(self, name: bytes) -> bytes | None:
        named = self._named
        if named is None:
            named = {}
            for key, value in self.params:
                if key not in named:
                    named[key] = value
            self._named = named
        return named.get(name)

    @property
    def is_sip(self) -> bool:
        """Tell whether requests can be routed by host and port."""
        return self.scheme == SIP or self.scheme == SIPS

    @property
    def transport(self) -> bytes | None:
        """Return the transport parameter in upper case, as a Via writes it."""
        value = self.param(b"transport")
        return None if value is None else value.upper()

    @property
    def address(self) -> bytes:
        """Return the host as a resolver takes it: an IPv6 reference without brackets."""
        return self.host[1:-1] if self.host[:1] == b"[" else self.host

    def equals(self, other: Uri) -> bool:
        """Compare by RFC 3261 19.1.4, tel URIs by RFC 3966 5, others octet by octet."""
        if self.raw == other.raw:
            return True
        if self.scheme != other.scheme:
            return False
        if self.scheme == TEL:
            return _tel_identity(self) == _tel_identity(other)
        if not self.is_sip:
            return False
        return (
            _user_identity(self.user) == _user_identity(other.user)
            and _user_identity(self.password or b"") == _user_identity(other.password or b"")
            and (self.password is None) == (other.password is None)
            and self.host == other.host
            and self.port == other.port
            and _params_agree(self, other)
            and _header_identity(self.headers) == _header_identity(other.headers)
        )

    def __repr__(self) -> str:
        """Show the octets."""
        return f"Uri({self.raw!r})"


_PARSED: Final[dict[bytes, Uri]] = {}  # of late


def parse_uri(raw: bytes) -> Uri:
    """Parse one URI; results are shared, so nobody changes them.

    Raises:
        ParseError: (400) the URI breaks the grammar of its scheme. An unknown scheme
            is no error here: 416 is for whoever has to route by it.
    """
    uri = _PARSED.get(raw)
    if uri is None:
        uri = _parse(raw)
        if len(raw) <= LONGEST_KEPT and len(uri.params) <= _MOST_PARAMS:
            if len(_PARSED) >= MOST_KEPT:
                _PARSED.clear()
            _PARSED[raw] = uri
    return uri


def _parse(raw: bytes) -> Uri:
    found = scan.uri(raw)
    if found is None:
        return parse_slowly(raw)
    scheme, user, password, host, port, params, headers = found
    return Uri(raw, scheme, user, password, host, port if port >= 0 else None, params, headers)


def parse_slowly(raw: bytes) -> Uri:
    """Parse any URI; ``parse_uri`` says what."""
    colon = raw.find(b":")
    scheme = raw[:colon].lower() if colon > 0 else b""
    if not _is_scheme(scheme):
        raise ParseError("URI without a scheme")
    rest = raw[colon + 1 :]
    if scheme == SIP or scheme == SIPS:
        return _parse_sip(raw, scheme, rest)
    if scheme == TEL:
        return _parse_tel(raw, rest)
    if len(rest.translate(None, CONTROLS + b" ")) != len(rest):
        raise ParseError("white space or control character in a URI")
    return Uri(raw, scheme, b"", None, b"", None, [], b"")


def _is_scheme(scheme: bytes) -> bool:
    return (
        len(scheme) > 0
        and scheme[:1].isalpha()
        and len(scheme.translate(None, ALPHANUM + b"+-.")) == 0
    )


def _parse_sip(raw: bytes, scheme: bytes, rest: bytes) -> Uri:
    at = rest.find(b"@")
    user = b""
    password: bytes | None = None
    if at >= 0:
        user = rest[:at]
        rest = rest[at + 1 :]
        if len(user.translate(None, _USER_FORBIDDEN)) != len(user):
            raise ParseError("malformed user in a URI")
        colon = user.find(b":")
        if colon >= 0:
            password = user[colon + 1 :]
            user = user[:colon]
        if not user:
            raise ParseError("malformed user in a URI")
    headers = b""
    question = rest.find(b"?")
    if question >= 0:
        headers = rest[question + 1 :]
        rest = rest[:question]
    semicolon = rest.find(b";")
    params: list[tuple[bytes, bytes]] = []
    if semicolon >= 0:
        params = _parse_uri_params(rest[semicolon + 1 :])
        rest = rest[:semicolon]
    if len(headers.translate(None, _PARAM_FORBIDDEN)) != len(headers):
        raise ParseError("malformed headers in a URI")
    host, port = parse_host_port(rest)
    return Uri(raw, scheme, user, password, host, port, params, headers)


def _parse_uri_params(raw: bytes) -> list[tuple[bytes, bytes]]:
    if len(raw.translate(None, _PARAM_FORBIDDEN)) != len(raw):
        raise ParseError("malformed parameters in a URI")
    params: list[tuple[bytes, bytes]] = []
    for part in raw.split(b";"):
        equals = part.find(b"=")
        if equals < 0:
            name = part
            value = b""
        else:
            name = part[:equals]
            value = part[equals + 1 :]
        if not name:
            raise ParseError("URI parameter without a name")
        params.append((name.lower(), value))
    return params


def _parse_tel(raw: bytes, rest: bytes) -> Uri:
    semicolon = rest.find(b";")
    params: list[tuple[bytes, bytes]] = []
    if semicolon >= 0:
        params = _parse_uri_params(rest[semicolon + 1 :])
        rest = rest[:semicolon]
    digits = rest[1:] if rest[:1] == b"+" else rest
    if not digits or digits.translate(None, b"0123456789abcdefABCDEF*#" + _VISUAL_SEPARATORS):
        raise ParseError("malformed number in a tel URI")
    return Uri(raw, TEL, rest, None, b"", None, params, b"")


def parse_host_port(raw: bytes) -> tuple[bytes, int | None]:
    """Parse ``host[:port]``: the host in lower case, an IPv6 reference with its brackets.

    Raises:
        ParseError: an empty or malformed host, or a port outside 0 to 65535.
    """
    port: int | None = None
    if raw[:1] == b"[":
        close = raw.find(b"]")
        if close < 0:
            raise ParseError("IPv6 reference does not close")
        host = raw[: close + 1].lower()
        rest = raw[close + 1 :]
        _check_ipv6(host[1:-1])
        if rest:
            if rest[:1] != b":":
                raise ParseError("text after an IPv6 reference")
            port = parse_number(rest[1:], field=b"", largest=65535)
        return host, port
    colon = raw.find(b":")
    if colon >= 0:
        port = parse_number(raw[colon + 1 :], field=b"", largest=65535)
        raw = raw[:colon]
    if not raw or raw.translate(None, _HOST_CHARACTERS):
        raise ParseError("malformed host")
    return raw.lower(), port


def _check_ipv6(address: bytes) -> None:
    if PERCENT in address:
        raise ParseError("IPv6 address with a zone")
    try:
        IPv6Address(address.decode("ascii"))
    except (AddressValueError, UnicodeDecodeError) as error:
        raise ParseError("malformed IPv6 address") from error


def _user_identity(user: bytes) -> bytes:
    """Undo only the escapes that may be undone: those of unreserved characters (19.1.4)."""
    if PERCENT not in user:
        return user
    first, *rest = user.split(b"%")
    parts = [first]
    for part in rest:
        octet = unescape(b"%" + part[:2])
        if len(octet) == 1 and not octet.translate(None, UNRESERVED):
            parts.append(octet + part[2:])
        else:
            parts.append(b"%" + part[:2].lower() + part[2:])
    return b"".join(parts)


def _params_agree(one: Uri, other: Uri) -> bool:
    ours = dict(one.params)
    theirs = dict(other.params)
    for name, value in ours.items():
        if name in theirs:
            if unescape(theirs[name]).lower() != unescape(value).lower():
                return False
        elif name in _MUST_MATCH:
            return False
    return all(name in ours or name not in _MUST_MATCH for name in theirs)


def _header_identity(headers: bytes) -> list[tuple[bytes, bytes]]:
    pairs = []
    for part in headers.split(b"&"):
        name, _, value = part.partition(b"=")
        pairs.append((unescape(name).lower(), unescape(value)))
    return sorted(pairs)


def _tel_identity(uri: Uri) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    number = uri.user.translate(None, _VISUAL_SEPARATORS).lower()
    params: list[tuple[bytes, bytes]] = []
    for name, value in uri.params:
        if name == b"ext" or value[:1] == b"+":  # numbers too; a context may be a domain
            value = value.translate(None, _VISUAL_SEPARATORS)
        params.append((name, value.lower()))
    return number, sorted(params)


def is_host_port(raw: bytes) -> bool:
    """Tell whether ``raw`` is ``host[:port]``."""
    try:
        parse_host_port(raw)
    except ParseError:
        return False
    return True


def is_number(user: bytes) -> bool:
    """Tell whether a user part looks like a telephone number (19.1.6)."""
    digits = user[1:] if user[:1] == b"+" else user
    return is_digits(digits.translate(None, _VISUAL_SEPARATORS))


def is_scheme_known(raw: bytes) -> bool:
    """Tell whether a Request-URI has a scheme we can route: sip, sips or tel."""
    colon = raw.find(b":")
    return colon > 0 and is_token(raw[:colon]) and raw[:colon].lower() in SCHEMES


def with_user(uri: Uri, user: bytes) -> bytes:
    """Return the octets of a SIP URI with another user, "" for none; the password goes too.

    Raises:
        ParseError: the result is no URI, or ``uri`` has no user and host to speak of.
    """
    if not uri.is_sip:
        raise ParseError("not a SIP URI")
    colon = uri.raw.find(b":")
    at = uri.raw.find(b"@")
    rest = uri.raw[at + 1 :] if at >= 0 else uri.raw[colon + 1 :]
    changed = uri.raw[: colon + 1] + (user + b"@" if user else b"") + rest
    return parse_uri(changed).raw


def with_host(uri: Uri, host_port: bytes) -> bytes:
    """Return the octets of a SIP URI with another ``HOST[:PORT]``; user and parameters stay.

    Raises:
        ParseError: the result is no URI, or ``uri`` has no host.
    """
    if not uri.is_sip:
        raise ParseError("not a SIP URI")
    at = uri.raw.find(b"@")
    begin = at + 1 if at >= 0 else uri.raw.find(b":") + 1
    ends = [uri.raw.find(mark, begin) for mark in (b";", b"?")]
    end = min([place for place in ends if place >= 0], default=len(uri.raw))
    return parse_uri(uri.raw[:begin] + host_port + uri.raw[end:]).raw
