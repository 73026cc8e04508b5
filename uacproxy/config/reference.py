"""``python -m uacproxy.config.reference`` prints docs/configuration.md from the settings."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from uacproxy.config.schema import RULE_PREFIX, SECTIONS
from uacproxy.config.values import Key, allowed_range, keys_of, value_text
from uacproxy.routing.settings import RuleSettings

_HEAD = """\
# Configuration

<!-- Made by `python -m uacproxy.config.reference`; edit the settings, not this page. -->

uacproxy reads one ini file, given to `twistd uacproxy --config FILE`. `uacproxy-check FILE` reads
it without starting anything, prints every error with its line, section and key, and exits 0 or 78.
The service starts only with a file that is free of errors.

- A comment is a line that begins with `#` or `;`, or the rest of a value from a `;` that follows a
  space. `sip:gw.example;transport=tcp` therefore needs no care.
- A value goes on in the next line where that line is indented deeper than its key.
- Names of sections and keys are read without regard to case. A name that is not on this page is an
  error, and so is a section or key that stands there twice.
- yes may also be written `on`, `true` or `1`; no `off`, `false` or `0`.
- Times may carry a unit: `ms`, `s`, `min`, `h` or `d`, as in `500ms`. Without one the unit in the
  table counts.
- A relative file name starts at one of two places. What the service only reads (the route script,
  certificates, `manhole_keys`) is looked for beside the ini file. What it makes and writes (`sqlite:///FILE`,
  `unix:FILE`, the log, the manhole's host key) starts at the working directory: where `make run` or
  `twistd` was started, `/var/lib/uacproxy` under the systemd unit. `sqlite:////FILE` with four
  slashes is absolute.
"""


def reference() -> str:
    """Return the page."""
    parts = [_HEAD]
    for name, settings in SECTIONS.items():
        parts.append(_section(name, settings))
        if name == "routing":
            parts.append(_section(RULE_PREFIX + "NAME", RuleSettings))
    return "\n".join(parts)


def _section(name: str, settings: type[Any]) -> str:
    rows = [_row(key) for key in keys_of(settings).values()]
    head = ["| key | default | value | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## [{name}]\n", f"{inspect.getdoc(settings)}\n", *head, *rows, ""])


def _row(key: Key) -> str:
    default = value_text(key, key.default)
    cells = [f"`{key.word}`", f"`{default}`" if default else "", _kind(key), key.noted.doc]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(key: Key) -> str:
    noted = key.noted
    if noted.choices:
        return ", ".join(f"`{choice}`" for choice in noted.choices)
    if key.kind is bool:
        return "yes or no"
    if key.kind is int or key.kind is float:
        number = "whole number" if key.kind is int else "number"
        return f"{number}, {allowed_range(noted)}".rstrip(", ")
    several = {
        "words": "several, separated by spaces",
        "lines": "several, one a line",
        "folded": "text",
    }
    said = several.get(noted.many) or {
        "file": "file", "made": "file", "url": "URL", "endpoint": "Twisted endpoint",
    }.get(noted.names, "text")  # fmt: skip
    return f"{said}; never shown" if noted.secret else said


if __name__ == "__main__":
    sys.stdout.write(reference())
