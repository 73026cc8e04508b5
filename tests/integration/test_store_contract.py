"""What every store promises, shown with each of them; Redis is a real server."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.log import KeptLog
from uacproxy.store.open import OpenStore, open_store
from uacproxy.store.redis import RedisStore

FLUSH_INTERVAL = 0.02  # s
LATER = time.time() + 3600.0  # s of the epoch
NUMBERS = itertools.count(1)

Found = dict[bytes, tuple[bytes, float]]


class Bench:
    """One store, and how to open the same state once more."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log = KeptLog()
        self.counted: list[str] = []
        self._prefix = f"contract-{next(NUMBERS)}:"
        self._opened: list[OpenStore] = []
        self.store = self.open()

    def open(self) -> OpenStore:
        store = open_store(
            self.url,
            flush_interval_s=FLUSH_INTERVAL,
            redis_prefix=self._prefix,
            now_utc=time.time,
            reactor=reactor,
            log=self.log,
            count=self.counted.append,
        )
        self._opened.append(store)
        return store

    async def written(self) -> None:
        """Wait until the medium has what was put, by closing and opening anew."""
        if self.url != "memory:":
            await self.store.close()
            self.store = self.open()
            await self.connected()

    async def connected(self) -> None:
        """Wait until a read is answered by the medium."""
        while isinstance(self.store, RedisStore) and not self.store.is_connected:
            await deferLater(reactor, FLUSH_INTERVAL)

    async def close(self) -> None:
        for store in self._opened:
            await store.close()


def read(store: OpenStore, space: str, key: bytes) -> Deferred[bytes | None]:
    answer: Deferred[bytes | None] = Deferred()
    store.get(space, key, answer.callback)
    return answer


async def scanned(store: OpenStore, space: str) -> Found:
    found: Found = {}

    def each(key: bytes, value: bytes, expires_at_utc: float) -> None:
        assert key not in found
        found[key] = (value, expires_at_utc)

    done: Deferred[None] = Deferred()
    store.scan(space, each, lambda: done.callback(None))
    await done
    return found


async def eventually(holds: Callable[[], Deferred[bytes | None]], wanted: bytes | None) -> bool:
    for _ in range(500):
        if await holds() == wanted:
            return True
        await deferLater(reactor, FLUSH_INTERVAL)
    return False


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)],
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "memory:"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    server_url: str = request.getfixturevalue("redis_server").url
    return server_url


@pytest_twisted.async_yield_fixture
async def bench(url: str) -> AsyncIterator[Bench]:
    bench = Bench(url)
    await bench.connected()
    yield bench
    await bench.close()
    assert bench.log.told("error") == []


@pytest_twisted.ensureDeferred
async def test_a_value_is_read_at_once_and_after_it_was_written(bench: Bench) -> None:
    bench.store.put("dialog", b"key", b"value", LATER)
    assert await read(bench.store, "dialog", b"key") == b"value"
    await bench.written()
    assert await read(bench.store, "dialog", b"key") == b"value"


@pytest_twisted.ensureDeferred
async def test_an_unknown_key_reads_as_none_and_may_be_deleted(bench: Bench) -> None:
    bench.store.delete("dialog", b"unknown")
    assert await read(bench.store, "dialog", b"unknown") is None
    await bench.written()
    assert await read(bench.store, "dialog", b"unknown") is None


@pytest_twisted.ensureDeferred
async def test_the_last_write_of_a_key_wins(bench: Bench) -> None:
    bench.store.put("dialog", b"a", b"old", LATER)
    bench.store.put("dialog", b"b", b"old", LATER)
    await bench.written()
    bench.store.put("dialog", b"a", b"new", LATER)
    bench.store.put("dialog", b"b", b"new", LATER)
    bench.store.delete("dialog", b"b")
    assert await read(bench.store, "dialog", b"b") is None
    await bench.written()
    assert await read(bench.store, "dialog", b"a") == b"new"
    assert await read(bench.store, "dialog", b"b") is None


@pytest_twisted.ensureDeferred
async def test_spaces_do_not_see_each_other(bench: Bench) -> None:
    bench.store.put("dialog", b"key", b"of a dialog", LATER)
    bench.store.put("dialogs", b"key", b"of others", LATER)
    bench.store.delete("binding", b"key")
    await bench.written()
    assert await read(bench.store, "binding", b"key") is None
    found = await scanned(bench.store, "dialog")
    assert {key: value for key, (value, _) in found.items()} == {b"key": b"of a dialog"}


@pytest_twisted.ensureDeferred
async def test_any_octets_may_be_key_and_value(bench: Bench) -> None:
    values = {
        b"\x00\xff\r\n *?[a-z]\\": bytes(range(256)),
        b"empty": b"",
        b"number": b"12.50",
        b"large": b"\r\n$-1" * 50_000,
        b"": b"no key",
    }
    for key, value in values.items():
        bench.store.put("sp*ce", key, value, LATER)
    bench.store.put("spaace", b"other", b"", LATER)
    await bench.written()
    for key, value in values.items():
        assert await read(bench.store, "sp*ce", key) == value
    found = await scanned(bench.store, "sp*ce")
    assert {key: value for key, (value, _) in found.items()} == values


@pytest_twisted.ensureDeferred
async def test_a_value_expires(bench: Bench) -> None:
    bench.store.put("dialog", b"short", b"value", time.time() + 0.2)
    bench.store.put("dialog", b"long", b"value", LATER)
    await bench.written()
    assert await eventually(lambda: read(bench.store, "dialog", b"short"), None)
    assert list(await scanned(bench.store, "dialog")) == [b"long"]


@pytest_twisted.ensureDeferred
async def test_a_value_written_too_late_is_as_good_as_deleted(bench: Bench) -> None:
    bench.store.put("dialog", b"key", b"old", LATER)
    await bench.written()
    bench.store.put("dialog", b"key", b"late", time.time() - 1.0)
    assert await read(bench.store, "dialog", b"key") is None
    assert await scanned(bench.store, "dialog") == {}
    await bench.written()
    assert await read(bench.store, "dialog", b"key") is None


@pytest_twisted.ensureDeferred
async def test_scan_tells_every_key_once_with_its_expiry(bench: Bench) -> None:
    for number in range(1234):
        bench.store.put("binding", b"%d" % number, b"value %d" % number, LATER + number)
    await bench.written()
    found = await scanned(bench.store, "binding")
    assert {key: value for key, (value, _) in found.items()} == {
        b"%d" % number: b"value %d" % number for number in range(1234)
    }
    assert all(
        expires_at_utc == pytest.approx(LATER + int(key), abs=2.0)
        for key, (_, expires_at_utc) in found.items()
    )


@pytest_twisted.ensureDeferred
async def test_scan_sees_writes_that_still_wait(bench: Bench) -> None:
    for key in (b"kept", b"changed", b"deleted"):
        bench.store.put("binding", key, b"old", LATER)
    await bench.written()
    bench.store.put("binding", b"changed", b"new", LATER)
    bench.store.put("binding", b"added", b"new", LATER)
    bench.store.delete("binding", b"deleted")
    found = await scanned(bench.store, "binding")
    assert {key: value for key, (value, _) in found.items()} == {
        b"kept": b"old",
        b"changed": b"new",
        b"added": b"new",
    }


@pytest_twisted.ensureDeferred
async def test_a_closed_store_answers_none_and_takes_nothing(bench: Bench) -> None:
    store = bench.store
    await store.close()
    store.put("dialog", b"key", b"value", LATER)
    store.delete("dialog", b"other")
    await store.close()
    if bench.url != "memory:":
        assert await read(store, "dialog", b"key") is None
        assert await scanned(store, "dialog") == {}


@pytest_twisted.ensureDeferred
async def test_another_instance_reads_what_was_flushed(bench: Bench) -> None:
    if bench.url == "memory:":
        return
    bench.store.put("dialog", b"key", b"value", LATER)
    other = bench.open()
    assert await eventually(lambda: read(other, "dialog", b"key"), b"value")
