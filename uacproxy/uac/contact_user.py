"""Hiding the user of a Contact, and finding it again where a request comes back to it.

What a caller writes into Contact is where the later requests of its dialog are sent
(RFC 3261 12.1.1, 12.2.1.1): the callee repeats the whole URI as Request-URI, and a phone
refuses a Request-URI whose user is not its own. So the user goes out as ``anonymous``
and travels along in a URI parameter, encrypted and bound to the Call-ID; in the
Request-URI of a later request it takes its place again. Nothing is kept here: a restart,
or another instance with the same key, changes nothing. Host and port stay as they are.

As with ``uac.rr_param``, a peer that routes a request of its own through us to itself sees
what we put back; what is hidden is hidden from peers that keep to the protocol.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ParseError, RestoreFailed
from uacproxy.sip.grammar import split_outside
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr
from uacproxy.sip.names import CONTACT
from uacproxy.sip.uri import Uri, parse_uri, with_user
from uacproxy.uac.privacy import set_only
from uacproxy.uac.seal import Seal

PARAM: Final = b"cuser"  # of the Contact URI
ANONYMOUS_USER: Final = b"anonymous"

_AMBIGUOUS: Final = 485
_BOUND_TO: Final = b"contact user"
_INSTANCE: Final = b"+sip.instance"  # RFC 5626: names the device


@final
class ContactSeal:
    """Seals the user of a Contact."""

    __slots__ = ("_seal",)

    def __init__(self, keys: list[bytes]) -> None:
        """Take the keys; see ``Seal``."""
        self._seal = Seal(keys)

    def seal(self, user: bytes, call_id: bytes) -> bytes:
        """Return the value of the parameter; ``user`` is not empty."""
        return self._seal.seal(user, [_BOUND_TO, call_id])

    def open(self, value: bytes, call_id: bytes) -> bytes:
        """Return the user.

        Raises:
            RestoreFailed: not a value of ours, or from another dialog.
        """
        return self._seal.open(value, [_BOUND_TO, call_id])


def hide_contact(message: Message, seal: ContactSeal | None) -> bool:
    """Take display name, user and device out of Contact; tell whether that changed it.

    A REGISTER, a redirection and a 485 keep theirs: those addresses are meant to be used. In
    other refusals Contact says nothing (RFC 3261 20), but many phones write it. A Contact
    that cannot be read is removed, so that it hides nothing.

    Args:
        message: a request or response of the hidden side, the copy that goes on.
        seal: puts the user where ``reveal_contact`` finds it. None: it is gone, and
            requests of the other side arrive with the user ``anonymous``.
    """
    if not message.has(CONTACT) or message.method == b"REGISTER":
        return False
    if 300 <= message.status < 400 or message.status == _AMBIGUOUS:
        return False
    try:
        before = message.addresses(CONTACT)
        hidden = [_hidden(address, seal, message.call_id) for address in before]
    except ParseError:
        message.remove(CONTACT)
        return True
    if hidden == [address.raw for address in before]:
        return False
    return set_only(message, CONTACT, b", ".join(hidden))


def _hidden(address: NameAddr, seal: ContactSeal | None, call_id: bytes) -> bytes:
    """Return one Contact value without what names the caller; hidden already, as it is."""
    uri = address.address
    changed = uri.raw
    if uri.user and (uri.user != ANONYMOUS_USER or uri.password is not None):
        changed = with_user(uri, ANONYMOUS_USER)
        if seal is not None:
            user = uri.user if uri.password is None else uri.user + b":" + uri.password
            changed = _with_param(parse_uri(changed), seal.seal(user, call_id))
    elif not uri.is_sip:
        raise ParseError("a Contact without a host", field=CONTACT)
    parts = split_outside(address.tail, b";")
    kept = [part for part in parts if part.partition(b"=")[0].rstrip().lower() != _INSTANCE]
    if changed == uri.raw and not address.display and len(kept) == len(parts):
        return address.raw
    return b"<" + changed + b">" + b";".join(kept)


def _with_param(uri: Uri, value: bytes) -> bytes:
    """Return the URI with our parameter behind its others."""
    raw = uri.raw
    end = raw.find(b"?")
    if end < 0:
        end = len(raw)
    return raw[:end] + b";" + PARAM + b"=" + value + raw[end:]


def reveal_contact(request: Message, seal: ContactSeal) -> bool:
    """Put the user back that ``hide_contact`` took; tell whether there was one.

    Args:
        request: within the dialog, toward the hidden side, the copy that goes on.
        seal: with the key it was sealed with.

    Raises:
        RestoreFailed: the parameter was altered; the Request-URI stays as it came.
    """
    if request.request_uri.find(PARAM + b"=") < 0:
        return False
    try:
        uri = request.uri
        value = uri.param(PARAM)
        if value is None or not uri.is_sip:
            return False
        user = seal.open(value, request.call_id)
        request.set_request_uri(with_user(_without_param(uri, value), user))
    except ParseError as error:
        raise RestoreFailed("altered") from error
    return True


def _without_param(uri: Uri, value: bytes) -> Uri:
    return parse_uri(uri.raw.replace(b";" + PARAM + b"=" + value, b"", 1))
