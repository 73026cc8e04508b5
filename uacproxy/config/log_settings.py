"""The settings of the log: section ``[log]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.settings import setting


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is told, how and where."""

    level: str = setting(
        "info",
        choices=("debug", "info", "warn", "error"),
        doc="The least important level that is written.",
    )
    file: str = setting(
        "",
        names="made",
        doc="File to write to. Empty: standard output, or where `twistd` was told to log.",
    )
    format: str = setting(
        "text",
        choices=("text", "json"),
        doc="`text` is one line for people, `json` one object a line for machines.",
    )
