"""Where log events go: section ``[log]`` on top of ``twisted.logger``.

Without a file events go to whatever ``twistd`` was told to log to; the level is ours
either way.
"""

from __future__ import annotations

import sys
from typing import Any, Final, TextIO, final

from twisted.logger import (
    ILogObserver,
    Logger,
    LogLevel,
    globalLogPublisher,
    jsonFileLogObserver,
    textFileLogObserver,
)

from uacproxy.errors import ConfigError

_LEVELS: Final = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warn": LogLevel.warn,
    "error": LogLevel.error,
}
_IN_ORDER: Final = (*_LEVELS.values(), LogLevel.critical)


@final
class LeveledLogger(Logger):
    """A logger that makes no event of what is not written.

    The filters of ``twisted.logger`` ask only when the event is made, and they sort the
    levels for each question: 5 microseconds of each transition of an account.
    """

    def __init__(self, level: str, observer: ILogObserver, name: str = "uacproxy") -> None:
        super().__init__(namespace=name, observer=observer)
        self._written = frozenset(_IN_ORDER[_IN_ORDER.index(_LEVELS[level]) :])
        for name, each in _LEVELS.items():
            if each not in self._written:
                setattr(self, name, _write_nothing)  # with nothing to look up and pass on

    def emit(self, level: Any, format: str | None = None, **values: object) -> None:
        """Write an event of this level, or nothing."""
        if level in self._written:
            super().emit(level, format, **values)


def _write_nothing(_format: str | None = None, **_values: object) -> None:
    """Stand in for a level that is not written."""


def open_log(level: str, file: str, form: str, name: str = "uacproxy") -> Logger:
    """Return the service's logger.

    Args:
        level: debug, info, warn or error: the least important that is written.
        file: appended to; "" for twistd's log.
        form: text, or json for one object a line.
        name: of who writes, in each line.

    Raises:
        ConfigError: the file cannot be opened.
    """
    return LeveledLogger(level, _observer(file, form), name)


def _observer(file: str, form: str) -> ILogObserver:
    out: TextIO | None = None
    if file:
        try:
            out = open(file, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  (as long as we live)
        except OSError as error:
            raise ConfigError(
                f"cannot open {file}: {error.strerror}", section="log", key="file"
            ) from error
    elif form == "json":
        out = sys.__stdout__
    if out is None:
        return globalLogPublisher
    if form == "json":
        return jsonFileLogObserver(out, recordSeparator="")  # lines and nothing between them
    return textFileLogObserver(out)
