"""Client transaction of every request but INVITE and ACK: RFC 3261 17.1.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from uacproxy.counters import TransactionCounters
from uacproxy.ports import Clock, Flow
from uacproxy.sip.message import Message
from uacproxy.transaction.client import ClientTransaction
from uacproxy.transaction.machine import Figure, StateTimers
from uacproxy.transaction.timers import TimerValues
from uacproxy.transaction.vocabulary import Input, Notice, State


@final
class NonInviteClient(ClientTransaction):
    """One request on one branch; timers E and F run on from Trying to Proceeding."""

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
            FIGURE_6, State.TRYING, request, flow, values, clock, counters, notify, ended
        )


_T = NonInviteClient

TABLE: Final[
    dict[tuple[State, Input], tuple[State, tuple[Callable[[NonInviteClient], None], ...]]]
] = {
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (_T._pass_up,)),
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, (_T._pass_up, _T._forget_all)),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, (_T._pass_up, _T._forget_all)),
    (State.TRYING, Input.TIMER_E): (State.TRYING, (_T._send_at_most_t2_apart,)),
    (State.TRYING, Input.TIMER_F): (State.TERMINATED, (_T._time_out,)),
    (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T._report,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_T._pass_up,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, (_T._pass_up, _T._forget_all)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_T._pass_up, _T._forget_all)),
    (State.PROCEEDING, Input.TIMER_E): (State.PROCEEDING, (_T._send_t2_apart,)),
    (State.PROCEEDING, Input.TIMER_F): (State.TERMINATED, (_T._time_out,)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, (_T._report,)),
    (State.COMPLETED, Input.TIMER_K): (State.TERMINATED, ()),
}

TIMERS: Final[dict[State, StateTimers]] = {
    State.TRYING: (Input.TIMER_E, Input.TIMER_F),
    State.PROCEEDING: (Input.TIMER_E, Input.TIMER_F),
    State.COMPLETED: (None, Input.TIMER_K),
}

FIGURE_6: Final = Figure(TABLE, TIMERS)
