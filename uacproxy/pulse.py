"""What ticks: work that is done again as soon as it has said, in a chain of delayed calls.

A ``LoopingCall`` makes a Deferred and a Failure's worth of ceremony for each turn, and
ends at the first exception; this does neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

AFTER_MISTAKE: Final = 0.1  # s


@final
class Pulse:
    """One piece of work; at most one call of it is planned.

    Args:
        reactor: Twisted's, or a clock.
        work: returns in how many s it wants to be called again.
        failed: hears, within the exception's handling, that it has raised one; it is called
            again after ``AFTER_MISTAKE``.
    """

    def __init__(
        self, reactor: Any, work: Callable[[], float], failed: Callable[[], object]
    ) -> None:
        self._reactor = reactor
        self._work = work
        self._failed = failed
        self._planned: Any = None  # the delayed call; None: stopped, or at work
        self._is_stopped = False

    def start(self) -> None:
        """Begin in the next turn."""
        self._plan(0.0)

    def stop(self) -> None:
        """End; a call under way is the last."""
        self._is_stopped = True
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None

    def within(self, seconds: float) -> None:
        """Have the next call no later; while at work that is for the work to say."""
        planned = self._planned
        if planned is not None and planned.getTime() > self._reactor.seconds() + seconds:
            planned.cancel()
            self._plan(seconds)

    def _plan(self, seconds: float) -> None:
        self._planned = self._reactor.callLater(seconds, self._due)

    def _due(self) -> None:
        self._planned = None
        wait = AFTER_MISTAKE
        try:
            wait = self._work()
        except Exception:  # noqa: BLE001  (a mistake of one time must not end all that follow)
            self._failed()
        if not self._is_stopped:
            self._plan(wait)
