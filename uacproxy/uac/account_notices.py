"""What a database or a Redis tells of changed accounts, gathered and then read again.

A notice names one account, or nobody: then all rows are read. Many at once, as an import
makes them, are one reading of all.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from uacproxy.ports import Clock

GATHERED_FOR: Final = 0.5  # s, from the first notice to the reading
MOST_ROWS: Final = 50  # read one by one; more than that, and all are read at once


class FollowedAccounts(Protocol):
    """The table, to those who tell it of changes."""

    def catch_up(self) -> None:
        """Read all rows again, because they have changed."""

    def follow(self, l_uuid: str) -> None:
        """Read one row again, because it has changed."""


@final
class AccountNotices:
    """Between a source of notices and the table.

    Args:
        accounts: read what they are told of.
        clock: of the gathering.
    """

    def __init__(self, accounts: FollowedAccounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._rows: dict[str, None] = {}  # l_uuids, in the order they were named
        self._is_any = False
        self._is_gathering = False

    def listening(self) -> None:
        """Hear that notices come from now on: what changed before, nobody has told."""
        self.received("")

    def received(self, l_uuid: str) -> None:
        """Hear that an account has changed, come or gone; "": any of them."""
        if not l_uuid or len(self._rows) >= MOST_ROWS:
            self._is_any = True
            self._rows.clear()
        elif not self._is_any:
            self._rows[l_uuid] = None
        if not self._is_gathering:
            self._is_gathering = True
            self._clock.callLater(GATHERED_FOR, self._read)

    def _read(self) -> None:
        rows = list(self._rows)
        is_any = self._is_any
        self._rows.clear()
        self._is_any = False
        self._is_gathering = False
        if is_any:
            self._accounts.catch_up()
        for l_uuid in rows:
            self._accounts.follow(l_uuid)
