"""``[store] url``: what it may say, and how an operator hears what is wrong with it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from tests.support.log import KeptLog
from uacproxy.errors import ConfigError
from uacproxy.store.memory import MemoryStore
from uacproxy.store.open import OpenStore, open_store


class StillReactor(Clock):
    """Time stands, and nothing comes from threads."""

    def callFromThread(self, *_: object) -> None:  # noqa: N802  (Twisted's name)
        return None


def opened(url: str) -> OpenStore:
    return open_store(
        url,
        flush_interval_s=0.1,
        redis_prefix="uacproxy:",
        now_utc=time.time,
        reactor=StillReactor(),
        log=KeptLog(),
        count=lambda code: None,
    )


def test_memory_is_a_store_that_ends_with_the_process() -> None:
    assert isinstance(opened("memory:"), MemoryStore)


def test_sqlite_takes_a_relative_or_an_absolute_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened("sqlite:///here.db").close()
    opened(f"sqlite:///{tmp_path}/there.db").close()
    assert (tmp_path / "here.db").exists()
    assert (tmp_path / "there.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory://",
        "sqlite://state.db",
        "sqlite:///",
        "sqlite:state.db",
        "redis://",
        "redis://:geheim@/0",
        "redis://:geheim@host:port/0",
        "redis://:geheim@host:99999/0",
        "redis://:geheim@host:0/0",
        "redis://:geheim@host:6379/state",
        "redis://:geheim@host/0?geheim=1",
        "redis://:geheim@[::1/0",
        "rediss://:geheim@host/0",
        "mysql://u:geheim@host/db",
    ],
)
def test_any_other_url_is_told_with_section_and_key_and_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(url)
    assert (caught.value.section, caught.value.key) == ("store", "url")
    assert "geheim" not in str(caught.value)


def test_a_file_that_cannot_be_opened_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[store\] url: .*nowhere/state.db: No such file"):
        opened(f"sqlite:///{tmp_path}/nowhere/state.db")
