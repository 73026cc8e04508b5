"""uacproxy under ``twistd``, saying when the collector, the store and the timers were at work.

    python -m bench.watched FILE -n --pidfile= uacproxy --config INI

At its end it writes a JSON object to FILE: ``collections``, each with its begin and end (ns of
the epoch) and its generation; ``flushes``, begin and end of what the reactor's thread does to
hand a batch over and what the store's thread does to write it; ``beats``, in which transactions'
timers run; and ``sweeps``, in which what ended is forgotten.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.scripts.twistd import run

from uacproxy.app import Application
from uacproxy.store.sqlite_file import SqliteFile
from uacproxy.store.write_behind import WriteBehind

Span = tuple[int, int, int]
"""Begin and end (ns of the epoch), and the generation of a collection."""


class Watch:
    """What was seen so far."""

    def __init__(self) -> None:
        self.collections: list[Span] = []
        self.flushes: list[Span] = []
        self.beats: list[Span] = []
        self.sweeps: list[Span] = []
        self._began = 0

    def collecting(self, phase: str, about: dict[str, int]) -> None:
        """Hear of a collection, as ``gc.callbacks`` do."""
        if phase == "start":
            self._began = time.time_ns()
        else:
            self.collections.append((self._began, time.time_ns(), about["generation"]))

    def timed(self, spans: list[Span], function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls are noted."""

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            began = time.time_ns()
            try:
                return function(*arguments)
            finally:
                spans.append((began, time.time_ns(), 0))

        return call

    def write(self, file: Path) -> None:
        """Write it down."""
        spans = {name: kept for name, kept in vars(self).items() if not name.startswith("_")}
        file.write_text(json.dumps(spans))


def main() -> None:
    """Watch, and be twistd."""
    watch = Watch()
    atexit.register(watch.write, Path(sys.argv.pop(1)).absolute())
    gc.callbacks.append(watch.collecting)
    for owner, name, spans in (
        (WriteBehind, "_flush", watch.flushes),
        (SqliteFile, "write", watch.flushes),
        (Application, "_beat", watch.beats),
        (Application, "_sweep", watch.sweeps),
    ):
        setattr(owner, name, watch.timed(spans, getattr(owner, name)))
    twistd: Callable[[], None] = run
    twistd()


if __name__ == "__main__":
    main()
