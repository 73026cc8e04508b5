"""Replacing the identity in From or To: display name, URI or both, in one message.

Head and tail are those of ``sip.name_addr``: a replacement swaps the head, so the tag
and every other parameter of the field leave as they came, as does the spelling of its
name. What was there first and what is shown now is kept in ``Identities``, from which
the later messages of the dialog are put right (``uac.restore``).

This is not RFC 3261: 16.6 lets a proxy touch neither field, and a peer of RFC 2543
compares them whole. That is why everything is put back on the way to whoever sent it.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import FeatureError, ParseError
from uacproxy.sip.grammar import COMMA, QUESTION, QUOTE, SEMICOLON
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr, parse_name_addr
from uacproxy.sip.names import FROM, spelling
from uacproxy.sip.uri import parse_uri

LONGEST_HEAD: Final = 2048  # octets; both forms have to fit into a Record-Route
_CONTROLS: Final = bytes([*range(0x20), 0x7F])
_DELIMITERS: Final = b' "<>'


@final
class Identities:
    """The heads of From and To before and after replacement; b"" where nothing was replaced.

    One per branch: ``copy`` when branches are edited apart.
    """

    __slots__ = ("from_original", "from_shown", "to_original", "to_shown")

    def __init__(
        self,
        from_original: bytes = b"",
        from_shown: bytes = b"",
        to_original: bytes = b"",
        to_shown: bytes = b"",
    ) -> None:
        self.from_original = from_original  # what the caller wrote
        self.from_shown = from_shown  # what the callee sees
        self.to_original = to_original
        self.to_shown = to_shown

    def copy(self) -> Identities:
        """Return identities that change apart from these."""
        return Identities(self.from_original, self.from_shown, self.to_original, self.to_shown)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is replaced."""
        return not self.from_original and not self.to_original

    def replaced(self, name: bytes, old: bytes, new: bytes) -> None:
        """Note that a head was replaced; the first original stays, the last shown counts.

        A head put back to its original is no longer replaced.
        """
        if name == FROM:
            self.from_original = self.from_original or old
            self.from_shown = new
            if self.from_original == new:
                self.from_original = self.from_shown = b""
        else:
            self.to_original = self.to_original or old
            self.to_shown = new
            if self.to_original == new:
                self.to_original = self.to_shown = b""


def replace_head(address: NameAddr, display: bytes | None, uri: bytes) -> bytes:
    """Return the head of ``address`` with another display name, another URI or both.

    A bare URI gets its brackets with a display name before it, or when the new URI holds
    what would otherwise end it: ``;``, ``?`` or a comma (20.10).

    Args:
        address: the field as it is.
        display: verbatim, with its quotes if it is to have any; None leaves the display
            name as it is, b"" removes it and the white space behind it.
        uri: without brackets; b"" leaves the URI as it is.
    """
    new_uri = uri if uri else address.uri
    if not address.bracketed:
        if display:
            return display + b" <" + new_uri + b">"
        if uri and (SEMICOLON in uri or QUESTION in uri or COMMA in uri):
            return b"<" + uri + b">"
        return new_uri
    less = address.head_end - len(address.uri) - 2
    lead = address.raw[:less]  # display name and white space
    if display is not None:
        old = address.display
        if not display:
            lead = b""
        elif not old:
            lead = display + b" "
        else:
            white = lead[len(old) :]
            if not white and display[-1] != QUOTE:
                white = b" "  # tokens need it (25.1), a quoted string does not
            lead = display + white
    return lead + b"<" + new_uri + b">"


def replace_in(
    message: Message, name: bytes, display: bytes | None, uri: bytes, identities: Identities
) -> None:
    """Replace the identity in one field of one message, as often as anyone likes.

    Nothing changes unless all of it can: the message never leaves with an identity that
    ``identities`` knows nothing of.

    Args:
        message: a sound request, the copy of its branch.
        name: FROM or TO.
        display: as in ``replace_head``, but white space around it is dropped.
        uri: as in ``replace_head``.
        identities: of the same branch; keeps the first original.

    Raises:
        FeatureError: the new display name or URI would break the field.
    """
    if display is not None:
        display = display.strip(b" \t")
    address = message.from_ if name == FROM else message.to
    old = address.head
    new = replace_head(address, display, uri)
    if new == old:
        return
    why = _fault(address, display, uri, new)
    if why:
        raise FeatureError(f"{spelling(name).decode()} not replaced: {why}")
    message.swap_value(name, old, new)
    identities.replaced(name, old, new)


def _fault(address: NameAddr, display: bytes | None, uri: bytes, new: bytes) -> str:
    """Return what is wrong with a new head, the field's parameters behind it; "" if nothing."""
    given = uri if display is None else display + uri
    if len(given.translate(None, _CONTROLS)) != len(given):
        return "control characters"
    if len(uri.translate(None, _DELIMITERS)) != len(uri):
        return "white space, quotes or brackets in the URI"
    if len(new) > LONGEST_HEAD or len(address.head) > LONGEST_HEAD:
        return f"longer than {LONGEST_HEAD} octets"
    try:
        if uri:
            parse_uri(uri)
    except ParseError as error:
        return f"URI: {error.why}"
    try:
        made = parse_name_addr(new + address.tail)
    except ParseError as error:
        return f"display name: {error.why}"
    wanted = uri if uri else address.uri
    if made.head_end != len(new) or made.tag != address.tag or made.uri != wanted:
        return "display name: it holds an address"
    return ""
