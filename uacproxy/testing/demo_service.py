"""uacproxy itself in the demonstration: ``twistd uacproxy`` as a child process."""

# mypy: untyped-calls-exclude="twisted"

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedInVain
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.protocol import ProcessProtocol
from twisted.protocols.amp import AMP
from twisted.python.failure import Failure

import uacproxy
from uacproxy.manage.amp import ask
from uacproxy.manage.endpoint import client_description
from uacproxy.manage.verb import Fault
from uacproxy.testing.peer import OffScript

STARTS_WITHIN: Final = 15.0  # s
STOPS_WITHIN: Final = 8.0  # s
ANSWERS_WITHIN: Final = 5.0  # s

_READY: Final = "listens on"
_RUN_TWISTD: Final = "from twisted.scripts.twistd import run; run()"


@final
class ServiceProcess(ProcessProtocol):
    """One run of the service in ``folder``; what it says is kept."""

    transport: Any  # the process

    def __init__(self, reactor: Any, folder: Path, config: Path) -> None:
        """Start it."""
        self.command = ["twistd", "-n", "--pidfile=", "uacproxy", "--config", str(config)]
        self._reactor = reactor
        self._folder = folder
        self._said = b""
        self._ready: Deferred[None] = Deferred()
        self._how = ""  # it ended; "" while it runs
        self._stopping: list[Deferred[str]] = []
        twistd = Path(sys.executable).with_name("twistd")
        program = [str(twistd)] if twistd.exists() else ["-c", _RUN_TWISTD]
        argv = [sys.executable, *program, *self.command[1:]]
        process = reactor.spawnProcess(
            self, sys.executable, argv, env=_environment(), path=str(folder)
        )
        self._pid: int = process.pid
        reactor.addSystemEventTrigger("before", "shutdown", self.kill)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._pid

    @property
    def log(self) -> str:
        """Return all that it has said."""
        return self._said.decode("utf-8", "replace")

    async def listens(self) -> None:
        """Wait until it says that it is there.

        Raises:
            OffScript: it ends, or takes too long.
        """
        self._ready.addTimeout(STARTS_WITHIN, self._reactor)
        try:
            await self._ready
        except WaitedInVain:
            seen = f"nothing of it within {STARTS_WITHIN:g} s"
            raise OffScript("the demo", "a service that listens", seen) from None

    async def ask(self, verb: str, *arguments: str) -> Any:
        """Return what ``uacctl VERB ARGUMENT...`` would be answered.

        Raises:
            OffScript: a fault, or no answer.
        """
        try:
            return await self._ask(verb, arguments)
        except (Fault, ConnectError, ConnectionClosed, WaitedInVain) as error:
            asked = f"an answer to uacctl {verb}"
            raise OffScript("the demo", asked, str(error) or type(error).__name__) from error

    async def _ask(self, verb: str, arguments: Sequence[str]) -> Any:
        socket = f"unix:{self._folder / 'uacproxy.sock'}"
        endpoint = clientFromString(self._reactor, client_description(socket))
        connection = await connectProtocol(endpoint, AMP())
        try:
            pages = ask(connection, verb, arguments, patience=ANSWERS_WITHIN, clock=self._reactor)
            page = await anext(pages)  # explain and uac.reg_info have no more than one
            return page.content
        finally:
            connection.transport.loseConnection()

    async def stop(self) -> str:
        """Send SIGTERM, where that is still to be done, and return how it ended, in words."""
        if self._how:
            return self._how
        self.transport.signalProcess("TERM")
        ended: Deferred[str] = Deferred()
        self._stopping.append(ended)
        ended.addTimeout(STOPS_WITHIN, self._reactor)
        try:
            return await ended
        except WaitedInVain:
            self.kill()
            return f"still running after {STOPS_WITHIN:g} s"

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if not self._how:
            self.transport.signalProcess("KILL")

    # -- Twisted tells ---------------------------------------------------------------------

    def outReceived(self, data: bytes) -> None:  # noqa: N802
        """Keep what it says."""
        self._said += data
        if _READY in self.log and not self._ready.called:
            self._ready.callback(None)

    def errReceived(self, data: bytes) -> None:  # noqa: N802
        """Keep what it says on standard error, in its place among the rest."""
        self._said += data

    def processEnded(self, reason: Failure) -> None:  # noqa: N802
        """Tell whoever waits."""
        how: Any = reason.value
        self._how = f"signal {how.signal}" if how.signal else f"exit status {how.exitCode}"
        if not self._ready.called:
            self._ready.errback(OffScript("the demo", "a service that listens", self._how))
        for ended in self._stopping:
            if not ended.called:
                ended.callback(self._how)


def _environment() -> dict[str, str]:
    """Let the child import the very package that runs here."""
    root = str(Path(uacproxy.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root,
        "PYTHONUNBUFFERED": "1",
    }
