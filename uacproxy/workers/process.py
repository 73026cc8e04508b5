"""One worker as its starter sees it: started, asked, started again when it dies.

Each start is later than the one before by ``BACK_OFF``, doubled up to ``LONGEST_WAIT``, until
a worker has lived for ``LIVED_LONG``.
"""

# mypy: allow-untyped-calls
# (AMP of Twisted has no annotations)

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import Factory, ProcessProtocol, connectionDone
from twisted.protocols.amp import AMP, AmpError, BinaryBoxProtocol
from twisted.python.failure import Failure

from uacproxy.manage.amp import Page, ask
from uacproxy.manage.verb import Fault
from uacproxy.ports import Log
from uacproxy.transport.place import WORKER
from uacproxy.workers.inheritance import Inheritance

PROGRAM: Final = "uacproxy.worker"
BACK_OFF: Final = 0.1  # s
LONGEST_WAIT: Final = 30.0  # s
LIVED_LONG: Final = 60.0  # s
READY_WITHIN: Final = 60.0  # s
PATIENCE: Final = 25.0  # s for an answer, less than uacctl waits

Inherit = Callable[[int, bool, int], Inheritance]
"""Makes what a worker is born with: number, whether it is its first start, its door."""


@final
class WorkerProcess:
    """The process that has one number, whichever that is just now."""

    def __init__(
        self, number: int, *, inherit: Inherit, reactor: Any, log: Log, program: str = PROGRAM
    ) -> None:
        """Begin without a process.

        Args:
            number: from 0.
            inherit: makes what it is born with.
            reactor: Twisted's.
            log: hears of deaths.
            program: the module to run.
        """
        self.number = number
        self.pid = 0  # 0: there is none just now
        self.restarts = 0
        self.is_ready = False  # it has answered
        self.is_stopping = False  # it was asked to
        self.started_at = 0.0
        self.status = 0  # of the last that ended
        self._inherit = inherit
        self._reactor = reactor
        self._log = log
        self._program = program
        self._wait = BACK_OFF
        self._was_ready = False  # at any time
        self._again: Any = None  # a timer
        self._door: AMP | None = None
        self._ended: list[Deferred[None]] = []

    @property
    def name(self) -> str:
        """Return what operators call it."""
        return f"{WORKER} {self.number + 1}"

    @property
    def state(self) -> str:
        """Return in a word how it stands."""
        if not self.pid:
            return "away"
        return "works" if self.is_ready else "starts"

    def start(self) -> None:
        """Start a process."""
        self._again = None
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        inheritance = self._inherit(self.number, self.started_at == 0.0, there.fileno())
        file = inheritance.write()
        words = ["-m", self._program, str(file), f"{self.number + 1}/{inheritance.workers}"]
        numbers = [0, 1, 2, file, *inheritance.descriptors]
        self.started_at = self._reactor.seconds()
        with here, there:
            process = self._reactor.spawnProcess(
                _Watch(self._process_ended),
                sys.executable,
                [sys.executable, *words],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                childFDs={number: number for number in numbers},
            )
            os.close(file)
            self.pid = process.pid
            door = _Door()
            self._door = door
            factory = Factory.forProtocol(lambda: door)
            factory.noisy = False
            self._reactor.adoptStreamConnection(here.fileno(), here.family, factory)

    async def ready(self) -> bool:
        """Wait for the first answer; False: it has ended without one, with ``status``."""
        try:
            async for _ in self.ask("version", (), patience=READY_WITHIN):
                pass
        except Fault:
            if self.pid:
                ended: Deferred[None] = Deferred()
                self._ended.append(ended)
                self.signal(signal.SIGKILL)
                await ended
            return False
        self.is_ready = True
        self._was_ready = True
        return True

    async def ask(
        self, verb: str, arguments: Sequence[str], *, patience: float = PATIENCE
    ) -> AsyncIterator[Page]:
        """Run a verb there and yield its pages.

        Raises:
            Fault: what it answered, or 503 where it does not answer.
        """
        door = self._door
        if door is None:
            raise Fault(503, f"{self.name} is away")
        try:
            async for page in ask(door, verb, arguments, patience=patience, clock=self._reactor):
                yield page
        except NoAnswer:
            raise Fault(503, f"{self.name} gave no answer in {patience:.0f} s") from None
        except (ConnectionClosed, AmpError):
            raise Fault(503, f"{self.name} has ended") from None

    def stop(self) -> Deferred[None]:
        """Have it stop in order; fires when it has ended."""
        self.is_stopping = True
        ended: Deferred[None] = Deferred()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if not self.pid:
            ended.callback(None)
            return ended
        self._ended.append(ended)
        self.signal(signal.SIGTERM)
        return ended

    def signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if self.pid:
            os.kill(self.pid, number)

    def _process_ended(self, status: int) -> None:
        pid, self.pid = self.pid, 0
        self.status = status
        was_ready, self.is_ready = self.is_ready, False
        self._door = None
        ended, self._ended = self._ended, []
        for one in ended:
            one.callback(None)
        if self.is_stopping or not self._was_ready:
            return  # one that cannot be started at all is for the operator
        if self._reactor.seconds() - self.started_at >= LIVED_LONG:
            self._wait = BACK_OFF
        how = "died" if was_ready else "could not start"
        self._log.error(
            "{name}, process {pid}, {how} with status {status}; it is started again in {wait} s",
            name=self.name,
            pid=pid,
            how=how,
            status=status,
            wait=self._wait,
        )
        self.restarts += 1
        self._again = self._reactor.callLater(self._wait, self._start_again)
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _start_again(self) -> None:
        self.start()
        Deferred.fromCoroutine(self.ready())


@final
class _Door(AMP):
    """The starter's end of a worker's door; ``AMP`` would log two lines for each."""

    def makeConnection(self, transport: Any) -> None:  # noqa: N802  (Twisted's name)
        BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  (Twisted's name)
        BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None


@final
class _Watch(ProcessProtocol):
    def __init__(self, ended: Callable[[int], None]) -> None:
        self._tell = ended

    def processEnded(self, reason: Failure) -> None:  # noqa: N802  (Twisted's name)
        value: Any = reason.value  # ProcessDone or ProcessTerminated
        self._tell(value.exitCode if value.signal is None else -value.signal)
