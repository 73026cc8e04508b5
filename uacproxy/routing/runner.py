"""Running handlers: plain functions at once, coroutines until they end, errors contained."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, final

from uacproxy.counters import ProxyCounters
from uacproxy.errors import ScriptError
from uacproxy.ports import Log, Spawn
from uacproxy.routing.actions import Bridge, Drop, Relay, Reply
from uacproxy.routing.script import Handler, script_error

Outcome = Relay | Reply | Drop | Bridge | None


@final
class Runner:
    """Calls handlers of the script in force; whatever they raise is logged with file and line."""

    __slots__ = ("_counters", "_log", "_spawn")

    def __init__(self, spawn: Spawn, counters: ProxyCounters, log: Log) -> None:
        self._spawn = spawn
        self._counters = counters
        self._log = log

    def run(
        self,
        handler: Handler,
        ctx: object,
        file: str,
        then: Callable[[Outcome], None],
        failed: Callable[[ScriptError], None],
    ) -> None:
        """Run one handler with its one argument, a ``RouteContext`` or an event.

        Calls:
            then: with what it returned, before this returns where the handler is a plain
                function.
            failed: instead, with file and line, when it raised or returned nonsense.
        """
        try:
            result = handler(ctx)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a function may raise)
            self._fail(error, file, failed)
            return
        if result is None or isinstance(result, (Relay, Reply, Drop, Bridge)):
            then(result)
        elif inspect.iscoroutine(result) or hasattr(result, "addCallbacks"):  # or a Deferred
            self._spawn(
                result,
                lambda value: self._settle(value, handler, file, then, failed),
                lambda error: self._fail(error, file, failed),
            )
        else:
            self._settle(result, handler, file, then, failed)

    def _settle(
        self,
        result: Any,
        handler: Handler,
        file: str,
        then: Callable[[Outcome], None],
        failed: Callable[[ScriptError], None],
    ) -> None:
        if result is None or isinstance(result, (Relay, Reply, Drop, Bridge)):
            then(result)
            return
        code = getattr(inspect.unwrap(handler), "__code__", None)
        line = 0 if code is None else code.co_firstlineno
        why = f"a handler returned {type(result).__name__}, not Relay, Reply, Drop, Bridge or None"
        self._fail(ScriptError(why, file=file, line=line), file, failed)

    def _fail(self, error: BaseException, file: str, failed: Callable[[ScriptError], None]) -> None:
        told = script_error(error, file)
        self.report(told)
        failed(told)

    def report(self, error: ScriptError) -> None:
        """Count and log a mistake of the script."""
        self._counters.script_errors += 1
        self._log.error("route script failed: {error}", error=str(error))
