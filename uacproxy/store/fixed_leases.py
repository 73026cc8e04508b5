"""Leases that nobody can lose: the workers of one service share its accounts by number.

Which worker has a shard follows from their names, and changes only with their number, at a
restart of the whole service. One that is started anew finds its shards as it has left them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from uacproxy.errors import UacproxyError
from uacproxy.ports import Lease, LeaseAnswer, LeaseWish, Member
from uacproxy.uac.shards import pick_member

TOKEN: Final = 1
LONG: Final = 1e9  # s that every member has been there


@final
class FixedLeases:
    """Fits ``Leases``."""

    def __init__(
        self, member: str, members: Sequence[str], shards: int, lease_time: float, clock: Any
    ) -> None:
        """Share the shards out.

        Args:
            member: this one.
            members: all of them.
            shards: how many there are.
            lease_time: s.
            clock: calls back in a later turn.
        """
        self._member = member
        self._members = {name: Member(lease_time, LONG) for name in members}
        self._owners = [pick_member(shard, members) for shard in range(shards)]
        self._clock = clock

    def round(
        self,
        wish: LeaseWish,
        then: Callable[[LeaseAnswer], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Grant what is this member's; the others have theirs in any case."""
        mine = (wish.keep.keys() | set(wish.ask)) - wish.give_up.keys()
        leases = {
            shard: Lease(owner, TOKEN)
            for shard, owner in enumerate(self._owners)
            if owner != self._member or shard in mine
        }
        self._clock.callLater(0, then, LeaseAnswer(dict(self._members), leases))
