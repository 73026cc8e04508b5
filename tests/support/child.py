"""A child process run to its end, and the trouble that is logged meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher

ROOT = Path(__file__).parents[2]
ENDS_WITHIN = 60.0  # s, or the child is killed and the test sees that


class Run(ProcessProtocol):
    """One run of a program: ``ended`` fires with exit status, standard output, standard error."""

    transport: Any  # the process

    def __init__(self) -> None:
        self.out, self.err = b"", b""
        self.ended: Deferred[tuple[int, str, str]] = Deferred()
        self.patience: IDelayedCall | None = None
        self._over = False
        self._awaited: list[tuple[bytes, Deferred[None]]] = []

    def saying(self, words: bytes) -> Deferred[None]:
        """Return what fires once ``words`` are on standard output, or the program has ended."""
        said: Deferred[None] = Deferred()
        self._awaited.append((words, said))
        self._tell([one for one in self._awaited if self._over or one[0] in self.out])
        return said

    def outReceived(self, data: bytes) -> None:  # noqa: N802  (Twisted's name)
        self.out += data
        self._tell([one for one in self._awaited if one[0] in self.out])

    def errReceived(self, data: bytes) -> None:  # noqa: N802
        self.err += data

    def processEnded(self, reason: Any) -> None:  # noqa: N802
        if self.patience is not None and self.patience.active():
            self.patience.cancel()
        self._over = True
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
    at = cast(Any, reactor)
    child = at.spawnProcess(run, argv[0], list(argv), env=environment, path=str(cwd), usePTY=pty)
    run.patience = at.callLater(ENDS_WITHIN, child.signalProcess, "KILL")
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


@contextmanager
def tracebacks_logged() -> Iterator[list[Any]]:
    """Collect what is logged with a traceback; of itself conch calls a goodbye an error."""
    tracebacks: list[Any] = []
    with trouble_logged() as seen:
        try:
            yield tracebacks
        finally:
            tracebacks += [event for event in seen if event.get("log_failure") is not None]
