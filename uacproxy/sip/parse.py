"""From the octets of one message to a ``Message`` (RFC 3261 7, 18.3).

Only the frame is read: start line, where each field begins, the length of the body.
What a field says is parsed by whoever asks for it. ``check_required`` is the first
such reader; it looks at the fields without which no answer can be built.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import MessageTooLarge, ParseError, VersionNotSupported
from uacproxy.sip import header, scan
from uacproxy.sip.grammar import comment_depth, is_digits, is_token, parse_number
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.lines import value_of
from uacproxy.sip.message import VERSION, Message, message_of
from uacproxy.sip.names import (
    CONTENT_LENGTH,
    HAS_VIA,
    ONLY_ONCE,
    REQUIRED,
    VIA,
    canonical,
    spelling,
)
from uacproxy.sip.via import MAGIC_COOKIE

DEFAULT_LIMITS: Final = LimitSettings()
_HEAD_END: Final = b"\r\n\r\n"


@final
class _Sizes:
    """The limits asked for last, as ``scan.split`` takes them: four numbers read once."""

    __slots__ = ("limits", "sizes")

    def __init__(self, limits: LimitSettings) -> None:
        self.limits = limits
        self.sizes: object = ()
        self.take(limits)

    def take(self, limits: LimitSettings) -> None:
        """Read the numbers."""
        self.limits = limits
        self.sizes = (
            limits.max_message,
            limits.max_fields,
            limits.max_field,
            limits.max_nesting,
        )


_LATEST: Final = _Sizes(DEFAULT_LIMITS)


class MalformedMessage(ParseError):
    """Octets that are not a message; ``message`` is what could be read, for the answer."""

    def __init__(self, error: ParseError, message: Message | None) -> None:
        super().__init__(error.why, field=error.field, offset=error.offset, status=error.status)
        self.message = message
        self.cause = error.code


def parse_message(octets: bytes, limits: LimitSettings = DEFAULT_LIMITS) -> Message:
    """Read one message from one datagram, or from the octets a framer has cut out.

    Octets behind the body are dropped (18.3). CRLF before the start line is skipped (7.5).

    Raises:
        MalformedMessage: start line, a field line or Content-Length cannot be read, or a
            limit is passed; ``message`` holds whatever fields could be found.
    """
    if _LATEST.limits is not limits:
        _LATEST.take(limits)
    found = scan.split(octets, _LATEST.sizes)
    if found is None:
        return parse_slowly(octets, limits)
    start, method, uri, status, reason, fields, body, present, views = found
    message = Message(start, method, uri, status, reason, fields, body)
    message.present = present
    if views is not None:
        message.take_views(views)
    return message


def parse_slowly(octets: bytes, limits: LimitSettings) -> Message:
    """Read any message, step by step; ``parse_message`` says what."""
    begin = 0
    while octets[begin : begin + 2] == b"\r\n":
        begin += 2
    error: ParseError
    if len(octets) > limits.max_message:
        error = MessageTooLarge("message too long")
        raise MalformedMessage(error, _salvage(octets[begin : limits.max_message], limits))
    end = octets.find(_HEAD_END, begin)
    if end < 0:
        error = ParseError("no empty line behind the fields")
        raise MalformedMessage(error, _salvage(octets[begin:], limits))
    head = octets[begin:end]
    lines = head.split(b"\r\n")
    breaks = len(lines) - 1
    if head.find(b"\r\n ") >= 0 or head.find(b"\r\n\t") >= 0:
        lines = _joined(lines)
    start = lines[0]
    del lines[0]
    if len(lines) > limits.max_fields:
        error = MessageTooLarge("too many fields")
        raise MalformedMessage(error, _salvage(head, limits))
    message = _read_start(start)
    fault = _read_names(message, lines, limits)
    if fault is None:
        fault = _start_fault(message, limits)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
        _drop_strays(message)
        fault = ParseError("CR or LF that ends no line")
    if fault is None and head.count(b"(") > limits.max_nesting:
        fault = _nesting_fault(message, limits)
    if fault is None:
        fault = _read_body(message, octets, end + 4)
    if fault is not None:
        raise MalformedMessage(fault, message)
    return message


def check_required(message: Message) -> None:
    """Look at what every element needs: Via, From, To, Call-ID, CSeq, each once and sound.

    Raises:
        ParseError: (400) one is missing, repeated or malformed, or the CSeq method is not
            that of the request.
    """
    if message.repeated:
        raise ParseError("field stands more than once", field=message.repeated)
    if message.present & REQUIRED != REQUIRED:
        raise ParseError("required field missing", field=_missing(message))
    via = message.via
    if via.version != b"2.0":
        raise VersionNotSupported("Via of another version")
    if not via.is_sound:
        raise ParseError("empty parameter", field=VIA)
    if via.branch == MAGIC_COOKIE and message.status == 0:
        raise ParseError("branch is no more than its cookie", field=VIA)
    if not message.call_id:
        raise ParseError("empty Call-ID")
    cseq = message.cseq
    if message.status == 0 and cseq.method != message.method:
        raise ParseError("CSeq names another method")
    assert message.from_ is not None and message.to is not None


def _missing(message: Message) -> bytes:
    for name, bit in ONLY_ONCE.items():
        if REQUIRED & bit and not message.present & bit:
            return name
    return VIA


def _joined(lines: list[bytes]) -> list[bytes]:
    """Put continuation lines back to the field they continue, fold and all."""
    whole: list[bytes] = []
    folded: list[bytes] = []  # the field being put together, where it has more than one line
    for line in lines:
        if line[:1] in (b" ", b"\t") and len(whole) > 1:
            if not folded:
                folded.append(whole[-1])
            folded.append(line)
            continue
        if folded:
            whole[-1] = b"\r\n".join(folded)
            folded = []
        whole.append(line)
    if folded:
        whole[-1] = b"\r\n".join(folded)
    return whole


def _read_start(start: bytes) -> Message:
    if start[:4].upper() == b"SIP/":
        status = 0
        words = start.split(b" ", 2)
        code = words[1] if len(words) > 1 else b""
        if len(code) == 3 and is_digits(code):
            status = int(code)
        reason = words[2] if len(words) > 2 else b""
        return message_of(start, b"", b"", status if status >= 100 else -1, reason, [], [], b"")
    words = start.split(b" ")
    method = words[0]
    uri = b" ".join(words[1:-1]) if len(words) > 2 else b""
    return message_of(start, method, uri, 0, b"", [], [], b"")


def _start_fault(message: Message, limits: LimitSettings) -> ParseError | None:
    start = message.start
    if len(start) > limits.max_field:
        return ParseError("start line too long", status=414)
    if message.status:
        if start[:8].upper() != b"SIP/2.0 ":
            return VersionNotSupported("response of another version")
        if message.status < 0 or message.status > 699:
            return ParseError("malformed Status-Line")
        if start[:3] != b"SIP":
            message.start = VERSION + start[7:]
        return None
    words = start.split(b" ")
    version = words[-1]
    if len(words) < 3:
        return ParseError("malformed Request-Line")
    if version != VERSION:
        if version.upper() == VERSION:
            message.start = message.method + b" " + message.request_uri + b" " + VERSION
        elif version[:4].upper() == b"SIP/":
            return VersionNotSupported("request of another version")
        else:
            return ParseError("malformed Request-Line")
    if len(words) != 3 or not message.request_uri:
        return ParseError("white space in the Request-Line")
    if not is_token(message.method):
        return ParseError("method is no token")
    return None


def _read_names(message: Message, lines: list[bytes], limits: LimitSettings) -> ParseError | None:
    """Name every line; a line without a name is dropped and reported."""
    fault: ParseError | None = None
    longest: int = limits.max_field
    names: list[bytes] = []
    seen = 0
    broken: list[int] = []
    for at, line in enumerate(lines):
        colon = line.find(b":")
        spelled = line[:colon]
        if colon <= 0 or len(line) > longest:
            broken.append(at)
            names.append(b"")
            fault = (
                MessageTooLarge("field too long") if colon > 0 else ParseError("field without name")
            )
            continue
        name = canonical(spelled)
        if name not in ONLY_ONCE and name != VIA:
            if not is_token(spelled):
                spelled = spelled.rstrip(b" \t")
                name = canonical(spelled)
                if not is_token(spelled):
                    broken.append(at)
                    fault = ParseError("field name is no token")
        names.append(name)
        if name == VIA:
            seen |= HAS_VIA
            continue
        bit = ONLY_ONCE.get(name)
        if bit is not None:
            if seen & bit and message.repeated in (b"", CONTENT_LENGTH):
                message.repeated = name  # another one's repetition is the graver fault
            seen |= bit
    for at in reversed(broken):
        del names[at]
        del lines[at]
    message.header = header.of_lines(names, lines)
    message.present = seen
    return fault


def _drop_strays(message: Message) -> None:
    """Drop every field in which a CR or LF ends no line.

    Elsewhere such an octet may pass for the end of the line, and what follows it for a
    field of its own: nothing like that goes on, nor back.
    """
    for at in range(header.count(message.header) - 1, -1, -1):
        line = header.line(message.header, at)
        breaks = line.count(b"\r\n")
        if line.count(b"\n") != breaks or line.count(b"\r") != breaks:
            header.cut(message.header, at)


def _nesting_fault(message: Message, limits: LimitSettings) -> ParseError | None:
    deepest: int = limits.max_nesting
    for name, line in zip(message.names, message.lines, strict=True):
        if line.count(b"(") > deepest and comment_depth(value_of(line)) > deepest:
            return MessageTooLarge("comments nested too deep", field=name)
    return None


def _read_body(message: Message, octets: bytes, begin: int) -> ParseError | None:
    lengths: list[bytes] = []
    if message.repeated == CONTENT_LENGTH:
        lengths = message.fields(CONTENT_LENGTH)
        if len(set(lengths)) > 1:
            return ParseError("several Content-Length values", field=CONTENT_LENGTH)
        message.repeated = b""
    at = message.find(CONTENT_LENGTH)
    if at < 0:
        message.body = octets[begin:]
        return None
    try:
        length = parse_number(message.value_at(at), field=CONTENT_LENGTH)
    except ParseError as error:  # which knows where it was raised: kept, it makes a cycle
        return ParseError(error.why, field=error.field)
    if length > len(octets) - begin:
        return ParseError("body shorter than Content-Length", field=CONTENT_LENGTH)
    if length:
        message.body = octets[begin : begin + length]
    return None


def _salvage(octets: bytes, limits: LimitSettings) -> Message:
    """Read what can be read of a message cut short or too large, to find the answer a way."""
    head = octets.partition(_HEAD_END)[0]
    lines = _joined(head.split(b"\r\n"))[: limits.max_fields + 1]
    message = _read_start(lines[0])
    _read_names(message, [line for line in lines[1:] if line], limits)
    _drop_strays(message)
    return message


def describe(error: ParseError) -> bytes:
    """Return the reason phrase of the answer to a message with this fault (RFC 3261 21.4.1)."""
    if error.field:
        return error.why.encode("ascii", "replace") + b" (" + spelling(error.field) + b")"
    return error.why.encode("ascii", "replace")
