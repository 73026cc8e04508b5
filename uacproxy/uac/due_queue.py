"""Registrations in the order of their deadlines."""

from __future__ import annotations

import heapq
from typing import final

from uacproxy.uac.registration import Registration


@final
class DueQueue:
    """A heap from which nothing is removed early: an entry whose deadline moved is dropped."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Registration]] = []
        self._serial = 0  # tells apart what is due at the same time

    def push(self, deadline: float, registration: Registration) -> None:
        """Add one with its deadline, s on the clock's time."""
        self._serial += 1
        heapq.heappush(self._heap, (deadline, self._serial, registration))

    def take_due(self, now: float) -> Registration | None:
        """Remove and return one that is due, None when there is none."""
        while self._heap and self._heap[0][0] <= now:
            deadline, _, registration = heapq.heappop(self._heap)
            if registration.deadline == deadline:
                return registration
        return None
