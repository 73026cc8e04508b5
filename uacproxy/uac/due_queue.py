"""Registrations by their deadlines, planned ahead a page at a time.

A page is ``reg_timer_interval`` s long. What is due on a later page waits in a list; the
page that begins is planned: put in order, and spread where more would be due at once
than a registrar may be sent. The plan only brings forward, never puts off, so a deadline
stays one.

A refresh with much time left until its binding ends may wait for others, so that few
wake-ups do for many; anything else is told as soon as it is due.
"""

from __future__ import annotations

import heapq
from typing import Final, final

from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_states import RegistrationState

LONGEST_WAIT: Final = 0.5  # s, that a refresh may be late
LEFT: Final = 7.0  # times as long its binding lasts beyond its deadline, at least
FULL: Final = 0.9  # of the rate a plan makes use of; what comes unplanned needs the rest


def may_wait(registration: Registration, deadline: float) -> bool:
    """Tell whether what is due at ``deadline`` may be ``LONGEST_WAIT`` s late.

    Seven such waits are time for a target that is silent to be asked three times more.
    """
    if registration.state is not RegistrationState.REGISTERED:
        return False
    return registration.bound_until - deadline >= LEFT * LONGEST_WAIT


@final
class DueQueue:
    """An entry whose deadline moved is dropped when its turn comes, not before."""

    def __init__(self, page: float, rate: float, now: float) -> None:
        """Begin empty.

        Args:
            page: s.
            rate: refreshes a second to one registrar, 0 for no limit.
            now: s on the clock's time.
        """
        self._page = page
        self._gap = 1.0 / (rate * FULL) if rate > 0.0 else 0.0  # s between two refreshes
        self._planned = int(now / page) + 1  # the first page that is not
        self._pages: dict[int, list[Registration]] = {}
        self._heap: list[tuple[float, int, Registration]] = []
        self._hasty: list[float] = []  # heap of the deadlines in it that may not wait
        self._serial = 0  # tells apart what is due at the same time

    def push(self, deadline: float, registration: Registration) -> None:
        """Add one with its deadline, s on the clock's time."""
        page = int(deadline / self._page)
        if page < self._planned:
            self._serial += 1
            self._plan_one((deadline, self._serial, registration))
            return
        waiting = self._pages.get(page)
        if waiting is None:
            waiting = []
            self._pages[page] = waiting
        waiting.append(registration)

    def plan(self, now: float) -> None:
        """Plan every page that has begun, the present one included; call as often as you like."""
        while self._planned * self._page <= now:
            page = self._planned
            self._planned += 1
            self._plan_page(self._pages.pop(page, []), page, now)

    def next_due(self) -> float:
        """Return when to ask for what may not wait, s on the clock's time, or somewhat earlier."""
        begins = self._planned * self._page  # the next page, which may be full
        return min(begins, self._hasty[0]) if self._hasty else begins

    def take_due(self, now: float) -> Registration | None:
        """Remove and return one that is due, None when there is none."""
        while self._hasty and self._hasty[0] <= now:
            heapq.heappop(self._hasty)
        while self._heap and self._heap[0][0] <= now:
            deadline, _, registration = heapq.heappop(self._heap)
            if registration.deadline == deadline:
                return registration
        return None

    def _plan_page(self, waiting: list[Registration], page: int, now: float) -> None:
        of_registrar: dict[str, list[tuple[float, int, Registration]]] = {}
        for registration in waiting:
            deadline = registration.deadline
            if deadline is None or int(deadline / self._page) != page:
                continue
            self._serial += 1
            entry = (deadline, self._serial, registration)
            if registration.state is RegistrationState.REGISTERED and self._gap > 0.0:
                of_registrar.setdefault(registration.registrar, []).append(entry)
            else:
                self._plan_one(entry)
        for refreshes in of_registrar.values():
            self._spread(refreshes, now)

    def _spread(self, refreshes: list[tuple[float, int, Registration]], now: float) -> None:
        """Give each the latest time at which all can be done, one after the other."""
        refreshes.sort(reverse=True)
        latest = refreshes[0][0]
        for deadline, serial, registration in refreshes:
            latest = max(min(deadline, latest), now)
            self._plan_one((latest, serial, registration))
            registration.deadline = latest
            latest -= self._gap

    def _plan_one(self, entry: tuple[float, int, Registration]) -> None:
        heapq.heappush(self._heap, entry)
        if not may_wait(entry[2], entry[0]):
            heapq.heappush(self._hasty, entry[0])
