"""Addresses in From, To, Contact, Route and their like (RFC 3261 20.10, 20.20, 20.34, 20.39).

A ``NameAddr`` is its octets and three marks in them. The *head* is everything up to the
end of the address: display name, white space, brackets and URI; the *tail* is the field's
own parameters, the tag among them. Replacing and restoring an identity swaps heads.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.sip import scan
from uacproxy.sip.grammar import (
    BEYOND_ASCII,
    COMMA,
    QUESTION,
    QUOTE,
    SPACE,
    TAB,
    TOKEN,
    WHITE,
    end_of_quoted,
    parse_params,
    split_outside,
)
from uacproxy.sip.uri import Uri, parse_uri

_DISPLAY: Final = TOKEN + WHITE + BEYOND_ASCII  # beyond ASCII: not in 25.1, but in the field


@final
class NameAddr:
    """One address as written: ``raw == head + tail``; of most nobody reads more than the tag."""

    __slots__ = (
        "_display_begin",
        "_display_end",
        "_uri_begin",
        "bracketed",
        "head_end",
        "raw",
        "tag",
    )

    def __init__(
        self,
        raw: bytes,
        display_begin: int,
        display_end: int,
        uri_begin: int,
        bracketed: bool,
        head_end: int,
        tag: bytes,
    ) -> None:
        self.raw = raw
        self.bracketed = bracketed
        self.head_end = head_end
        self.tag = tag  # b"" when absent
        self._display_begin = display_begin
        self._display_end = display_end
        self._uri_begin = uri_begin

    @property
    def display(self) -> bytes:
        """Return the display name, quotes kept, no white space around; b"" when absent."""
        return self.raw[self._display_begin : self._display_end]

    @property
    def uri(self) -> bytes:
        """Return the URI without brackets."""
        end = self.head_end
        return self.raw[self._uri_begin : end - 1 if self.bracketed else end]

    @property
    def head(self) -> bytes:
        """Return the octets up to the end of the address."""
        return self.raw[: self.head_end]

    @property
    def tail(self) -> bytes:
        """Return the octets after the address: the parameters."""
        return self.raw[self.head_end :]

    @property
    def address(self) -> Uri:
        """Return the URI, parsed.

        Raises:
            ParseError: (400) the URI is malformed.
        """
        return parse_uri(self.uri)

    def param(self, name: bytes) -> bytes | None:
        """Return a field parameter's value as written, b"" for a flag, None when absent."""
        for key, value in parse_params(self.tail):
            if key == name:
                return value if value is not None else b""
        return None


def parse_name_addr(raw: bytes) -> NameAddr:
    """Parse one name-addr or addr-spec with the parameters behind it.

    Args:
        raw: one value, folding removed, no white space around.

    Raises:
        ParseError: (400) unterminated quotes or brackets, white space inside the URI, a
            display name that is neither quoted nor made of tokens, ``?`` outside brackets.
    """
    found = scan.address(raw)
    if found is not None:
        return NameAddr(raw, 0, found[0], found[1], True, found[2], found[3])
    return parse_slowly(raw)


def parse_slowly(raw: bytes) -> NameAddr:
    """Parse any address."""
    after_display = 0
    if raw[:1] == b'"':
        after_display = end_of_quoted(raw, 0)
    less = raw.find(b"<", after_display)
    if less < 0 or (after_display == 0 and _is_bare(raw, less)):
        if after_display:
            raise ParseError("no address after the display name")
        return _parse_bare(raw)
    greater = raw.find(b">", less)
    if greater < 0:
        raise ParseError("bracket does not close")
    display = raw[:less].strip(WHITE)
    if after_display:
        if len(display) != after_display:
            raise ParseError("text between display name and address")
    elif display and display.translate(None, _DISPLAY):
        raise ParseError("display name needs quotes")
    uri = raw[less + 1 : greater]
    if not uri or len(uri.translate(None, WHITE)) != len(uri):
        raise ParseError("white space in an address")
    head_end = greater + 1
    begin = raw.find(display)
    tag = find_tag(raw, head_end)
    return NameAddr(raw, begin, begin + len(display), less + 1, True, head_end, tag)


def _is_bare(raw: bytes, less: int) -> bool:
    """Tell whether the ``<`` belongs to a parameter of a bare URI, not to the address."""
    semicolon = raw.find(b";", 0, less)
    return semicolon >= 0 and raw.find(b":", 0, semicolon) > 0


def _parse_bare(raw: bytes) -> NameAddr:
    semicolon = raw.find(b";")
    end = len(raw) if semicolon < 0 else semicolon
    uri = raw[:end].rstrip(WHITE)
    if not uri or QUESTION in uri or COMMA in uri or len(uri.translate(None, WHITE)) != len(uri):
        raise ParseError("address needs brackets")
    return NameAddr(raw, 0, 0, 0, False, len(uri), find_tag(raw, len(uri)))


def find_tag(raw: bytes, start: int) -> bytes:
    """Return the tag among the parameters that begin at ``start``, b"" when there is none.

    Raises:
        ParseError: malformed parameters.
    """
    if raw[start : start + 5] == b";tag=":
        end = raw.find(b";", start + 5)
        tag = raw[start + 5 :] if end < 0 else raw[start + 5 : end]
        if tag and QUOTE not in tag and SPACE not in tag and TAB not in tag:
            return tag
    for name, value in parse_params(raw[start:]):
        if name == b"tag":
            return value if value is not None else b""
    return b""


def split_name_addrs(values: list[bytes]) -> list[NameAddr]:
    """Parse every address of a list field (Route, Record-Route, Contact), in order."""
    found: list[NameAddr] = []
    for value in values:
        if COMMA not in value:
            found.append(parse_name_addr(value))
            continue
        parts = [part for part in split_outside(value, b",") if part]
        if not parts:
            raise ParseError("no address between the commas")
        for part in parts:
            found.append(parse_name_addr(part))
    return found
