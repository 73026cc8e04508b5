"""Wait for the next datagram where it will arrive, rather than go back to the reactor.

A turn of Twisted's reactor costs more than the work on a small datagram, and under load
the next one is due in a fraction of a millisecond. So while traffic is dense the one who
has just read waits a moment on all UDP sockets and reads on. It ends at once when anything
else of the reactor's is ready and no datagram is, and in any case after ``STAY``, so
that timers and connections wait no longer than that.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Final, final

DENSE: Final = 0.002  # s between two wake-ups, below which waiting pays
STAY: Final = 0.002  # s that the reactor's other work waits at most
PATIENCE: Final = 1  # ms without a datagram after which nothing is waited for


@final
class Linger:
    """The UDP sockets of one service, and the descriptor that tells of all else."""

    def __init__(
        self,
        others: int,
        *,
        dense: float = DENSE,
        stay: float = STAY,
        patience: int = PATIENCE,
    ) -> None:
        """Begin without sockets.

        Args:
            others: a descriptor that is ready to read when anything is that the reactor
                watches; -1: there is none, and nobody lingers.
            dense: s between two wake-ups, below which waiting pays.
            stay: s that the reactor's other work waits at most.
            patience: ms without a datagram after which nothing is waited for.
        """
        self._dense = dense
        self._stay = stay
        self._patience = patience
        self._others = others
        self._reads: dict[int, Callable[[], None]] = {}
        self._ready = select.poll()
        self._last = 0.0  # when last read
        if others >= 0:
            self._ready.register(others, select.POLLIN)

    def add(self, descriptor: int, read: Callable[[], None]) -> None:
        """Call ``read`` when this socket has something."""
        if self._others < 0:
            return
        self._reads[descriptor] = read
        self._ready.register(descriptor, select.POLLIN)

    def remove(self, descriptor: int) -> None:
        """Do so no longer."""
        if self._reads.pop(descriptor, None) is not None:
            self._ready.unregister(descriptor)

    def read_on(self) -> None:
        """Read what comes next, if traffic is dense; to be called after a read."""
        now = time.monotonic()
        is_dense = now < self._last + self._dense
        self._last = now
        if not is_dense or not self._reads:
            return
        end = now + self._stay
        reads = self._reads
        patience = self._patience
        while now < end:
            has_read = False
            for descriptor, _ in self._ready.poll(patience):
                read = reads.get(descriptor)
                if read is not None:
                    read()
                    has_read = True
            if not has_read:
                return
            now = time.monotonic()
            self._last = now
