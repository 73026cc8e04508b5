"""Server transaction of every request but INVITE and ACK: RFC 3261 17.2.2, RFC 4320.

A provisional response would only slow the client's retransmissions down, so none is
sent but the 100 that RFC 4320 4.1 asks for, and no sooner. A 408 would come too late to
be anything but noise, so it is never sent (4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from uacproxy.counters import TransactionCounters
from uacproxy.ports import Clock, Flow
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message
from uacproxy.transaction.machine import Figure, StateTimers
from uacproxy.transaction.server import ServerTransaction
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Input, Notice, State


@final
class NonInviteServer(ServerTransaction):
    """One request received; when the TU stays silent it ends with the client's own."""

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
        super().__init__(
            FIGURE_8,
            State.TRYING,
            request,
            flow,
            values,
            clock,
            counters,
            new_tag,
            notify,
            ended,
        )

    def _send_trying(self) -> None:
        self._octets = build_response(self.request, 100).encode()
        self._send()

    def _send_failure(self) -> None:
        if self._response is not None and self._response.status == 408:
            self.final_sent = True
            self._octets = b""  # retransmissions meet silence
            self._forget_request()
            self.context = None
            return
        self._send_final()


_T = NonInviteServer

TABLE: Final[
    dict[tuple[State, Input], tuple[State, tuple[Callable[[NonInviteServer], None], ...]]]
] = {
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, (_T._send_final,)),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, (_T._send_failure,)),
    (State.TRYING, Input.TIMER_E_AT_T2): (State.PROCEEDING, (_T._send_trying,)),
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (_T._answer_again,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, (_T._send_final,)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T._send_failure,)),
    (State.PROCEEDING, Input.TIMER_F_OVER): (State.TERMINATED, (_T._time_out,)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T._report,)),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (_T._answer_again,)),
    (State.COMPLETED, Input.TIMER_J): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T._report,)),
}

TIMERS: Final[dict[State, StateTimers]] = {
    State.TRYING: (None, Input.TIMER_E_AT_T2),
    State.PROCEEDING: (None, Input.TIMER_F_OVER),
    State.COMPLETED: (None, Input.TIMER_J),
}

FIGURE_8: Final = Figure(TABLE, TIMERS)
