"""What a request that begins something says at first sight, and the 503 made of that.

For times when there is none to spare: no ``Message`` is made, only the five fields are
looked for that an answer needs (RFC 3261 8.2.6). Whatever is not plain is left to
``sip.parse``: folded lines, parameters in odd places, fields too many or too few.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.sip.grammar import COMMA
from uacproxy.sip.lines import value_of
from uacproxy.sip.via import Via, parse_via

_BEGUN: Final = (b"SIP/2.0 ", b"ACK ", b"BYE ", b"CANCEL ", b"PRACK ")
_END: Final = b" SIP/2.0"
_FOLDS: Final = (b"\r\n ", b"\r\n\t")
_FIRST: Final = frozenset(b"VvFfTtIiCc")  # the letters that the names wanted begin with
_VIA, _FROM, _TO, _CALL_ID, _CSEQ = 1, 2, 4, 8, 16
_ALL: Final = _VIA | _FROM | _TO | _CALL_ID | _CSEQ
_NAMES: Final = {
    b"via": _VIA,
    b"v": _VIA,
    b"from": _FROM,
    b"f": _FROM,
    b"to": _TO,
    b"t": _TO,
    b"call-id": _CALL_ID,
    b"i": _CALL_ID,
    b"cseq": _CSEQ,
}


@final
class Sketch:
    """A request without a To tag whose answer is at hand; see ``sketch_of``."""

    __slots__ = ("lines", "method", "request_uri", "to", "top", "via")

    def __init__(self, method: bytes, request_uri: bytes, via: Via, lines: list[bytes]) -> None:
        self.method = method
        self.request_uri = request_uri
        self.via = via  # the top one
        self.lines = lines  # that go into an answer, in their order
        self.top = 0  # where among them the top Via stands
        self.to = 0  # and To

    @property
    def key(self) -> bytes:
        """Return what ``transaction.key.invite_key`` does."""
        return self.via.branch + b" " + self.via.sent_by.lower()


def sketch_of(octets: bytes) -> Sketch | None:
    """Look at one datagram; None where it is no plain request that begins something."""
    if octets.startswith(_BEGUN):
        return None
    end = octets.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = octets[:end]
    if head.find(_FOLDS[0]) >= 0 or head.find(_FOLDS[1]) >= 0:
        return None
    lines = head.split(b"\r\n")
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
        return None
    start = lines[0]
    if not start.endswith(_END) or start.count(b" ") != 2:
        return None
    kept: list[bytes] = []
    seen = top = to = 0
    for line in lines[1:]:
        if not line or line[0] not in _FIRST:
            continue
        name = _NAMES.get(line[: line.find(b":")].rstrip().lower())
        if name is None:
            continue
        if name == _VIA:
            if not seen & _VIA:
                top = len(kept)
        elif seen & name:
            return None
        elif name == _TO:
            to = len(kept)
        seen |= name
        kept.append(line)
    if seen != _ALL or not _is_tagless(kept[to]):
        return None
    value = value_of(kept[top])
    if value.find(COMMA) >= 0:
        return None
    try:
        via = parse_via(value)
    except ParseError:
        return None
    if not via.is_rfc3261:
        return None
    method, request_uri, _ = start.split(b" ")
    sketch = Sketch(method, request_uri, via, kept)
    sketch.top = top
    sketch.to = to
    return sketch


def _is_tagless(line: bytes) -> bool:
    """Tell whether it is plain to see that a To has no tag."""
    closed = line.find(b">")
    return line.find(b"tag", closed + 1) < 0 and line.lower().find(b"tag", closed + 1) < 0


def build_refusal(sketch: Sketch, host: str, port: int, to_tag: bytes, retry_after: int) -> bytes:
    """Return the octets of a 503 with Retry-After.

    Args:
        sketch: of the request.
        host: it came from, no zone; it goes into the Via (18.2.1, RFC 3581 4).
        port: it came from.
        to_tag: ours.
        retry_after: s.
    """
    lines = sketch.lines
    marked = sketch.via.marked(host, port)
    if marked is not None:
        lines[sketch.top] = b"Via: " + marked.raw
    lines[sketch.to] = lines[sketch.to].rstrip() + b";tag=" + to_tag
    return (
        b"SIP/2.0 503 Service Unavailable\r\n"
        + b"\r\n".join(lines)
        + b"\r\nRetry-After: %d\r\nContent-Length: 0\r\n\r\n" % retry_after
    )
