"""What both client transactions do alike (RFC 3261 17.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uacproxy.counters import TransactionCounters
from uacproxy.ports import Clock, Flow
from uacproxy.sip.message import Message
from uacproxy.transaction.machine import Figure, Transaction
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import RESPONSE_CLASS, Notice, State


class ClientTransaction(Transaction):
    """One request on one branch, from the first send to the last retransmission absorbed.

    Args:
        figure: the machine's own.
        first: the state it starts in.
        request: with our Via on top; not to be edited any more, and forgotten when a final
            response came.
        flow: where it goes.
        values: for this kind of transport.
        clock: for the timers.
        counters: shared by all transactions.
        notify: hears responses, and how it ended where no final response came.
        ended: hears once that the transaction is over, before ``notify`` hears why.
    """

    def __init__(
        self,
        figure: Figure,
        first: State,
        request: Message,
        flow: Flow,
        values: TimerValues,
        clock: Clock,
        counters: TransactionCounters,
        notify: Callable[[Notice, Message | None], None],
        ended: Callable[[Any], None],
    ) -> None:
        super().__init__(figure, first, request, flow, values, clock, counters, ended)
        self.method = request.method
        self._notify = notify
        self._response: Message | None = None

    def start(self, octets: bytes = b"") -> None:
        """Send the request for the first time; ``octets`` are those of one that is no message."""
        self._octets = octets or self.request.encode()
        self._enter(self.state)
        self._send()

    def response_received(self, response: Message) -> None:
        """Take a response that matched this branch and method (17.1.3)."""
        self._response = response
        self._feed(RESPONSE_CLASS[response.status // 100])
        self._response = None

    def release(self) -> None:
        """Tell the TU nothing more; what is still to be acknowledged, is."""
        self._notify = _tell_nobody

    def _forget_all(self) -> None:
        """Drop what is of no use where retransmissions are absorbed and nothing is sent."""
        self._forget_request()
        self._octets = b""
        self._notify = _tell_nobody

    def _let_go(self) -> None:
        self._notify = _tell_nobody

    def _pass_up(self) -> None:
        self._notify(Notice.RESPONSE, self._response)

    def _time_out(self) -> None:
        self._counters.timeouts += 1
        self._notify(Notice.TIMEOUT, None)

    def _report(self) -> None:
        self._counters.transport_errors += 1
        self._notify(Notice.TRANSPORT_ERROR, None)


def _tell_nobody(_notice: Notice, _response: Message | None) -> None:
    """Stand in for a TU that has heard the end."""
