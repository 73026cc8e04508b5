"""What all four machines do alike: follow arrows, run the timers of a state (RFC 3261 17).

A machine is written down as two dicts: one row per arrow of the RFC's figure, and the
timers of each state. ``Figure`` makes lists of them, which cost less to look up.

Sans-IO: octets leave through ``flow``, time enters through ``clock``. A transaction first
settles its state and timers, then sends, and tells its transaction user (TU) last, so
whoever is told may call straight back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from uacproxy.counters import TransactionCounters
from uacproxy.ports import Clock, Flow, Timer
from uacproxy.sip.message import Message, message_of
from uacproxy.transaction.timers import TimerValues, Wakeable, forget, wake_in
from uacproxy.transaction.vocabulary import Input, State

Action = Callable[[Any], None]
Row = tuple[State, tuple[Action, ...]]
StateTimers = tuple[Input | None, Input | None]

_TERMINATED: Final = State.TERMINATED
_END: Final = 0  # which timer
_AGAIN: Final = 1
_FORGOTTEN: Final = message_of(b"", b"", b"", 0, b"", [], [], b"")


@final
class Arrow:
    """Where an input leads, and what is done on arrival, in order."""

    __slots__ = ("actions", "target")

    def __init__(self, target: State, actions: tuple[Action, ...]) -> None:
        self.target = target
        self.actions = actions


@final
class Figure:
    """One of the RFC's figures, ready to be followed.

    Args:
        table: by state and input; what has no row is a stray, which the RFC has us drop.
        timers: by state, the timer that sends again and the one that ends the state.
            A timer that two states share runs on from one to the other.
    """

    __slots__ = ("arrows", "ends", "sends_again")

    def __init__(
        self,
        table: Mapping[tuple[State, Input], tuple[State, tuple[Callable[..., None], ...]]],
        timers: Mapping[State, StateTimers],
    ) -> None:
        self.arrows: list[list[Arrow | None]] = []
        self.sends_again: list[Input | None] = []
        self.ends: list[Input | None] = []
        for state in State:
            row: list[Arrow | None] = []
            for what in Input:
                found = table.get((state, what))
                row.append(None if found is None else Arrow(found[0], found[1]))
            self.arrows.append(row)
            sends_again, ends = timers.get(state, (None, None))
            self.sends_again.append(sends_again)
            self.ends.append(ends)


class Transaction(Wakeable):
    """One transaction: a request, the flow it travels on, and a place in the figure."""

    def __init__(
        self,
        figure: Figure,
        state: State,
        request: Message,
        flow: Flow,
        values: TimerValues,
        clock: Clock,
        counters: TransactionCounters,
        ended: Callable[[Any], None],
    ) -> None:
        self.state = state
        self.request = request
        self.flow = flow
        self.key = b""  # where the table keeps it
        self._figure = figure
        self._values = values
        self._clock = clock
        self._counters = counters
        self._ended = ended
        self._octets = b""  # what is sent again
        self._send_again_in = 0.0  # s
        self._sends_again: Input | None = None
        self._send_again_timer: Timer | None = None
        self._ends: Input | None = None
        self._end_timer: Timer | None = None

    def transport_failed(self) -> None:
        """Hear that octets last handed to the flow did not leave."""
        self._feed(Input.TRANSPORT_ERROR)

    def stop(self) -> None:
        """End at once; the TU is told nothing, now or later."""
        if self.state is not _TERMINATED:
            self._enter(_TERMINATED)
            self._let_go()

    def _forget_request(self) -> None:
        """Drop what nobody asks for after the final response, for it may stay for 32 s."""
        self.request = _FORGOTTEN

    def _let_go(self) -> None:
        """Drop what leads back to the TU: an ended transaction keeps nobody alive."""

    def _feed(self, what: Input) -> None:
        arrow = self._figure.arrows[self.state][what]
        if arrow is None:
            return
        if arrow.target is not self.state:
            self._enter(arrow.target)
        for action in arrow.actions:
            action(self)
        if self.state is _TERMINATED:
            self._let_go()

    def _enter(self, state: State) -> None:
        """Settle in ``state``: the timers it has run, all others stop."""
        figure = self._figure
        ends = figure.ends[state]
        if ends is not self._ends:
            self._ends = ends
            if self._end_timer is not None:
                forget(self._end_timer)
                self._end_timer = None
            if ends is not None:
                delay = self._values.delay[ends]
                if delay == 0.0:  # D, I, J, K: nothing comes twice on a reliable transport
                    state = _TERMINATED
                else:
                    self._end_timer = wake_in(self._clock, delay, self, _END)
        sends_again = figure.sends_again[state]
        if sends_again is not self._sends_again:
            self._sends_again = sends_again
            if self._send_again_timer is not None:
                forget(self._send_again_timer)
                self._send_again_timer = None
            if sends_again is not None:
                delay = self._values.delay[sends_again]
                if delay > 0.0:
                    self._arm(delay)
        self.state = state
        if state is _TERMINATED:
            self._ended(self)

    def _arm(self, delay: float) -> None:
        self._send_again_in = delay
        self._send_again_timer = wake_in(self._clock, delay, self, _AGAIN)

    def wake(self, which: int) -> None:
        """Hear that the timer is due which ends the state, or the one that sends again."""
        if which == _END:
            what = self._ends
            self._end_timer = None
        else:
            what = self._sends_again
            self._send_again_timer = None
        if what is not None:
            self._feed(what)

    def _send(self) -> None:
        self.flow.send(self._octets, self.transport_failed)

    def _send_after_twice_the_wait(self) -> None:
        self._send_again(self._send_again_in * 2)

    def _send_at_most_t2_apart(self) -> None:
        self._send_again(min(self._send_again_in * 2, self._values.t2))

    def _send_t2_apart(self) -> None:
        self._send_again(self._values.t2)

    def _send_again(self, and_again_in: float) -> None:
        self._arm(and_again_in)
        self._counters.sent_again += 1
        self._send()
