"""A message: a start line, an ordered list of raw fields, a body (RFC 3261 7).

Fields nobody touches leave exactly as they came: octet for octet, in their order and
spelling. An edit swaps one line in one message's list; ``branch_copy`` makes a message
that is edited apart. Typed views (Via, CSeq, addresses) are made at first look, shared
by copies, and forgotten when their field is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.errors import OwnMistake, ParseError
from uacproxy.sip import header as hdr
from uacproxy.sip import lines as written
from uacproxy.sip import names as known
from uacproxy.sip import scan
from uacproxy.sip.grammar import (
    COMMA,
    CR,
    LF,
    SPACE,
    is_token,
    parse_number,
    split_list,
)
from uacproxy.sip.name_addr import NameAddr, parse_name_addr, split_name_addrs
from uacproxy.sip.names import CALL_ID, CSEQ, FROM, MAX_FORWARDS, TO, VIA, spelling
from uacproxy.sip.uri import Uri, parse_uri
from uacproxy.sip.via import Via, parse_via, via_of

VERSION: Final = b"SIP/2.0"
_MOST_HOPS: Final = 255  # 20.22


@final
class CSeq:
    """Sequence number and method (20.16)."""

    __slots__ = ("method", "number")

    def __init__(self, number: int, method: bytes) -> None:
        self.number = number
        self.method = method


@final
class Message:
    """A request (``status`` 0) or a response."""

    __slots__ = (
        "_call_id",
        "_cseq",
        "_from",
        "_to",
        "_uri",
        "_via",
        "body",
        "header",
        "method",
        "present",
        "reason",
        "repeated",
        "request_uri",
        "start",
        "status",
    )

    def __init__(
        self,
        start: bytes,
        method: bytes,
        request_uri: bytes,
        status: int,
        reason: bytes,
        header: hdr.Header,
        body: bytes,
    ) -> None:
        self.start = start
        self.method = method  # b"" in a response: ask cseq.method
        self.request_uri = request_uri
        self.status = status
        self.reason = reason
        self.header = header  # see uacproxy.sip.header
        self.body = body
        self.present = 0  # bits of names.ONLY_ONCE, as parsed
        self.repeated = b""  # a field that may stand once and stood twice, as parsed
        self._call_id: bytes | None = None
        self._via: Via | None = None
        self._cseq: CSeq | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._uri: Uri | None = None

    def take_views(self, views: scan.Views) -> None:
        """Take the views that were read in the same pass as the frame."""
        (
            transport,
            sent_by,
            host,
            port,
            branch,
            received,
            maddr,
            rport,
            via,
            from_display_end,
            from_uri_begin,
            from_head_end,
            from_tag,
            from_,
            to_display_end,
            to_uri_begin,
            to_head_end,
            to_tag,
            to,
            call_id,
            number,
            method,
        ) = views
        self._via = via_of(via, transport, sent_by, host, port, branch, received, maddr, rport)
        self._from = NameAddr(
            from_, 0, from_display_end, from_uri_begin, True, from_head_end, from_tag
        )
        self._to = NameAddr(to, 0, to_display_end, to_uri_begin, True, to_head_end, to_tag)
        self._call_id = call_id
        self._cseq = CSeq(number, method)

    # -- reading ---------------------------------------------------------------------

    @property
    def is_request(self) -> bool:
        """Tell a request from a response."""
        return self.status == 0

    @property
    def names(self) -> list[bytes]:
        """Return a copy of the canonical names of all fields, in order."""
        return hdr.names(self.header)

    @property
    def lines(self) -> list[bytes]:
        """Return a copy of all fields whole, folding kept, no CRLF at the end, in order."""
        return hdr.lines(self.header)

    def find(self, name: bytes) -> int:
        """Return where the first field called ``name`` stands, -1 when there is none."""
        return hdr.find(self.header, name, 0)

    def has(self, name: bytes) -> bool:
        """Tell whether there is a field called ``name``."""
        return hdr.find(self.header, name, 0) >= 0

    def value_at(self, at: int) -> bytes:
        """Return the value of the field that stands at a place, folding removed."""
        value = hdr.value_at(self.header, at)
        return written.unfolded(hdr.line(self.header, at)) if value is None else value

    def count(self, name: bytes) -> int:
        """Return how many fields are called ``name``."""
        found = 0
        at = self.find(name)
        while at >= 0:
            found += 1
            at = hdr.find(self.header, name, at + 1)
        return found

    def line_at(self, at: int) -> bytes:
        """Return the whole field that stands at a place, folding kept, no CRLF at the end."""
        return hdr.line(self.header, at)

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the first field called ``name``, folding removed, or None."""
        at = self.find(name)
        return None if at < 0 else self.value_at(at)

    def need(self, name: bytes) -> bytes:
        """Return the value of the first field called ``name``.

        Raises:
            ParseError: (400) there is none.
        """
        at = self.find(name)
        if at < 0:
            raise ParseError(f"no {spelling(name).decode()} field", field=name)
        return self.value_at(at)

    def fields(self, name: bytes) -> list[bytes]:
        """Return the value of every field called ``name``, in order, commas and all."""
        found: list[bytes] = []
        at = self.find(name)
        while at >= 0:
            found.append(self.value_at(at))
            at = hdr.find(self.header, name, at + 1)
        return found

    def values(self, name: bytes) -> list[bytes]:
        """Return every element of a list field, over all its fields, in order (7.3.1).

        Raises:
            ParseError: (400) a quoted string or bracket does not end.
        """
        found: list[bytes] = []
        for value in self.fields(name):
            found.extend(split_list(value))
        return found

    def addresses(self, name: bytes) -> list[NameAddr]:
        """Return every address of a list field such as Route or Contact, in order.

        Raises:
            ParseError: (400) one of them is malformed, or a field holds none.
        """
        return split_name_addrs(self.fields(name))

    @property
    def via(self) -> Via:
        """Return the topmost Via value."""
        via = self._via
        if via is None:
            value = self.need(VIA)
            if COMMA in value:
                values = split_list(value)
                if not values:
                    raise ParseError("empty Via", field=VIA)
                value = values[0]
            via = parse_via(value)
            self._via = via
        return via

    @property
    def cseq(self) -> CSeq:
        """Return the CSeq.

        Raises:
            ParseError: (400) it is missing or malformed; the other views raise alike.
        """
        cseq = self._cseq
        if cseq is None:
            value = self.need(CSEQ)
            found = scan.cseq(value)
            if found is not None:
                cseq = CSeq(found[0], found[1])
                self._cseq = cseq
                return cseq
            words = value.split()
            if len(words) != 2 or not is_token(words[1]):
                raise ParseError("malformed CSeq", field=CSEQ)
            cseq = CSeq(parse_number(words[0], field=CSEQ), words[1])
            self._cseq = cseq
        return cseq

    @property
    def from_(self) -> NameAddr:
        """Return the From address."""
        address = self._from
        if address is None:
            address = self._address(FROM)
            self._from = address
        return address

    @property
    def to(self) -> NameAddr:
        """Return the To address."""
        address = self._to
        if address is None:
            address = self._address(TO)
            self._to = address
        return address

    def _address(self, name: bytes) -> NameAddr:
        value = self.need(name)
        try:
            return parse_name_addr(value)
        except ParseError as error:
            error.field = name
            raise

    @property
    def call_id(self) -> bytes:
        """Return the Call-ID."""
        call_id = self._call_id
        if call_id is None:
            call_id = self.need(CALL_ID)
            self._call_id = call_id
        return call_id

    @property
    def uri(self) -> Uri:
        """Return the Request-URI, parsed.

        Raises:
            ParseError: (400) the URI is malformed.
        """
        uri = self._uri
        if uri is None:
            uri = parse_uri(self.request_uri)
            self._uri = uri
        return uri

    @property
    def max_forwards(self) -> int | None:
        """Return Max-Forwards (0 to 255), None when absent."""
        at = self.find(MAX_FORWARDS)
        if at < 0:
            return None
        hops = written.count(self.line_at(at), _MOST_HOPS)
        if hops is None:
            hops = parse_number(self.value_at(at), field=MAX_FORWARDS, largest=_MOST_HOPS)
        return hops

    # -- editing ---------------------------------------------------------------------

    def branch_copy(self) -> Message:
        """Return a message that can be edited apart from this one."""
        copy = Message(
            self.start,
            self.method,
            self.request_uri,
            self.status,
            self.reason,
            hdr.copied(self.header),
            self.body,
        )
        copy.present = self.present
        copy._call_id = self._call_id
        copy._via = self._via
        copy._cseq = self._cseq
        copy._from = self._from
        copy._to = self._to
        copy._uri = self._uri
        return copy

    def set_request_uri(self, uri: bytes) -> None:
        """Put another Request-URI into the start line.

        Raises:
            OwnMistake: it holds white space.
        """
        if SPACE in uri or LF in uri or CR in uri:
            raise OwnMistake("white space in a Request-URI")
        self.request_uri = uri
        self._uri = None
        self.start = self.method + b" " + uri + b" " + VERSION

    def set(self, name: bytes, value: bytes) -> None:
        """Give the first field called ``name`` a new value, its spelling kept, or append one.

        Raises:
            OwnMistake: the value holds a line break, as with every other edit.
        """
        at = self.find(name)
        if at < 0:
            self.append(name, value)
            return
        hdr.put(self.header, at, written.with_value(self.line_at(at), value))
        self._forget(name)

    def set_via(self, via: Via) -> None:
        """Put another value, parsed already, in the place of the topmost Via."""
        value = via.raw
        line = self.line_at(self.find(VIA))
        if COMMA in line:
            value = b", ".join([value, *split_list(written.value_of(line))[1:]])
        self.set(VIA, value)
        self._via = via

    def swap_value(self, name: bytes, old: bytes, new: bytes) -> None:
        """Put ``new`` where ``old`` begins the value of the first field called ``name``.

        Everything else of the line stays: name, white space, what follows ``old``, folds
        there included. A value folded within ``old`` is unfolded first.

        Raises:
            OwnMistake: there is no such field, or its value begins otherwise.
        """
        at = self.find(name)
        if at < 0:
            raise OwnMistake("no such field to edit")
        hdr.put(self.header, at, written.with_begin(self.line_at(at), old, new))
        self._forget(name)

    def append(self, name: bytes, value: bytes) -> None:
        """Add a field behind all others."""
        hdr.insert(self.header, hdr.count(self.header), name, written.made(spelling(name), value))
        self._forget(name)

    def append_line(self, name: bytes, line: bytes) -> None:
        """Add a whole field, as raw as those of ``lines``, behind all others."""
        hdr.insert(self.header, hdr.count(self.header), name, line)
        self._forget(name)

    def insert(self, at: int, name: bytes, value: bytes) -> None:
        """Add a field at a place in the list."""
        hdr.insert(self.header, at, name, written.made(spelling(name), value))
        self._forget(name)

    def push(self, name: bytes, value: bytes) -> None:
        """Add a value before all others of its name: Via, Route and Record-Route grow so.

        A first Record-Route or Route goes behind the Via fields.
        """
        at = self.find(name)
        if at < 0:
            at = 0 if name == VIA else self._after_vias()
        self.insert(at, name, value)

    def _after_vias(self) -> int:
        behind = 0
        at = self.find(VIA)
        while at >= 0:
            behind = at + 1
            at = hdr.find(self.header, VIA, behind)
        return behind

    def pop(self, name: bytes) -> None:
        """Remove the first value of the first field called ``name``, if there is one."""
        at = self.find(name)
        if at < 0:
            return
        line = self.line_at(at)
        if COMMA in line:
            rest = split_list(written.value_of(line))[1:]
            if rest:
                made = line[: line.find(b":") + 1] + b" " + b", ".join(rest)
                hdr.put(self.header, at, made)
                self._forget(name)
                return
        hdr.cut(self.header, at)
        self._forget(name)

    def remove(self, name: bytes) -> None:
        """Remove every field called ``name``."""
        at = self.find(name)
        while at >= 0:
            hdr.cut(self.header, at)
            at = hdr.find(self.header, name, at)
        self._forget(name)

    def remove_where(self, name: bytes, is_unwanted: Callable[[bytes], bool]) -> None:
        """Remove the fields called ``name`` with such a value; the others stay as they came."""
        at = self.find(name)
        while at >= 0:
            if is_unwanted(self.value_at(at)):
                hdr.cut(self.header, at)
            else:
                at += 1
            at = hdr.find(self.header, name, at)
        self._forget(name)

    def keep_only(self, wanted: list[bytes]) -> None:
        """Forget the body and every field but these: the message stays for its answers alone."""
        self.header = hdr.kept(self.header, wanted)
        self.body = b""
        self._call_id = None
        self._via = None
        self._cseq = None
        self._from = None
        self._to = None

    def set_body(self, body: bytes) -> None:
        """Put another body in, Content-Length with it, which then stands once."""
        self.body = body
        self.set(known.CONTENT_LENGTH, b"%d" % len(body))
        first = self.find(known.CONTENT_LENGTH)
        at = hdr.find(self.header, known.CONTENT_LENGTH, first + 1)
        while at >= 0:
            hdr.cut(self.header, at)
            at = hdr.find(self.header, known.CONTENT_LENGTH, at)

    def _forget(self, name: bytes) -> None:
        if name == VIA:
            self._via = None
        elif name == FROM:
            self._from = None
        elif name == TO:
            self._to = None
        elif name == CSEQ:
            self._cseq = None
        elif name == CALL_ID:
            self._call_id = None

    # -- sending ---------------------------------------------------------------------

    def encode(self) -> bytes:
        """Return the octets to send."""
        return hdr.joined(self.header, self.start, self.body)

    @property
    def length(self) -> int:
        """Return how many octets ``encode`` gives."""
        return len(self.start) + 4 + hdr.length(self.header) + len(self.body)

    def __repr__(self) -> str:
        """Show the start line; fields may hold what must not be logged."""
        return f"<Message {self.start!r}>"


def message_of(
    start: bytes,
    method: bytes,
    request_uri: bytes,
    status: int,
    reason: bytes,
    names: list[bytes],
    lines: list[bytes],
    body: bytes,
) -> Message:
    """Return a message of canonical names and raw lines, which run side by side."""
    header = hdr.of_lines(names, lines)
    return Message(start, method, request_uri, status, reason, header, body)
