"""Accounts and subscribers in a real PostgreSQL, asked from real threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import pytest_twisted
from sqlalchemy import Engine, create_engine, insert, text
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.support.log import KeptLog
from tests.support.services import Postgres
from uacproxy.accounts.schema import make_tables, subscriber_table, uacreg_table
from uacproxy.accounts.sql import SqlAccountSource
from uacproxy.accounts.subscribers import SqlSubscribers
from uacproxy.errors import ConfigError, StoreUnavailable, UacproxyError
from uacproxy.uac.account import Account, BadRow

NUMBERS = itertools.count(1)
ROW = {
    "l_username": "alice",
    "l_domain": "example.com",
    "r_username": "4930123",
    "r_domain": "provider.example",
    "auth_username": "4930123",
    "auth_password": "geheim",
    "auth_proxy": "sip:sbc.provider.example",
    "expires": 600,
}

pytestmark = pytest.mark.postgres


class Bench:
    """A database of the test's own, with Kamailio's tables in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log = KeptLog()
        self.engine: Engine = create_engine(url)
        with self.engine.begin() as connection:
            make_tables(connection)
        self.source = self.open()

    def open(self, table: str = "uacreg", url: str = "") -> SqlAccountSource:
        return SqlAccountSource(url or self.url, table, run_in_thread=deferToThread, log=self.log)

    def sql(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def insert(self, *l_uuids: str, table: str = "uacreg") -> None:
        rows = [{**ROW, "l_uuid": l_uuid} for l_uuid in l_uuids]
        with self.engine.begin() as connection:
            connection.execute(insert(uacreg_table(table)), rows)


@pytest.fixture
def bench(postgres_server: Postgres) -> Iterator[Bench]:
    bench = Bench(postgres_server.new_database(f"accounts{next(NUMBERS)}"))
    yield bench
    bench.engine.dispose()
    pytest_twisted.blockon(bench.source.close())


def loaded(source: SqlAccountSource) -> Deferred[tuple[list[Account], list[BadRow]]]:
    answer: Deferred[tuple[list[Account], list[BadRow]]] = Deferred()
    source.load(lambda accounts, skipped: answer.callback((accounts, skipped)), answer.errback)
    return answer


def loaded_one(source: SqlAccountSource, l_uuid: str) -> Deferred[Account | None]:
    answer: Deferred[Account | None] = Deferred()
    source.load_one(l_uuid, answer.callback, answer.errback)
    return answer


@pytest_twisted.ensureDeferred
async def test_accounts_are_read_whole_and_one_by_one(bench: Bench) -> None:
    bench.insert(*(f"{number:05}" for number in range(2500)))
    bench.sql("UPDATE uacreg SET auth_proxy = '' WHERE l_uuid = '00007'")
    accounts, skipped = await loaded(bench.source)
    assert len(accounts) == 2499
    assert [str(why) for why in skipped] == ["account '00007': auth_proxy: is empty"]
    one = await loaded_one(bench.source, "00008")
    assert one == accounts[7]
    assert await loaded_one(bench.source, "unknown") is None
    assert await loaded_one(bench.source, "a\0b") is None
    assert bench.log.lines == []


@pytest_twisted.ensureDeferred
async def test_a_table_of_version_5_in_a_schema_is_read(bench: Bench) -> None:
    bench.sql("CREATE SCHEMA sip", "CREATE TABLE sip.trunks (LIKE uacreg INCLUDING ALL)")
    source = bench.open("sip.trunks")
    bench.insert("a", table="sip.trunks")
    bench.sql("ALTER TABLE sip.trunks DROP COLUMN contact_user")
    accounts, _ = await loaded(source)
    assert [account.contact_user for account in accounts] == [""]
    assert len(bench.log.told("warn")) == 1  # there is no sip.version
    await source.close()


@pytest_twisted.ensureDeferred
async def test_a_missing_table_is_the_operators_to_mend_and_is_not_made(bench: Bench) -> None:
    source = bench.open("trunks")
    with pytest.raises(ConfigError, match="has no table trunks"):
        await loaded(source)
    await source.close()


@pytest_twisted.ensureDeferred
async def test_a_missing_database_is_unavailable(bench: Bench) -> None:
    source = bench.open(url=f"{bench.url}-not-there")
    with pytest.raises(StoreUnavailable, match="does not exist"):
        await loaded(source)
    await source.close()


@pytest_twisted.ensureDeferred
async def test_connections_cut_by_the_server_cost_no_load(bench: Bench) -> None:
    bench.insert("a")
    await loaded(bench.source)
    bench.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    accounts, _ = await loaded(bench.source)
    assert len(accounts) == 1


@pytest_twisted.ensureDeferred
async def test_subscribers_are_found(bench: Bench) -> None:
    ha1 = "0123456789abcdef" * 2
    with bench.engine.begin() as connection:
        connection.execute(
            insert(subscriber_table()),
            [{"username": "alice", "domain": "example.com", "ha1": ha1}],
        )
    subscribers = SqlSubscribers(bench.url, run_in_thread=deferToThread, seconds=lambda: 0.0)
    answers: list[str | None] = []
    for username in ("alice", "bob"):
        answer: Deferred[None] = Deferred()

        def then(found: str | None, answer: Deferred[None] = answer) -> None:
            answers.append(found)
            answer.callback(None)

        def failed(error: UacproxyError, answer: Deferred[None] = answer) -> None:
            answer.errback(error)

        subscribers.ha1_of(username, "example.com", then, failed)
        await answer
    assert answers == [ha1, None]
    await subscribers.close()
