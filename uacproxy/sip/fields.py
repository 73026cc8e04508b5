"""Values of smaller fields: option tags, expiry, delays (RFC 3261 20)."""

from __future__ import annotations

from uacproxy.errors import ParseError
from uacproxy.sip.grammar import WHITE, is_digits, split_list
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr
from uacproxy.sip.names import EXPIRES, RETRY_AFTER

LONGEST_DELTA = 2**32 - 1  # s, 20.19


def option_tags(message: Message, name: bytes) -> list[bytes]:
    """Return the option tags of Require, Proxy-Require, Supported or Unsupported."""
    return message.values(name)


def parse_delta(value: bytes) -> int | None:
    """Read delta-seconds; what is larger than 2**32-1 counts as that, what is no number as None."""
    if not is_digits(value):
        return None
    return min(int(value.lstrip(b"0")[:20] or b"0"), LONGEST_DELTA)


def expires_of(message: Message) -> int | None:
    """Return the Expires field, s, None when absent or malformed."""
    value = message.get(EXPIRES)
    return None if value is None else parse_delta(value)


def contact_expires(contact: NameAddr) -> int | None:
    """Return a Contact's own ``expires``, s, None when absent or malformed (10.2.1.1)."""
    try:
        value = contact.param(b"expires")
    except ParseError:
        return None
    return None if value is None else parse_delta(value)


def retry_after(message: Message) -> int | None:
    """Return the seconds of Retry-After without its comment and parameters (20.33)."""
    value = message.get(RETRY_AFTER)
    if value is None:
        return None
    for end in (b"(", b";"):
        value = value.partition(end)[0]
    return parse_delta(value.strip(WHITE))


def contains_token(value: bytes, token: bytes) -> bool:
    """Tell whether a list value holds ``token``, compared without case."""
    return token.lower() in [part.lower() for part in split_list(value)]
