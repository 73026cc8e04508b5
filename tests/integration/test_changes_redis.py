"""What one instance hears of what another writes, with a real Redis between."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.log import KeptLog
from tests.support.services import Redis
from uacproxy.store.open import open_store
from uacproxy.store.redis import RedisStore
from uacproxy.store.redis_changes import RedisChanges

pytestmark = pytest.mark.redis

Told = tuple[float, list[bytes] | None]


class Bench:
    """One that writes and one that follows."""

    def __init__(self, url: str, prefix: str) -> None:
        self._stores: list[RedisStore] = []
        self.writer = self._open(url, prefix)
        self.reader = self._open(url, prefix)
        self.writer.follow("things")
        self._feed = RedisChanges(self.reader.ask, prefix)
        self._changes = f"{prefix}changes:things".encode()

    def _open(self, url: str, prefix: str) -> RedisStore:
        store = open_store(
            url,
            flush_interval_s=0.005,
            redis_prefix=prefix,
            now_utc=time.time,
            reactor=reactor,
            log=KeptLog(),
            count=lambda _: None,
        )
        assert isinstance(store, RedisStore)
        self._stores.append(store)
        return store

    def put(self, *keys: bytes, space: str = "things") -> None:
        for key in keys:
            self.writer.put(space, key, b"v", time.time() + 60.0)

    async def since(self, cursor: float) -> Told:
        while self.writer.unwritten or not self.reader.is_connected:
            await deferLater(reactor, 0.01)
        told: Deferred[Told] = Deferred()
        self._feed.since("things", cursor, lambda at, keys: told.callback((at, keys)))
        return await told

    async def put_long_ago(self, key: bytes, seconds: float) -> None:
        """Note a key as written ``seconds`` ago, as it is found when nothing came since."""
        await self.since(0.0)
        done: Deferred[object] = Deferred()
        at = b"%d" % ((time.time() - seconds) * 1000)
        self.writer.ask([(b"ZADD", self._changes, at, key)], done.callback, done.errback)
        await done

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@pytest.fixture
def bench(redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(redis_server.url, f"{tmp_path_factory.mktemp('changes').name}:")
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.close()))


@pytest_twisted.ensureDeferred
async def test_the_first_question_cannot_be_answered_and_gives_a_cursor(bench: Bench) -> None:
    bench.put(b"a")
    cursor, keys = await bench.since(0.0)
    assert keys is None
    assert await bench.since(cursor) == (cursor, [])


@pytest_twisted.ensureDeferred
async def test_each_key_written_or_deleted_since_is_told_once(bench: Bench) -> None:
    cursor, _ = await bench.since(0.0)
    bench.put(b"a", b"b")
    bench.put(b"a", b"c")
    bench.writer.delete("things", b"c")
    bench.put(b"other", space="elsewhere")
    later, keys = await bench.since(cursor)
    assert sorted(keys or []) == [b"a", b"b", b"c"]
    assert later > cursor
    assert (await bench.since(later))[1] == []


@pytest_twisted.ensureDeferred
async def test_nothing_is_missed_however_fast_writes_follow_each_other(bench: Bench) -> None:
    cursor, _ = await bench.since(0.0)
    told: list[bytes] = []
    for number in range(60):
        bench.put(b"%d" % number)
        cursor, keys = await bench.since(cursor)
        told += keys or []
    assert sorted(set(told)) == sorted(b"%d" % number for number in range(60))


@pytest_twisted.ensureDeferred
async def test_a_cursor_from_long_ago_or_from_another_redis_says_that_any_may_be_new(
    bench: Bench,
) -> None:
    bench.put(b"a")
    cursor, _ = await bench.since(0.0)
    assert (await bench.since(cursor - 3_700_000))[1] is None
    assert (await bench.since(cursor + 1_000_000))[1] is None


@pytest_twisted.ensureDeferred
async def test_hours_in_which_nothing_is_written_are_told_as_such(bench: Bench) -> None:
    await bench.put_long_ago(b"a", 7200.0)
    cursor, keys = await bench.since(0.0)
    assert keys is None
    cursor, keys = await bench.since(cursor)
    assert keys == []
    bench.put(b"b")
    cursor, keys = await bench.since(cursor)
    assert keys == [b"b"]
    assert await bench.since(cursor) == (cursor, [])
