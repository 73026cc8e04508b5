"""Which requests may be refused while too much waits, and the order of the rest.

Refused is what begins something: nothing is lost by it but the attempt, whose sender may
go elsewhere. What belongs to something begun is never refused, and of one burst it is
worked on first: a BYE makes room, and an ACK or a 200 that is late is sent again.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from uacproxy.ports import Flow
from uacproxy.sip.message import Message
from uacproxy.sip.sketch import Sketch, build_refusal
from uacproxy.sip.via import Via
from uacproxy.transaction.key import invite_key
from uacproxy.transport.overload import Overload, Queue

_NEVER_NEW: Final = (b"ACK", b"BYE", b"CANCEL", b"PRACK")
_PATIENT: Final = (b"REGISTER", b"OPTIONS")
"""Refused last: whose REGISTER fails is cut off, whose OPTIONS fails sends nothing here."""
_EMERGENCY: Final = b"urn:service:sos"  # RFC 5031; refused last too


def begins_something(request: Message) -> bool:
    """Tell whether a request belongs to nothing yet."""
    return request.method not in _NEVER_NEW and not request.to.tag


def patience_of(method: bytes, request_uri: bytes) -> int:
    """Return how late a request is refused, see ``Overload.refuses``."""
    if method in _PATIENT:
        return 1
    return int(request_uri[:15].lower() == _EMERGENCY)


def _place_of(method: bytes, key: bytes) -> int:
    """Return the place of a transaction in the row, keyed by the process: nobody chooses it.

    All that tells transactions apart is in it. A branch that was seen to pass once would
    let everything pass that is sent with it otherwise.
    """
    return hash((method, key))


class Transactions(Protocol):
    """What is asked of the transaction table."""

    @property
    def stateless_tag(self) -> bytes:
        """Return the To tag whose ACK ends here."""

    def knows(self, method: bytes, key: bytes) -> bool:
        """Tell whether a request is a retransmission that a server transaction answers."""

    def is_own(self, method: bytes, via: Via) -> bool:
        """Tell whether a request with this Via on top is one of our own, come back."""

    def refuse(self, request: Message, flow: Flow, retry_after: int) -> None:
        """Answer 503 without a transaction."""


@final
class Admission:
    """Asked about each request that comes by a crowded queue."""

    def __init__(self, overload: Overload, transactions: Transactions) -> None:
        self._overload = overload
        self._transactions = transactions
        self._our_tag = b";tag=" + transactions.stateless_tag
        self._gathers = False
        self._put_off: list[tuple[Message, Flow]] = []

    def burst_begins(self) -> None:
        """Gather from now on what begins something, instead of refusing or passing it."""
        self._gathers = True

    def burst_over(self) -> list[tuple[Message, Flow]]:
        """Return what was gathered, in its order."""
        self._gathers = False
        gathered = self._put_off
        self._put_off = []
        return gathered

    def holds(self, request: Message, flow: Flow, queue: Queue) -> bool:
        """Tell whether a request was refused or put off, so that nobody else is to see it now.

        Args:
            request: with ``received`` and ``rport`` in its top Via.
            flow: it came on.
            queue: it came by, which is crowded.
        """
        if self._gathers:
            if request.method == b"CANCEL" or begins_something(request):
                self._put_off.append((request, flow))  # a CANCEL not before its INVITE
                return True
            return False
        return self.is_refused(request, flow, queue)

    def is_refused(self, request: Message, flow: Flow, queue: Queue) -> bool:
        """Refuse a request, where it begins something and has to go; else return False."""
        method = request.method
        if not begins_something(request) or self._transactions.is_own(method, request.via):
            return False
        key = invite_key(request)
        if self._transactions.knows(method, key):
            return False
        place = _place_of(method, key)
        if not self._overload.refuses(queue, place, patience_of(method, request.request_uri)):
            return False
        self._transactions.refuse(request, flow, self._overload.retry_after(place))
        return True

    # -- at first sight ----------------------------------------------------------------

    def is_over(self, octets: bytes) -> bool:
        """Tell whether a datagram is the ACK of a refusal, and count it: nobody waits for it."""
        if octets[:4] != b"ACK " or octets.find(self._our_tag) < 0:
            return False
        self._overload.counters.acknowledged += 1
        return True

    def turns_away(self, sketch: Sketch, flow: Flow, queue: Queue) -> bool:
        """Do what ``is_refused`` does, for what was looked at no further."""
        key = sketch.key
        if self._transactions.is_own(sketch.method, sketch.via):
            return False
        if self._transactions.knows(sketch.method, key):
            return False
        place = _place_of(sketch.method, key)
        patience = patience_of(sketch.method, sketch.request_uri)
        if not self._overload.refuses(queue, place, patience):
            return False
        host, port = flow.remote
        retry_after = self._overload.retry_after(place)
        tag = self._transactions.stateless_tag
        octets = build_refusal(sketch, host.partition("%")[0], port, tag, retry_after)
        flow.answering(sketch.via).send(octets, None)
        return True
