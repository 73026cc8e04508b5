"""What a keeper of leases promises, shown with a real Redis and with the one unit tests use."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.clock import SteppingClock
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.lease_keeper import Keeper, Line
from tests.support.log import KeptLog
from tests.support.services import Redis, Server, accepts, needs, running
from uacproxy.errors import StoreUnavailable, UacproxyError
from uacproxy.ports import Lease, LeaseAnswer, Leases, LeaseWish
from uacproxy.store.open import open_store
from uacproxy.store.redis import RedisStore
from uacproxy.store.redis_leases import RedisLeases

LONG = 5.0  # s, a lease that lasts while a busy machine does other things
SHORT = 1.5  # s, one that a test waits for the end of
NUMBERS = itertools.count(1)


class Modelled:
    """The keeper of the unit tests."""

    def __init__(self, lease: float = LONG) -> None:
        self.clock = SteppingClock()
        self.lease = lease
        self.keeper = Keeper(self.clock, lease)

    def seconds(self) -> float:
        return self.clock.seconds()

    def connect(self, member: str, shards: int = 8) -> Leases:
        return Line(self.keeper, member)

    async def settled(self) -> None:
        await deferLater(reactor, 0)

    async def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.seconds() + seconds)

    async def close(self) -> None:
        await deferLater(reactor, 0)


class Real:
    """A Redis; every member has a connection of its own."""

    def __init__(self, port: int, lease: float = LONG) -> None:
        self.port = port
        self.lease = lease
        self.log = KeptLog()
        self.prefix = f"leases-{next(NUMBERS)}:"
        self._stores: list[RedisStore] = []

    def connect(self, member: str, shards: int = 8) -> Leases:
        store = open_store(
            f"redis://{LOOPBACK}:{self.port}/0",
            flush_interval_s=0.02,
            redis_prefix=self.prefix,
            now_utc=time.time,
            reactor=reactor,
            log=self.log,
            count=lambda _: None,
        )
        assert isinstance(store, RedisStore)
        self._stores.append(store)
        return RedisLeases(
            store.ask,
            prefix=self.prefix,
            group="accounts",
            member=member,
            shards=shards,
            lease_time=self.lease,
            clock=reactor,
            log=self.log,
        )

    async def settled(self) -> None:
        """Wait until this Redis is older than a lease; it counts its age in whole seconds."""
        probe = self.connect("probe#1")
        number = 0
        while True:
            number += 1
            answer = await say(self, probe, wish(number, ask=[0], takes_part=False))
            if answer.leases:
                break
            await self.wait(1.0)
        await say(self, probe, wish(number + 1, give_up={0: 1}, leaves=True))
        await self._stores.pop().close()
        self.prefix = f"leases-{next(NUMBERS)}:"

    def seconds(self) -> float:
        return time.monotonic()

    async def wait(self, seconds: float) -> None:
        await deferLater(reactor, seconds)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


Bench = Modelled | Real


@pytest.fixture(
    params=[
        pytest.param("model", id="model"),
        pytest.param("redis", id="redis", marks=pytest.mark.redis),
    ]
)
def make(request: pytest.FixtureRequest) -> Callable[[float], Bench]:
    if request.param == "model":
        return Modelled
    server: Redis = request.getfixturevalue("redis_server")
    return lambda lease: Real(server.port, lease)


@pytest.fixture
def bench(make: Callable[[float], Bench]) -> Iterator[Bench]:
    yield from settled(make(LONG))


@pytest.fixture
def brief(make: Callable[[float], Bench]) -> Iterator[Bench]:
    """Give a bench whose leases run out soon."""
    yield from settled(make(SHORT))


def settled(made: Bench) -> Iterator[Bench]:
    pytest_twisted.blockon(Deferred.fromCoroutine(made.settled()))
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.close()))


def wish(number: int, **asked: object) -> LeaseWish:
    plain: dict[str, object] = {
        "takes_part": True,
        "floor": 0,
        "keep": {},
        "ask": [],
        "give_up": {},
        **asked,
    }
    return LeaseWish(number, **plain)  # type: ignore[arg-type]


async def say(bench: Bench, leases: Leases, said: LeaseWish) -> LeaseAnswer:
    heard: Deferred[LeaseAnswer] = Deferred()
    leases.round(said, heard.callback, heard.errback)
    if isinstance(bench, Modelled):
        await bench.wait(0.03)
    return await heard


async def refusal(bench: Bench, leases: Leases, said: LeaseWish) -> UacproxyError:
    with pytest.raises(StoreUnavailable) as caught:
        await say(bench, leases, said)
    return caught.value


@pytest_twisted.ensureDeferred
async def test_a_free_shard_is_granted_and_another_member_sees_whose_it_is(bench: Bench) -> None:
    one, two = bench.connect("one#1"), bench.connect("two#1")
    answer = await say(bench, one, wish(1, ask=[3, 5]))
    assert answer.leases == {3: Lease("one#1", 1), 5: Lease("one#1", 2)}
    answer = await say(bench, two, wish(1, ask=[5, 6]))
    assert answer.leases[5] == Lease("one#1", 2) and answer.leases[6] == Lease("two#1", 3)
    assert set(answer.members) == {"one#1", "two#1"}


@pytest_twisted.ensureDeferred
async def test_a_lease_that_is_kept_lasts(brief: Bench) -> None:
    bench = brief
    one, two = bench.connect("one#1"), bench.connect("two#1")
    await say(bench, one, wish(1, ask=[3]))
    for number in range(2, 5):
        await bench.wait(SHORT * 0.4)
        await say(bench, one, wish(number, keep={3: 1}))
        answer = await say(bench, two, wish(number, ask=[3]))
        assert answer.leases[3] == Lease("one#1", 1)


@pytest_twisted.ensureDeferred
async def test_a_lease_that_ran_out_goes_to_whoever_asks_with_a_higher_token(brief: Bench) -> None:
    bench = brief
    one, two = bench.connect("one#1"), bench.connect("two#1")
    await say(bench, one, wish(1, ask=[3]))
    await say(bench, two, wish(1))
    await bench.wait(SHORT * 1.1)
    answer = await say(bench, two, wish(2, ask=[3]))
    assert answer.leases == {3: Lease("two#1", 2)}
    assert set(answer.members) == {"two#1"}
    answer = await say(bench, one, wish(2, keep={3: 1}))
    assert answer.leases == {3: Lease("two#1", 2)}


@pytest_twisted.ensureDeferred
async def test_a_lease_that_ran_out_and_nobody_took_may_be_kept(brief: Bench) -> None:
    bench = brief
    one = bench.connect("one#1")
    await say(bench, one, wish(1, ask=[3]))
    await bench.wait(SHORT * 1.1)
    answer = await say(bench, one, wish(2, keep={3: 1}))
    assert answer.leases == {3: Lease("one#1", 1)}


@pytest_twisted.ensureDeferred
async def test_a_shard_given_back_is_free_and_only_its_own_token_gives_it_back(
    bench: Bench,
) -> None:
    one = bench.connect("one#1")
    await say(bench, one, wish(1, ask=[3]))
    answer = await say(bench, one, wish(2, give_up={3: 99}))
    assert answer.leases == {3: Lease("one#1", 1)}
    answer = await say(bench, one, wish(3, give_up={3: 1}))
    assert answer.leases == {}


@pytest_twisted.ensureDeferred
async def test_one_that_asks_for_what_it_has_gets_a_new_token(bench: Bench) -> None:
    one = bench.connect("one#1")
    await say(bench, one, wish(1, ask=[3]))
    answer = await say(bench, one, wish(2, ask=[3]))
    assert answer.leases == {3: Lease("one#1", 2)}


@pytest_twisted.ensureDeferred
async def test_tokens_rise_above_the_highest_anybody_remembers(bench: Bench) -> None:
    one = bench.connect("one#1")
    answer = await say(bench, one, wish(1, ask=[3], floor=5_000_000_000))
    assert answer.leases == {3: Lease("one#1", 5_000_000_001)}


@pytest_twisted.ensureDeferred
async def test_a_round_that_comes_late_changes_nothing(bench: Bench) -> None:
    one, two = bench.connect("one#1"), bench.connect("two#1")
    await say(bench, one, wish(7))
    assert "late" in str(await refusal(bench, one, wish(7, ask=[3])))
    answer = await say(bench, two, wish(1))
    assert answer.leases == {}


@pytest_twisted.ensureDeferred
async def test_members_are_known_with_how_long_they_have_taken_part(bench: Bench) -> None:
    took_part = 0.2  # s
    one, two = bench.connect("one#1"), bench.connect("two#1")
    await say(bench, one, wish(1))
    await bench.wait(took_part)
    await say(bench, one, wish(2))
    await say(bench, two, wish(1, takes_part=False))
    answer = await say(bench, one, wish(3))
    assert answer.members["one#1"].since >= took_part
    assert answer.members["two#1"].since == 0.0
    assert 0.0 < answer.members["two#1"].left <= LONG
    await say(bench, one, wish(4, takes_part=False))
    again = bench.seconds()
    answer = await say(bench, one, wish(5))
    assert 0.0 < answer.members["one#1"].since <= bench.seconds() - again + 0.01


@pytest_twisted.ensureDeferred
async def test_one_that_leaves_is_no_member_any_more(bench: Bench) -> None:
    one, two = bench.connect("one#1"), bench.connect("two#1")
    await say(bench, one, wish(1))
    await say(bench, one, wish(2, leaves=True))
    answer = await say(bench, two, wish(1))
    assert set(answer.members) == {"two#1"}


async def say_again(bench: Bench, leases: Leases, **asked: object) -> LeaseAnswer:
    """Say it until the member has a connection again."""
    for _ in range(200):
        try:
            return await say(bench, leases, wish(10 + next(NUMBERS), **asked))
        except StoreUnavailable:
            await bench.wait(0.05)
    raise AssertionError("no connection any more")


# -- a real Redis alone ---------------------------------------------------------------------


@pytest.mark.redis
@pytest_twisted.ensureDeferred
async def test_instances_that_count_other_shards_are_refused_and_told(redis_server: Redis) -> None:
    bench = Real(redis_server.port, SHORT)
    await bench.settled()
    one, two = bench.connect("one#1"), bench.connect("two#1", shards=16)
    await say(bench, one, wish(1, ask=[3]))
    for number in (1, 2):
        why = str(await refusal(bench, two, wish(number, ask=[3])))
        assert "have 8 shards" in why and "has 16 shards" in why
    assert len([line for _, line in bench.log.lines if "make them equal" in line]) == 1
    await bench.wait(SHORT * 1.1)  # once the others are gone, this one says how many there are
    answer = await say(bench, two, wish(3, ask=[3]))
    assert answer.leases == {3: Lease("two#1", 2)}
    await bench.close()


@pytest.mark.redis
@pytest_twisted.ensureDeferred
async def test_a_redis_started_anew_gives_no_lease_before_a_forgotten_one_has_run_out(
    tmp_path: Path,
) -> None:
    port = free_port()

    def server() -> Server:
        argv = [needs("redis-server"), "--bind", LOOPBACK, "--port", str(port), "--save", ""]
        return Server(argv, log=tmp_path / "redis.log")

    bench = Real(port, lease=2.5)
    with running(server(), lambda: accepts(LOOPBACK, port)):
        one, two = bench.connect("one#1"), bench.connect("two#1")
        answer = await say_again(bench, one, ask=[3])
        while 3 not in answer.leases:
            await bench.wait(0.4)
            answer = await say_again(bench, one, ask=[3])
        await say(bench, two, wish(1))
    with running(server(), lambda: accepts(LOOPBACK, port)):
        answer = await say_again(bench, two, ask=[3, 4], floor=1)
        assert not answer.leases
        answer = await say_again(bench, one, keep={3: 1}, floor=1)
        assert answer.leases == {3: Lease("one#1", 1)}
        number = 1000
        while 4 not in answer.leases:
            number += 1
            await bench.wait(0.05)
            answer = await say(bench, two, wish(number, ask=[3, 4], floor=1))
        assert answer.leases[4].token > 1
    await bench.close()
