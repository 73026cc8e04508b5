"""INVITE server transaction: RFC 3261 17.2.1, with the Accepted state of RFC 6026 7.1.

The 100 within 200 ms is the transaction user's, who sends it at once (16.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from uacproxy.counters import TransactionCounters
from uacproxy.ports import Clock, Flow
from uacproxy.sip.message import Message
from uacproxy.transaction.machine import Figure, StateTimers
from uacproxy.transaction.server import ServerTransaction
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Input, Notice, State


@final
class InviteServer(ServerTransaction):
    """One INVITE received.

    A failing transport ends no INVITE server transaction: the TU hears of it, and the
    next retransmission may arrive on a connection that works (RFC 6026 4).
    """

    def __init__(
        self,
        request: Message,
        *,
        flow: Flow,
        values: TimerValues,
        clock: Clock,
        counters: TransactionCounters,
        new_tag: Callable[[], bytes],
        notify: Callable[[Notice], None] | None,
        ended: Callable[[Any], None],
    ) -> None:
        self.final_to_tag = b""  # of a final response other than 2xx, for 17.2.3
        super().__init__(
            FIGURE_7,
            State.PROCEEDING,
            request,
            flow,
            values,
            clock,
            counters,
            new_tag,
            notify,
            ended,
        )

    def ack_received(self) -> None:
        """Take the ACK of a final response other than 2xx."""
        self._feed(Input.ACK)

    def _send_success(self) -> None:
        self._send_final()
        self._octets = b""  # retransmissions are absorbed; the TU repeats the 2xx itself

    def _send_failure(self) -> None:
        if self._response is not None:
            self.final_to_tag = self._response.to.tag
        self._send_final()

    def _miss_ack(self) -> None:
        self._counters.no_ack += 1
        self._tell(Notice.TIMEOUT)


_T = InviteServer

TABLE: Final[
    dict[tuple[State, Input], tuple[State, tuple[Callable[[InviteServer], None], ...]]]
] = {
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (_T._answer_again,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_T._send_response,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (_T._send_success,)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T._send_failure,)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, (_T._report,)),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (_T._send_success,)),
    (State.ACCEPTED, Input.TRANSPORT_ERROR): (State.ACCEPTED, (_T._report,)),
    (State.ACCEPTED, Input.TIMER_L): (State.TERMINATED, ()),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (_T._answer_again,)),
    (State.COMPLETED, Input.TIMER_G): (State.COMPLETED, (_T._send_at_most_t2_apart,)),
    (State.COMPLETED, Input.TIMER_H): (State.TERMINATED, (_T._miss_ack,)),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, (_T._report,)),
    (State.CONFIRMED, Input.TIMER_I): (State.TERMINATED, ()),
}

TIMERS: Final[dict[State, StateTimers]] = {
    State.ACCEPTED: (None, Input.TIMER_L),
    State.COMPLETED: (Input.TIMER_G, Input.TIMER_H),
    State.CONFIRMED: (None, Input.TIMER_I),
}

FIGURE_7: Final = Figure(TABLE, TIMERS)
