"""What a caller asks for in Privacy, and whether it is anonymous (RFC 3323, RFC 3325 9.3).

The field is read as it is found: values are separated by semicolons (RFC 3323 4.2), and
by the commas that some write instead. Nothing is decided here; ``uac.hiding`` hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from uacproxy.errors import OwnMistake, ParseError
from uacproxy.sip.grammar import WHITE, is_token, unquote
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr
from uacproxy.sip.uri import parse_uri

PRIVACY: Final = b"privacy"

ID: Final = b"id"  # RFC 3325: no asserted identity outside the trust domain
USER: Final = b"user"  # nothing the caller could have left out itself
HEADER: Final = b"header"  # no field that leads back to the caller, Via and Contact among them
NONE: Final = b"none"  # show me, whatever the defaults are
CRITICAL: Final = b"critical"  # fail rather than go on without

BY_URI: Final = b"from"
BY_DISPLAY: Final = b"display"

_ANONYMOUS: Final = b"anonymous"
_ANONYMOUS_HOST: Final = b"anonymous.invalid"  # RFC 3323 4.1.1.3


def privacy_of(message: Message) -> list[bytes]:
    """Return the values of Privacy in small letters, each once, in their order.

    What is no token is no value.
    """
    found: list[bytes] = []
    if not message.has(PRIVACY):
        return found
    for value in message.fields(PRIVACY):
        for part in value.replace(b",", b";").split(b";"):
            word = part.strip(WHITE).lower()
            if is_token(word) and word not in found:
                found.append(word)
    return found


def set_privacy(message: Message, values: Sequence[bytes]) -> bool:
    """Let Privacy hold exactly ``values``; tell whether that changed it.

    Without a value but ``critical`` the field goes, as RFC 3323 5 wants.

    Raises:
        OwnMistake: a value is no token.
    """
    wanted: list[bytes] = []
    for value in values:
        if not is_token(value):
            raise OwnMistake("a value of Privacy is no token")
        if value not in wanted:
            wanted.append(value)
    if not wanted or wanted == [CRITICAL]:
        if not message.has(PRIVACY):
            return False
        message.remove(PRIVACY)
        return True
    if wanted == privacy_of(message):
        return False
    return set_only(message, PRIVACY, b";".join(wanted))


def add_privacy(message: Message, value: bytes) -> bool:
    """Add one value; ``none``, which stands alone, makes room. Tell whether it was missing."""
    values = privacy_of(message)
    if value in values and NONE not in values:
        return False
    return set_privacy(message, [one for one in values if one not in (NONE, value)] + [value])


def anonymity(request: Message) -> tuple[bytes, ...]:
    """Return what makes a caller anonymous, () for one who is not.

    BY_URI: From has the host ``anonymous.invalid`` or the user ``anonymous``. BY_DISPLAY:
    its display name is Anonymous. ID, USER, HEADER: Privacy asks for it. A caller with
    ``Privacy: none`` wants to be shown, so it is not anonymous even where From is: then
    it is known by what its network asserts.

    Args:
        request: a sound one; after a replacement of From ask the received one as well.
    """
    values = privacy_of(request)
    asked = [value for value in (ID, USER, HEADER) if value in values]
    if not asked and NONE in values:
        return ()
    address = request.from_
    found: list[bytes] = []
    if _is_anonymous_uri(address.uri):
        found.append(BY_URI)
    if _shown(address) == _ANONYMOUS:
        found.append(BY_DISPLAY)
    return (*found, *asked)


def is_anonymous(request: Message) -> bool:
    """Tell whether the caller does not want to be named; ``anonymity`` says by what."""
    return len(anonymity(request)) > 0


def from_names_caller(request: Message) -> bool:
    """Tell whether From shows somebody, by its URI or by any display name but Anonymous."""
    address = request.from_
    return _shown(address) not in (b"", _ANONYMOUS) or not _is_anonymous_uri(address.uri)


def _shown(address: NameAddr) -> bytes:
    """Return the display name in small letters, without quotes."""
    return unquote(address.display).strip(WHITE).lower()


def _is_anonymous_uri(raw: bytes) -> bool:
    try:
        uri = parse_uri(raw)
    except ParseError:
        return False
    host = uri.host.rstrip(b".")
    return (
        uri.user.lower() == _ANONYMOUS
        or host == _ANONYMOUS_HOST
        or host.endswith(b"." + _ANONYMOUS_HOST)
    )


def set_only(message: Message, name: bytes, value: bytes) -> bool:
    """Let ``value`` be all that a field says; tell whether that changed the message.

    One field keeps its place and spelling; several become one, at the end.
    """
    count = message.count(name)
    if count == 1:
        if message.get(name) == value:
            return False
        message.set(name, value)
        return True
    if count:
        message.remove(name)
    message.append(name, value)
    return True
