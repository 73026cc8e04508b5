"""Several instances that share shards, on one stepping clock.

An ``Instance`` is a ``ShardSet`` with a user that counts; each has a lease clock of its own
rate, as machines do.
"""

from __future__ import annotations

from tests.support.clock import SteppingClock
from tests.support.lease_keeper import Keeper, Line
from tests.support.world import SilentLog
from uacproxy.uac.shard_set import ShardSet

BEAT = 0.25  # s


class Instance:
    """One member, and what its user was told."""

    def __init__(
        self, farm: Farm, name: str, start: int, *, rate: float = 1.0, work: float = 0.0
    ) -> None:
        self._farm = farm
        self.rate = rate
        self.work = work  # s that closing a shard takes
        self._closed_at: dict[int, float] = {}
        self.name = name
        self.is_dead = False
        self.working: set[int] = set()  # acquired and not lost
        self.acquired: list[int] = []
        self.lost: list[int] = []
        self.log = SilentLog()
        self.line = Line(farm.keeper, f"{name}#{start}")
        self.shards = ShardSet(
            member=f"{name}#{start}",
            shards=farm.count,
            lease_time=farm.keeper.lease_time,
            leases=self.line,
            user=self,
            seconds=self._seconds,
            log=self.log,
        )
        self.shards.take_part()
        self._beat()

    def _seconds(self) -> float:
        return self._farm.clock.seconds() * self.rate

    def _beat(self) -> None:
        if self.is_dead:
            return
        if not self.line.is_asleep:
            self.shards.beat()
        self._farm.clock.callLater(BEAT, self._beat)

    @property
    def held(self) -> set[int]:
        """Return what this instance would work on at this very moment."""
        if self.is_dead:
            return set()
        return {shard for shard in range(self._farm.count) if self.shards.holds(shard)}

    def kill(self) -> None:
        self.is_dead = True
        self.line.loses_answers = True

    # -- as the user of the shards

    def shard_acquired(self, shard: int) -> None:
        assert shard not in self.working
        self.working.add(shard)
        self.acquired.append(shard)

    def shard_closing(self, shard: int) -> None:
        assert shard in self.working
        self._closed_at[shard] = self._farm.clock.seconds()

    def shard_lost(self, shard: int) -> None:
        self.working.remove(shard)
        self.lost.append(shard)

    def is_quiet(self, shard: int) -> bool:
        return self._farm.clock.seconds() >= self._closed_at[shard] + self.work


class Farm:
    """The instances, their keeper, and the rule that no shard has two owners."""

    def __init__(self, count: int = 16, lease_time: float = 10.0) -> None:
        self.count = count
        self.clock = SteppingClock()
        self.keeper = Keeper(self.clock, lease_time)
        self.instances: list[Instance] = []
        self._starts = 0

    def start(self, name: str, *, rate: float = 1.0, work: float = 0.0) -> Instance:
        """Start an instance; one of that name has ended before."""
        self._starts += 1
        instance = Instance(self, name, self._starts, rate=rate, work=work)
        self.instances.append(instance)
        return instance

    @property
    def alive(self) -> list[Instance]:
        return [instance for instance in self.instances if not instance.is_dead]

    def run(self, seconds: float) -> None:
        """Let time pass, and look at every step that nobody shares a shard."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.run_until(min(end, self.clock.seconds() + 0.05))
            self.check()

    def check(self) -> None:
        owners = self.owners()
        for shard, names in owners.items():
            assert len(names) < 2, f"shard {shard} is worked on by {names}"

    def owners(self) -> dict[int, list[str]]:
        owners: dict[int, list[str]] = {shard: [] for shard in range(self.count)}
        for instance in self.instances:
            for shard in instance.held:
                owners[shard].append(instance.name)
        return owners

    @property
    def orphans(self) -> int:
        """Return how many shards nobody works on."""
        return sum(not names for names in self.owners().values())
