"""A store whose writes other workers hear of, beside the medium they share.

What each worker has in memory (bindings) is told with its value; of what is read when it is
needed (registrations) the key is enough, and told is only that it was written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, final

from twisted.internet.defer import Deferred

from uacproxy.store.open import OpenStore

_HEAD: Final = struct.Struct("=?H")  # is there a value, length of the key

Tell = Callable[[bytes, bytes], None]
"""Gets a space, and what ``read_change`` reads."""


class Change(NamedTuple):
    """One write of another worker."""

    key: bytes
    value: bytes | None  # None: deleted, or not told


def read_change(octets: bytes) -> Change:
    """Return what was told; struct.error where it was nothing of ours."""
    has_value, length = _HEAD.unpack_from(octets)
    begin = _HEAD.size + length
    return Change(octets[_HEAD.size : begin], octets[begin:] if has_value else None)


@final
class ToldStore:
    """Fits ``OpenStore``."""

    def __init__(self, store: OpenStore, spaces: Mapping[str, bool], tell: Tell) -> None:
        """Stand in front of a store.

        Args:
            store: does the work.
            spaces: of which writes are told, and whether with their values.
            tell: hands a change to the others.
        """
        self._store = store
        self._spaces = spaces
        self._tell = tell

    @property
    def is_connected(self) -> bool:
        """Tell whether the medium can be read, as far as we know."""
        return self._store.is_connected

    @property
    def unwritten(self) -> int:
        """Return how many writes are not known to be on the medium."""
        return self._store.unwritten

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        """Write or overwrite, and tell; nothing waits longer that other workers read."""
        waits = may_wait and space not in self._spaces
        self._store.put(space, key, value, expires_at_utc, may_wait=waits)
        with_value = self._spaces.get(space)
        if with_value is not None:
            told = value if with_value else b""
            self._tell(space.encode("ascii"), _HEAD.pack(with_value, len(key)) + key + told)

    def delete(self, space: str, key: bytes) -> None:
        """Forget the key, and tell."""
        self._store.delete(space, key)
        if space in self._spaces:
            self._tell(space.encode("ascii"), _HEAD.pack(False, len(key)) + key)

    def get(self, space: str, key: bytes, then: Callable[[bytes | None], None]) -> None:
        """Call ``then`` with the value, or None."""
        self._store.get(space, key, then)

    def scan(
        self, space: str, each: Callable[[bytes, bytes, float], None], done: Callable[[], None]
    ) -> None:
        """Call ``each`` for what has not expired, then ``done``."""
        self._store.scan(space, each, done)

    def close(self) -> Deferred[None]:
        """Write what waits and let go."""
        return self._store.close()
