"""State that ends with the process: the ``memory:`` store, for tests and small set-ups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from twisted.internet.defer import Deferred, succeed

SWEPT_PER_WRITE: Final = 4  # keys looked at; above 1, so garbage shrinks while writes come

_Values = OrderedDict[bytes, tuple[bytes, float]]  # longest not looked at first
_NONE: Final[_Values] = OrderedDict()


@final
class MemoryStore:
    """A ``Store`` in dictionaries; reads answer before they return.

    A key that expired is gone for readers at once, and from memory when its turn comes:
    every write looks at the few keys of its space that were not looked at for longest.
    """

    def __init__(self, now_utc: Callable[[], float]) -> None:
        self._now_utc = now_utc
        self._spaces: dict[str, _Values] = {}

    @property
    def is_connected(self) -> bool:
        """Tell that memory can always be read."""
        return True

    @property
    def unwritten(self) -> int:
        """Return that nothing waits."""
        return 0

    def __len__(self) -> int:
        """Return how many keys are held, expired ones included until they are swept."""
        return sum(len(values) for values in self._spaces.values())

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        """Write or overwrite; ``expires_at_utc`` is seconds of the epoch."""
        values = self._spaces.get(space)
        if values is None:
            values = self._spaces[space] = OrderedDict()
        values[key] = (value, expires_at_utc)
        values.move_to_end(key)
        self._sweep(values)

    def delete(self, space: str, key: bytes) -> None:
        """Forget the key; an unknown key is no error."""
        values = self._spaces.get(space)
        if values is not None:
            values.pop(key, None)

    def get(self, space: str, key: bytes, then: Callable[[bytes | None], None]) -> None:
        """Call ``then`` at once, with None for what is absent or expired."""
        values = self._spaces.get(space)
        found = values.get(key) if values is not None else None
        then(found[0] if found is not None and found[1] > self._now_utc() else None)

    def scan(
        self, space: str, each: Callable[[bytes, bytes, float], None], done: Callable[[], None]
    ) -> None:
        """Call ``each`` for what is held now, then ``done``; both may write."""
        now = self._now_utc()
        for key, (value, expires_at_utc) in list(self._spaces.get(space, _NONE).items()):
            if expires_at_utc > now:
                each(key, value, expires_at_utc)
        done()

    def close(self) -> Deferred[None]:
        """Forget everything."""
        self._spaces.clear()
        return succeed(None)

    def _sweep(self, values: _Values) -> None:
        now = self._now_utc()
        for _ in range(min(SWEPT_PER_WRITE, len(values))):
            key, held = values.popitem(last=False)
            if held[1] > now:
                values[key] = held  # live: looked at last from now on
