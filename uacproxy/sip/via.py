"""The Via field: where responses go (RFC 3261 20.42 and 18.2, RFC 3581)."""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import ParseError
from uacproxy.sip import lines, scan
from uacproxy.sip.grammar import (
    COLON,
    QUOTE,
    TAB,
    WHITE,
    end_of_quoted,
    is_token,
    parse_number,
    split_outside,
    unquote,
)
from uacproxy.sip.names import VIA
from uacproxy.sip.uri import parse_host_port

MAGIC_COOKIE: Final = b"z9hG4bK"  # 8.1.1.7
DEFAULT_PORTS: Final[dict[bytes, int]] = {
    b"UDP": 5060,
    b"TCP": 5060,
    b"TLS": 5061,
    b"WS": 80,
    b"WSS": 443,
}
"""Where a URI without a port leads (19.1.2); an answer by Via goes to ``ANSWER_PORT``."""
ANSWER_PORT: Final = 5060  # 18.2.2, whatever transport the Via in a datagram names

_TIGHT: Final = (b"/", b";", b":", b"=")  # white space around these says nothing


@final
class Via:
    """One Via value; ``rport`` is None when absent, 0 when asked for without a value."""

    __slots__ = (
        "branch",
        "host",
        "is_sound",
        "maddr",
        "port",
        "raw",
        "received",
        "rport",
        "sent_by",
        "transport",
        "version",
    )

    def __init__(
        self, raw: bytes, version: bytes, transport: bytes, sent_by: bytes, host: bytes, port: int
    ) -> None:
        self.raw = raw
        self.version = version  # b"2.0" of SIP/2.0
        self.transport = transport  # upper case
        self.sent_by = sent_by  # as written, loose space removed
        self.host = host  # lower case, IPv6 reference with brackets
        self.port = port  # of sent-by, or 5060
        self.branch = b""
        self.received = b""
        self.maddr = b""
        self.rport: int | None = None
        self.is_sound = True  # False with an empty parameter: enough to answer by, no more

    @property
    def is_rfc3261(self) -> bool:
        """Tell whether the branch alone names the transaction (17.2.3)."""
        return len(self.branch) > 7 and self.branch[:7] == MAGIC_COOKIE

    def marked(self, host: str, port: int) -> Via | None:
        """Return the same with ``received`` and ``rport`` for this source, None if none is due.

        18.2.1: ``received`` where sent-by is not the source address; RFC 3581 4: both
        whenever ``rport`` was asked for. Values a client sent itself are replaced.
        """
        source = host.encode("ascii")
        reference = b"[" + source + b"]" if COLON in source else source
        if self.rport is None and self.host == reference and not self.received:
            return None
        received = b"" if self.rport is None and self.host == reference else source
        raw = lines.marked(self.raw, received, port)
        if raw is None:
            raw = self._marked_slowly(received, port)
        via = Via(raw, self.version, self.transport, self.sent_by, self.host, self.port)
        via.branch = self.branch
        via.received = received
        via.maddr = self.maddr
        via.rport = None if self.rport is None else port
        via.is_sound = self.is_sound
        return via

    def _marked_slowly(self, received: bytes, port: int) -> bytes:
        parts = _split(self.raw)
        kept = [parts[0]]
        for part in parts[1:]:
            name = part.partition(b"=")[0].strip(WHITE).lower()
            if name == b"received":
                continue
            if name == b"rport":
                part = b"rport=%d" % port
            kept.append(part)
        if received:
            kept.append(b"received=" + received)
        return b";".join(kept)


def parse_via(raw: bytes) -> Via:
    """Parse one Via value (no commas), folding removed.

    Raises:
        ParseError: (400) malformed protocol, sent-by or parameter.
    """
    found = scan.via(raw)
    if found is not None:
        transport, sent_by, host, port, branch, received, maddr, rport = found
        return via_of(raw, transport, sent_by, host, port, branch, received, maddr, rport)
    return parse_slowly(raw)


def via_of(
    raw: bytes,
    transport: bytes,
    sent_by: bytes,
    host: bytes,
    port: int,
    branch: bytes,
    received: bytes,
    maddr: bytes,
    rport: int,
) -> Via:
    """Make a Via of what ``scan`` has read; port is 0 and rport -1 where there is none."""
    via = Via(raw, b"2.0", transport, sent_by, host, port or ANSWER_PORT)
    via.branch = branch
    via.received = received
    via.maddr = maddr
    if rport >= 0:
        via.rport = rport
    return via


def parse_slowly(raw: bytes) -> Via:
    """Parse any Via value."""
    value = raw
    if value[:8] != b"SIP/2.0/" or value.count(b" ") != 1 or TAB in value:
        value = _tightened(raw)
    parts = _split(value)
    words = parts[0].split()
    if len(words) != 2:
        raise ParseError("malformed Via", field=VIA)
    protocol = words[0].split(b"/")
    if len(protocol) != 3 or not is_token(protocol[2]):
        raise ParseError("malformed protocol in Via", field=VIA)
    sent_by = words[1]
    try:
        host, port = parse_host_port(sent_by)
    except ParseError as error:
        raise ParseError("malformed sent-by in Via", field=VIA) from error
    transport = protocol[2].upper()
    if port is None:
        port = ANSWER_PORT
    via = Via(value, protocol[1], transport, sent_by, host, port)
    for part in parts[1:]:
        equals = part.find(b"=")
        name = part if equals < 0 else part[:equals]
        if name == b"branch" and equals > 0:
            via.branch = part[7:]
        elif not part.strip(WHITE):
            via.is_sound = False
        else:
            _set_param(via, name.lower(), b"" if equals < 0 else part[equals + 1 :])
    return via


def _split(value: bytes) -> list[bytes]:
    return split_outside(value, b";") if QUOTE in value else value.split(b";")


def _tightened(raw: bytes) -> bytes:
    """Remove white space around separators; quoted strings keep theirs."""
    if QUOTE not in raw:
        return _tighten(raw)
    parts: list[bytes] = []
    at = 0
    while True:
        quote = raw.find(b'"', at)
        if quote < 0:
            parts.append(_tighten(raw[at:]))
            return b"".join(parts)
        end = end_of_quoted(raw, quote)
        parts.append(_tighten(raw[at:quote]))
        parts.append(raw[quote:end])
        at = end


def _tighten(text: bytes) -> bytes:
    text = b" ".join(text.split())
    for mark in _TIGHT:
        text = text.replace(b" " + mark, mark).replace(mark + b" ", mark)
    return text


def _set_param(via: Via, name: bytes, value: bytes) -> None:
    if not is_token(name):
        raise ParseError("malformed parameter in Via", field=VIA)
    if name == b"branch":
        via.branch = value
    elif name == b"rport":
        via.rport = parse_number(value, field=VIA, largest=65535) if value else 0
    elif name == b"received":
        via.received = unquote(value)
    elif name == b"maddr":
        via.maddr = value
