"""When each account does what: deadlines, the plan, the pace, and those under way.

What is due wakes the service, and that costs more than a refresh itself, for the caches
are cold by then. So refreshes leave together, at a beat of a third of a second, as long as
they are few enough not to hold up calls or to fill a registrar's socket.

``Schedule`` is driven by ``beat``, several times a second. Deadlines are planned a page of
reg_timer_interval ahead; what has come due waits for its turn at its registrar; an
exchange that takes too long is given up.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from uacproxy.ports import Clock, Random
from uacproxy.uac.due_queue import LONGEST_WAIT, DueQueue, may_wait
from uacproxy.uac.refresh_slots import RefreshSlots
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_pace import LARGEST_BURST, Pace
from uacproxy.uac.registration_states import RegistrationState
from uacproxy.uac.settings import UacSettings

BUSY_BEAT: Final = 0.05  # s between two beats, while something waits for its turn
QUIET_BEAT: Final = 0.1  # s, where something is due that may not wait longer
LONGEST_BEAT: Final = 0.35  # s
BEATS: Final = [LONGEST_BEAT, 0.17, QUIET_BEAT]  # s; refreshes due in one of them leave together
"""A little more than a third and a sixth: whenever a registrar's second begins, no more than
three or six of them are in it, and so hardly more than its share."""
MOST_TOGETHER: Final = 64  # of them in a beat, where a shorter one makes it fewer
COUNTED_FOR: Final = 1.0  # s
SHORTEST_BEAT: Final = 0.03  # s; the next one is not wanted sooner


@final
class Schedule:
    """All accounts' deadlines.

    Args:
        settings: the ``reg_`` keys.
        clock: of the deadlines.
        random: of the refreshes.
        is_active: tells whether what is due may begin.
        settle: does what is due for one account and survives it.
        proceed: sends what waited for its turn and survives it.
    """

    def __init__(
        self,
        *,
        settings: UacSettings,
        clock: Clock,
        random: Random,
        is_active: Callable[[], bool],
        settle: Callable[[Registration], None],
        proceed: Callable[[Registration], None],
    ) -> None:
        self.wanted_by: Callable[[float], object] | None = None
        """Hears that a beat is wanted in so many s, earlier than ``next_beat_in`` said last."""
        self._beat_at = clock.seconds()  # the next beat, as planned
        self._clock = clock
        self._settle = settle
        rates = [float(rate) for rate in (settings.reg_rate, settings.reg_rate_per_registrar)]
        lowest = min([rate for rate in rates if rate > 0.0], default=0.0)
        self._due = DueQueue(float(settings.reg_timer_interval), lowest, clock.seconds())
        self._most_together = float(MOST_TOGETHER)
        if lowest > 0.0:
            self._most_together = min(self._most_together, lowest * LARGEST_BURST)
        self._together = LONGEST_BEAT  # s: the beat at present
        self._counted = 0  # that were due since
        self._counted_since = clock.seconds()
        self._slots = RefreshSlots(
            settings.reg_refresh_from / 100, settings.reg_refresh_until / 100, random
        )
        self._pace = Pace(
            rate=rates[0],
            rate_per_registrar=rates[1],
            slow_start=float(settings.reg_slow_start),
            seconds=clock.seconds,
            is_active=is_active,
            proceed=proceed,
            begin=settle,
        )
        self._under_way: OrderedDict[Registration, float] = OrderedDict()  # soonest first

    def deadline_set(self, registration: Registration, deadline: float) -> None:
        """Hear of a new deadline, s on the clock's time."""
        if registration.in_flight:
            self._under_way[registration] = deadline
            self._under_way.move_to_end(registration)  # all of them last equally long
            return
        self._due.push(deadline, registration)
        by = deadline + (LONGEST_WAIT if may_wait(registration, deadline) else QUIET_BEAT)
        if by < self._beat_at:
            self._beat_at = by
            if self.wanted_by is not None:
                self.wanted_by(self._beat_at - self._clock.seconds())

    def changed(self, registration: Registration) -> None:
        """Hear of a transition."""
        if not registration.in_flight:
            self._under_way.pop(registration, None)

    def pick_refresh(self, registration: Registration) -> float:
        """Return the delay until a binding just granted is renewed, s."""
        own = registration.account.settings
        return self._slots.pick(
            registration.granted, self._clock.seconds(), own.refresh_from, own.refresh_until
        )

    def resumed(self, registration: Registration) -> None:
        """Count the refresh of a binding that was resumed with the deadline it had."""
        if registration.state is RegistrationState.REGISTERED and registration.deadline:
            self._slots.take(registration.deadline)

    def take_turn(self, registration: Registration) -> bool:
        """Tell whether a REGISTER may leave now; False: it waits."""
        return self._pace.take_turn(registration)

    def silent(self, registration: Registration) -> None:
        """Hear that the registrar of an account did not answer."""
        self._pace.silent(registration.registrar)

    def plan(self) -> None:
        """Plan what is due before the next call, one reg_timer_interval later."""
        self._due.plan(self._clock.seconds())

    def beat(self) -> None:
        """Give up what takes too long, then do what is due as far as the rates allow."""
        now = self._clock.seconds()
        while self._under_way:
            registration, deadline = next(iter(self._under_way.items()))
            if deadline > now:
                break
            del self._under_way[registration]
            if registration.deadline == deadline:  # else another has taken its place
                self._settle(registration)
        self.send_due()

    def next_beat_in(self) -> float:
        """Return when to beat again, s; ``wanted_by`` hears of what comes to be due earlier."""
        now = self._clock.seconds()
        wait = BUSY_BEAT
        if not self._pace.is_waiting:
            beat = self._together
            wait = math.floor(now / beat + 1.0) * beat - now  # in step
            if wait < SHORTEST_BEAT:
                wait += beat
            wait = min(wait, max(QUIET_BEAT, self._due.next_due() - now))
        self._beat_at = now + wait
        return wait

    def send_due(self) -> None:
        """Do what is due, as far as the rates allow."""
        self.plan()
        now = self._clock.seconds()
        while True:
            due = self._due.take_due(now)
            if due is None:
                break
            self._counted += 1
            self._pace.offer(due)
        if now - self._counted_since >= COUNTED_FOR:
            self._pick_beat(now)
        self._pace.beat()

    def _pick_beat(self, now: float) -> None:
        """Take the longest beat that does not bring too many together."""
        rate = self._counted / (now - self._counted_since)
        self._counted = 0
        self._counted_since = now
        for beat in BEATS:
            self._together = beat
            if rate * beat <= self._most_together:
                break
