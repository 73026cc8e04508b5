"""A keeper of leases that keeps the rules of ``store/redis_leases.py``, without a Redis.

``tests/integration/test_leases_redis.py`` holds both to the same sentences. Connections can
be cut here, in either direction, and everything forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.clock import SteppingClock
from uacproxy.errors import StoreUnavailable, UacproxyError
from uacproxy.ports import Lease, LeaseAnswer, LeaseWish, Member

TRAVELS = 0.01  # s, each way


@dataclass
class _Row:
    ends: float
    number: int
    since: float | None


@dataclass
class Keeper:
    """All leases of one group."""

    clock: SteppingClock
    lease_time: float = 10.0
    members: dict[str, _Row] = field(default_factory=dict)
    shards: dict[int, tuple[float, Lease]] = field(default_factory=dict)
    fence: int = 0
    grace_until: float = 0.0
    is_away: bool = False

    def forget(self) -> None:
        """Be started anew, empty."""
        self.members.clear()
        self.shards.clear()
        self.fence = 0
        self.grace_until = self.clock.seconds() + self.lease_time

    def take(self, me: str, wish: LeaseWish) -> LeaseAnswer | None:
        """Do all of one round; None: it came late."""
        now = self.clock.seconds()
        ends = now + self.lease_time
        row = self.members.get(me)
        if row is not None and row.number >= wish.number:
            return None
        since = row.since if row is not None and row.ends > now else None
        self.members = {
            name: row for name, row in self.members.items() if row.ends > now and name != me
        }
        self.fence = max(self.fence, wish.floor)
        in_grace = now < self.grace_until
        nobody = (0.0, Lease("", 0))
        for shard, token in wish.keep.items():
            known = self.shards.get(shard, nobody)[1]
            if known == Lease(me, token) or (in_grace and known.token < token):
                self.shards[shard] = (ends, Lease(me, token))
        for shard, token in wish.give_up.items():
            if self.shards.get(shard, nobody)[1] == Lease(me, token):
                del self.shards[shard]
        for shard in wish.ask:
            until, known = self.shards.get(shard, nobody)
            if not in_grace and (until <= now or known.member == me):
                self.fence += 1
                self.shards[shard] = (ends, Lease(me, self.fence))
        if not wish.leaves:
            began = (now if since is None else since) if wish.takes_part else None
            self.members[me] = _Row(ends, wish.number, began)
        return LeaseAnswer(
            {
                name: Member(
                    row.ends - now,
                    0.0 if row.since is None else row.ends - self.lease_time - row.since + 0.001,
                )
                for name, row in self.members.items()
            },
            {shard: lease for shard, (until, lease) in self.shards.items() if until > now},
        )


class Line:
    """One member's connection to the keeper; fits ``ports.Leases``."""

    def __init__(self, keeper: Keeper, member: str) -> None:
        self.keeper = keeper
        self.member = member
        self.loses_questions = False
        self.loses_answers = False
        self.is_asleep = False  # the member's process is stopped: what comes waits
        self.rounds = 0
        self._waiting: list[Callable[[], None]] = []

    def round(
        self,
        wish: LeaseWish,
        then: Callable[[LeaseAnswer], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        self.rounds += 1
        clock = self.keeper.clock

        def answered(answer: LeaseAnswer | None) -> None:
            if self.is_asleep:
                self._waiting.append(lambda: answered(answer))
            elif answer is None:
                failed(StoreUnavailable("the round came late"))
            else:
                then(answer)

        def arrives() -> None:
            answer = self.keeper.take(self.member, wish)
            if not self.loses_answers:
                clock.callLater(TRAVELS, answered, answer)

        if self.keeper.is_away:
            clock.callLater(TRAVELS, failed, StoreUnavailable("no connection"))
        elif not self.loses_questions:
            clock.callLater(TRAVELS, arrives)

    def wake(self) -> None:
        """Let the process go on, and hear what came meanwhile."""
        self.is_asleep = False
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()
