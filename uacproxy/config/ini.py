"""The ini file becomes a ``Config``, or one list of everything that is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, final

from uacproxy.config.ini_lines import IniKey, IniSection, read_lines
from uacproxy.config.schema import RULE_PREFIX, SECTIONS, Config, Place
from uacproxy.config.values import keys_of, read_value
from uacproxy.errors import ConfigError, UacproxyError
from uacproxy.routing.settings import RuleSettings

_RULE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@final
class ConfigErrors(UacproxyError):
    """Everything that is wrong with a configuration, in the order of the file.

    ``config`` holds what could be read, with defaults for the rest, so that further
    checks can add to the list; None where nothing could.
    """

    code = "config"

    def __init__(self, errors: Iterable[ConfigError], config: Config | None = None) -> None:
        self.errors = list(errors)
        self.config = config
        super().__init__("\n".join(str(error) for error in self.errors))


def read_config(path: str) -> Config:
    """Read an ini file.

    Raises:
        ConfigErrors: with every error in the file, each naming line, section and key.
    """
    try:
        with open(path, "rb") as file:
            octets = file.read()
    except OSError as error:
        raise ConfigErrors([ConfigError(error.strerror or "not readable", where=path)]) from error
    reader = _Reader(path)
    config = reader.read(octets)
    if reader.errors:
        raise ConfigErrors([error for _, error in sorted(reader.errors, key=_line)], config)
    return config


def _line(numbered: tuple[int, ConfigError]) -> int:
    return numbered[0]


@final
class _Reader:
    """One reading of one file: what was found where, and what was wrong."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.errors: list[tuple[int, ConfigError]] = []
        self.lines: dict[Place, int] = {}
        self.unread: set[Place] = set()

    def read(self, octets: bytes) -> Config:
        sections, wrong = read_lines(octets)
        for line, why in wrong:
            self._wrong(line, why)
        rules: dict[str, IniSection] = {}
        merged: dict[str, IniSection] = {}
        for section in sections:
            name = section.name.lower()
            if name.startswith(RULE_PREFIX):
                rule = section.name[len(RULE_PREFIX) :].strip()
                section.name = RULE_PREFIX + rule
                if not _RULE_NAME.fullmatch(rule):
                    self._wrong(section.line, "a rule needs a name of letters, digits, _ . -",
                                section.name)  # fmt: skip
                    continue
                self._add(rules, section)
            elif name in SECTIONS:
                section.name = name
                self._add(merged, section)
            else:
                why = f"unknown section{_nearest(name, [*SECTIONS, RULE_PREFIX + 'NAME'])}"
                self._wrong(section.line, why, section.name)
        filled = {
            name: SECTIONS[name](**self._values(section, SECTIONS[name]))
            for name, section in merged.items()
        }
        return Config(
            **filled,
            rules=tuple(
                RuleSettings(
                    name=name.removeprefix(RULE_PREFIX), **self._values(section, RuleSettings)
                )
                for name, section in rules.items()
            ),
            file=self.path,
            lines=self.lines,
            unread=frozenset(self.unread),
        )

    def _add(self, known: dict[str, IniSection], section: IniSection) -> None:
        """Keep a section; the keys of a second one of the same name are still looked at."""
        first = known.setdefault(section.name, section)
        if first is section:
            self.lines[section.name, ""] = section.line
            return
        self._wrong(
            section.line, f"the section is there already, on line {first.line}", section.name
        )
        first.keys.extend(section.keys)

    def _values(self, section: IniSection, settings: type[Any]) -> dict[str, Any]:
        """Return the values of a section by attribute, leaving out what could not be read."""
        known = keys_of(settings)
        found: dict[str, IniKey] = {}
        for entry in section.keys:
            if entry.word not in known:
                self._wrong(
                    entry.line, _unknown_key(entry.word, section.name, known), section.name,
                    entry.word,
                )  # fmt: skip
                continue
            first = found.setdefault(entry.word, entry)
            if first is entry:
                self.lines[section.name, entry.word] = entry.line
            elif known[entry.word].noted.many == "lines":
                first.lines.extend(entry.lines)
            else:
                why = f"the key is there already, on line {first.line}"
                self._wrong(entry.line, why, section.name, entry.word)
        values: dict[str, Any] = {}
        for word, entry in found.items():
            value, wrong = read_value(known[word], entry.lines)
            values[known[word].attribute] = value
            for bad in wrong:
                self._wrong(bad.line, str(bad), section.name, word)
        return values

    def _wrong(self, line: int, why: str, section: str = "", key: str = "") -> None:
        if key:
            self.unread.add((section, key))
        place = f"{self.path}:{line}"
        self.errors.append((line, ConfigError(why, section=section, key=key, where=place)))


def _unknown_key(word: str, section: str, known: Iterable[str]) -> str:
    elsewhere = [name for name, settings in SECTIONS.items() if word in keys_of(settings)]
    if elsewhere:
        return f"unknown key here; it belongs into [{'] or ['.join(elsewhere)}]"
    return f"unknown key{_nearest(word, known)}"


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` where one of the names is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
