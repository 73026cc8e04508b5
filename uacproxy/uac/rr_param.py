"""Identities as parameters of the Record-Route URI, so that no state is needed to restore them.

Each request of the dialog brings them back in its Route (RFC 3261 16.12). One parameter
stands for the From of the first request, one for its To, by default ``vsf`` and ``vst``;
only a replaced field has one.

``SealedCodec`` is ours: both forms of the field, authenticated, so what a peer writes
into From or To does not matter and what it writes into the parameter is noticed. Before
them stands ``hid`` with the letters of what is replaced, ``f``, ``t`` or both, so that a
value cut off or left out on the way is noticed too; who takes that away as well is not.
``KamailioCodec`` is the value of Kamailio's uac module, URI XOR URI, for farms where both
serve the same dialogs. It has no integrity: whoever can choose From and Route can choose
the result, and whoever knows both URIs knows the password.

Neither keeps a peer from having a restored request sent to itself: the Request-URI is the
peer's. Where that matters, the dialog has to be tracked and its remote target checked.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64, b2a_base64
from typing import Final, Protocol, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from uacproxy.errors import OwnMistake, RestoreFailed
from uacproxy.sip.grammar import ALPHANUM
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr, parse_name_addr
from uacproxy.sip.names import FROM, TO
from uacproxy.sip.uri import Uri
from uacproxy.uac.replace import Identities, replace_head
from uacproxy.uac.restore_key import KEY_LENGTH

MOST_KEPT: Final = 4096  # opened values remembered; a forgotten one is opened again
MOST_SEALED: Final = 1024  # likewise
_VERSION: Final = 2 << 5  # in the three high bits of the first octet
_KEY_BITS: Final = 0x1F  # the others: which key
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_URL_SAFE: Final = ALPHANUM + b"-_"
_BASE64: Final = ALPHANUM + b"+/"
_PADDING: Final = (b"", b"", b"==", b"=")  # by length modulo 4, where 1 is no base64
_URI_PRINTABLE: Final = bytes([c for c in range(0x21, 0x7F) if c not in b'"<>'])
_SCHEMES: Final = (b"sip:", b"sips:", b"tel:")
_HID: Final = b"hid"
_F: Final = b"f"
_T: Final = b"t"


class RestoreCodec(Protocol):
    """How identities travel in Record-Route."""

    hide_on_failure: bool
    """Whether a field whose value cannot be read is made anonymous, or left as it came."""

    def params(
        self, identities: Identities, call_id: bytes, from_tag: bytes
    ) -> list[tuple[bytes, bytes]]:
        """Return names and values for the Record-Route of the request that opens a dialog.

        Args:
            identities: of this branch, at the end of all editing.
            call_id: of the request.
            from_tag: of the request: the caller's.
        """

    def params_of(self, route: Uri) -> list[tuple[bytes, bytes]]:
        """Return names and values to repeat in the Record-Route of a later request.

        Args:
            route: our own URI, taken from the top Route.
        """

    def head(self, replaced: bytes, request: Message, route: Uri, toward_callee: bool) -> bytes:
        """Return the head the receiver of ``request`` is to see, b"" if none is stored.

        Args:
            replaced: FROM or TO, the field of the *first* request; see ``field_for``.
            request: within the dialog, as it came.
            route: our own URI, taken from its top Route.
            toward_callee: whether the caller of the first request sent this one.

        Raises:
            RestoreFailed: there is a value, and it cannot be read.
        """


def field_for(replaced: bytes, toward_callee: bool) -> bytes:
    """Return which field of a request holds what the first request had in ``replaced``.

    From and To change places when the callee sends (RFC 3261 12.2.1.1).
    """
    if toward_callee:
        return replaced
    return TO if replaced == FROM else FROM


@final
class SealedCodec:
    """Both forms of a field under AES-SIV (RFC 5297), bound to field, Call-ID and caller's tag.

    AES-SIV takes no nonce: equal values for a field sealed twice in one dialog are all it
    tells, and nothing has to be random. The octets are version and key (1), tag (16),
    length of the original head (2), original head, shown head; base64url without padding
    (RFC 4648 5), so no character needs an escape in a URI. Their number is not hidden.
    """

    __slots__ = (
        "_from_name",
        "_from_param",
        "_keys",
        "_opened",
        "_sealed",
        "_sealer",
        "_to_name",
        "_to_param",
        "_version",
        "hide_on_failure",
    )

    def __init__(self, from_param: bytes, to_param: bytes, keys: list[bytes]) -> None:
        """Take the names of the parameters and the keys.

        Args:
            from_param: the name for From, as it is to be written.
            to_param: the name for To.
            keys: 32 octets each; the first seals, all open, so a new one goes in front.
        """
        if not keys or any(len(key) != KEY_LENGTH for key in keys):
            raise OwnMistake(f"sealing needs keys of {KEY_LENGTH} octets")
        self.hide_on_failure: bool = True
        self._from_param = from_param
        self._to_param = to_param
        self._from_name = from_param.lower()  # as ``Uri`` has it
        self._to_name = to_param.lower()
        self._keys: dict[int, list[AESSIV]] = {}  # by first octet
        for key in keys:
            self._keys.setdefault(_version_of(key), []).append(AESSIV(key))
        version = _version_of(keys[0])
        self._sealer = self._keys[version][0]
        self._version = bytes([version])
        self._opened: dict[bytes, bytes] = {}  # recent values: the ACK comes soon after
        self._sealed: dict[tuple[bytes, bytes, bytes, bytes], bytes] = {}  # recent, by what of

    def params(
        self, identities: Identities, call_id: bytes, from_tag: bytes
    ) -> list[tuple[bytes, bytes]]:
        """Seal what is replaced."""
        if identities.is_empty:
            return []
        hid = b""
        if identities.from_original:
            hid += _F
        if identities.to_original:
            hid += _T
        found: list[tuple[bytes, bytes]] = [(_HID, hid)]
        if identities.from_original:
            sealed = self._seal(
                identities.from_original, identities.from_shown, FROM, call_id, from_tag
            )
            found.append((self._from_param, sealed))
        if identities.to_original:
            sealed = self._seal(identities.to_original, identities.to_shown, TO, call_id, from_tag)
            found.append((self._to_param, sealed))
        return found

    def params_of(self, route: Uri) -> list[tuple[bytes, bytes]]:
        """Repeat the values, whether they can be opened or not."""
        found: list[tuple[bytes, bytes]] = []
        _repeat(found, route, _HID, _HID)
        _repeat(found, route, self._from_param, self._from_name)
        _repeat(found, route, self._to_param, self._to_name)
        return found

    def head(self, replaced: bytes, request: Message, route: Uri, toward_callee: bool) -> bytes:
        """Open one value; the direction has to be the one it was sealed in."""
        is_from = replaced == FROM
        value = route.param(self._from_name if is_from else self._to_name)
        if value is None:
            hidden = route.param(_HID)
            if hidden is not None and (_F if is_from else _T)[0] in hidden:
                raise RestoreFailed("missing")
            return b""
        tag = request.from_.tag if toward_callee else request.to.tag
        opened = self._open(value, replaced, request.call_id, tag)
        middle = 2 + opened[0] * 256 + opened[1]
        return opened[middle:] if toward_callee else opened[2:middle]

    def _seal(
        self, original: bytes, shown: bytes, replaced: bytes, call_id: bytes, tag: bytes
    ) -> bytes:
        both = len(original).to_bytes(2, "big") + original + shown
        known = self._sealed.get((both, replaced, call_id, tag))
        if known is not None:
            return known  # the INVITE goes out once more, with credentials
        sealed = self._sealer.encrypt(both, _bound_to(replaced, call_id, tag))
        text = b2a_base64(self._version + sealed, newline=False)
        value = text.rstrip(b"=").translate(_TO_URL)
        if len(self._sealed) >= MOST_SEALED:
            self._sealed.clear()
        self._sealed[(both, replaced, call_id, tag)] = value
        self._remember(b"\n".join([value, replaced, call_id, tag]), both)
        return value

    def _remember(self, sealed: bytes, opened: bytes) -> None:
        if len(self._opened) >= MOST_KEPT:
            self._opened.clear()
        self._opened[sealed] = opened

    def _open(self, value: bytes, replaced: bytes, call_id: bytes, tag: bytes) -> bytes:
        whole = b"\n".join([value, replaced, call_id, tag])
        known = self._opened.get(whole)
        if known is not None:
            return known
        left = len(value) % 4
        if left == 1 or value.translate(None, _URL_SAFE):
            raise RestoreFailed("altered")
        sealed = a2b_base64(value.translate(_FROM_URL) + _PADDING[left])
        keys = self._keys.get(sealed[0]) if sealed else None
        if keys is None:
            raise RestoreFailed("unreadable")  # no key of ours, or no value of ours
        bound_to = _bound_to(replaced, call_id, tag)
        for key in keys:
            try:
                opened = key.decrypt(sealed[1:], bound_to)
            except InvalidTag:
                continue
            self._remember(whole, opened)
            return opened
        raise RestoreFailed("altered")  # or from another dialog


def _version_of(key: bytes) -> int:
    """Return the first octet of what ``key`` seals."""
    return _VERSION | (hashlib.sha256(b"which key" + key).digest()[0] & _KEY_BITS)


def _bound_to(replaced: bytes, call_id: bytes, tag: bytes) -> list[bytes]:
    # One string is cheaper than two; with its length the Call-ID can borrow no octets of the tag.
    return [b"%b:%d:%b%b" % (replaced, len(call_id), call_id, tag)]


@final
class KamailioCodec:
    """The value of Kamailio's uac module: one URI XOR the other, XOR the password.

    It restores URIs alone: a display name in a later request stays as its sender wrote it.
    With ``hide_on_failure`` left False a field whose value makes no sense passes as it
    came, as it does there: in a mixed farm a call must look the same through either.
    """

    __slots__ = ("_from_param", "_password", "_to_param", "hide_on_failure")

    def __init__(
        self, from_param: bytes, to_param: bytes, password: bytes, *, hide_on_failure: bool = False
    ) -> None:
        self.hide_on_failure: bool = hide_on_failure
        self._from_param = from_param
        self._to_param = to_param
        self._password = password

    def params(
        self, identities: Identities, call_id: bytes, from_tag: bytes
    ) -> list[tuple[bytes, bytes]]:
        """Encode what has another URI; the value is the same in every dialog."""
        found: list[tuple[bytes, bytes]] = []
        if identities.from_original:
            value = self._encode(identities.from_original, identities.from_shown)
            if value:
                found.append((self._from_param, value))
        if identities.to_original:
            value = self._encode(identities.to_original, identities.to_shown)
            if value:
                found.append((self._to_param, value))
        return found

    def params_of(self, route: Uri) -> list[tuple[bytes, bytes]]:
        """Repeat the values, whether they make sense or not."""
        found: list[tuple[bytes, bytes]] = []
        _repeat(found, route, self._from_param, self._from_param.lower())
        _repeat(found, route, self._to_param, self._to_param.lower())
        return found

    def head(self, replaced: bytes, request: Message, route: Uri, toward_callee: bool) -> bytes:
        """Turn the URI the field has into the other one."""
        value = route.param((self._from_param if replaced == FROM else self._to_param).lower())
        if value is None:
            return b""
        name = field_for(replaced, toward_callee)
        address: NameAddr = request.from_ if name == FROM else request.to
        return replace_head(address, None, self._decode(value, address.uri))

    def _encode(self, original_head: bytes, shown_head: bytes) -> bytes:
        original = parse_name_addr(original_head).uri
        shown = parse_name_addr(shown_head).uri
        if original == shown:
            return b""
        mixed = self._mix(_xor(original, shown))
        return b2a_base64(mixed, newline=False).replace(b"=", b"-")

    def _decode(self, value: bytes, current: bytes) -> bytes:
        text = value.rstrip(b"-")
        padding = len(value) - len(text)
        if padding > 2 or len(value) % 4 or text.translate(None, _BASE64):
            raise RestoreFailed("altered")
        mixed = a2b_base64(text + b"=" * padding)
        if len(mixed) < len(current):
            raise RestoreFailed("altered")  # the field is not what it was
        other = _xor(self._mix(mixed), current)
        end = other.find(b"\0", 0, len(current))
        if end >= 0:
            other = other[:end]
        if other.translate(None, _URI_PRINTABLE) or not other.lower().startswith(_SCHEMES):
            raise RestoreFailed("altered")
        return other

    def _mix(self, octets: bytes) -> bytes:
        password = self._password
        if not password:
            return octets
        return _xor(octets, (password * (len(octets) // len(password) + 1))[: len(octets)])


def _xor(one: bytes, other: bytes) -> bytes:
    """Return the XOR as far as both go, then the rest of the longer."""
    both = min(len(one), len(other))
    mixed = int.from_bytes(one[:both], "big") ^ int.from_bytes(other[:both], "big")
    return mixed.to_bytes(both, "big") + one[both:] + other[both:]


def _repeat(found: list[tuple[bytes, bytes]], route: Uri, param: bytes, name: bytes) -> None:
    value = route.param(name)
    if value:
        found.append((param, value))
