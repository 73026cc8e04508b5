"""One run of ``make bench``: what is told, what is kept, and how long it still takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from rich.console import Console

from bench.machine import describe_machine
from bench.options import Options


class Session:
    """What every measurement is handed: the options, the console and ``bench.json``.

    A measurement tells each figure as it comes (``tell``) and keeps its result as often as
    it knows more (``keep``), so that an interruption loses nothing.
    """

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.name = ""
        self._began = time.monotonic()
        self._ends_at = self._began

    def begin(self, name: str, left: float) -> None:
        """Begin a measurement; ``left`` is how many s it and all after it take."""
        self.name = name
        self._ends_at = time.monotonic() + left

    def tell(self, text: str) -> None:
        """Print one line, with the time that went by and the time that is left."""
        now = time.monotonic()
        left = max(0.0, self._ends_at - now)
        self.console.print(
            f"[{minutes(now - self._began)}, {minutes(left)} left] {text}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def keep(self, result: dict[str, Any]) -> None:
        """Write the result of the present measurement; those of others stay as they were."""
        file = self.options.results
        file.parent.mkdir(parents=True, exist_ok=True)
        before: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        kept = {**before, "machine": describe_machine(), self.name: result}
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(kept, indent=1) + "\n")
        partial.replace(file)


class Measurement(NamedTuple):
    """One thing that ``make bench`` can measure."""

    name: str
    title: str
    run: Callable[[Session], None]
    lasts: Callable[[Options], float]  # s, about
    is_usual: bool = True  # runs when no name is given


def minutes(seconds: float) -> str:
    """Return a duration as M:SS."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
