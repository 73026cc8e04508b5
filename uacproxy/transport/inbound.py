"""From octets a peer sent to messages worth handing on (RFC 3261 18.1.2, 18.2.1; RFC 3581 4).

Every listener and connection brings its octets here. What is no message is counted;
what can still be answered goes to ``reject``. No exception of the code above leaves
this module, so a mistake of ours costs one message and not a socket.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final, Protocol, final

from uacproxy.counters import TransportCounters
from uacproxy.errors import ParseError
from uacproxy.ports import Clock, Flow, Log
from uacproxy.sip.framing import StreamBroken
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.parse import MalformedMessage, check_required, parse_message
from uacproxy.sip.sketch import Sketch, sketch_of
from uacproxy.transport.admission import Admission
from uacproxy.transport.overload import Queue

Deliver = Callable[[Message, Flow], None]
Reject = Callable[[MalformedMessage, Flow], None]
IsOurs = Callable[[bytes, int | None, bytes | None], bool]

_BLANK: Final = 0x20  # no start line begins with an octet up to this
_STUN: Final = 0x04  # STUN messages begin with one below this (RFC 5389 6)


class StreamInbound(Protocol):
    """Takes what streams are cut into."""

    def octets_received(self, octets: bytes, flow: Flow) -> None:
        """Take the octets of one message."""

    def stream_broken(self, error: StreamBroken, flow: Flow) -> None:
        """Hear of what a stream could not be cut at."""


@final
class Inbound:
    """The border between sockets and the transaction layer."""

    def __init__(
        self,
        *,
        limits: LimitSettings,
        counters: TransportCounters,
        is_ours: IsOurs,
        deliver: Deliver,
        reject: Reject,
        clock: Clock,
        log: Log,
        queue: Queue | None = None,
        admission: Admission | None = None,
    ) -> None:
        """Join the two sides.

        Args:
            limits: of one message.
            counters: shared with the sockets.
            is_ours: says whether the sent-by of a response is one of ours.
            deliver: hears of each sound message; a request's top Via has ``received``
                and ``rport`` by then, a response's top Via is ours.
            reject: hears of each broken request that can be answered: it is no ACK and
                its top Via could be read, and is marked. ``message`` is never None.
            clock: for the end of the turn.
            log: hears one traceback a turn of whatever ``deliver`` and ``reject`` raise.
            queue: what comes waits for the reactor's turn; None where nothing is ever late.
            admission: asked about requests while a queue is crowded.
        """
        self._limits = limits
        self._counters = counters
        self._is_ours = is_ours
        self._deliver = deliver
        self._reject = reject
        self._clock = clock
        self._log = log
        self._logged = False  # a traceback in this turn
        self._turn = queue
        self._queue = queue  # by which comes what comes now
        self._admission = admission

    def datagram_received(self, octets: bytes, flow: Flow) -> None:
        """Take one datagram; keep-alives are counted and done with."""
        first = octets[0] if octets else 0
        if first <= _BLANK and (first < _STUN or not octets.strip(b"\r\n ")):
            self._counters.keepalives += 1
        else:
            self.octets_received(octets, flow)

    def octets_received(self, octets: bytes, flow: Flow) -> None:
        """Take the octets of one message, as a datagram or a framer had them."""
        self._counters.received += 1
        try:
            message = parse_message(octets, self._limits)
        except MalformedMessage as error:
            self._malformed_received(error, flow)
            return
        try:
            check_required(message)
        except ParseError as fault:  # another name: a compiled name has one type
            self._malformed_received(MalformedMessage(fault, message), flow)
            return
        if message.status:
            via = message.via
            if not self._is_ours(via.host, via.port, via.transport):
                self._counters.strays += 1
                return
        else:
            mark_source(message, flow)
            queue = self._queue
            if queue is not None and queue.is_crowded and self._is_held(message, flow, queue):
                return
        try:
            self._deliver(message, flow)
        except Exception:  # noqa: BLE001  a mistake of ours must not close the listener
            self._mistake_made()

    # -- while too much waits ----------------------------------------------------------

    def crowd_received(self, burst: list[bytes], flows: list[Flow], queue: Queue) -> None:
        """Take a burst of datagrams of a crowded queue: the rest before what begins something.

        What is plain to see is decided at sight, other requests once they are parsed.
        """
        admission = self._admission
        if admission is None:
            for octets, flow in zip(burst, flows, strict=True):
                self.datagram_received(octets, flow)
            return
        self._queue = queue
        admission.burst_begins()
        held: list[tuple[Sketch, bytes, Flow]] = []
        for octets, flow in zip(burst, flows, strict=True):
            sketch = sketch_of(octets)
            if sketch is not None:
                held.append((sketch, octets, flow))
            elif admission.is_over(octets):
                self._counters.received += 1
            else:
                self.datagram_received(octets, flow)
        self._queue = None
        for sketch, octets, flow in held:
            if self._is_turned_away(sketch, flow, queue):
                self._counters.received += 1
            else:
                self.datagram_received(octets, flow)
        for message, flow in admission.burst_over():
            try:
                if not admission.is_refused(message, flow, queue):
                    self._deliver(message, flow)
            except Exception:  # noqa: BLE001  (one mistake of ours must not cost the rest of the burst)
                self._mistake_made()
        self._queue = self._turn

    def _is_turned_away(self, sketch: Sketch, flow: Flow, queue: Queue) -> bool:
        if self._admission is None:
            return False
        try:
            return self._admission.turns_away(sketch, flow, queue)
        except Exception:  # noqa: BLE001  (a mistake of ours must not close the listener; its sender tries again)
            self._mistake_made()
            return True

    def _is_held(self, message: Message, flow: Flow, queue: Queue) -> bool:
        if self._admission is None:
            return False
        try:
            return self._admission.holds(message, flow, queue)
        except Exception:  # noqa: BLE001  (a mistake of ours must not close the listener; its sender tries again)
            self._mistake_made()
            return True

    # -- what is no message ------------------------------------------------------------

    def stream_broken(self, error: StreamBroken, flow: Flow) -> None:
        """Answer, where its head can be read, the message a stream could not be cut at."""
        self._counters.received += 1
        self._counters.broken_streams += 1
        message: Message | None = None
        if error.head:
            try:
                message = parse_message(error.head, self._limits)
            except MalformedMessage as also:
                message = also.message
        self._malformed_received(MalformedMessage(error, message), flow)

    def _malformed_received(self, error: MalformedMessage, flow: Flow) -> None:
        self._counters.malformed += 1
        message = error.message
        if message is None or message.status or message.method == b"ACK":
            return
        try:
            mark_source(message, flow)
        except ParseError:
            return  # without a Via no answer finds its way
        try:
            self._reject(error, flow)
        except Exception:  # noqa: BLE001  (a mistake of ours must not close the listener)
            self._mistake_made()

    def _mistake_made(self) -> None:
        self._counters.own_mistakes += 1
        if self._logged:
            return
        self._logged = True
        self._clock.callLater(0, self._turn_over)
        self._log.error(
            "a message could not be worked on:\n{traceback}", traceback=traceback.format_exc()
        )

    def _turn_over(self) -> None:
        self._logged = False


def mark_source(request: Message, flow: Flow) -> None:
    """Write the source address into the top Via (18.2.1, RFC 3581 4), where one is due.

    Further values of the same field stay.

    Raises:
        ParseError: there is no Via, or the top one cannot be read.
    """
    host, port = flow.remote
    marked = request.via.marked(host if host.find("%") < 0 else host.partition("%")[0], port)
    if marked is not None:
        request.set_via(marked)
