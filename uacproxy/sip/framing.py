"""Cutting a stream into messages by Content-Length (RFC 3261 18.3, RFC 5626 3.5.1).

A ``Framer`` belongs to one connection. It keeps what has not ended yet and never looks
at an octet twice for the end of the head, so a peer that sends one octet at a time costs
no more than one that sends all at once.
"""

from __future__ import annotations

import re
from typing import Final, final

from uacproxy.errors import FramingError, MessageTooLarge, ParseError
from uacproxy.sip.grammar import parse_number
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.names import CONTENT_LENGTH
from uacproxy.sip.parse import DEFAULT_LIMITS

PING: Final = b"\r\n\r\n"
"""The keep-alive of RFC 5626; a frame equal to it asks for a ``PONG``."""
PONG: Final = b"\r\n"

_LENGTH: Final = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(?:\r\n[ \t]+)?([^\r\n]*)", re.IGNORECASE
)


@final
class Framer:
    """The part of a stream that is not yet a whole message."""

    __slots__ = ("_body", "_buffer", "_head", "_limits", "_looked")

    def __init__(self, limits: LimitSettings = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._looked = 0  # octets in which no end of the head begins
        self._head = 0  # length of a head that has ended, its empty line included
        self._body = 0  # octets of body that follow it

    @property
    def pending(self) -> int:
        """Return how many octets wait for the rest of their message."""
        return len(self._buffer)

    def feed(self, chunk: bytes, frames: list[bytes]) -> None:
        """Take octets as they came; append every message that is whole to ``frames``.

        ``PING`` is appended for a keep-alive. A single CRLF between messages is skipped.

        Raises:
            FramingError: Content-Length is missing, malformed or contradicts itself, or a
                limit is passed; ``frames`` holds what came before. ``head`` of the error
                has the octets of the head, for an answer; the connection must close.
        """
        buffer = self._buffer
        buffer += chunk
        while True:
            if self._head:
                whole = self._head + self._body
                if len(buffer) < whole:
                    return
                frames.append(bytes(buffer[:whole]))
                del buffer[:whole]
                self._head = 0
                self._looked = 0
                continue
            if buffer[:2] == b"\r\n":
                if len(buffer) == 2 or (buffer[:3] == b"\r\n\r" and len(buffer) == 3):
                    return  # perhaps the first half of a PING
                if buffer[:4] == PING:
                    frames.append(PING)
                    del buffer[:4]
                else:
                    del buffer[:2]
                continue
            end = buffer.find(b"\r\n\r\n", self._looked)
            if end < 0:
                self._looked = max(0, len(buffer) - 3)
                if len(buffer) > self._limits.max_message:
                    raise StreamBroken(MessageTooLarge("head too long"), b"")
                return
            self._measure(bytes(buffer[: end + 4]))

    def _measure(self, head: bytes) -> None:
        lengths = {found.strip() for found in _LENGTH.findall(head)}
        if len(lengths) != 1:
            why = "several Content-Length values" if lengths else "no Content-Length on a stream"
            raise StreamBroken(ParseError(why), head)
        (digits,) = lengths
        try:
            self._body = parse_number(digits, field=CONTENT_LENGTH)
        except ParseError as error:
            raise StreamBroken(error, head) from error
        if len(head) + self._body > self._limits.max_message:
            raise StreamBroken(MessageTooLarge("message too long"), head)
        self._head = len(head)


class StreamBroken(FramingError):
    """The stream cannot be cut any more; ``head`` is the head at fault, or b""."""

    def __init__(self, error: ParseError, head: bytes) -> None:
        super().__init__(error.why, status=error.status)
        self.head = head
