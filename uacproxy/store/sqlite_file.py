"""The state file: one SQLite table of values by space and key, used by one thread.

    state(space, key, value, expires_at_utc)   PRAGMA user_version = 1

WAL with ``synchronous=NORMAL``: what a flush committed outlives a crash of the service;
a power cut may cost the last flushes and never the file. Each call here may block, so
the store makes it in its own thread. The file is readable by its owner alone.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Final, final

from uacproxy.errors import StoreCorrupt, StoreError, StoreUnavailable
from uacproxy.store.pending import Batch

SCHEMA_VERSION: Final = 1
LOCK_WAIT: Final = 1.0  # s, for another program that writes

Row = tuple[bytes, bytes, float]  # key, value, expires_at_utc

_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS state (
           space TEXT NOT NULL,
           key BLOB NOT NULL,
           value BLOB NOT NULL,
           expires_at_utc REAL NOT NULL,
           PRIMARY KEY (space, key)
       ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS state_expiry ON state (expires_at_utc)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_PUT: Final = "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)"
_DELETE: Final = "DELETE FROM state WHERE space = ? AND key = ?"
_GET: Final = "SELECT value FROM state WHERE space = ? AND key = ? AND expires_at_utc > ?"
_PAGE: Final = """SELECT key, value, expires_at_utc FROM state
                  WHERE space = ? AND key > ? AND expires_at_utc > ? ORDER BY key LIMIT ?"""
_FIRST_PAGE: Final = _PAGE.replace("key > ?", "key >= ?")
_EXPIRE: Final = """DELETE FROM state WHERE (space, key) IN
                    (SELECT space, key FROM state WHERE expires_at_utc <= ? LIMIT ?)"""


@final
class SqliteFile:
    """An open state file; every method raises StoreUnavailable or StoreCorrupt."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            # ours from the first octet; SQLite gives its -wal and -shm the same mode
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error.strerror}") from error
        try:
            self._connection = sqlite3.connect(
                path, timeout=LOCK_WAIT, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise _told(path, error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise _told(path, error) from error
        except StoreError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        version: int = run("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreCorrupt(
                f"{self.path}: written by a newer version"
                f" (schema {version}, this one reads up to {SCHEMA_VERSION})"
            )
        columns = [column[1] for column in run("PRAGMA table_info(state)")]
        if columns and columns != ["space", "key", "value", "expires_at_utc"]:
            raise StoreCorrupt(f"{self.path}: its table state is not ours")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        if version < SCHEMA_VERSION or not columns:
            for statement in _SCHEMA:
                run(statement)
        run("SELECT * FROM state LIMIT 1").fetchone()  # a damaged file says so here

    def write(self, batch: Batch) -> None:
        """Write a batch in one transaction."""
        puts = [
            (*where, w.value, w.expires_at_utc) for where, w in batch.items() if w.value is not None
        ]
        deletes = [where for where, w in batch.items() if w.value is None]
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(_PUT, puts)
                connection.executemany(_DELETE, deletes)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _told(self.path, error) from error

    def read(self, space: str, key: bytes, now_utc: float) -> bytes | None:
        """Return a value that has not expired."""
        try:
            row = self._connection.execute(_GET, (space, key, now_utc)).fetchone()
        except sqlite3.Error as error:
            raise _told(self.path, error) from error
        return row[0] if row is not None else None

    def page(self, space: str, after: bytes | None, now_utc: float, limit: int) -> list[Row]:
        """Return up to ``limit`` rows that have not expired, in order of key, behind ``after``."""
        statement = _FIRST_PAGE if after is None else _PAGE
        try:
            return self._connection.execute(
                statement, (space, after or b"", now_utc, limit)
            ).fetchall()
        except sqlite3.Error as error:
            raise _told(self.path, error) from error

    def expire(self, now_utc: float, limit: int) -> int:
        """Delete up to ``limit`` expired rows; return how many there were."""
        try:
            return self._connection.execute(_EXPIRE, (now_utc, limit)).rowcount
        except sqlite3.Error as error:
            raise _told(self.path, error) from error

    def close(self) -> None:
        """Close the file, folding the log into it."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise _told(self.path, error) from error


def _told(path: str, error: sqlite3.Error) -> StoreError:
    """Return ``error`` in our words: damaged for good, or away for now."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the module's own errors have none
    kind = (
        StoreCorrupt
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        else StoreUnavailable
    )
    return kind(f"{path}: {error}")
