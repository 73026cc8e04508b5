"""Writes on their way to a medium: gathered by key, taken in batches, put back on failure.

The last write of a key wins. While the medium is away the number of keys is bounded and
the one not written for longest is dropped, which costs a take-over, never a call. Reads
look here first, so a caller always sees its own writes.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Final, NamedTuple, final

MAX_PENDING: Final = 100_000  # keys

SpaceKey = tuple[str, bytes]


class Write(NamedTuple):
    """The wish for one key: a value until ``expires_at_utc``, or None to delete it."""

    value: bytes | None
    expires_at_utc: float  # s of the epoch; 0.0 with a delete


Batch = OrderedDict[SpaceKey, Write]  # oldest first; a plain dict is slow at its front


@final
class PendingWrites:
    """At most one batch is with the medium; newer writes of its keys wait behind it."""

    def __init__(self, max_pending: int = MAX_PENDING) -> None:
        self.dropped = 0
        self._max_pending = max_pending
        self._waiting: Batch = OrderedDict()
        self._taken: Batch = OrderedDict()

    def __len__(self) -> int:
        """Return how many writes are not known to be on the medium."""
        return len(self._waiting) + len(self._taken)

    @property
    def waiting(self) -> int:
        """Return how many keys the next batches will hold."""
        return len(self._waiting)

    @property
    def is_taken(self) -> bool:
        """Tell whether a batch is with the medium."""
        return bool(self._taken)

    def add(self, space: str, key: bytes, write: Write) -> bool:
        """Queue a write; True says the oldest one was dropped for it."""
        where = (space, key)
        self._waiting[where] = write
        self._waiting.move_to_end(where)
        return self._drop_oldest()

    def find(self, space: str, key: bytes) -> Write | None:
        """Return the newest write of a key that may not be on the medium yet."""
        where = (space, key)
        return self._waiting.get(where) or self._taken.get(where)

    def of_space(self, space: str) -> dict[bytes, Write]:
        """Return the newest write of each key of ``space``."""
        found: dict[bytes, Write] = {}
        for batch in (self._taken, self._waiting):
            for where, write in batch.items():
                if where[0] == space:
                    found[where[1]] = write
        return found

    def take(self, limit: int) -> Batch:
        """Return the oldest ``limit`` writes; ``written`` or ``failed`` must follow."""
        assert not self._taken
        if len(self._waiting) <= limit:
            self._taken, self._waiting = self._waiting, OrderedDict()
        else:
            for where in list(islice(self._waiting, limit)):
                self._taken[where] = self._waiting.pop(where)
        return self._taken

    def written(self) -> None:
        """Forget the batch: the medium has it."""
        self._taken = OrderedDict()

    def failed(self) -> None:
        """Queue the batch again, except keys written anew meanwhile."""
        again = OrderedDict(
            (where, write) for where, write in self._taken.items() if where not in self._waiting
        )
        self._taken = OrderedDict()
        again.update(self._waiting)
        self._waiting = again
        while self._drop_oldest():
            pass

    def _drop_oldest(self) -> bool:
        if len(self._waiting) <= self._max_pending:
            return False
        self._waiting.popitem(last=False)
        self.dropped += 1
        return True
