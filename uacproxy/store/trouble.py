"""Trouble with a medium: every time counted, each kind told to the operator once."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.errors import UacproxyError
from uacproxy.ports import Log


@final
class Trouble:
    """From the first failure of a kind to the next success; then it may be told again."""

    def __init__(self, medium: str, *, log: Log, count: Callable[[str], None]) -> None:
        self._medium = medium
        self._log = log
        self._count = count
        self._told: set[str] = set()

    def met(self, error: UacproxyError) -> None:
        """Count by ``error.code``; log each reason once from one success to the next."""
        self._count(error.code)
        self._tell_once(f"{error}; local memory serves, writes are kept")

    def dropped(self) -> None:
        """Count a write that gave way to newer ones."""
        self._count("store-write-dropped")
        self._tell_once("too many writes wait; the oldest are dropped")

    def over(self) -> None:
        """Hear that the medium works."""
        if self._told:
            self._told.clear()
            self._log.info("store {medium}: works again", medium=self._medium)

    def lost(self, writes: int) -> None:
        """Hear how many writes the end of the service leaves unwritten."""
        if writes:
            self._log.error(
                "store {medium}: closed with {writes} writes not written",
                medium=self._medium,
                writes=writes,
            )

    def _tell_once(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            self._log.warn("store {medium}: {why}", medium=self._medium, why=why)
