"""Accounts from SQL tables as operators have them, in SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute

from tests.support.log import KeptLog
from uacproxy.accounts.sql import SqlAccountSource
from uacproxy.errors import ConfigError, StoreUnavailable, UacproxyError
from uacproxy.uac.account import Account, BadRow
from uacproxy.uac.account_settings import NO_SETTINGS

VERSION_1 = """CREATE TABLE uacreg (
    id INTEGER PRIMARY KEY NOT NULL,
    l_uuid VARCHAR(64) DEFAULT '' NOT NULL,
    l_username VARCHAR(64) DEFAULT '' NOT NULL,
    l_domain VARCHAR(128) DEFAULT '' NOT NULL,
    r_username VARCHAR(64) DEFAULT '' NOT NULL,
    r_domain VARCHAR(128) DEFAULT '' NOT NULL,
    realm VARCHAR(64) DEFAULT '' NOT NULL,
    auth_username VARCHAR(64) DEFAULT '' NOT NULL,
    auth_password VARCHAR(64) DEFAULT '' NOT NULL,
    auth_proxy VARCHAR(64) DEFAULT '' NOT NULL,
    expires INTEGER DEFAULT 0 NOT NULL);"""
VERSION = """CREATE TABLE version (id INTEGER PRIMARY KEY NOT NULL,
    table_name VARCHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL);
    INSERT INTO version (table_name, table_version) VALUES ('uacreg', %d);"""
INSERT = """INSERT INTO uacreg (l_uuid, l_username, l_domain, r_username, r_domain,
    auth_username, auth_password, auth_proxy, expires)
    VALUES (?, 'alice', 'example.com', 'u', 'provider.example', 'u', 'geheim', 'sip:p', 600)"""


def at_once(work: Callable[[], Any]) -> Deferred[Any]:
    """Stand in for a thread."""
    return execute(work)


class Bench:
    """A source over one file, and what it told."""

    def __init__(self, path: Path, table: str = "uacreg") -> None:
        self.path = path
        self.log = KeptLog()
        self.source = SqlAccountSource(
            f"sqlite:///{path}", table, run_in_thread=at_once, log=self.log
        )

    def sql(self, *scripts: str) -> None:
        with sqlite3.connect(self.path) as database:
            for script in scripts:
                database.executescript(script)
        database.close()

    def insert(self, *l_uuids: str) -> None:
        with sqlite3.connect(self.path) as database:
            database.executemany(INSERT, [(l_uuid,) for l_uuid in l_uuids])
        database.close()

    def load(self) -> tuple[list[Account], list[BadRow]]:
        found: list[tuple[list[Account], list[BadRow]]] = []

        def failed(error: UacproxyError) -> None:
            raise error

        done: list[UacproxyError] = []
        self.source.load(lambda *loaded: found.append(loaded), done.append)
        if done:
            failed(done[0])
        return found[0]

    def load_one(self, l_uuid: str) -> Account | None:
        found: list[Account | None] = []
        done: list[UacproxyError] = []
        self.source.load_one(l_uuid, found.append, done.append)
        if done:
            raise done[0]
        return found[0]

    def l_uuids(self) -> list[str]:
        return [account.l_uuid for account in self.load()[0]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "accounts.db")


def test_a_first_start_finds_empty_tables_it_has_made_itself(bench: Bench) -> None:
    assert bench.load() == ([], [])
    with sqlite3.connect(bench.path) as database:
        versions = dict(database.execute("SELECT table_name, table_version FROM version"))
        columns = [row[1] for row in database.execute("PRAGMA table_info(uacreg)")]
    database.close()
    assert versions == {"version": 1, "uacreg": 6, "subscriber": 7, "uacproxy_account": 1}
    assert columns[-5:] == ["flags", "reg_delay", "contact_addr", "contact_user", "socket"]
    assert bench.log.lines == []


def test_rows_become_accounts_in_the_order_of_their_names(bench: Bench) -> None:
    bench.load()
    bench.insert("b", "a", "c")
    assert bench.l_uuids() == ["a", "b", "c"]


def test_a_table_of_many_pages_is_read_whole(bench: Bench) -> None:
    bench.load()
    bench.insert(*(f"{number:05}" for number in range(2500)))
    assert bench.l_uuids() == [f"{number:05}" for number in range(2500)]


def test_a_bad_row_is_skipped_with_a_sentence_and_costs_no_other(bench: Bench) -> None:
    bench.load()
    bench.insert("a", "b", "c")
    bench.sql("UPDATE uacreg SET auth_proxy = '' WHERE l_uuid = 'b'")
    bench.sql("UPDATE uacreg SET realm = CAST(x'ff' AS TEXT) WHERE l_uuid = 'c'")
    accounts, skipped = bench.load()
    assert [account.l_uuid for account in accounts] == ["a"]
    assert [str(why) for why in skipped] == [
        "account 'b': auth_proxy: is empty",
        "account 'c': realm: is not UTF-8",
    ]


@pytest.mark.parametrize("number", [1, 5, 6])
def test_a_table_of_an_older_version_is_read(bench: Bench, number: int) -> None:
    bench.sql(VERSION_1, VERSION % number)
    bench.insert("a")
    (account,), _ = bench.load()
    assert (account.l_uuid, account.expires, account.flags, account.contact_addr) == (
        "a",
        600,
        0,
        "",
    )
    assert bench.log.lines == []


def test_a_table_of_a_newer_version_is_refused(bench: Bench) -> None:
    bench.sql(VERSION_1, VERSION % 7)
    with pytest.raises(ConfigError, match="version 7, this service reads 1 to 6") as caught:
        bench.load()
    assert (caught.value.section, caught.value.key) == ("uac", "reg_db_url")


def test_without_a_table_version_the_columns_decide_and_it_is_said_once(bench: Bench) -> None:
    bench.sql(VERSION_1)
    bench.insert("a")
    assert bench.l_uuids() == ["a"]
    assert bench.l_uuids() == ["a"]
    assert len(bench.log.told("warn")) == 1


def test_a_name_that_is_there_twice_counts_once(bench: Bench) -> None:
    """Two of one name confused each other, one of them for good (freeswitch #1193)."""
    bench.sql(VERSION_1, VERSION % 1)
    bench.insert("a", "a", "b")
    accounts, skipped = bench.load()
    assert [account.l_uuid for account in accounts] == ["a", "b"]
    assert [str(why) for why in skipped] == ["account 'a': l_uuid: is there twice"]


def test_a_missing_column_is_told_by_its_name(bench: Bench) -> None:
    bench.sql(VERSION_1.replace("auth_proxy VARCHAR(64) DEFAULT '' NOT NULL,", ""))
    with pytest.raises(ConfigError, match="table uacreg has no column auth_proxy"):
        bench.load()


def test_a_file_with_other_tables_is_not_written_to(bench: Bench) -> None:
    bench.sql("CREATE TABLE location (id INTEGER)")
    with pytest.raises(ConfigError, match="has no table uacreg"):
        bench.load()
    with sqlite3.connect(bench.path) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
    database.close()
    assert names == ["location"]


def test_a_table_of_another_name_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "accounts.db", "trunks")
    bench.sql(VERSION_1.replace("uacreg", "trunks"), VERSION.replace("uacreg", "trunks") % 1)
    with sqlite3.connect(bench.path) as database:
        database.execute(INSERT.replace("uacreg", "trunks"), ("a",))
    database.close()
    assert bench.l_uuids() == ["a"]


def test_one_account_is_read_by_its_name(bench: Bench) -> None:
    bench.load()
    bench.insert("a", "b")
    bench.sql("UPDATE uacreg SET auth_proxy = '' WHERE l_uuid = 'b'")
    account = bench.load_one("a")
    assert account is not None
    assert account.l_uuid == "a"
    assert bench.load_one("unknown") is None
    assert bench.load_one("\udcff\0") is None
    with pytest.raises(BadRow, match="auth_proxy"):
        bench.load_one("b")


def test_a_changed_row_is_seen_by_the_next_load(bench: Bench) -> None:
    bench.load()
    bench.insert("a")
    (before,), _ = bench.load()
    bench.sql("UPDATE uacreg SET expires = 120")
    (after,), _ = bench.load()
    assert (before.expires, after.expires) == (600, 120)


def test_a_file_that_is_no_database_is_unavailable_and_named(bench: Bench) -> None:
    bench.path.write_bytes(b"[sip]\nlisten = udp:127.0.0.1:5060\n" * 100)
    with pytest.raises(StoreUnavailable, match=r"accounts\.db: file is not a database"):
        bench.load()


def test_a_folder_that_is_not_there_is_unavailable_now_and_asked_again_later(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "later" / "accounts.db")
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        bench.load()
    bench.path.parent.mkdir()
    assert bench.load() == ([], [])


def test_a_server_that_is_away_is_told_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    source = SqlAccountSource(
        "postgres://kamailio:geheim@127.0.0.1:1/kamailio?password=geheim",
        run_in_thread=at_once,
        log=KeptLog(),
    )
    errors: list[UacproxyError] = []
    source.load(lambda *_: None, errors.append)
    assert isinstance(errors[0], StoreUnavailable)
    assert str(errors[0]).startswith("postgresql://127.0.0.1:1/kamailio: ")
    assert "geheim" not in str(errors[0])
    assert errors[0].__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "geheim",
        "text:///geheim",
        "oracle://u:geheim@h/d",
        "mysql://u:geheim@h:port/d",
        "mysql://u:1@2/geheim@h/d",
    ],
)
def test_a_wrong_url_is_told_with_section_and_key_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqlAccountSource(url, run_in_thread=at_once, log=KeptLog())
    assert str(caught.value).startswith("[uac] reg_db_url: ")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("table", ["", "uacreg; DROP TABLE x", "a b", 'a"b', "a.b.c", "1a", "ä"])
def test_a_wrong_table_name_is_told_with_section_and_key(table: str) -> None:
    with pytest.raises(ConfigError, match=r"\[uac\] reg_db_table: "):
        SqlAccountSource("sqlite:///x.db", table, run_in_thread=at_once, log=KeptLog())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/lib/a.db", "sqlite:////var/lib/a.db uacreg"),
        ("postgres://u:geheim@db.example/k", "postgresql://db.example/k uacreg"),
        ("postgresql+psycopg://u@[::1]:5432/k", "postgresql://[::1]:5432/k uacreg"),
        ("mysql://u:ge@h:ei%40m@db:3306/k?passwd=geheim", "mysql://db:3306/k uacreg"),
    ],
)
def test_urls_as_kamailio_writes_them_are_understood(url: str, shown: str) -> None:
    if url.startswith("mysql"):
        pytest.importorskip("pymysql")
    if url.startswith("postgres"):
        pytest.importorskip("psycopg")
    assert SqlAccountSource(url, run_in_thread=at_once, log=KeptLog()).name == shown


def test_settings_beyond_kamailios_columns_come_from_a_table_of_ours(bench: Bench) -> None:
    bench.load()
    bench.insert("a", "b", "c")
    bench.sql(
        "INSERT INTO uacproxy_account (l_uuid, name, value) VALUES"
        " ('a', 'transport', 'TCP'), ('a', 'did', '4930123*  4930456'), ('a', 'later', 'x'),"
        " ('b', 'did_source', 'the moon')"
    )
    (first, other), skipped = bench.load()
    assert (first.settings.transport, first.settings.did) == ("tcp", ("4930123*", "4930456"))
    assert (other.l_uuid, other.settings) == ("c", NO_SETTINGS)
    assert [why.column for why in skipped] == ["did_source"]
    assert "there is no setting 'later'" in bench.log.told("warn")[0]
    assert bench.load_one("a") == first


def test_a_table_without_ours_beside_it_has_accounts_all_the_same(bench: Bench) -> None:
    bench.load()
    bench.insert("a")
    bench.sql("DROP TABLE uacproxy_account")
    assert bench.l_uuids() == ["a"]
    assert bench.load_one("a") is not None
