"""Small pieces of the grammar that every field shares (RFC 3261 25.1).

Octets in, octets out. Nothing here decodes except ``text``, the one place where
octets of the wire become characters for logs, scripts and databases.
"""

from __future__ import annotations

from typing import Final

from uacproxy.errors import ParseError

ALPHANUM: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
TOKEN: Final = ALPHANUM + b"-.!%*_+`'~"
HEX: Final = b"0123456789abcdefABCDEF"
UNRESERVED: Final = ALPHANUM + b"-_.!~*'()"
_IN_PARAMETERS: Final = UNRESERVED + b"[]/:&+$"  # paramchar of 25.1
WHITE: Final = b" \t\r\n"
CONTROLS: Final = bytes(range(0x20)) + b"\x7f"
BEYOND_ASCII: Final = bytes(range(0x80, 0x100))

# Octets as numbers: ``COMMA in value`` costs a tenth of ``b"," in value``, which first has to
# find out, by an exception, that b"," is no number.
TAB: Final = 0x09
LF: Final = 0x0A
CR: Final = 0x0D
SPACE: Final = 0x20
QUOTE: Final = 0x22
PERCENT: Final = 0x25
BACKSLASH: Final = 0x5C
COLON: Final = 0x3A
QUESTION: Final = 0x3F
LESS: Final = 0x3C
GREATER: Final = 0x3E
COMMA: Final = 0x2C
SEMICOLON: Final = 0x3B
EQUALS: Final = 0x3D
OPENS: Final = 0x28
CLOSES: Final = 0x29

LARGEST: Final = 0x7FFFFFFF  # 2**31 - 1: the CSeq limit of 8.1.1.5, ours for every number


def text(octets: bytes) -> str:
    """Return the characters of a field, for people; ``octets_of`` gives the same octets back."""
    return octets.decode("utf-8", "surrogateescape")


def octets_of(characters: str) -> bytes:
    """Return what goes on the wire for characters of a script, file or database."""
    return characters.encode("utf-8", "surrogateescape")


def octets_of_line(characters: str) -> bytes:
    """Return what goes on the wire within one line.

    Raises:
        ValueError: there is a CR or LF in it.
    """
    octets = octets_of(characters)
    if LF in octets or CR in octets:
        raise ValueError("a line ends within a value")
    return octets


def is_token(octets: bytes) -> bool:
    """Tell whether ``octets`` are a token of at least one character."""
    return len(octets) > 0 and len(octets.translate(None, TOKEN)) == 0


def is_digits(octets: bytes) -> bool:
    """Tell whether ``octets`` are one or more decimal digits."""
    return octets.isdigit()  # of octets only ASCII digits are


def parse_number(octets: bytes, *, field: bytes, largest: int = LARGEST) -> int:
    """Read a decimal number; more digits than ``largest`` allows are an error, not a wrap."""
    if len(octets) > 20 or not is_digits(octets):
        raise ParseError("not a number", field=field)
    number = int(octets)
    if number > largest:
        raise ParseError("number too large", field=field)
    return number


def unfold(value: bytes) -> bytes:
    """Return a field value on one line, without the white space around it (7.3.1)."""
    if LF in value:
        value = b" ".join([part.strip(WHITE) for part in value.split(b"\r\n")])
    return value.strip(WHITE)


def end_of_quoted(value: bytes, start: int) -> int:
    r"""Return the index behind the quoted string that opens at ``start``.

    Raises:
        ParseError: the string does not end; ``\"`` does not end it.
    """
    at = start + 1
    while True:
        close = value.find(b'"', at)
        if close < 0:
            raise ParseError("quoted string does not end", offset=start)
        slash = value.find(b"\\", at, close)
        if slash < 0:
            return close + 1
        at = slash + 2


def unquote(value: bytes) -> bytes:
    """Return the content of a quoted string with its escapes removed; else ``value`` as it is."""
    if len(value) < 2 or value[0] != QUOTE or value[-1] != QUOTE:
        return value
    inner = value[1:-1]
    if BACKSLASH not in inner:
        return inner
    kept = bytearray()
    at = 0
    end = len(inner)
    while at < end:
        if inner[at] == BACKSLASH and at + 1 < end:
            at += 1
        kept.append(inner[at])
        at += 1
    return bytes(kept)


def quote(value: bytes) -> bytes:
    """Return ``value`` as a quoted string."""
    if BACKSLASH in value or QUOTE in value:
        value = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"' + value + b'"'


def split_outside(value: bytes, separator: bytes) -> list[bytes]:
    """Split at ``separator`` (one octet) where it stands outside quotes and angle brackets.

    The parts keep their inner octets and lose the white space around them.

    Raises:
        ParseError: a quoted string or bracket does not end.
    """
    if QUOTE not in value and LESS not in value:
        return [part.strip(WHITE) for part in value.split(separator)]
    wanted = separator[0]
    parts: list[bytes] = []
    begin = 0
    at = 0
    end = len(value)
    while at < end:
        octet = value[at]
        if octet == QUOTE:
            at = end_of_quoted(value, at)
            continue
        if octet == LESS:
            at = value.find(b">", at)
            if at < 0:
                raise ParseError("bracket does not close", offset=begin)
        elif octet == wanted:
            parts.append(value[begin:at].strip(WHITE))
            begin = at + 1
        at += 1
    parts.append(value[begin:].strip(WHITE))
    return parts


def split_list(value: bytes) -> list[bytes]:
    """Split one field value at its commas (7.3.1); empty elements are dropped."""
    return [part for part in split_outside(value, b",") if part]


def comment_depth(value: bytes) -> int:
    """Return how deep the comments of a field value are nested, 0 where there is none (25.1)."""
    depth = 0
    deepest = 0
    at = 0
    end = len(value)
    while at < end:
        octet = value[at]
        if octet == BACKSLASH:
            at += 1
        elif octet == QUOTE and depth == 0:
            try:
                at = end_of_quoted(value, at) - 1
            except ParseError:
                return deepest
        elif octet == OPENS:
            depth += 1
            deepest = max(deepest, depth)
        elif octet == CLOSES and depth > 0:
            depth -= 1
        at += 1
    return deepest


def parse_params(raw: bytes) -> list[tuple[bytes, bytes | None]]:
    """Read ``;name=value;flag`` as pairs: name in lower case, value as written or None.

    Raises:
        ParseError: an empty parameter, or a name that is no token.
    """
    pairs: list[tuple[bytes, bytes | None]] = []
    raw = raw.strip(WHITE)
    if not raw:
        return pairs
    if raw[0] != SEMICOLON:
        raise ParseError("text where a parameter should be")
    for part in split_outside(raw[1:], b";"):
        equals = part.find(b"=")
        if equals < 0:
            name = part
            value = None
        else:
            name = part[:equals].rstrip(WHITE)
            value = part[equals + 1 :].lstrip(WHITE)
        if not is_token(name):
            raise ParseError("parameter without a name")
        pairs.append((name.lower(), value))
    return pairs


def escape_parameter(octets: bytes) -> bytes:
    """Return ``octets`` as a URI parameter's value: ``%HH`` for what may not stand there."""
    if octets.isalnum() or not octets.translate(None, _IN_PARAMETERS):
        return octets
    parts = [b"%c" % one if one in _IN_PARAMETERS else b"%%%02X" % one for one in octets]
    return b"".join(parts)


def unescape(octets: bytes) -> bytes:
    """Return ``octets`` with every ``%HH`` replaced; a lone ``%`` stays (RFC 2396 2.4.1)."""
    if PERCENT not in octets:
        return octets
    first, *rest = octets.split(b"%")
    parts = [first]
    for part in rest:
        pair = part[:2]
        if len(pair) == 2 and not pair.translate(None, HEX):
            parts.append(bytes([int(pair, 16)]) + part[2:])
        else:
            parts.append(b"%" + part)
    return b"".join(parts)
