"""INVITE client transaction: RFC 3261 17.1.1, with the Accepted state of RFC 6026 7.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from uacproxy.counters import TransactionCounters
from uacproxy.ports import Clock, Flow
from uacproxy.sip.build import build_ack
from uacproxy.sip.message import Message
from uacproxy.transaction.client import ClientTransaction
from uacproxy.transaction.machine import Figure, StateTimers
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Input, Notice, State


@final
class InviteClient(ClientTransaction):
    """One INVITE on one branch.

    Proceeding alone may last: there the TU decides how long it waits (timer C, 16.8).
    """

    def __init__(
        self,
        request: Message,
        *,
        flow: Flow,
        values: TimerValues,
        clock: Clock,
        counters: TransactionCounters,
        notify: Callable[[Notice, Message | None], None],
        ended: Callable[[Any], None],
    ) -> None:
        super().__init__(
            FIGURE_5, State.CALLING, request, flow, values, clock, counters, notify, ended
        )

    def _acknowledge(self) -> None:
        if self._response is not None:
            self._octets = build_ack(self.request, self._response).encode()
            self._forget_request()
            self._send()

    def _forget_octets(self) -> None:
        self._octets = b""  # no state from here on sends the INVITE again


_T = InviteClient

TABLE: Final[
    dict[tuple[State, Input], tuple[State, tuple[Callable[[InviteClient], None], ...]]]
] = {
    (State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, (_T._forget_octets, _T._pass_up)),
    (State.CALLING, Input.SUCCESS): (
        State.ACCEPTED,
        (_T._forget_octets, _T._forget_request, _T._pass_up),
    ),
    (State.CALLING, Input.FAILURE): (State.COMPLETED, (_T._acknowledge, _T._pass_up)),
    (State.CALLING, Input.TIMER_A): (State.CALLING, (_T._send_after_twice_the_wait,)),
    (State.CALLING, Input.TIMER_B): (State.TERMINATED, (_T._time_out,)),
    (State.CALLING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T._report,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_T._pass_up,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (_T._forget_request, _T._pass_up)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T._acknowledge, _T._pass_up)),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (_T._pass_up,)),
    (State.ACCEPTED, Input.TIMER_M): (State.TERMINATED, ()),
    (State.COMPLETED, Input.FAILURE): (State.COMPLETED, (_T._send,)),
    (State.COMPLETED, Input.TIMER_D): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T._report,)),
}

TIMERS: Final[dict[State, StateTimers]] = {
    State.CALLING: (Input.TIMER_A, Input.TIMER_B),
    State.ACCEPTED: (None, Input.TIMER_M),
    State.COMPLETED: (None, Input.TIMER_D),
}

FIGURE_5: Final = Figure(TABLE, TIMERS)
