"""Python's collector of cycles, kept off the way of calls.

A call leaves no cycle behind: reference counts let go of it. The collector would look at
every live call again and again all the same, and nothing else goes on meanwhile: with
the thresholds of Python an eighth of the time and pauses of up to a tenth of a second. So
it is switched off and asked by hand, where a quiet moment finds something new. What was
looked at is set aside, so that accounts and bindings are not looked at each time; once a
day they are too, and after two days even if there was no quiet moment.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final, final

QUIET: Final = 2_000  # live transactions, below which a moment is quiet
SOME: Final = 10_000  # objects made and not let go of, worth a look then; 1 ms
DAY: Final = 86_400.0  # s


@final
class Collector:
    """Decides when cycles are looked for, between ``start`` and ``stop``."""

    def __init__(self, alive: Callable[[], int], *, some: int = SOME, day: float = DAY) -> None:
        """Change nothing yet.

        Args:
            alive: tells how many transactions there are.
            some: new objects that are worth a look in a quiet moment.
            day: s, after which a quiet moment looks at everything; after twice that any does.
        """
        self.runs = 0
        self.longest = 0.0  # s
        self._alive = alive
        self._some = some
        self._day = day
        self._whole_at = 0.0  # when everything was looked at

    def start(self) -> None:
        """Switch the collector off; what has been loaded so far lives for ever."""
        gc.disable()
        gc.collect()
        gc.freeze()
        self._whole_at = time.monotonic()

    def look(self) -> None:
        """Collect if it is time to; to be called every few seconds."""
        began = time.monotonic()
        is_quiet = self._alive() < QUIET
        since = began - self._whole_at
        if since < 2 * self._day and not (is_quiet and gc.get_count()[0] >= self._some):
            return
        if since >= self._day:
            gc.unfreeze()
            self._whole_at = began
        gc.collect()
        gc.freeze()
        self.runs += 1
        self.longest = max(self.longest, time.monotonic() - began)

    def stop(self) -> None:
        """Leave the collector as Python has it."""
        gc.unfreeze()
        gc.enable()
