"""Redis that goes away, hangs, refuses and comes back, behind a running store."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from tests.support.free_ports import LOOPBACK, free_port
from tests.support.log import KeptLog
from tests.support.services import Server, accepts, needs, running
from uacproxy.store.open import open_store
from uacproxy.store.redis import RedisStore

LATER = time.time() + 3600.0  # s of the epoch
TURN = 0.02  # s
PASSWORD = "ge/heim:7@%41"

pytestmark = pytest.mark.redis


class Bench:
    """One port, a Redis on it now and then, and a store that is never told."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = KeptLog()
        self.counted: list[str] = []
        self._folder = folder
        self._stack = ExitStack()
        self._stores: list[RedisStore] = []

    def start_redis(self, *more: str) -> None:
        argv = [needs("redis-server"), "--bind", LOOPBACK, "--port", str(self.port), "--save", ""]
        server = Server([*argv, *more], log=self._folder / "redis.log")
        self._stack.enter_context(running(server, lambda: accepts(LOOPBACK, self.port)))

    def stop_redis(self) -> None:
        self._stack.close()

    def open(self, credentials: str = "") -> RedisStore:
        store = open_store(
            f"redis://{credentials}{LOOPBACK}:{self.port}/3",
            flush_interval_s=TURN,
            redis_prefix="uacproxy:",
            now_utc=time.time,
            reactor=reactor,
            log=self.log,
            count=self.counted.append,
        )
        assert isinstance(store, RedisStore)
        self._stores.append(store)
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        self.stop_redis()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest_twisted.async_yield_fixture
async def bench(folder: Path) -> AsyncIterator[Bench]:
    unhandled: list[object] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            unhandled.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    bench = Bench(folder)
    yield bench
    await bench.close()
    await deferLater(reactor, TURN)
    globalLogPublisher.removeObserver(observe)
    assert unhandled == []


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await deferLater(reactor, TURN)
    pytest.fail("it never came to be")


def read(store: RedisStore, key: bytes) -> Deferred[bytes | None]:
    answer: Deferred[bytes | None] = Deferred()
    store.get("dialog", key, answer.callback)
    return answer


@pytest_twisted.ensureDeferred
async def test_a_write_made_while_redis_is_away_arrives_after_its_return(bench: Bench) -> None:
    bench.start_redis()
    store = bench.open()
    await until(lambda: store.is_connected)
    bench.stop_redis()
    await until(lambda: not store.is_connected)

    store.put("dialog", b"key", b"value", LATER)
    assert await read(store, b"key") == b"value"
    assert await read(store, b"other") is None
    assert "store-unavailable" in bench.counted

    bench.start_redis()
    other = bench.open()
    await until(lambda: store.is_connected and other.is_connected)
    for _ in range(500):
        if await read(other, b"key") == b"value":
            break
        await deferLater(reactor, TURN)
    assert await read(other, b"key") == b"value"
    assert any("works again" in line for line in bench.log.told("info"))


@pytest_twisted.ensureDeferred
async def test_a_store_may_be_opened_before_redis_is_there(bench: Bench) -> None:
    store = bench.open()
    store.put("dialog", b"key", b"value", LATER)
    await until(lambda: len(bench.counted) > 0)
    bench.start_redis()
    await until(lambda: store.is_connected)
    await store.close()
    other = bench.open()
    await until(lambda: other.is_connected)
    assert await read(other, b"key") == b"value"


@pytest_twisted.ensureDeferred
async def test_a_service_that_starts_finds_what_it_left(bench: Bench) -> None:
    bench.start_redis()
    before = bench.open()
    before.put("dialog", b"key", b"value", LATER)
    await before.close()
    after = bench.open()
    found: list[bytes] = []
    scanned: Deferred[None] = Deferred()
    after.scan("dialog", lambda key, value, _: found.append(value), lambda: scanned.callback(None))
    assert await read(after, b"key") == b"value"
    await scanned
    assert found == [b"value"]


@pytest_twisted.ensureDeferred
async def test_a_service_that_starts_without_redis_does_not_wait_for_it(bench: Bench) -> None:
    store = bench.open()
    assert await read(store, b"key") is None
    assert "store-unavailable" in bench.counted


@pytest_twisted.ensureDeferred
async def test_closing_answers_what_was_asked_too_early(bench: Bench) -> None:
    store = bench.open()
    answer = read(store, b"key")
    await store.close()
    assert await answer is None


@pytest_twisted.ensureDeferred
async def test_the_password_logs_in_and_is_told_to_nobody(bench: Bench) -> None:
    bench.start_redis("--requirepass", PASSWORD)
    right = bench.open(f":{quote(PASSWORD, safe='')}@")
    await until(lambda: right.is_connected)
    bench.open(":heim-wrong@")
    await until(lambda: any("WRONGPASS" in line for line in bench.log.told("warn")))
    assert "heim" not in repr(bench.log.lines)


@pytest_twisted.ensureDeferred
async def test_a_full_redis_keeps_writes_queued_until_there_is_room(bench: Bench) -> None:
    bench.start_redis("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    store = bench.open()
    await until(lambda: store.is_connected)
    store.put("dialog", b"key", b"value", LATER)
    await until(lambda: any("OOM" in line for line in bench.log.told("warn")))
    assert await read(store, b"key") == b"value"
    bench.stop_redis()
    await until(lambda: not store.is_connected)
    bench.start_redis()
    await until(lambda: store.is_connected)
    await store.close()
    assert bench.log.told("error") == []


class Silent(Protocol):
    """Accepts, reads and never answers."""


@pytest_twisted.ensureDeferred
async def test_a_server_that_never_answers_is_away_and_closing_does_not_wait(
    bench: Bench,
) -> None:
    silent = ServerFactory()
    silent.protocol = Silent
    listening = reactor.listenTCP(bench.port, silent, interface=LOOPBACK)
    store = bench.open()
    await until(lambda: any("no connection" not in line for line in bench.log.told("warn")))
    assert await read(store, b"key") is None
    store.put("dialog", b"key", b"value", LATER)
    await store.close()
    assert any("closed with 1 writes" in line for line in bench.log.told("error"))
    await maybeDeferred(listening.stopListening)
