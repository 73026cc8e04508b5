"""Where log events go: section ``[log]`` on top of ``twisted.logger``.

Without a file events go to whatever ``twistd`` was told to log to; the level is ours
either way.
"""

from __future__ import annotations

import sys
from typing import Final, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
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


def open_log(level: str, file: str, form: str) -> Logger:
    """Return the service's logger.

    Args:
        level: debug, info, warn or error: the least important that is written.
        file: appended to; "" for twistd's log.
        form: text, or json for one object a line.

    Raises:
        ConfigError: the file cannot be opened.
    """
    observer = _observer(file, form)
    least = LogLevelFilterPredicate(defaultLogLevel=_LEVELS[level])
    return Logger(namespace="uacproxy", observer=FilteringLogObserver(observer, [least]))


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
