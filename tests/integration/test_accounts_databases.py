"""The accounts in each kind of database: read whole and one by one, written, and away."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, create_engine, insert, text
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.integration.test_accounts_postgres import ROW, loaded, loaded_one
from tests.support import services
from tests.support.log import KeptLog
from uacproxy.accounts.editor import AccountEditor
from uacproxy.accounts.schema import make_tables, uacreg_table
from uacproxy.accounts.sql import SqlAccountSource
from uacproxy.errors import ConfigError, StoreUnavailable
from uacproxy.uac.account import BadRow

NUMBERS = itertools.count(1)
KINDS = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgres_server", id="postgresql", marks=pytest.mark.postgres),
    pytest.param("mariadb_server", id="mariadb", marks=pytest.mark.mariadb),
]
NEW = {**{name: str(value) for name, value in ROW.items()}, "l_uuid": "new"}


class Bench:
    """One database with Kamailio's tables, its source and its editor."""

    def __init__(self, url: str) -> None:
        self.log = KeptLog()
        self.engine: Engine = create_engine(url.replace("mysql://", "mysql+pymysql://"))
        with self.engine.begin() as connection:
            make_tables(connection)
        self.source = SqlAccountSource(url, run_in_thread=deferToThread, log=self.log)
        self.editor = AccountEditor(url, run_in_thread=deferToThread)

    def sql(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def insert(self, *l_uuids: str) -> None:
        rows = [{**ROW, "l_uuid": l_uuid} for l_uuid in l_uuids]
        with self.engine.begin() as connection:
            connection.execute(insert(uacreg_table()), rows)


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'accounts.db'}"
    else:
        server = request.getfixturevalue(request.param)
        url = server.new_database(f"kinds{next(NUMBERS)}")
    bench = Bench(url)
    yield bench
    bench.engine.dispose()
    pytest_twisted.blockon(bench.source.close())
    pytest_twisted.blockon(bench.editor.close())


def asked(ask: Callable[..., None], *arguments: Any, **more: Any) -> Deferred[Any]:
    answer: Deferred[Any] = Deferred()
    ask(*arguments, answer.callback, answer.errback, **more)
    return answer


@pytest_twisted.ensureDeferred
async def test_accounts_are_read_whole_and_one_by_one_bad_rows_named(bench: Bench) -> None:
    bench.insert(*(f"{number:05}" for number in range(1500)))
    bench.sql("UPDATE uacreg SET auth_proxy = '' WHERE l_uuid = '00007'")
    bench.sql("INSERT INTO uacproxy_account (l_uuid, name, value) VALUES ('00008', 'did', '1 2*')")
    accounts, skipped = await loaded(bench.source)
    assert (len(accounts), [str(why) for why in skipped]) == (
        1499,
        ["account '00007': auth_proxy: is empty"],
    )
    one = await loaded_one(bench.source, "00008")
    assert one is not None and (one, one.settings.did) == (accounts[7], ("1", "2*"))
    assert await loaded_one(bench.source, "unknown") is None
    with pytest.raises(BadRow):
        await loaded_one(bench.source, "00007")
    assert bench.log.lines == []


@pytest_twisted.ensureDeferred
async def test_names_are_compared_with_case(bench: Bench) -> None:
    bench.insert("trunk")
    assert await loaded_one(bench.source, "TRUNK") is None
    assert await asked(bench.editor.remove, "TRUNK") is False
    assert [one.l_uuid for one in (await loaded(bench.source))[0]] == ["trunk"]
    await asked(bench.editor.put, "set", [{"l_uuid": "Trunk", "expires": "9"}])
    assert [one.expires for one in (await loaded(bench.source))[0]] == [600]


@pytest_twisted.ensureDeferred
async def test_a_table_of_a_newer_version_is_refused(bench: Bench) -> None:
    bench.sql("UPDATE version SET table_version = 7 WHERE table_name = 'uacreg'")
    with pytest.raises(ConfigError, match="version 7, this service reads 1 to 6"):
        await loaded(bench.source)


@pytest_twisted.ensureDeferred
async def test_accounts_are_written_changed_and_removed(bench: Bench) -> None:
    editor = bench.editor
    assert await asked(editor.put, "add", [{**NEW, "transport": "tcp"}]) == []
    assert await asked(editor.put, "set", [{"l_uuid": "new", "r_username": "Žofie"}]) == []
    account = await loaded_one(bench.source, "new")
    assert account is not None
    assert (account.r_username, account.expires) == ("Žofie", 600)
    assert (account.auth_password, account.settings.transport) == ("geheim", "tcp")
    (row,) = await asked(editor.rows, secrets=False)
    assert (row["transport"], "auth_password" in row) == ("tcp", False)
    assert await asked(editor.put, "set", [{"l_uuid": "new", "transport": ""}]) == []
    assert await asked(editor.remove, "new") is True
    assert await asked(editor.rows, secrets=True) == []


@pytest_twisted.ensureDeferred
async def test_one_wrong_row_keeps_all_from_being_written(bench: Bench) -> None:
    rows = [NEW, {"l_uuid": "bad"}, {**NEW, "l_uuid": "other"}]
    wrong = await asked(bench.editor.put, "put", rows)
    assert [number for number, _ in wrong] == [1]
    assert (await loaded(bench.source))[0] == []


@pytest_twisted.ensureDeferred
async def test_an_older_table_without_ours_is_written_as_far_as_it_goes(bench: Bench) -> None:
    bench.sql("ALTER TABLE uacreg DROP COLUMN contact_user", "DROP TABLE uacproxy_account")
    bench.sql("DELETE FROM version WHERE table_name = 'uacproxy_account'")
    (wrong,) = await asked(bench.editor.put, "add", [{**NEW, "contact_user": "x"}])
    assert "contact_user: table uacreg is of an older version" in wrong[1]
    assert await asked(bench.editor.put, "add", [{**NEW, "did": "1"}]) == []
    account = await loaded_one(bench.source, "new")
    assert account is not None and account.settings.did == ("1",)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(services.postgres, id="postgresql", marks=pytest.mark.postgres),
        pytest.param(services.mariadb, id="mariadb", marks=pytest.mark.mariadb),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_server_that_has_stopped_is_named_and_costs_nothing_but_the_answer(
    start: Callable[[], Any],
) -> None:
    """Siphon PR 439: what its reload then changes, test_registrations_reload shows: nothing."""
    with start() as server:
        bench = Bench(server.new_database("stopped"))
        bench.insert("a")
        assert len((await loaded(bench.source))[0]) == 1
        bench.engine.dispose()
        server.server.stop()
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}/stopped: "):
            await loaded(bench.source)
        with pytest.raises(StoreUnavailable):
            await asked(bench.editor.rows, secrets=False)
    await bench.source.close()
    await bench.editor.close()
