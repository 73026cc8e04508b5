"""What ships beside the code says the same as the code: reference page and ini file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from uacproxy.config.check import load
from uacproxy.config.ini import read_config
from uacproxy.config.reference import reference
from uacproxy.config.schema import RULE_PREFIX, SECTIONS, Config
from uacproxy.config.values import keys_of
from uacproxy.routing.settings import RoutingSettings, RuleSettings

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "etc" / "uacproxy.ini"


def shown_keys() -> dict[str, set[str]]:
    """Return the keys of the shipped file by section, commented out or not."""
    shown: dict[str, set[str]] = {}
    section = ""
    for line in SHIPPED.read_text().splitlines():
        if header := re.match(r";?\[(\w+)", line):
            section = header[1]
        elif key := re.match(r";?(\w+) =", line):
            shown.setdefault(section, set()).add(key[1])
    return shown


def uncommented(tmp_path: Path) -> Path:
    file = tmp_path / "uncommented.ini"
    file.write_text(re.sub(r"^;(?=[\w\[])", "", SHIPPED.read_text(), flags=re.MULTILINE))
    return file


def test_the_reference_page_is_the_one_the_settings_make() -> None:
    page = ROOT / "docs" / "configuration.md"
    assert page.read_text() == reference(), (
        "run: python -m uacproxy.config.reference > docs/configuration.md"
    )


@pytest.mark.parametrize("section", [*SECTIONS, "rule"])
def test_the_shipped_file_shows_every_key(section: str) -> None:
    settings = RuleSettings if section == "rule" else SECTIONS[section]
    assert shown_keys()[section] == set(keys_of(settings))


def test_the_shipped_file_is_the_defaults_with_a_route_script() -> None:
    config = read_config(str(SHIPPED))
    assert config == Config(file=config.file, routing=RoutingSettings(script="route.py"))


def test_what_the_shipped_file_shows_commented_out_are_the_defaults_and_rules_that_read(
    tmp_path: Path,
) -> None:
    config = read_config(str(uncommented(tmp_path)))
    assert [rule.name for rule in config.rules] == ["in", "out", "bridged", "scanner", "rest"]
    shipped = read_config(str(SHIPPED))
    assert replace(config, rules=(), file=shipped.file) == shipped


def test_the_shipped_rules_pass_the_checks_with_what_their_comment_asks_for(
    tmp_path: Path,
) -> None:
    file = uncommented(tmp_path)
    text = file.read_text().replace("script = route.py", "script =")
    text = text.replace("\ncredential =", "\ncredential = alice:trunk.example:password")
    file.write_text(text)
    assert load(str(file)).rules[1].name == "out"


def test_every_setting_tells_an_operator_what_it_is_for() -> None:
    for name, settings in {**SECTIONS, RULE_PREFIX: RuleSettings}.items():
        assert settings.__doc__, name
        for key in keys_of(settings).values():
            assert key.noted.doc.endswith("."), f"[{name}] {key.word}"
