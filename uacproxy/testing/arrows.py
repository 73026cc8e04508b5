"""What passed the peers' sockets, as arrows: which go together, and what changed on the way.

All of it is found in the octets. What uacproxy sends to one side is held against what
the other side sent: a field that differs was *restored* where it is what the receiver
itself once wrote, else *replaced*.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from uacproxy.sip.message import Message
from uacproxy.sip.names import CSEQ, FROM, TO
from uacproxy.testing.peer import Record, Sighting

SHOWN: Final = (FROM, TO, CSEQ)


class Mark(Enum):
    """What became of a value; the sign shows it without colour."""

    SAME = " "
    REPLACED = "*"
    RESTORED = "="


class Value(NamedTuple):
    """One field of a message and what became of it; the name b"" is the Request-URI."""

    name: bytes
    octets: bytes
    mark: Mark


class Arrow(NamedTuple):
    """One message between a peer and uacproxy."""

    sighting: Sighting
    values: list[Value]  # a request's first is its Request-URI


class Row(NamedTuple):
    """What passes left and right of uacproxy at about the same time, one for the other."""

    left: Arrow | None
    right: Arrow | None


def rows_of(record: Record, right: str, shown: Sequence[bytes] = SHOWN) -> list[Row]:
    """Return what passed, in order; a message stands beside the one it was forwarded as.

    Args:
        record: of one act.
        right: name of the peer on the right; all others are on the left.
        shown: fields wanted with each arrow.
    """
    rows: dict[int, list[int]] = {}  # place of the earlier message to the places of both
    for at, sighting in enumerate(record):
        source = None if sighting.sent else _source(record, at)
        if source is None or len(rows[source]) > 1 or _kind(record[source]) != _kind(sighting):
            rows[at] = [at]
        else:
            rows[source].append(at)
    return [_row([_arrow(record, at, shown) for at in places], right) for places in rows.values()]


def _row(arrows: list[Arrow], right: str) -> Row:
    row = Row(None, None)
    for arrow in arrows:
        if arrow.sighting.peer == right:
            row = row._replace(right=arrow)
        else:
            row = row._replace(left=arrow)
    return row


def _arrow(record: Record, at: int, shown: Sequence[bytes]) -> Arrow:
    sighting = record[at]
    message = sighting.message
    source: Message | None = None
    wrote: list[Message] = []
    if not sighting.sent:
        place = _source(record, at)
        source = None if place is None else record[place].message
        wrote = _written_by_receiver(record, at)
    values = []
    if message.is_request:
        mark = Mark.SAME
        if source is not None and source.request_uri != message.request_uri:
            mark = Mark.REPLACED
        values.append(Value(b"", message.request_uri, mark))
    for name in shown:
        octets = message.get(name) or b""
        values.append(Value(name, octets, _mark(name, message, source, wrote)))
    return Arrow(sighting, values)


def _mark(name: bytes, message: Message, source: Message | None, wrote: list[Message]) -> Mark:
    value = _identity(message, name)
    if source is None or _identity(source, name) == value:
        return Mark.SAME
    for own in wrote:
        names = (CSEQ,) if name == CSEQ else (FROM, TO)
        if any(_identity(own, each) == value for each in names):
            return Mark.RESTORED
    return Mark.REPLACED


def _identity(message: Message, name: bytes) -> bytes:
    """Return what is compared: an address without its tag, a CSeq number without the method."""
    if name == FROM:
        return message.from_.head
    if name == TO:
        return message.to.head
    if name == CSEQ:
        return b"%d" % message.cseq.number
    return message.get(name) or b""


def _written_by_receiver(record: Record, at: int) -> list[Message]:
    """Return the request that a response answers; for a request, the INVITE that began the call.

    That is empty where the other side began it.
    """
    receiver, message = record[at].peer, record[at].message
    call = [one for one in record[:at] if one.message.call_id == message.call_id]
    if message.is_request:
        return [one.message for one in call[:1] if one.sent and one.peer == receiver]
    branch = message.via.branch
    return [one.message for one in call if one.sent and one.message.via.branch == branch]


def _source(record: Record, at: int) -> int | None:
    """Return the place of the other side's message that uacproxy sent this one for."""
    receiver = record[at].peer
    wanted = [_kind(record[at])]
    if record[at].message.method == b"ACK":  # of a failure: made from the INVITE
        wanted.append((record[at].message.call_id, b"INVITE", 0))
    for kind in wanted:
        for place in range(at - 1, -1, -1):
            if record[place].sent and record[place].peer != receiver:
                if _kind(record[place]) == kind:
                    return place
    return None


def _kind(sighting: Sighting) -> tuple[bytes, bytes, int]:
    message = sighting.message
    return message.call_id, message.cseq.method, message.status
