"""A 2xx of ours to an INVITE, repeated until its ACK comes (RFC 3261 13.3.1.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.ports import Clock, Timer
from uacproxy.sip.message import Message
from uacproxy.transaction.server import ServerTransaction

Acknowledged = Callable[[Message | None], None]
"""Hears the ACK, once; None says that none came in 64*T1."""


@final
class Success:
    """One 2xx; ``cseq`` is the number its ACK has."""

    __slots__ = (
        "_again_in",
        "_clock",
        "_deadline",
        "_response",
        "_server",
        "_t2",
        "_then",
        "_timer",
        "cseq",
    )

    def __init__(
        self,
        server: ServerTransaction,
        response: Message,
        then: Acknowledged,
        clock: Clock,
        t1: float,
        t2: float,
    ) -> None:
        self.cseq = response.cseq.number
        self._server = server
        self._response = response
        self._then: Acknowledged | None = then
        self._clock = clock
        self._t2 = t2
        self._again_in = t1
        self._deadline = clock.seconds() + 64 * t1
        self._timer: Timer | None = None

    def start(self) -> None:
        """Send it for the first time; over TCP too it is repeated (13.3.1.4)."""
        self._timer = self._clock.callLater(self._again_in, self._due)
        self._server.respond(self._response)

    @property
    def over(self) -> bool:
        """Tell whether its ACK has come, or none will be waited for."""
        return self._then is None

    def tell(self, then: Acknowledged) -> None:
        """Tell ``then`` instead of who was to hear until now."""
        self._then = then

    def ack_received(self, ack: Message) -> None:
        """Hear its ACK; that of a repeated 2xx changes nothing."""
        self._end(ack)

    def stop(self) -> None:
        """Send it no more, and tell nobody."""
        self._then = None
        self._stop_timer()

    def _due(self) -> None:
        self._timer = None
        left = self._deadline - self._clock.seconds()
        if left <= 0.0:
            self._end(None)
            return
        self._again_in = min(self._again_in * 2, self._t2)
        self._timer = self._clock.callLater(min(self._again_in, left), self._due)
        self._server.respond(self._response)

    def _end(self, ack: Message | None) -> None:
        then = self._then
        self.stop()
        if then is not None:
            then(ack)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
