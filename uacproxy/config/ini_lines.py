"""An ini file as sections and keys that know their line.

``configparser`` forgets where a key stood, so the lines are read here. The rules are
its rules where an operator would notice:

- a comment is a line that begins with ``#`` or ``;``, or ends a value from a ``;`` that
  follows white space;
- a line indented deeper than the key above continues its value;
- keys and section names are compared without case; ``%`` means nothing special.

The text of a value may be a secret, so no error repeats a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import final

_SECTION = re.compile(r"\[\s*([^\]\[]*?)\s*\]\s*(?:[;#].*)?")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)\s*=(.*)", re.DOTALL)
_INLINE_COMMENT = re.compile(r"(?:^|(?<=\s));.*", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@final
@dataclass(slots=True)
class IniKey:
    """One occurrence of a key: its word in small letters and the lines of its value."""

    word: str
    line: int
    lines: list[tuple[int, str]]


@final
@dataclass(slots=True)
class IniSection:
    """One occurrence of a section and the keys under it."""

    name: str
    line: int
    keys: list[IniKey] = field(default_factory=list)


def read_lines(octets: bytes) -> tuple[list[IniSection], list[tuple[int, str]]]:
    """Cut a file into sections and keys.

    Returns:
        The sections in the order of the file, and line number and reason of each line
        that cannot be read; reading goes on behind it.
    """
    sections: list[IniSection] = []
    wrong: list[tuple[int, str]] = []
    key: IniKey | None = None
    indent = 0  # of the key above
    lost = False  # the key above could not be read, so neither can what continues it
    for number, raw in enumerate(octets.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            wrong.append((number, f"octet {error.start + 1} of the line is not UTF-8"))
            continue
        stripped = line.strip(" \t")
        if not stripped or stripped[0] in "#;":
            continue
        if _CONTROL.search(line):
            wrong.append((number, "a control character in the line"))
            continue
        depth = len(line) - len(line.lstrip(" \t"))
        if (key is not None or lost) and depth > indent:
            if key is not None:
                key.lines.append((number, _value(stripped)))
            continue
        key, lost, indent = None, False, depth
        header = _SECTION.fullmatch(stripped)
        if header is not None:
            sections.append(IniSection(header[1], number))
            continue
        matched = _KEY.fullmatch(stripped)
        if matched is None:
            lost = True
            wrong.append((number, "neither [section] nor key = value nor a comment"))
        elif not sections:
            lost = True
            wrong.append((number, f"{matched[1]} stands before the first [section]"))
        else:
            key = IniKey(matched[1].lower(), number, [(number, _value(matched[2]))])
            sections[-1].keys.append(key)
    return sections, wrong


def _value(text: str) -> str:
    return _INLINE_COMMENT.sub("", text).strip(" \t")
