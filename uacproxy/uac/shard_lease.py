"""The lease on one shard, at one member: a machine, written down as a table.

What makes two owners impossible: a lease is counted here from before it was asked for and
by the keeper from when it heard, so it runs out here first; and whoever gives a shard back
has told its user that it is lost before the keeper hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol, final


class LeaseState(IntEnum):
    """Where one member stands with one shard."""

    FREE = 0  # another's, or nobody's
    ASKED = 1
    HELD = 2
    CLOSING = 3  # still ours, but nothing new is begun; until what was begun has ended
    GIVING = 4  # no longer used; the keeper has yet to hear

    @property
    def word(self) -> str:
        """Return the state as people read it."""
        return self.name.lower()


class LeaseInput(IntEnum):
    """What can happen to it."""

    WANTED = 0  # the shard should be ours
    UNWANTED = 1
    GRANTED = 2
    KEPT = 3  # for another lease time
    TAKEN = 4  # it is not ours, says the keeper
    RAN_OUT = 5  # it may not be ours any more
    QUIET = 6  # what was begun has ended, or was waited for long enough
    GIVEN = 7


class ShardUser(Protocol):
    """Who works on the shards that are held."""

    def shard_acquired(self, shard: int) -> None:
        """Begin to work on a shard, from what its last owner has written down."""

    def shard_closing(self, shard: int) -> None:
        """Begin nothing new; what is under way may go on to its end."""

    def shard_lost(self, shard: int) -> None:
        """Stop, at once and in silence: somebody else goes on from here."""

    def is_quiet(self, shard: int) -> bool:
        """Tell whether nothing is under way."""


@final
class ShardLease:
    """One shard at one member. The state settles first, then the user is told."""

    __slots__ = ("_user", "held_until", "settled_at", "shard", "state", "token")

    def __init__(self, shard: int, user: ShardUser) -> None:
        self.shard = shard
        self.state = LeaseState.FREE
        self.token = 0  # of the lease we have, or had last
        self.held_until = 0.0  # s on the lease clock
        self.settled_at = 0.0  # s on the lease clock: when what waits in this state is over
        self._user = user

    def feed(self, what: LeaseInput) -> None:
        """Let something happen; what has no row in this state changes nothing."""
        row = TABLE.get((self.state, what))
        if row is None:
            return
        self.state, action = row
        if action is not None:
            action(self)

    def _acquire(self) -> None:
        self._user.shard_acquired(self.shard)

    def _close(self) -> None:
        self._user.shard_closing(self.shard)

    def _lose(self) -> None:
        self._user.shard_lost(self.shard)


_State = LeaseState
_Input = LeaseInput
_Row = tuple[LeaseState, Callable[[ShardLease], None] | None]

TABLE: Final[dict[tuple[LeaseState, LeaseInput], _Row]] = {
    (_State.FREE, _Input.WANTED): (_State.ASKED, None),
    (_State.FREE, _Input.GRANTED): (_State.GIVING, None),  # wanted no more when the answer came
    (_State.ASKED, _Input.UNWANTED): (_State.FREE, None),
    (_State.ASKED, _Input.GRANTED): (_State.HELD, ShardLease._acquire),
    (_State.HELD, _Input.KEPT): (_State.HELD, None),
    (_State.HELD, _Input.UNWANTED): (_State.CLOSING, ShardLease._close),
    (_State.HELD, _Input.TAKEN): (_State.FREE, ShardLease._lose),
    (_State.HELD, _Input.RAN_OUT): (_State.FREE, ShardLease._lose),
    (_State.CLOSING, _Input.KEPT): (_State.CLOSING, None),
    (_State.CLOSING, _Input.QUIET): (_State.GIVING, ShardLease._lose),
    (_State.CLOSING, _Input.TAKEN): (_State.FREE, ShardLease._lose),
    (_State.CLOSING, _Input.RAN_OUT): (_State.FREE, ShardLease._lose),
    (_State.GIVING, _Input.GIVEN): (_State.FREE, None),
    (_State.GIVING, _Input.RAN_OUT): (_State.FREE, None),
}
