"""The shards one member holds, asks for and gives back, round by round.

Several instances share one set of shards. Each tells the keeper of the leases (Redis), a
few times in a lease time, that it lives, and in the same round keeps, asks for and gives
back shards. Who should have which follows from who lives (``shards.pick_member``), so
nobody leads and nobody votes; the leases alone decide who has which. Whoever does not hear
from the keeper stops using a shard before its lease has run out there.

A member counts once it has been there for a lease time without a break, unless nobody has:
one that falls over again and again moves no shards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.errors import UacproxyError
from uacproxy.ports import Lease, LeaseAnswer, Leases, LeaseWish, Log, Member
from uacproxy.uac.shard_lease import LeaseInput, LeaseState, ShardLease, ShardUser
from uacproxy.uac.shards import member_name, pick_member

ROUNDS: Final = 3  # in a lease time, while nothing changes
MARGIN: Final = 0.1  # of a lease time, by which it ends here before it may end elsewhere
ASK_AGAIN: Final = 0.05  # of a lease time, while somebody still has to let go
TRY_AGAIN: Final = 0.1  # of a lease time, after a round that failed
CLOSE_WITHIN: Final = 0.5  # of a lease time, for what was begun to end
SETTLE_FOR: Final = 0.05  # of a lease time, for what was written last to reach the store
HEARD_WITHIN: Final = 0.5  # of a lease time; a round without an answer then has failed
AFTER: Final = 0.02  # s past the end of another's membership, to look again

_State = LeaseState
_Input = LeaseInput


@final
class ShardSet:
    """One member's view and share; ``beat``, called a few times a second, drives it."""

    def __init__(
        self,
        *,
        member: str,
        shards: int,
        lease_time: float,
        leases: Leases,
        user: ShardUser,
        seconds: Callable[[], float],
        log: Log,
    ) -> None:
        """Begin as one that looks on; nothing is asked before the first beat.

        Args:
            member: ``NAME#START``, unique among all that ever were.
            shards: how many there are; the same number at every member.
            lease_time: s, the same at every member.
            leases: their keeper.
            user: works on the shards held.
            seconds: the lease clock, s: it goes on while the machine sleeps, and no step
                of the time of day moves it.
            log: hears who comes and goes.
        """
        self.member = member
        self.siblings = ""  # begins the names of those that stop with us, where there are any
        self.lease_time = lease_time
        self.members: dict[str, Member] = {}
        self.others: dict[int, Lease] = {}  # shard to its lease, as last heard
        self.is_cut_off = False  # the last round failed
        self._leases = leases
        self._user = user
        self._seconds = seconds
        self._log = log
        self._shards = [ShardLease(shard, user) for shard in range(shards)]
        self._takes_part = False
        self._leaving: Callable[[], None] | None = None
        self._number = 0
        self._floor = 0
        self._wish: LeaseWish | None = None  # under way
        self._asked_at = 0.0
        self._next_round_at = 0.0
        self._counted: list[str] = []
        self._wanted: list[str] = [""] * shards  # who should have each, of those that count
        self._known: set[str] = set()

    # -- questions ------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return how many shards there are."""
        return len(self._shards)

    def holds(self, shard: int) -> bool:
        """Tell whether a shard is ours at this very moment."""
        lease = self._shards[shard]
        is_ours = lease.state is _State.HELD or lease.state is _State.CLOSING
        return is_ours and self._seconds() < lease.held_until

    def state_of(self, shard: int) -> LeaseState:
        """Return where we stand with a shard."""
        return self._shards[shard].state

    def token_of(self, shard: int) -> int:
        """Return the token of our lease, or of the last we had; 0 where there was none."""
        return self._shards[shard].token

    def owner_of(self, shard: int) -> str:
        """Return the name of the instance that has a shard, as last heard; "" for nobody."""
        if self.holds(shard):
            return member_name(self.member)
        lease = self.others.get(shard)
        return "" if lease is None or lease.member == self.member else member_name(lease.member)

    def may_begin(self, shard: int) -> bool:
        """Tell whether a shard is ours and stays so: something new may be begun on it."""
        lease = self._shards[shard]
        return lease.state is _State.HELD and self._seconds() < lease.held_until

    @property
    def held(self) -> int:
        """Return how many shards are ours."""
        return sum(self.holds(lease.shard) for lease in self._shards)

    @property
    def takes_part(self) -> bool:
        """Tell whether we want shards."""
        return self._takes_part

    @property
    def has_heirs(self) -> bool:
        """Tell whether another instance would take what we give back."""
        for name, member in self.members.items():
            if name == self.member or (self.siblings and name.startswith(self.siblings)):
                continue
            if member.since > 0.0:
                return True
        return False

    # -- what the service and operators ask for ---------------------------------------------

    def take_part(self) -> None:
        """Want a share from here on; who is leaving leaves."""
        self._takes_part = self._leaving is None
        self._next_round_at = 0.0

    def drain(self) -> None:
        """Give all shards back and want none, until ``take_part``."""
        self._takes_part = False
        self._next_round_at = 0.0
        self._settle_wishes()

    def leave(self, then: Callable[[], None]) -> None:
        """Drain, tell the keeper that we are gone, then call ``then``; ``beat`` drives it.

        It takes at most about half a lease time and one answer of the keeper, who may be
        away.
        """
        self._leaving = then
        self.drain()

    # -- time -----------------------------------------------------------------------------------

    def beat(self) -> None:
        """Let run out what runs out, close what is quiet, and begin a round when it is time."""
        now = self._seconds()
        for lease in self._shards:
            if lease.state is _State.FREE or lease.state is _State.ASKED:
                continue
            if now >= lease.held_until:
                lease.feed(_Input.RAN_OUT)
            elif lease.state is _State.CLOSING and (
                now >= lease.settled_at or self._user.is_quiet(lease.shard)
            ):
                lease.settled_at = now + SETTLE_FOR * self.lease_time
                lease.feed(_Input.QUIET)
                self._next_round_at = min(self._next_round_at, lease.settled_at)
        if self._wish is not None and now >= self._asked_at + HEARD_WITHIN * self.lease_time:
            self._round_failed()
        if self._wish is None and now >= self._next_round_at:
            self._begin_round(now)

    def _begin_round(self, now: float) -> None:
        self._number += 1
        keep: dict[int, int] = {}
        ask: list[int] = []
        give_up: dict[int, int] = {}
        for lease in self._shards:
            if lease.state is _State.HELD or lease.state is _State.CLOSING:
                keep[lease.shard] = lease.token
            elif lease.state is _State.ASKED:
                ask.append(lease.shard)
            elif lease.state is _State.GIVING and now >= lease.settled_at:
                give_up[lease.shard] = lease.token
        leaves = self._leaving is not None and not keep and len(give_up) == self._count_giving()
        number = self._number
        wish = LeaseWish(number, self._takes_part, self._floor, keep, ask, give_up, leaves)
        self._wish = wish
        self._asked_at = now
        self._next_round_at = now + self.lease_time / ROUNDS

        def answered(answer: LeaseAnswer) -> None:
            if self._wish is not None and self._wish.number == number:
                self._answered(wish, answer)

        def failed(_error: UacproxyError) -> None:
            if self._wish is not None and self._wish.number == number:
                self._round_failed()

        self._leases.round(wish, answered, failed)

    def _count_giving(self) -> int:
        return sum(lease.state is _State.GIVING for lease in self._shards)

    def _round_failed(self) -> None:
        wish, self._wish = self._wish, None
        self.is_cut_off = True
        self._next_round_at = self._seconds() + TRY_AGAIN * self.lease_time
        if wish is not None and wish.leaves:
            self._left()

    def _left(self) -> None:
        then, self._leaving = self._leaving, None
        self._next_round_at = float("inf")
        if then is not None:
            then()

    def _answered(self, wish: LeaseWish, answer: LeaseAnswer) -> None:
        self._wish = None
        self.is_cut_off = False
        if wish.leaves:
            self._left()
            return
        self.members = answer.members
        self.others = answer.leases
        for lease in answer.leases.values():
            self._floor = max(self._floor, lease.token)
        self._take_leases(wish, answer.leases)
        self._count_members()
        self._settle_wishes()
        self._plan_round(wish)

    def _take_leases(self, wish: LeaseWish, leases: dict[int, Lease]) -> None:
        until = self._asked_at + (1.0 - MARGIN) * self.lease_time
        is_in_time = self._seconds() < until
        for shard, token in wish.keep.items():
            mine = self._shards[shard]
            if mine.token != token:
                continue
            found = leases.get(shard)
            if found is None or found.member != self.member or found.token != token:
                mine.feed(_Input.TAKEN)
            elif is_in_time:
                mine.held_until = max(mine.held_until, until)
                mine.feed(_Input.KEPT)
        for shard in wish.ask:
            found = leases.get(shard)
            if found is not None and found.member == self.member and is_in_time:
                mine = self._shards[shard]
                mine.token = found.token
                mine.held_until = until
                mine.feed(_Input.GRANTED)
        for shard in wish.give_up:
            self._shards[shard].feed(_Input.GIVEN)

    def _count_members(self) -> None:
        """Find out who counts, and tell who came and went."""
        parts = {name: member.since for name, member in self.members.items() if member.since > 0.0}
        settled = [name for name, since in parts.items() if since >= self.lease_time]
        counted = sorted(settled if settled else parts)
        if counted != self._counted:
            self._counted = counted
            self._wanted = [pick_member(lease.shard, counted) for lease in self._shards]
        known = set(self.members)
        for name in sorted(known - self._known):
            if name != self.member:
                self._tell_of(name)
        for name in sorted(self._known - known):
            if name != self.member:
                self._log.warn("instance {name} is gone", name=member_name(name))
        self._known = known

    def _tell_of(self, name: str) -> None:
        if member_name(name) == member_name(self.member):
            self._log.warn(
                "another instance is called {name}, or was until it ended without saying so",
                name=member_name(name),
            )
        else:
            self._log.info("instance {name} is there", name=member_name(name))

    def _settle_wishes(self) -> None:
        for lease in self._shards:
            wanted = self._takes_part and self._wanted[lease.shard] == self.member
            if not wanted and lease.state is _State.HELD:
                lease.settled_at = self._seconds() + CLOSE_WITHIN * self.lease_time
            lease.feed(_Input.WANTED if wanted else _Input.UNWANTED)

    def _plan_round(self, wish: LeaseWish) -> None:
        """Set when the next round begins: at once, soon, or when it is needed to live."""
        now = self._seconds()
        waits = [self.lease_time / ROUNDS]
        for name, member in self.members.items():
            if name != self.member:
                waits.append(member.left + AFTER)
            elif 0.0 < member.since < self.lease_time:
                waits.append(self.lease_time - member.since + AFTER)
        asked = set(wish.ask)
        for lease in self._shards:
            if lease.state is _State.ASKED:
                waits.append(ASK_AGAIN * self.lease_time if lease.shard in asked else 0.0)
            elif lease.state is _State.GIVING:
                waits.append(max(0.0, lease.settled_at - now))
        self._next_round_at = now + min(waits)
