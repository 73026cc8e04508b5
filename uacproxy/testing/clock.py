"""A clock that stops at every call due on the way."""

from __future__ import annotations

from twisted.internet.task import Clock


class SteppingClock(Clock):
    """``task.Clock`` that never jumps over a pending call.

    ``advance(32)`` runs a call due at 0.5 s with the time already at 32 s, so a chain of
    retransmissions shrinks to one. ``run_until`` keeps each due time.
    """

    def run_until(self, when: float) -> None:
        """Move to ``when`` (s), pausing at each pending call, those made on the way too."""
        while True:
            due = [call.getTime() for call in self.getDelayedCalls()]
            if not due or min(due) > when:
                break
            self.advance(max(0.0, min(due) - self.seconds()))
        self.advance(max(0.0, when - self.seconds()))

    def run_for(self, duration: float) -> None:
        """Move on by ``duration`` seconds, pausing at each pending call."""
        self.run_until(self.seconds() + duration)
