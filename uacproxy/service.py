"""``twistd uacproxy``: options, the service, its ordered start and stop.

What is wrong in the configuration is printed, all of it, and ends the process with
status 78 (EX_CONFIG) before anything is opened. What cannot be opened is told in one
line and ends it with status 1: the next start may find the address free. SIGTERM and
SIGINT stop in order and end with status 0; SIGHUP loads the route script anew.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import Any, Final, final

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options as TwistedOptions

from uacproxy.app import Application
from uacproxy.config.check import load
from uacproxy.config.ini import ConfigErrors
from uacproxy.config.schema import Config
from uacproxy.errors import ScriptError, UacproxyError
from uacproxy.transport.place import WorkerPlace
from uacproxy.workers.master import Master, WorkerFailed

EX_CONFIG: Final = 78  # sysexits.h
EX_FAILED: Final = 1


class Options(TwistedOptions):
    """Command line of ``twistd uacproxy``."""

    synopsis = "[--config FILE]"
    longdesc = (
        "A SIP proxy that replaces identities, answers challenges and keeps trunks registered."
    )
    optParameters = [["config", "c", "uacproxy.ini", "The ini file with all settings."]]


def makeService(options: Options) -> IService:  # noqa: N802  (Twisted's name)
    """Read the configuration and return the service, not yet started.

    Raises:
        SystemExit: with status 78, after every error was printed.
    """
    try:
        config = load(str(options["config"])).resolved()
    except ConfigErrors as errors:
        for error in errors.errors:
            sys.stderr.write(f"{error}\n")
        raise SystemExit(EX_CONFIG) from None
    return UacproxyService(config)


@final
class UacproxyService(Service):
    """The Twisted service around an ``Application``."""

    name = "uacproxy"

    def __init__(self, config: Config, place: WorkerPlace | None = None) -> None:
        """Make a service of one process, of a worker at ``place``, or of all its workers."""
        self._config = config
        self._place = place
        self._application: Application | Master | None = None

    def startService(self) -> None:  # noqa: N802
        """Start once the reactor runs and signals are ours; a failure ends the process."""
        from twisted.internet import reactor  # its choice is the command line's

        super().startService()  # type: ignore[no-untyped-call]
        self._reactor: Any = reactor
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        self._take_signals()  # first, so that whoever reads that we listen may send one
        started = Deferred.fromCoroutine(self._start())
        started.addErrback(self._start_failed)

    async def _start(self) -> None:
        config = self._config
        if config.sip.workers > 1 and self._place is None:
            self._application = Master(config, self._reactor, self._stop_reactor)
        else:
            self._application = Application(config, self._reactor, self._stop_reactor, self._place)
        await self._application.start()

    def stopService(self) -> Deferred[None] | None:  # noqa: N802
        """Stop in order; the reactor waits for it."""
        super().stopService()  # type: ignore[no-untyped-call]
        application = self._application
        if application is None:
            return None
        self._application = None
        stopped: Deferred[None] = Deferred.fromCoroutine(application.stop())
        stopped.addErrback(lambda failure: application.log.failure("stop failed", failure=failure))
        return stopped

    def _start_failed(self, failure: Failure) -> None:
        application = self._application
        self._application = None
        error = failure.value
        log = Logger("uacproxy") if application is None else application.log
        if isinstance(error, UacproxyError):  # its words are for the operator, a traceback is not
            log.critical("cannot start: {why}", why=str(error))
        else:
            log.failure("cannot start", failure=failure)
        if self._config.log.file:  # whoever started it looks elsewhere
            sys.stderr.write(f"uacproxy: cannot start: {error}\n")
        status = EX_CONFIG if isinstance(error, (ConfigErrors, ScriptError)) else EX_FAILED
        _exit_with(error.exit_status if isinstance(error, WorkerFailed) else status)
        self._reactor.callWhenRunning(self._stop_reactor)

    def _take_signals(self) -> None:
        """Replace the reactor's handlers, which would end the process with the signal's status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_asked)
        signal.signal(signal.SIGHUP, self._reload_asked)

    def _stop_asked(self, *_ignored: object) -> None:
        self._reactor.callFromThread(self._stop_reactor)

    def _stop_reactor(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass  # asked twice: it is stopping

    def _reload_asked(self, *_ignored: object) -> None:
        self._reactor.callFromThread(self._reload_script)

    def _reload_script(self) -> None:
        application = self._application
        if application is None:
            return
        try:
            application.reload_script()
        except ScriptError as error:
            application.log.error("the old routing goes on: {error}", error=str(error))


def _exit_with(status: int) -> None:
    """Let the process end with ``status`` once twistd has cleaned up after itself."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(leave)
