"""Gathered writes: what a medium is given, when, and what a reader sees meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.support.log import KeptLog
from uacproxy.errors import OwnMistake, StoreUnavailable, UacproxyError
from uacproxy.store.pending import Batch
from uacproxy.store.trouble import Trouble
from uacproxy.store.write_behind import MAX_BATCH, MAY_WAIT, RETRY_IN, WriteBehind

INTERVAL = 0.1  # s
AWAY = StoreUnavailable("the disk is away")


class Bench:
    """A medium held in the hand: it answers when the test says so."""

    def __init__(self, max_pending: int = 1000) -> None:
        self.clock = Clock()
        self.log = KeptLog()
        self.counted: list[str] = []
        self.given: list[Batch] = []
        self.medium: dict[tuple[str, bytes], bytes] = {}
        self.writes = WriteBehind(
            self._write,
            flush_interval_s=INTERVAL,
            clock=self.clock,
            trouble=Trouble("bench", log=self.log, count=self.counted.append),
            max_pending=max_pending,
        )

    def _write(
        self, batch: Batch, done: Callable[[], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        self.given.append(batch)
        self._done, self._failed = done, failed

    def accept(self) -> None:
        for where, write in self.given[-1].items():
            if write.value is None:
                self.medium.pop(where, None)
            else:
                self.medium[where] = write.value
        self._done()

    def refuse(self, error: UacproxyError = AWAY) -> None:
        self._failed(error)

    def put(self, key: bytes, value: bytes, *, may_wait: bool = False) -> None:
        self.writes.put("space", key, value, 2000.0, may_wait=may_wait)

    def seen(self, key: bytes) -> bytes | None:
        write = self.writes.find("space", key)
        return write.value if write is not None else None


def test_writes_of_one_interval_reach_the_medium_together_the_last_of_a_key_alone() -> None:
    bench = Bench()
    bench.put(b"a", b"1")
    bench.put(b"b", b"2")
    bench.put(b"a", b"3")
    bench.clock.advance(INTERVAL)
    bench.accept()
    assert bench.medium == {("space", b"a"): b"3", ("space", b"b"): b"2"}
    assert len(bench.given) == 1
    assert not bench.clock.getDelayedCalls()


def test_a_write_that_may_wait_does_so_for_a_second_or_goes_with_one_that_may_not() -> None:
    bench = Bench()
    bench.put(b"a", b"1", may_wait=True)
    bench.clock.advance(MAY_WAIT / 2)
    bench.put(b"b", b"2", may_wait=True)
    assert bench.given == []
    bench.clock.advance(MAY_WAIT / 2)
    bench.accept()
    assert set(bench.medium) == {("space", b"a"), ("space", b"b")}
    bench.put(b"c", b"3", may_wait=True)
    bench.put(b"d", b"4")
    bench.put(b"e", b"5", may_wait=True)
    bench.clock.advance(INTERVAL)
    bench.accept()
    assert set(bench.medium) == {("space", key) for key in (b"a", b"b", b"c", b"d", b"e")}
    assert len(bench.given) == 2
    assert not bench.clock.getDelayedCalls()


def test_a_reader_sees_a_write_that_is_with_the_medium() -> None:
    bench = Bench()
    bench.put(b"a", b"1")
    bench.clock.advance(INTERVAL)
    assert bench.seen(b"a") == b"1"
    bench.accept()
    assert bench.writes.find("space", b"a") is None


def test_what_came_while_a_slow_batch_was_written_follows_at_once() -> None:
    bench = Bench()
    bench.put(b"a", b"1")
    bench.clock.advance(INTERVAL)
    bench.put(b"a", b"2")
    bench.clock.advance(5 * INTERVAL)
    assert len(bench.given) == 1
    bench.accept()
    assert len(bench.given) == 2
    bench.accept()
    assert bench.medium == {("space", b"a"): b"2"}


def test_a_failed_batch_is_tried_again_beneath_newer_writes() -> None:
    bench = Bench()
    bench.put(b"a", b"old")
    bench.put(b"b", b"old")
    bench.clock.advance(INTERVAL)
    bench.put(b"a", b"new")
    bench.refuse()
    bench.clock.advance(RETRY_IN)
    bench.accept()
    assert bench.medium == {("space", b"a"): b"new", ("space", b"b"): b"old"}


def test_the_same_trouble_is_counted_each_time_and_logged_once_until_it_is_over() -> None:
    bench = Bench()
    bench.put(b"a", b"1")
    bench.clock.advance(INTERVAL)
    for _ in range(3):
        bench.refuse()
        bench.clock.advance(RETRY_IN)
    bench.accept()
    assert bench.counted == ["store-unavailable"] * 3
    assert len(bench.log.told("warn")) == 1
    assert bench.log.told("info") == ["store bench: works again"]
    bench.put(b"a", b"2")
    bench.clock.advance(INTERVAL)
    bench.refuse()
    assert len(bench.log.told("warn")) == 2


def test_while_the_medium_is_away_the_oldest_keys_give_way() -> None:
    bench = Bench(max_pending=3)
    bench.writes.hold()
    for key in (b"a", b"b", b"c", b"a", b"d"):
        bench.put(key, key)
    bench.writes.resume()
    bench.accept()
    assert sorted(key for _, key in bench.medium) == [b"a", b"c", b"d"]
    assert bench.counted == ["store-write-dropped"]


def test_a_batch_that_failed_is_older_than_what_came_meanwhile() -> None:
    bench = Bench(max_pending=2)
    bench.put(b"a", b"1")
    bench.put(b"b", b"2")
    bench.clock.advance(INTERVAL)
    bench.put(b"c", b"3")
    bench.refuse()
    bench.clock.advance(RETRY_IN)
    bench.accept()
    assert sorted(key for _, key in bench.medium) == [b"b", b"c"]


def test_many_writes_go_in_several_batches_without_waiting() -> None:
    bench = Bench(max_pending=3 * MAX_BATCH)
    for number in range(2 * MAX_BATCH + 1):
        bench.put(b"%d" % number, b"")
    bench.clock.advance(INTERVAL)
    for _ in range(3):
        bench.accept()
    assert len(bench.medium) == 2 * MAX_BATCH + 1


def test_a_write_that_can_never_succeed_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.put(b"bad", b"")
    bench.clock.advance(INTERVAL)
    bench.refuse(OwnMistake("no such value"))
    bench.put(b"good", b"1")
    bench.clock.advance(RETRY_IN)
    bench.accept()
    assert bench.medium == {("space", b"good"): b"1"}


def test_drain_writes_what_waits_also_behind_a_batch_under_way() -> None:
    bench = Bench()
    ended: list[int] = []
    bench.put(b"a", b"1")
    bench.clock.advance(INTERVAL)
    bench.put(b"b", b"2")
    bench.writes.drain(lambda: ended.append(len(bench.medium)))
    bench.accept()
    assert ended == []
    bench.accept()
    assert ended == [2]


def test_drain_ends_when_the_medium_fails() -> None:
    bench = Bench()
    ended: list[int] = []
    bench.put(b"a", b"1")
    bench.writes.drain(lambda: ended.append(len(bench.writes)))
    bench.refuse()
    assert ended == [1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(max_size=2)),
        st.sampled_from(["wait", "accept", "refuse", "hold", "resume"]),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_readers_see_the_last_write_and_the_medium_gets_it(
    steps: list[tuple[bytes, bytes | None] | str],
) -> None:
    bench = Bench()
    wanted: dict[bytes, bytes] = {}
    answered = 0
    for step in [*steps, "resume", *["accept", "wait"] * 6]:
        if isinstance(step, tuple):
            key, value = step
            if value is None:
                bench.writes.delete("space", key)
                wanted.pop(key, None)
            else:
                bench.put(key, value)
                wanted[key] = value
        elif step == "wait":
            bench.clock.advance(RETRY_IN)
        elif step in ("hold", "resume"):
            getattr(bench.writes, step)()
        elif answered < len(bench.given):
            answered += 1
            getattr(bench, step)()
        for key in (b"a", b"b", b"c"):
            write = bench.writes.find("space", key)
            held = bench.medium.get(("space", key)) if write is None else write.value
            assert held == wanted.get(key)
    assert {key: value for (_, key), value in bench.medium.items()} == wanted
    assert len(bench.writes) == 0
