"""A secret made once: on the medium before it is used, never made anew over another's."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor

from tests.support.free_ports import free_port
from tests.support.log import KeptLog
from uacproxy.errors import StoreUnavailable
from uacproxy.store.open import OpenStore, open_store
from uacproxy.store.secret import find_secret, keep_secret


def opened(url: str) -> OpenStore:
    return open_store(
        url,
        flush_interval_s=0.1,
        redis_prefix="t:",
        now_utc=time.time,
        reactor=reactor,
        log=KeptLog(),
        count=lambda code: None,
    )


@pytest_twisted.ensureDeferred
async def test_a_secret_is_in_the_file_before_anybody_has_it(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = opened(f"sqlite:///{file}")
    made = await keep_secret(store, b"key", 32, reactor)
    with sqlite3.connect(file) as reading:
        rows = reading.execute("select value from state where space = 'secrets'").fetchall()
    await store.close()
    assert [bytes(value) for (value,) in rows] == [made]


@pytest_twisted.ensureDeferred
async def test_the_next_start_finds_it(tmp_path: Path) -> None:
    first = opened(f"sqlite:///{tmp_path}/state.db")
    made = await keep_secret(first, b"key", 32, reactor)
    await first.close()
    second = opened(f"sqlite:///{tmp_path}/state.db")
    found = await find_secret(second, b"key", 32)
    again = await keep_secret(second, b"key", 32, reactor)
    await second.close()
    assert found == again == made


@pytest_twisted.ensureDeferred
async def test_a_store_that_is_away_is_no_reason_to_make_another() -> None:
    store = opened(f"redis://127.0.0.1:{free_port('127.0.0.1')}/0")
    with pytest.raises(StoreUnavailable, match="the store is away"):
        await keep_secret(store, b"key", 32, reactor)
    await store.close()
