"""What operators ask of an account at an instance that does not register it.

The wish goes into the store that all share; whoever registers the account finds it there,
does it and takes it out. One that nobody finds within ``KEPT_FOR`` is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.ports import ChangeFeed, Store
from uacproxy.sip.grammar import octets_of, text

SPACE: Final = "registration-wishes"
KEPT_FOR: Final = 60.0  # s: a lease time and more, for accounts that have no owner just now


@final
class OwnerWishes:
    """Wishes left for others, and those others have left for us.

    Args:
        store: that all instances share; it notes what is written in ``SPACE``.
        feed: tells what was.
        now_utc: s of the epoch.
        is_ours: tells whether an account is registered here.
        act: does what is wished for an account.
    """

    def __init__(
        self,
        store: Store,
        feed: ChangeFeed,
        now_utc: Callable[[], float],
        is_ours: Callable[[str], bool],
        act: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._feed = feed
        self._now_utc = now_utc
        self._is_ours = is_ours
        self._act = act
        self._cursor = 0.0
        self._is_asking = False

    def leave(self, l_uuid: str, what: str) -> None:
        """Leave a wish; a later one for the same account replaces it."""
        octets = what.encode("ascii")
        self._store.put(SPACE, octets_of(l_uuid), octets, self._now_utc() + KEPT_FOR)

    def look(self) -> None:
        """Ask what was left since the last look."""
        if not self._is_asking:
            self._is_asking = True
            self._feed.since(SPACE, self._cursor, self._told)

    def _told(self, cursor: float, keys: list[bytes] | None) -> None:
        self._is_asking = False
        self._cursor = cursor
        for key in keys or ():
            if self._is_ours(text(key)):
                self._take(key)

    def _take(self, key: bytes) -> None:
        def found(value: bytes | None) -> None:
            if value is not None and self._is_ours(text(key)):
                self._store.delete(SPACE, key)
                self._act(text(key), text(value))

        self._store.get(SPACE, key, found)
