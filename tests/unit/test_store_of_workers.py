"""What workers tell each other of their store, and the shards that follow from their names."""

from __future__ import annotations

from typing import Any

from tests.support.log import KeptLog
from uacproxy.ports import LeaseAnswer, LeaseWish
from uacproxy.store.fixed_leases import FixedLeases
from uacproxy.store.memory import MemoryStore
from uacproxy.store.told import ToldStore, read_change
from uacproxy.store.worker_changes import MAX_CHANGES, WorkerChanges
from uacproxy.testing.clock import SteppingClock
from uacproxy.uac.shard_set import ShardSet


def test_writes_of_told_spaces_are_told_with_their_value_where_that_is_wanted() -> None:
    told: list[tuple[bytes, bytes, bytes | None]] = []
    store = ToldStore(
        MemoryStore(lambda: 0.0),
        {"bindings": True, "registrations": False},
        lambda space, change: told.append((space, *read_change(change))),
    )
    for space in ("bindings", "registrations", "secrets"):
        store.put(space, b"key", b"value", 100.0)
        store.delete(space, b"key")
    assert told == [
        (b"bindings", b"key", b"value"),
        (b"bindings", b"key", None),
        (b"registrations", b"key", None),
        (b"registrations", b"key", None),
    ]


def test_changes_are_told_once_they_have_settled_and_once() -> None:
    now = [0.0]
    changes = WorkerChanges(lambda: now[0], settled_after=0.4)
    answers: list[list[bytes] | None] = []

    def ask(cursor: float) -> None:
        changes.since("a", cursor, lambda _cursor, keys: answers.append(keys))

    ask(0.0)
    for key in (b"1", b"2", b"1"):
        changes.told("a", key)
    ask(1.0)
    now[0] = 0.5
    ask(1.0)
    ask(1.0)
    assert answers == [None, [], [b"1", b"2"], []]


def test_more_changes_than_are_kept_may_be_any() -> None:
    changes = WorkerChanges(lambda: 0.0, settled_after=0.0)
    for number in range(MAX_CHANGES + 1):
        changes.told("a", b"%d" % number)
    answers: list[list[bytes] | None] = []
    changes.since("a", 1.0, lambda _cursor, keys: answers.append(keys))
    assert answers == [None]


class Nothing:
    """A shard's user without accounts."""

    def shard_acquired(self, shard: int) -> None: ...
    def shard_closing(self, shard: int) -> None: ...
    def shard_lost(self, shard: int) -> None: ...
    def is_quiet(self, shard: int) -> bool:
        return True


def share(clock: SteppingClock, name: str, names: list[str]) -> ShardSet:
    shards = ShardSet(
        member=name,
        shards=64,
        lease_time=10.0,
        leases=FixedLeases(name, names, 64, 10.0, clock),
        user=Nothing(),
        seconds=clock.seconds,
        log=KeptLog(),
    )
    shards.siblings = "worker "
    return shards


def test_every_shard_has_one_worker_at_once_and_keeps_it() -> None:
    clock = SteppingClock()
    names = [f"worker {number}#0" for number in (1, 2, 3)]
    sets = [share(clock, name, names) for name in names]
    for one in sets:
        one.take_part()
    seen: list[list[int]] = []
    for _ in range(120):
        for one in sets:
            one.beat()
        clock.advance(0.25)
        seen.append(
            [number for shard in range(64) for number in range(3) if sets[number].holds(shard)]
        )
    assert [len(one) for one in seen[3:]] == [64] * 117
    assert seen[3] == seen[-1]
    assert not sets[0].has_heirs  # the others stop with it


def test_a_shard_that_is_given_up_is_nobodys() -> None:
    clock = SteppingClock()
    leases = FixedLeases("worker 1", ["worker 1"], 2, 10.0, clock)
    answers: list[Any] = []
    wish = LeaseWish(1, True, 0, keep={0: 1}, ask=[], give_up={1: 1})
    leases.round(wish, answers.append, answers.append)
    clock.advance(0.0)
    (answer,) = answers
    assert isinstance(answer, LeaseAnswer)
    assert list(answer.leases) == [0]
