"""From the text of one key to its value, and back to text for people.

Driven by the field's type and by what ``uacproxy.settings.setting`` noted on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, final, get_type_hints

from uacproxy.errors import OwnMistake
from uacproxy.settings import Setting, setting_of

MASK = "********"

_YES_NO = {
    "yes": True, "on": True, "true": True, "1": True,
    "no": False, "off": False, "false": False, "0": False,
}  # fmt: skip
_NUMBER = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:).*(@)")
_QUERY_PASSWORD = re.compile(r"([?&](?:password|passwd|passphrase|pwd)=)[^&]*", re.IGNORECASE)


@final
class Key:
    """One key of a section: its attribute, its word in the file, its type and what was noted."""

    __slots__ = ("attribute", "declared", "kind", "noted", "word")

    def __init__(self, declared: Field[Any], kind: object, noted: Setting) -> None:
        self.declared = declared
        self.attribute = declared.name
        self.word = noted.key or declared.name
        self.kind = kind
        self.noted = noted

    @property
    def default(self) -> Any:
        """Return the value of an absent key."""
        if self.declared.default_factory is not MISSING:
            return self.declared.default_factory()
        return self.declared.default


def keys_of(section: type[Any]) -> dict[str, Key]:
    """Return the keys of a settings dataclass by their word in the file, in its order."""
    kinds = get_type_hints(section)
    keys = {}
    for declared in fields(section):
        noted = setting_of(declared)
        if noted is not None:
            key = Key(declared, kinds[declared.name], noted)
            keys[key.word] = key
    return keys


@final
class BadValue(ValueError):
    """A value that cannot be read; ``line`` is where its wrong part stands."""

    def __init__(self, why: str, line: int) -> None:
        super().__init__(why)
        self.line = line


def read_value(key: Key, lines: Sequence[tuple[int, str]]) -> tuple[Any, list[BadValue]]:
    """Turn the lines of one key into its value.

    Args:
        key: the key they belong to.
        lines: line number and text, stripped; more than one only for a folded value.

    Returns:
        The value, and all that is wrong with it; the value is the default where it cannot
        be read as a whole.
    """
    first = lines[0][0] if lines else 0
    if key.noted.many in ("", "folded"):
        filled = [(line, text) for line, text in lines if text]
        if len(filled) > 1 and not key.noted.many:
            why = "one value belongs here; this line, being indented, would continue it"
            return key.default, [BadValue(why, filled[1][0])]
        text = " ".join(text for _, text in filled)
        try:
            return _read_one(key, text), []
        except ValueError as error:
            return key.default, [BadValue(str(error), first)]
    values: list[Any] = []
    wrong: list[BadValue] = []
    for line, text in lines:
        for item in text.split() if key.noted.many == "words" else [text]:
            if not item:
                continue
            try:
                values.append(key.noted.parse(item) if key.noted.parse else item)
            except ValueError as error:
                wrong.append(BadValue(str(error), line))
    return (key.default if wrong else tuple(values)), wrong


def _read_one(key: Key, text: str) -> Any:
    noted = key.noted
    if not text and key.default in ("", None):
        return key.default
    if noted.parse is not None:
        return noted.parse(text)
    if noted.choices:
        if text.lower() not in noted.choices:
            raise ValueError(f"'{text}' is none of {', '.join(noted.choices)}")
        return text.lower()
    if key.kind is bool:
        if text.lower() not in _YES_NO:
            raise ValueError(f"'{text}' is neither yes nor no")
        return _YES_NO[text.lower()]
    if key.kind is int or key.kind is float:
        return _read_number(key, text)
    if key.kind is str:
        return text
    raise OwnMistake(f"no way to read a {key.kind} for {key.word}")


def _read_number(key: Key, text: str) -> int | float:
    noted = key.noted
    matched = _NUMBER.fullmatch(text)
    if matched is None:
        raise ValueError(f"'{text}' is no number")
    number = float(matched[1]) * _factor(matched[2], noted.unit)
    if key.kind is int and abs(number - round(number)) > 1e-6:
        raise ValueError(f"'{text}' is no whole number{f' of {noted.unit}' if noted.unit else ''}")
    if not (noted.low is None or number >= noted.low) or not (
        noted.high is None or number <= noted.high
    ):
        raise ValueError(f"'{text}' is out of range: {allowed_range(noted)}")
    return round(number) if key.kind is int else round(number, 6)


def _factor(written: str, unit: str) -> float:
    """Return what a number in the ``written`` unit is multiplied by to be in ``unit``."""
    written = written.lower()
    if written in ("", unit):
        return 1.0
    if not unit:
        raise ValueError(f"unit '{written}' where a plain number belongs")
    if unit in _SECONDS:
        if written in _SECONDS:
            return _SECONDS[written] / _SECONDS[unit]
        raise ValueError(f"unknown unit '{written}'; one of {', '.join(_SECONDS)} may stand here")
    raise ValueError(f"unknown unit '{written}'; this counts {unit}")


def allowed_range(noted: Setting) -> str:
    """Return the range in words: ``1 to 100 ms``, ``at least 1``; empty without limits."""
    unit = f" {noted.unit}" if noted.unit else ""
    if noted.low is not None and noted.high is not None:
        return f"{noted.low:.15g} to {noted.high:.15g}{unit}"
    if noted.low is not None:
        return f"at least {noted.low:.15g}{unit}"
    return f"at most {noted.high:.15g}{unit}" if noted.high is not None else ""


def value_text(key: Key, value: object) -> str:
    """Return a value as it could stand in the file, passwords masked."""
    if value is None or value == "" or value == ():
        return ""
    if key.noted.secret:
        return MASK
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.15g}"
    if key.noted.many in ("words", "lines") and isinstance(value, tuple):
        return " ".join(str(item) for item in value)
    return masked_url(str(value)) if key.noted.names == "url" else str(value)


def masked_url(url: str) -> str:
    """Return a URL with the passwords in it replaced."""
    return _QUERY_PASSWORD.sub(rf"\g<1>{MASK}", _URL_PASSWORD.sub(rf"\g<1>{MASK}\g<2>", url))
