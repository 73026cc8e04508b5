"""What other workers have written, as they have told it: a ``ChangeFeed`` without a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

MAX_CHANGES: Final = 20_000  # kept of one space; beyond, any may have been written


@final
class WorkerChanges:
    """Fits ``ChangeFeed``; each space has one asker."""

    def __init__(self, seconds: Callable[[], float], settled_after: float) -> None:
        """Begin without changes.

        Args:
            seconds: a clock, s.
            settled_after: s from when a change is told until it is on the medium.
        """
        self._seconds = seconds
        self._settled_after = settled_after
        self._changes: dict[str, deque[tuple[float, bytes]]] = {}
        self._lost: set[str] = set()

    def told(self, space: str, key: bytes) -> None:
        """Hear of a write."""
        changes = self._changes.setdefault(space, deque())
        if len(changes) >= MAX_CHANGES:
            changes.clear()
            self._lost.add(space)
        changes.append((self._seconds(), key))

    def since(
        self, space: str, cursor: float, then: Callable[[float, list[bytes] | None], None]
    ) -> None:
        """Call ``then`` at once with the keys that have settled since the last question."""
        changes = self._changes.setdefault(space, deque())
        until = self._seconds() - self._settled_after
        keys: dict[bytes, None] = {}
        while changes and changes[0][0] <= until:
            keys[changes.popleft()[1]] = None
        cannot_tell = cursor == 0.0 or space in self._lost
        self._lost.discard(space)
        then(1.0, None if cannot_tell else list(keys))
