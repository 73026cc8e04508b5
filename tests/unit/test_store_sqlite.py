"""The SQLite store: the file it leaves, and what it does when the file is trouble."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.support.log import KeptLog
from uacproxy.errors import StoreCorrupt, StoreUnavailable
from uacproxy.store.sqlite import CLOSE_WITHIN, EXPIRE_BATCH, EXPIRE_EVERY, SqliteStore
from uacproxy.store.write_behind import RETRY_IN

INTERVAL = 0.1  # s
ANSWER_WITHIN = 20.0  # s, for the thread on a busy machine


class Bench:
    """A store whose reactor is the test: nothing happens but by ``turn`` and the clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_utc = 1000.0
        self.clock = Clock()
        self.log = KeptLog()
        self.counted: list[str] = []
        self._turns: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.store = SqliteStore(
            str(path),
            flush_interval_s=INTERVAL,
            now_utc=lambda: self.now_utc,
            clock=self.clock,
            call_from_thread=self._turns.put,
            log=self.log,
            count=self.counted.append,
        )

    def turn(self) -> None:
        """Take one answer of the store's thread."""
        self._turns.get(timeout=ANSWER_WITHIN)()

    def rows(self) -> list[tuple[str, bytes, bytes, float]]:
        with sqlite3.connect(self.path) as look:
            found = look.execute("SELECT * FROM state ORDER BY space, key").fetchall()
        look.close()
        return found

    def close(self) -> list[None]:
        """Close, taking turns until the store says it is closed."""
        closed: list[None] = []
        done: Deferred[None] = self.store.close()
        done.addCallback(closed.append)
        while not closed:
            self.turn()
        return closed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def test_a_write_is_on_the_disk_one_flush_interval_later(path: Path) -> None:
    bench = Bench(path)
    bench.store.put("dialog", b"key", b"value", 2000.0)
    bench.clock.advance(INTERVAL)
    bench.turn()
    assert bench.rows() == [("dialog", b"key", b"value", 2000.0)]
    bench.close()


def test_close_writes_what_waits_and_leaves_one_file_only_its_owner_can_read(path: Path) -> None:
    bench = Bench(path)
    bench.store.put("dialog", b"key", b"value", 2000.0)
    bench.close()
    assert bench.rows() == [("dialog", b"key", b"value", 2000.0)]
    assert [found.name for found in path.parent.iterdir()] == ["state.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_expired_rows_leave_the_file_in_batches(path: Path) -> None:
    bench = Bench(path)
    for number in range(EXPIRE_BATCH + 1):
        bench.store.put("dialog", b"%d" % number, b"", 1010.0)
    bench.store.put("dialog", b"kept", b"", 9000.0)
    bench.clock.advance(INTERVAL)
    bench.turn()
    bench.now_utc = 1020.0
    bench.clock.advance(EXPIRE_EVERY)
    bench.turn()
    assert len(bench.rows()) == 2
    bench.clock.advance(EXPIRE_EVERY)
    bench.turn()
    assert [key for _, key, _, _ in bench.rows()] == [b"kept"]
    bench.close()


def test_a_locked_file_costs_no_write(path: Path) -> None:
    bench = Bench(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    bench.store.put("dialog", b"key", b"value", 2000.0)
    bench.clock.advance(INTERVAL)
    bench.turn()
    found: list[bytes | None] = []
    bench.store.get("dialog", b"key", found.append)
    assert found == [b"value"]
    assert bench.counted == ["store-unavailable"]
    assert bench.log.told("warn") == [
        f"store {path}: {path}: database is locked; local memory serves, writes are kept"
    ]

    other.execute("ROLLBACK")
    other.close()
    bench.clock.advance(RETRY_IN)
    bench.turn()
    assert len(bench.rows()) == 1
    bench.close()


def test_a_file_damaged_while_in_use_answers_none_and_keeps_the_service(path: Path) -> None:
    bench = Bench(path)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE state")
    other.close()
    found: list[bytes | None] = []
    bench.store.get("dialog", b"key", found.append)
    bench.turn()
    bench.store.scan("dialog", lambda *_: None, lambda: found.append(b"scanned"))
    bench.turn()
    assert found == [None, b"scanned"]
    assert bench.counted == ["store-unavailable"] * 2
    bench.close()


def test_close_does_not_wait_for_a_hung_disk_for_ever(path: Path) -> None:
    bench = Bench(path)
    bench.store.put("dialog", b"key", b"value", 2000.0)
    closed: list[None] = []
    bench.store.close().addCallback(closed.append)
    bench.clock.advance(CLOSE_WITHIN)  # no answer of the thread was taken
    assert closed == [None]
    assert bench.log.told("error") == [f"store {path}: closed with 1 writes not written"]


def test_a_file_that_is_no_database_is_told_by_its_path(path: Path) -> None:
    path.write_bytes(b"[sip]\nlisten = udp:127.0.0.1:5060\n" * 100)
    with pytest.raises(StoreCorrupt, match=str(path)):
        Bench(path)


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    Bench(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 7")
    newer.close()
    with pytest.raises(StoreCorrupt, match=r"newer version \(schema 7"):
        Bench(path)


def test_a_foreign_table_of_our_name_is_told(path: Path) -> None:
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE state (name TEXT, capital TEXT)")
    foreign.close()
    with pytest.raises(StoreCorrupt, match="not ours"):
        Bench(path)


def test_a_folder_that_does_not_exist_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"nowhere/state\.db: No such file"):
        Bench(tmp_path / "nowhere" / "state.db")
