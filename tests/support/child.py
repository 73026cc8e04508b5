"""A child process run to its end, and the trouble that is logged meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher

ROOT = Path(__file__).parents[2]


class Run(ProcessProtocol):
    """One run of a program: ``ended`` fires with exit status, standard output, standard error."""

    def __init__(self) -> None:
        self.out, self.err = b"", b""
        self.ended: Deferred[tuple[int, str, str]] = Deferred()
        self._awaited: list[tuple[bytes, Deferred[None]]] = []

    def saying(self, words: bytes) -> Deferred[None]:
        """Return what fires once ``words`` are on standard output, or the program has ended."""
        said: Deferred[None] = Deferred()
        self._awaited.append((words, said))
        self.outReceived(b"")
        return said

    def outReceived(self, data: bytes) -> None:  # noqa: N802  (Twisted's name)
        self.out += data
        self._tell([one for one in self._awaited if one[0] in self.out])

    def errReceived(self, data: bytes) -> None:  # noqa: N802
        self.err += data

    def processEnded(self, reason: Any) -> None:  # noqa: N802
        self._tell(list(self._awaited))
        ended = (reason.value.exitCode, self.out.decode("utf-8", "replace"), self.err.decode())
        self.ended.callback(ended)

    def _tell(self, fulfilled: list[tuple[bytes, Deferred[None]]]) -> None:
        for one in fulfilled:
            self._awaited.remove(one)
            one[1].callback(None)


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    pty: bool = False,
) -> Run:
    """Start a program that finds the package under test, on a terminal of its own or on pipes."""
    run = Run()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(env or {})}
    cast(Any, reactor).spawnProcess(
        run, argv[0], list(argv), env=environment, path=str(cwd), usePTY=pty
    )
    return run


@contextmanager
def trouble_logged() -> Iterator[list[Any]]:
    """Collect what is logged at error and above while the block runs."""
    seen: list[Any] = []

    def observe(event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.error or event.get("isError"):
            seen.append(event)

    globalLogPublisher.addObserver(cast(ILogObserver, observe))
    try:
        yield seen
    finally:
        globalLogPublisher.removeObserver(cast(ILogObserver, observe))
