"""One management door for all workers: who is asked what, and what becomes of the answers.

Counts are summed, lists put one behind the other, what is about one account asked of the
worker that has it, what changes all of them told to all. A worker that is away costs an
answer its part, and the stats say so; a verb that it had to hear is a fault that names it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, Protocol, final

from twisted.internet.defer import Deferred, DeferredList

from uacproxy.manage.operations import VERBS, unknown_verb
from uacproxy.manage.verb import Fault, Later, Parting, Result, Rows, Value
from uacproxy.ports import Log

AWAY: Final = 503
OF_ONE_ACCOUNT: Final = (
    *("uac.reg_info", "uac.reg_enable", "uac.reg_disable", "uac.reg_register"),
    *("uac.reg_unregister", "explain"),
)
OF_ALL: Final = (
    *("uac.reg_reload", "uac.reg_refresh", "uac.reg_active", "uac.reg_add", "uac.reg_remove"),
    *("account.changed", "reload-script", "drain", "undrain"),
)
EDITS: Final = ("account.put", "account.remove")
MOST_OF: Final = (  # gauges of what every worker has, or sees, in whole
    *("transport.missed", "uac.regtotal", "uac.regactive", "registrar.addresses"),
    *("instances.members", "instances.shards_owned", "instances.cut_off"),
)


class Asked(Protocol):
    """A worker that can be asked; see ``WorkerProcess``."""

    @property
    def name(self) -> str:
        """Return what operators call it."""

    @property
    def state(self) -> str:
        """Return in a word how it stands."""

    @property
    def pid(self) -> int:
        """Return its process, 0 for none."""

    @property
    def restarts(self) -> int:
        """Return how often it was started again."""

    @property
    def started_at(self) -> float:
        """Return when it was started, s."""

    def ask(self, verb: str, arguments: Sequence[str]) -> AsyncIterator[Any]:
        """Yield the pages of an answer; Fault: what it says, or that it is away."""


@final
class WorkerVerbs:
    """Fits ``RunsVerbs``."""

    def __init__(
        self,
        workers: Sequence[Asked],
        *,
        version: str,
        seconds: Callable[[], float],
        owner_of: Callable[[str], int] | None,
        shutdown: Callable[[], None],
        log: Log,
    ) -> None:
        """Speak for workers.

        Args:
            workers: all of them, by number.
            version: of the program.
            seconds: the clock of their ``started_at``, s.
            owner_of: returns the worker that has an account, by its l_uuid; None: that
                changes, and each knows to whom to pass a wish.
            shutdown: asks for the ordered stop.
            log: hears of a routing that is broken.
        """
        self._workers = workers
        self._version = version
        self._seconds = seconds
        self._started_at = seconds()
        self._owner_of = owner_of
        self._shutdown = shutdown
        self._log = log

    def call(self, name: str, arguments: Sequence[str]) -> Result:
        """Run one verb.

        Raises:
            Fault: 404 no such verb, 400 wrong arguments.
        """
        verb = VERBS.get(name)
        if verb is None:
            raise Fault(404, unknown_verb(name))
        if not verb.takes(len(arguments)):
            raise Fault(400, "Invalid Parameters")
        words = list(arguments)
        if name == "help":
            return ({"verb": one.usage, "does": one.doc} for one in VERBS.values())
        if name == "version":
            uptime = int(self._seconds() - self._started_at)
            return {"version": self._version, "uptime": uptime, "workers": len(self._workers)}
        if name == "shutdown":
            return Parting("The service is stopping.", self._shutdown)
        if name == "workers":
            return self._rows()
        if name == "stats":
            return _later(self._stats())
        if name == "uac.reg_dump":
            return _later(self._dump())
        if name in OF_ONE_ACCOUNT:
            return _later(self._of_account(name, words))
        if name in OF_ALL:
            return _later(self._of_all(name, words))
        if name in EDITS:
            return _later(self._edit(name, words))
        return _later(self._one_behind_the_other(name, words))

    def reload_script(self) -> None:
        """Have every worker read the routing again; what is wrong with it is logged."""

        async def reload() -> None:
            try:
                await self._of_all("reload-script", [])
            except Fault as fault:
                self._log.error("{why}", why=fault.text)

        Deferred.fromCoroutine(reload())

    # -- ways to ask -----------------------------------------------------------------------

    async def _each(
        self, verb: str, arguments: list[str], workers: Sequence[Asked] | None = None
    ) -> list[Any]:
        """Ask workers at once; return a value or a list of rows for each, or a Fault."""

        async def one(worker: Asked) -> Any:
            try:
                return await _whole(worker, verb, arguments)
            except Fault as fault:
                return fault

        asked = self._workers if workers is None else workers
        results = await DeferredList([Deferred.fromCoroutine(one(worker)) for worker in asked])
        return [_sound(success, result) for success, result in results]

    async def _of_all(self, verb: str, arguments: list[str]) -> Value | Rows:
        """Tell all; the first answer counts where none refuses."""
        answers = await self._each(verb, arguments)
        faults = [
            (worker, answer)
            for worker, answer in zip(self._workers, answers, strict=True)
            if isinstance(answer, Fault)
        ]
        if faults:
            alike = {fault.text for _, fault in faults}
            if len(faults) == len(answers) and len(alike) == 1:
                raise faults[0][1]
            words = "; ".join(f"{worker.name}: {fault.text}" for worker, fault in faults)
            raise Fault(faults[0][1].code, words)
        return _result(answers[0])

    async def _of_account(self, verb: str, arguments: list[str]) -> Value | Rows:
        """Ask the worker that has an account; any one finds out which that is."""
        worker = self._workers[0]
        if self._owner_of is not None:
            l_uuid = arguments[-1]
            if len(arguments) == 2 and arguments[0] != "l_uuid":
                l_uuid = (await self._any("uac.reg_info", arguments))["l_uuid"]
                arguments = ["l_uuid", l_uuid]
            worker = self._workers[self._owner_of(l_uuid)]
            return _result(await _whole(worker, verb, arguments))
        return _result(await self._any(verb, arguments))

    async def _any(self, verb: str, arguments: list[str]) -> Any:
        """Ask the first worker that is there."""
        for worker in self._workers[:-1]:
            try:
                return await _whole(worker, verb, arguments)
            except Fault as fault:
                if fault.code != AWAY:
                    raise
        return await _whole(self._workers[-1], verb, arguments)

    async def _edit(self, verb: str, arguments: list[str]) -> Value | Rows:
        """Have one worker write the table, and all others read what it has written."""
        owner = 0
        if self._owner_of is not None and verb == "account.remove":
            owner = self._owner_of(arguments[0])  # it takes the binding back
        answer = await _whole(self._workers[owner], verb, arguments)
        others = [one for number, one in enumerate(self._workers) if number != owner]
        await self._each("account.changed", [], others)
        return _result(answer)

    async def _one_behind_the_other(self, verb: str, arguments: list[str]) -> Value | Rows:
        """Join the lists of all; of what is no list the first answer counts."""
        if verb in ("instances", "account.list"):  # all have the same
            return _result(await self._any(verb, arguments))
        answers = await self._each(verb, arguments)
        sound = [answer for answer in answers if not isinstance(answer, Fault)]
        if not sound:
            raise answers[0]
        if isinstance(sound[0], list):
            return iter([row for rows in sound for row in rows])
        return _result(sound[0])

    # -- what is put together ----------------------------------------------------------------

    async def _dump(self) -> Value | Rows:
        """Take each record from the worker that has the account."""
        if self._owner_of is None:
            return _result(await self._any("uac.reg_dump", []))
        found: list[dict[str, object]] = []
        faults = []
        for number, answer in enumerate(await self._each("uac.reg_dump", [])):
            if isinstance(answer, Fault):
                faults.append(answer)
                continue
            found += [row for row in answer if self._owner_of(str(row["l_uuid"])) == number]
        if len(faults) == len(self._workers):
            raise faults[0]
        return iter(found)

    async def _stats(self) -> Value | Rows:
        """Sum what each has counted; what all have in whole is counted once."""
        total: dict[str, int | float] = {}
        away = 0
        for answer in await self._each("stats", []):
            if isinstance(answer, Fault):
                away += 1
                continue
            for name, value in answer.items():
                if name in MOST_OF:
                    total[name] = max(total.get(name, value), value)
                else:
                    total[name] = total.get(name, 0) + value
        total["uptime"] = round(self._seconds() - self._started_at, 3)
        total["workers.total"] = len(self._workers)
        total["workers.away"] = away
        for number, worker in enumerate(self._workers, 1):
            total[f"worker.{number}.pid"] = worker.pid
            total[f"worker.{number}.restarts"] = worker.restarts
        return dict(sorted(total.items()))

    def _rows(self) -> Iterator[dict[str, object]]:
        for worker in self._workers:
            yield {
                "worker": worker.name,
                "pid": worker.pid,
                "state": worker.state,
                "restarts": worker.restarts,
                "uptime": int(self._seconds() - worker.started_at) if worker.pid else 0,
            }


async def _whole(worker: Asked, verb: str, arguments: list[str]) -> Any:
    """Return the value that a worker answers, or all rows of its list."""
    rows: list[Any] = []
    async for page in worker.ask(verb, arguments):
        if page.shape == "value":
            return page.content
        rows += page.content
    return rows


def _result(answer: Any) -> Value | Rows:
    return iter(answer) if isinstance(answer, list) else answer


def _sound(success: bool, result: Any) -> Any:
    if not success:
        result.raiseException()
    return result


def _later(asking: Coroutine[Any, Any, Value | Rows]) -> Later:
    def begin(then: Callable[[Value | Rows], None], failed: Callable[[Any], None]) -> None:
        Deferred.fromCoroutine(asking).addCallbacks(then, failed)

    return Later(begin)
