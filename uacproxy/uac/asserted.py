"""Who the network says is calling: P-Asserted-Identity and its like (RFC 3325, RFC 5876).

P-Preferred-Identity is what a client would like to be asserted; Remote-Party-ID is the
older form of both (draft-ietf-sip-privacy-04). Reading takes what makes sense and passes
over the rest, as RFC 5876 asks. Writing leaves one statement in the message: two that
differ are what providers refuse.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import FeatureError, ParseError
from uacproxy.sip.grammar import CONTROLS, split_list, split_outside, unquote
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr, parse_name_addr
from uacproxy.sip.uri import SIP, SIPS, TEL, parse_uri
from uacproxy.uac.privacy import ID, add_privacy, set_only

P_ASSERTED_IDENTITY: Final = b"p-asserted-identity"
P_PREFERRED_IDENTITY: Final = b"p-preferred-identity"
REMOTE_PARTY_ID: Final = b"remote-party-id"

STYLES: Final = ("pai", "ppi", "rpid", "from")
"""How a provider wants to be told who calls; several words of the first three may go together."""

LONGEST_IDENTITY: Final = 2048  # octets

_FIELDS: Final = (
    ("pai", P_ASSERTED_IDENTITY),
    ("ppi", P_PREFERRED_IDENTITY),
    ("rpid", REMOTE_PARTY_ID),
)
_FULL: Final = b"full"
_OFF: Final = b"off"


# -- P-Asserted-Identity and P-Preferred-Identity ------------------------------------------


def asserted(message: Message, name: bytes = P_ASSERTED_IDENTITY) -> list[NameAddr]:
    """Return the identities of a field: at most one sip or sips, at most one tel, in order.

    These fields have no parameters of their own: what follows a bare URI belongs to it.
    Malformed values, other schemes and second ones of a kind are left out.
    """
    found: list[NameAddr] = []
    if not message.has(name):
        return found
    seen_sip = False
    seen_tel = False
    for address in _addresses(message, name, True):
        try:
            scheme = parse_uri(address.uri).scheme
        except ParseError:
            continue
        if scheme == TEL and not seen_tel:
            seen_tel = True
            found.append(address)
        elif scheme in (SIP, SIPS) and not seen_sip:
            seen_sip = True
            found.append(address)
    return found


def set_asserted(
    message: Message, identities: list[bytes], name: bytes = P_ASSERTED_IDENTITY
) -> bool:
    """Let a field hold these identities and no others; tell whether that changed it.

    Args:
        message: the copy that goes on.
        identities: one or two of ``identity()``, the second of the other kind; none removes
            the field.
        name: P_ASSERTED_IDENTITY or P_PREFERRED_IDENTITY.

    Raises:
        FeatureError: more than two, or two of one kind (RFC 3325 9.1).
    """
    if not identities:
        return _remove(message, name)
    _refuse_twins(identities)
    return set_only(message, name, b", ".join(identities))


def identity(uri: bytes, display: bytes = b"") -> bytes:
    """Return one identity as it is written: brackets always, the display name before them.

    Args:
        uri: sip, sips or tel, without brackets.
        display: verbatim, with its quotes if it is to have any; b"" for none.

    Raises:
        FeatureError: the URI or the display name would break the field.
    """
    display = display.strip(b" \t")
    try:
        scheme = parse_uri(uri).scheme
    except ParseError as error:
        raise FeatureError(f"identity: {error.why}") from error
    if scheme not in (SIP, SIPS, TEL):
        raise FeatureError("identity: neither a sip, a sips nor a tel URI")
    if len(display.translate(None, CONTROLS)) != len(display):
        raise FeatureError("identity: control characters in the display name")
    written = display + b" <" + uri + b">" if display else b"<" + uri + b">"
    if len(written) > LONGEST_IDENTITY:
        raise FeatureError(f"identity: longer than {LONGEST_IDENTITY} octets")
    try:
        made = parse_name_addr(written)
    except ParseError as error:
        raise FeatureError(f"identity: {error.why}") from error
    if made.tail:
        raise FeatureError("identity: the display name holds an address")
    return written


def _refuse_twins(written: list[bytes]) -> None:
    kinds = {parse_uri(parse_name_addr(one).uri).scheme == TEL for one in written}
    if len(kinds) != len(written):
        raise FeatureError("identity: one sip or sips URI, one tel URI, or one of each")


# -- Remote-Party-ID -----------------------------------------------------------------------


@final
class RemoteParty:
    """One Remote-Party-ID; what is not said has the draft's default."""

    __slots__ = ("address", "party", "privacy", "screened")

    def __init__(
        self, address: NameAddr, party: bytes, screened: bool, privacy: tuple[bytes, ...]
    ) -> None:
        self.address = address
        self.party = party  # b"calling", b"called" or another token, in small letters
        self.screened = screened  # the network has checked it
        self.privacy = privacy  # b"full", b"name", b"uri", b"off", with b"-network" perhaps

    @property
    def is_private(self) -> bool:
        """Tell whether any of name and URI must not be shown."""
        return any(one.partition(b"-")[0] != _OFF for one in self.privacy)


def remote_parties(message: Message) -> list[RemoteParty]:
    """Return every Remote-Party-ID that can be read, in order.

    Without ``party`` it is the calling one in a request and the called one in a response.
    """
    found: list[RemoteParty] = []
    if not message.has(REMOTE_PARTY_ID):
        return found
    for address in _addresses(message, REMOTE_PARTY_ID, False):
        try:
            party = address.param(b"party")
            screen = address.param(b"screen")
            privacy = _privacy_words(address)
        except ParseError:
            continue
        found.append(
            RemoteParty(
                address,
                (party or (b"calling" if message.is_request else b"called")).lower(),
                screen is not None and screen.lower() == b"yes",
                privacy,
            )
        )
    return found


def set_remote_party(
    message: Message,
    written: bytes,
    *,
    party: bytes = b"calling",
    screened: bool = True,
    private: bool = False,
) -> bool:
    """Let Remote-Party-ID hold one identity and no others; tell whether that changed it.

    Args:
        message: the copy that goes on.
        written: what ``identity()`` returned.
        party: a token.
        screened: the network has checked it.
        private: neither name nor URI is to be shown to the other side.
    """
    screen = b"yes" if screened else b"no"
    privacy = _FULL if private else _OFF
    value = written + b";party=" + party + b";screen=" + screen + b";privacy=" + privacy
    return set_only(message, REMOTE_PARTY_ID, value)


def keep_remote_parties_private(message: Message) -> bool:
    """Let each Remote-Party-ID say ``privacy=full``, its other parameters kept.

    One that cannot be read goes: nobody could tell whether it is hidden.
    """
    if not message.has(REMOTE_PARTY_ID):
        return False
    values: list[bytes] = []
    for address in _addresses(message, REMOTE_PARTY_ID, False):
        try:
            said = _privacy_words(address)
        except ParseError:
            continue
        if any(word.partition(b"-")[0] == _FULL for word in said):
            values.append(address.raw)
            continue
        parts = split_outside(address.tail, b";")
        kept = [part for part in parts if part.partition(b"=")[0].lower().rstrip() != b"privacy"]
        values.append(address.head + b";".join(kept) + b";privacy=full")
    if not values:
        return _remove(message, REMOTE_PARTY_ID)
    if values == _parts(message, REMOTE_PARTY_ID):
        return False
    return set_only(message, REMOTE_PARTY_ID, b", ".join(values))


def _privacy_words(address: NameAddr) -> tuple[bytes, ...]:
    return tuple(one.lower() for one in split_list(unquote(address.param(b"privacy") or b"")))


# -- what a provider wants, in one line ----------------------------------------------------


def assert_identity(
    message: Message, uri: bytes, display: bytes, style: str, *, private: bool = False
) -> bool:
    """Tell the next hop who calls, in the way it wants to be told; all other ways go.

    Nothing changes unless all of it can. Style ``from`` only removes: From itself is the
    business of ``uac.replace``, because it has to be put back later.

    Args:
        message: a request, the copy that goes on.
        uri: a sip, sips or tel URI, or one of each, separated by white space. Of two
            Remote-Party-ID takes the first.
        display: as in ``identity``.
        style: words of STYLES.
        private: the caller is anonymous: the identity is for the network alone, so
            ``Privacy: id`` goes with it, ``privacy=full`` with Remote-Party-ID.

    Returns:
        Whether the message changed.

    Raises:
        FeatureError: an unknown style, or ``identity`` or ``set_asserted`` refuse.
    """
    words = style.split()
    for word in words:
        if word not in STYLES:
            raise FeatureError(f"identity style '{word}' is none of {', '.join(STYLES)}")
    if not words or ("from" in words and len(words) > 1):
        raise FeatureError("identity style: from alone, or words of pai, ppi, rpid")
    written = [identity(one, display) for one in uri.split()]
    if not written:
        raise FeatureError("identity: no URI")
    _refuse_twins(written)
    changed = False
    for word, name in _FIELDS:
        if word not in words:
            changed = _remove(message, name) or changed
        elif word == "rpid":
            changed = set_remote_party(message, written[0], private=private) or changed
        else:
            changed = set_asserted(message, written, name) or changed
    if private and ("pai" in words or "ppi" in words):
        changed = add_privacy(message, ID) or changed
    return changed


def _remove(message: Message, name: bytes) -> bool:
    if not message.has(name):
        return False
    message.remove(name)
    return True


def _addresses(message: Message, name: bytes, bare_has_no_tail: bool) -> list[NameAddr]:
    """Return every address of a field that can be read."""
    found: list[NameAddr] = []
    for part in _parts(message, name):
        try:
            address = parse_name_addr(part)
        except ParseError:
            continue
        if bare_has_no_tail and not address.bracketed and address.tail:
            address = NameAddr(part, 0, 0, 0, False, len(part), b"")
        found.append(address)
    return found


def _parts(message: Message, name: bytes) -> list[bytes]:
    """Return the elements of a list field; a value whose quotes or brackets stay open has none."""
    parts: list[bytes] = []
    for value in message.fields(name):
        try:
            parts.extend(split_list(value))
        except ParseError:
            parts.append(b"")
    return parts
