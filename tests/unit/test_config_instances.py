"""Section ``[instances]``: its defaults, other values, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from uacproxy.config.ini import ConfigErrors, read_config


def read(tmp_path: Path, keys: str) -> tuple[str, bool, int, int]:
    file = tmp_path / "u.ini"
    file.write_text(f"[instances]\n{keys}")
    settings = read_config(str(file)).instances
    return settings.name, settings.share_registrations, settings.shards, settings.lease_time


def test_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "") == ("", True, 64, 10)


def test_other_values(tmp_path: Path) -> None:
    keys = "name = sbc-a\nshare_registrations = no\nshards = 256\nlease_time = 1min\n"
    assert read(tmp_path, keys) == ("sbc-a", False, 256, 60)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("shards = 48", "48 is no power of two"),
        ("shards = 0", "'0' is no number from 1 to 1024"),
        ("shards = 2048", "'2048' is no number from 1 to 1024"),
        ("shards = many", "'many' is no number from 1 to 1024"),
        ("lease_time = 1s", "lease_time"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read(tmp_path, line + "\n")
    assert why in str(caught.value.errors[0])
