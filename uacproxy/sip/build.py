"""New messages made from others: responses, ACK, CANCEL, requests of our own (RFC 3261 8)."""

from __future__ import annotations

from typing import Final

from uacproxy.errors import ParseError
from uacproxy.sip import header as hdr
from uacproxy.sip.lines import one_line
from uacproxy.sip.message import VERSION, Message, message_of
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

# What answers take of their request: to one, to all from 300 on, to those from 101 to 299.
_IN_TRYING: Final = [VIA, FROM, TO, CALL_ID, CSEQ, TIMESTAMP]
_IN_ANSWERS: Final = [VIA, FROM, TO, CALL_ID, CSEQ]
_IN_ANSWERS_WITH_ROUTES: Final = [VIA, FROM, TO, CALL_ID, CSEQ, RECORD_ROUTE]
_ON_THE_SAME_HOP: Final = [FROM, CALL_ID, ROUTE, MAX_FORWARDS]


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
    if status == 100:
        wanted = _IN_TRYING
    else:
        wanted = _IN_ANSWERS_WITH_ROUTES if status < 300 else _IN_ANSWERS
    phrase = one_line(reason) if reason else reason_of(status)
    start = VERSION + b" %d " % status + phrase
    response = Message(start, b"", b"", status, phrase, hdr.kept(request.header, wanted), b"")
    if to_tag and status > 100 and _is_tagless(request):
        _tag(response, to_tag)
    response.append_line(CONTENT_LENGTH, _NO_BODY)
    return response


def _tag(response: Message, to_tag: bytes) -> None:
    at = response.find(TO)
    while at >= 0:
        line = response.line_at(at)
        hdr.put(response.header, at, line.rstrip() + b";tag=" + to_tag)
        at = hdr.find(response.header, TO, at + 1)


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
    ack.append_line(TO, final.line_at(final.find(TO)))
    for at, name in enumerate(invite.names):
        if name == AUTHORIZATION or name == PROXY_AUTHORIZATION:
            ack.append_line(name, invite.line_at(at))
    return _ended(ack, invite, b"ACK")


def build_cancel(invite: Message, reasons: list[bytes]) -> Message:
    """Cancel an INVITE as it was sent on one branch (9.1).

    Args:
        invite: with our Via on top; From, To, Route and Request-URI are taken as sent.
        reasons: values of Reason fields to carry on (RFC 3326).
    """
    cancel = _same_hop(invite, b"CANCEL")
    cancel.append_line(TO, invite.line_at(invite.find(TO)))
    for reason in reasons:
        cancel.append(REASON, reason)
    return _ended(cancel, invite, b"CANCEL")


def _same_hop(invite: Message, method: bytes) -> Message:
    header = hdr.kept(invite.header, _ON_THE_SAME_HOP)
    hdr.insert(header, 0, VIA, b"Via: " + invite.via.raw)
    start = method + b" " + invite.request_uri + b" " + VERSION
    return Message(start, method, invite.request_uri, 0, b"", header, b"")


def _ended(message: Message, invite: Message, method: bytes) -> Message:
    message.append_line(CSEQ, b"CSeq: %d " % invite.cseq.number + method)
    message.append_line(CONTENT_LENGTH, _NO_BODY)
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
    message = message_of(start, method, request_uri, 0, b"", names, lines, body)
    if CONTENT_LENGTH not in names:
        message.append(CONTENT_LENGTH, b"%d" % len(body))
    return message
