"""A log whose lines a test can read."""

from __future__ import annotations


class KeptLog:
    """Fits ``ports.Log``; keeps level and text of every line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def told(self, level: str) -> list[str]:
        """Return the lines of one level."""
        return [text for at, text in self.lines if at == level]

    def debug(self, format: str, **values: object) -> None:
        self.lines.append(("debug", format.format(**values)))

    def info(self, format: str, **values: object) -> None:
        self.lines.append(("info", format.format(**values)))

    def warn(self, format: str, **values: object) -> None:
        self.lines.append(("warn", format.format(**values)))

    def error(self, format: str, **values: object) -> None:
        self.lines.append(("error", format.format(**values)))
