"""Which requests may be refused while too much waits, and the order of the rest.

Refused is what begins something: nothing is lost by it but the attempt, whose sender may
go elsewhere. What belongs to something begun is never refused, and of one burst it is
worked on first: a BYE makes room, and an ACK or a 200 that is late is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.ports import Flow
from uacproxy.sip.message import Message
from uacproxy.transport.overload import Overload, Queue

IsKnown = Callable[[Message], bool]
Refuse = Callable[[Message, Flow, int], None]

_NEVER_NEW: Final = (b"ACK", b"BYE", b"CANCEL", b"PRACK")
_PATIENT: Final = (b"REGISTER", b"OPTIONS")
"""Refused last: whose REGISTER fails is cut off, whose OPTIONS fails sends nothing here."""
_EMERGENCY: Final = b"urn:service:sos"  # RFC 5031; refused last too


def begins_something(request: Message) -> bool:
    """Tell whether a request belongs to nothing yet."""
    return request.method not in _NEVER_NEW and not request.to.tag


def patience_of(request: Message) -> int:
    """Return how late a request is refused, see ``Overload.refuses``."""
    if request.method in _PATIENT:
        return 1
    return int(request.request_uri[:15].lower() == _EMERGENCY)


@final
class Admission:
    """Asked about each request that comes by a crowded queue."""

    def __init__(self, overload: Overload, is_known: IsKnown, refuse: Refuse) -> None:
        """Join the two sides.

        Args:
            overload: decides.
            is_known: tells whether a request is a retransmission that a transaction answers.
            refuse: answers a request 503, with that many s in Retry-After.
        """
        self._overload = overload
        self._is_known = is_known
        self._refuse = refuse
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
        if not begins_something(request) or flow.remote == flow.local or self._is_known(request):
            return False
        place = hash(request.via.branch)  # keyed by the process: nobody chooses a place
        if not self._overload.refuses(queue, place, patience_of(request)):
            return False
        self._refuse(request, flow, self._overload.retry_after(place))
        return True
