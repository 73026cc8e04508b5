"""What is written to the log, by its level."""

from __future__ import annotations

from pathlib import Path

import pytest

from uacproxy.manage.log import open_log

LEVELS = ["debug", "info", "warn", "error"]


@pytest.mark.parametrize("least", LEVELS)
def test_what_is_at_least_as_important_as_the_level_is_written(tmp_path: Path, least: str) -> None:
    file = tmp_path / "log"
    log = open_log(least, str(file), "text")
    for level in LEVELS:
        getattr(log, level)("said as {word}", word=level)
    written = [line.rpartition(" ")[2] for line in file.read_text().splitlines()]
    assert written == LEVELS[LEVELS.index(least) :]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_failure_is_written_whatever_the_level(tmp_path: Path, form: str) -> None:
    file = tmp_path / "log"
    log = open_log("error", str(file), form)
    try:
        raise ValueError("ours")
    except ValueError:
        log.failure("periodic work failed")
    assert "periodic work failed" in file.read_text()
