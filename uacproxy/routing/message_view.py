"""A message as scripts see it: fields by any spelling of their name, values in characters."""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ScriptError
from uacproxy.sip.grammar import is_token, octets_of, text
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import NameAddr
from uacproxy.sip.names import CALL_ID, CONTENT_LENGTH, CSEQ, FROM, TO, VIA, canonical

_KEPT: Final = frozenset((VIA, FROM, TO, CALL_ID, CSEQ, CONTENT_LENGTH))


@final
class RequestView:
    """A message in characters, for scripts; ``octets`` gives the message itself."""

    __slots__ = ("octets",)

    def __init__(self, message: Message) -> None:
        self.octets = message

    @property
    def method(self) -> str:
        """Return the method; of a response, that of its request."""
        message = self.octets
        return text(message.method if message.is_request else message.cseq.method)

    @property
    def status(self) -> int:
        """Return the status of a response, 0 for a request."""
        return self.octets.status

    @property
    def uri(self) -> str:
        """Return the Request-URI."""
        return text(self.octets.request_uri)

    @property
    def call_id(self) -> str:
        """Return the Call-ID."""
        return text(self.octets.call_id)

    @property
    def from_(self) -> NameAddr:
        """Return From."""
        return self.octets.from_

    @property
    def to(self) -> NameAddr:
        """Return To."""
        return self.octets.to

    @property
    def body(self) -> bytes:
        """Return the body."""
        return self.octets.body

    def get(self, name: str) -> str | None:
        """Return the first field of that name, long or compact, in any case of letters."""
        value = self.octets.get(canonical(octets_of(name)))
        return None if value is None else text(value)

    def fields(self, name: str) -> list[str]:
        """Return every field of that name."""
        return [text(value) for value in self.octets.fields(canonical(octets_of(name)))]

    def set(self, name: str, value: str) -> None:
        """Give the first field of that name a value, or add one."""
        self.octets.set(_editable(name), _field_value(value))

    def append(self, name: str, value: str) -> None:
        """Add a field behind all others."""
        self.octets.append(_editable(name), _field_value(value))

    def remove(self, name: str) -> None:
        """Remove every field of that name."""
        self.octets.remove(_editable(name))


def _editable(name: str) -> bytes:
    octets = octets_of(name)
    if not is_token(octets):
        raise ScriptError(f"{name!r} is no field name")
    wanted = canonical(octets)
    if wanted in _KEPT:
        way = "; use ctx.uac.replace_from or replace_to" if wanted in (FROM, TO) else ""
        raise ScriptError(f"{name} is not for scripts to edit{way}")
    return wanted


def _field_value(value: str) -> bytes:
    octets = octets_of(value)
    if b"\r" in octets or b"\n" in octets:
        raise ScriptError("a field value holds no line ends")
    return octets
