"""When a binding is renewed: in the emptiest of some slots of its window.

A window is a part of the grant, so accounts that were granted together have the same one.
Each takes the slot that fewest others have taken; a crowd that came together (after a
start, after a registrar was away) has dispersed one refresh later.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.ports import Random
from uacproxy.uac.registration_delays import LONGEST_REFRESH, SHORTEST_REFRESH

WIDTH: Final = 1.0  # s of a slot
CANDIDATES: Final = 16  # looked at; the best of a few is nearly as even as the best of all


@final
class RefreshSlots:
    """How many refreshes are due in each slot to come."""

    def __init__(self, refresh_from: float, refresh_until: float, random: Random) -> None:
        """Begin empty; the window of most is between these two parts of the grant, 0 to 1."""
        self._from = refresh_from
        self._until = max(refresh_from, refresh_until)
        self._random = random
        self._taken: dict[int, int] = {}
        self._oldest = 0  # slots before are gone

    def pick(
        self, granted: int, now: float, own_from: int | None = None, own_until: int | None = None
    ) -> float:
        """Take a slot for a binding and return the delay until then, s.

        Args:
            granted: s.
            now: s on the clock's time.
            own_from: %, where this account's window begins elsewhere.
            own_until: %, where it ends elsewhere.
        """
        self._forget_before(int(now / WIDTH))
        begins, ends = self._from, self._until
        if own_until is not None:
            ends = own_until / 100
            begins = min(begins, ends)
        if own_from is not None:
            begins = own_from / 100
        first = granted * begins
        last = granted * max(begins, ends)
        at = self._random.uniform(first, last)
        slots = int((last - first) / WIDTH)  # that lie in the window as a whole
        own = int((now + at) / WIDTH)
        shift = self._emptiest(own, own - int((at - first) / WIDTH), slots) - own
        delay = min(max(at + shift * WIDTH, SHORTEST_REFRESH), LONGEST_REFRESH)
        self.take(now + delay)
        return delay

    def _emptiest(self, own: int, first: int, slots: int) -> int:
        """Return the emptiest of a few: ``own``, and others of ``slots`` from ``first`` on."""
        taken = self._taken
        best = own
        fewest = taken.get(own, 0)
        step = 1 if slots <= CANDIDATES else slots // CANDIDATES
        at = own - first
        for _ in range(min(CANDIDATES, slots) - 1):
            if fewest == 0:
                break
            at += step
            if at >= slots:
                at -= slots
            there = taken.get(first + at, 0)
            if there < fewest:
                fewest = there
                best = first + at
        return best

    def take(self, deadline: float) -> None:
        """Count a refresh that is due at ``deadline``, s on the clock's time."""
        slot = int(deadline / WIDTH)
        self._taken[slot] = self._taken.get(slot, 0) + 1

    def _forget_before(self, slot: int) -> None:
        if slot - self._oldest > len(self._taken):
            for taken in [one for one in self._taken if one < slot]:
                del self._taken[taken]
        else:
            for gone in range(self._oldest, slot):
                self._taken.pop(gone, None)
        self._oldest = slot
