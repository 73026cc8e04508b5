"""What both server transactions do alike (RFC 3261 17.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uacproxy.counters import TransactionCounters
from uacproxy.ports import Clock, Flow
from uacproxy.sip.message import Message
from uacproxy.transaction.machine import Figure, Transaction
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import RESPONSE_CLASS, Input, Notice, State


class ServerTransaction(Transaction):
    """One request received, until no retransmission of it can come any more.

    ``notify`` and ``context`` belong to the transaction user (TU), who sets them when it
    is given the transaction; ``notify`` hears TIMEOUT and TRANSPORT_ERROR, ``context`` is
    dropped with the final response.

    Args:
        figure: the machine's own.
        first: the state it starts in.
        request: as received; forgotten with the final response.
        flow: where responses go (18.2.2).
        values: for this kind of transport.
        clock: for the timers.
        counters: shared by all transactions.
        new_tag: makes the To tag of our own answers, called at most once.
        notify: None while nobody wants to hear.
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
        new_tag: Callable[[], bytes],
        notify: Callable[[Notice], None] | None,
        ended: Callable[[Any], None],
    ) -> None:
        super().__init__(figure, first, request, flow, values, clock, counters, ended)
        self.notify = notify
        self.context: object | None = None
        self.merged_key = b""  # where the table looks for the same request by another way
        self.final_sent = False  # the TU has given a final response
        self._new_tag = new_tag
        self._local_tag = b""
        self._response: Message | None = None
        self._enter(first)

    @property
    def local_tag(self) -> bytes:
        """Return the To tag of all answers of our own to this request."""
        if not self._local_tag:
            self._local_tag = self._new_tag()
        return self._local_tag

    def respond(self, response: Message) -> None:
        """Send a response of the TU, where the state still has room for it.

        It is encoded once; retransmissions of the request are answered with its octets.
        """
        self._response = response
        self._feed(RESPONSE_CLASS[response.status // 100])
        self._response = None

    def retransmission_received(self) -> None:
        """Take the same request once more."""
        self._feed(Input.REQUEST)

    def _let_go(self) -> None:
        self.notify = None

    def _send_response(self) -> None:
        if self._response is not None:
            self._octets = self._response.encode()
            self._send()

    def _send_final(self) -> None:
        self.final_sent = True
        self._send_response()
        self._forget_request()
        self.context = None

    def _answer_again(self) -> None:
        if self._octets:  # else nothing was answered yet
            self._send()

    def _time_out(self) -> None:
        self._counters.timeouts += 1
        self._tell(Notice.TIMEOUT)

    def _report(self) -> None:
        self._counters.transport_errors += 1
        self._tell(Notice.TRANSPORT_ERROR)

    def _tell(self, notice: Notice) -> None:
        if self.notify is not None:
            self.notify(notice)
