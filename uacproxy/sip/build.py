"""New messages made from others: responses, ACK, CANCEL, requests of our own (RFC 3261 8)."""

from __future__ import annotations

from typing import Final

from uacproxy.errors import ParseError
from uacproxy.sip.message import VERSION, Message, one_line
from uacproxy.sip.names import (
    AUTHORIZATION,
    CALL_ID,
    CONTENT_LENGTH,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    PROXY_AUTHORIZATION,
    REASON,
    RECORD_ROUTE,
    ROUTE,
    TIMESTAMP,
    TO,
    VIA,
    spelling,
)
from uacproxy.sip.reasons import reason_of

_NO_BODY: Final = b"Content-Length: 0"


def build_response(
    request: Message, status: int, reason: bytes = b"", to_tag: bytes = b""
) -> Message:
    """Answer a request as a UAS (8.2.6): Via, From, To, Call-ID and CSeq are the request's.

    Args:
        request: as received; where its To cannot be read, that goes back without our tag.
        status: 100 to 699.
        reason: phrase; empty takes the usual one.
        to_tag: added where the request's To has none and the status is not 100. Answers
            to an INVITE or SUBSCRIBE from 101 to 299 also keep Record-Route (12.1.1), a
            100 keeps Timestamp (8.2.6.1).

    Raises:
        OwnMistake: the phrase holds a line break.
    """
    names: list[bytes] = []
    lines: list[bytes] = []
    keep_routes = 100 < status < 300
    for at, name in enumerate(request.names):
        line = request.lines[at]
        if name == TO:
            if to_tag and status > 100 and _is_tagless(request):
                line = line.rstrip() + b";tag=" + to_tag
        elif name != VIA and name != FROM and name != CALL_ID and name != CSEQ:
            if not (keep_routes and name == RECORD_ROUTE) and not (
                status == 100 and name == TIMESTAMP
            ):
                continue
        names.append(name)
        lines.append(line)
    names.append(CONTENT_LENGTH)
    lines.append(_NO_BODY)
    phrase = one_line(reason) if reason else reason_of(status)
    start = VERSION + b" %d " % status + phrase
    return Message(start, b"", b"", status, phrase, names, lines, b"")


def _is_tagless(request: Message) -> bool:
    """Tell whether the To wants a tag; one that cannot be read goes back as it came."""
    try:
        return not request.to.tag
    except ParseError:
        return False


def build_ack(invite: Message, final: Message) -> Message:
    """Acknowledge a final response other than 2xx, hop by hop (17.1.1.3).

    From, Call-ID, Route, CSeq number and credentials (22.1) are those of the INVITE as it
    was sent; To is the response's, with its tag.
    """
    ack = _same_hop(invite, b"ACK")
    at = final.find(TO)
    ack.names.append(TO)
    ack.lines.append(final.lines[at])
    for name, line in zip(invite.names, invite.lines, strict=True):
        if name == AUTHORIZATION or name == PROXY_AUTHORIZATION:
            ack.names.append(name)
            ack.lines.append(line)
    return _ended(ack, invite, b"ACK")


def build_cancel(invite: Message, reasons: list[bytes]) -> Message:
    """Cancel an INVITE as it was sent on one branch (9.1).

    Args:
        invite: with our Via on top; From, To, Route and Request-URI are taken as sent.
        reasons: values of Reason fields to carry on (RFC 3326).
    """
    cancel = _same_hop(invite, b"CANCEL")
    at = invite.find(TO)
    cancel.names.append(TO)
    cancel.lines.append(invite.lines[at])
    for reason in reasons:
        cancel.append(REASON, reason)
    return _ended(cancel, invite, b"CANCEL")


def _same_hop(invite: Message, method: bytes) -> Message:
    names: list[bytes] = [VIA]
    lines: list[bytes] = [b"Via: " + invite.via.raw]
    for name, line in zip(invite.names, invite.lines, strict=True):
        if name == FROM or name == CALL_ID or name == ROUTE or name == MAX_FORWARDS:
            names.append(name)
            lines.append(line)
    start = method + b" " + invite.request_uri + b" " + VERSION
    return Message(start, method, invite.request_uri, 0, b"", names, lines, b"")


def _ended(message: Message, invite: Message, method: bytes) -> Message:
    message.names.append(CSEQ)
    message.lines.append(b"CSeq: %d " % invite.cseq.number + method)
    message.names.append(CONTENT_LENGTH)
    message.lines.append(_NO_BODY)
    return message


def build_request(
    method: bytes,
    request_uri: bytes,
    fields: list[tuple[bytes, bytes]],
    body: bytes = b"",
) -> Message:
    """Make a request of our own; the Via is pushed by whoever sends it.

    Args:
        method: a token.
        request_uri: as it goes into the start line.
        fields: canonical name and value, in the order to send them; Content-Length is
            added where it is missing.
        body: its Content-Type is among ``fields``.
    """
    names = [name for name, _ in fields]
    lines = [spelling(name) + b": " + value for name, value in fields]
    start = method + b" " + request_uri + b" " + VERSION
    message = Message(start, method, request_uri, 0, b"", names, lines, body)
    if CONTENT_LENGTH not in names:
        message.append(CONTENT_LENGTH, b"%d" % len(body))
    return message
