"""The process that starts the workers: it has the sockets, the one management door, and no calls.

It binds what all workers read, makes the pairs by which they hand over to each other, sees
that the store and the keys in it are there, and starts them; it starts again whichever dies.
What an operator asks goes to the workers (``verbs``); a stop is theirs first.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from uacproxy import __version__
from uacproxy.assembly.restore_keys import RestoreKeys
from uacproxy.config.check import warnings
from uacproxy.config.schema import Config
from uacproxy.config.script import read_script
from uacproxy.errors import UacproxyError
from uacproxy.manage.amp import amp_factory
from uacproxy.manage.endpoint import listen
from uacproxy.manage.log import open_log
from uacproxy.settings import ListenAddress
from uacproxy.store.open import open_store
from uacproxy.transport.bind import bind_all, close_all
from uacproxy.transport.post import make_inbox
from uacproxy.transport.steering import FAR, steer
from uacproxy.uac.shards import pick_member, shard_of
from uacproxy.workers.inheritance import Inheritance
from uacproxy.workers.process import WorkerProcess
from uacproxy.workers.verbs import WorkerVerbs

STOP_WITHIN: Final = 15.0  # s, for workers to take back what is registered


@final
class WorkerFailed(UacproxyError):
    """A worker could not start; it has said why, and ended with ``exit_status``."""

    code = "worker_failed"

    def __init__(self, name: str, exit_status: int) -> None:
        super().__init__(f"{name} could not start")
        self.exit_status = exit_status


@final
class Master:
    """One service of several workers; ``start`` and ``stop`` may each be called once."""

    def __init__(self, config: Config, reactor: Any, shutdown: Callable[[], None]) -> None:
        """Prepare; nothing is opened yet.

        Args:
            config: resolved.
            reactor: Twisted's.
            shutdown: asks for the ordered stop, for ``uacctl shutdown``.
        """
        self.log: Logger = open_log(config.log.level, config.log.file, config.log.format)
        self._config = config
        self._reactor = reactor
        self._shutdown = shutdown
        self._sockets: list[tuple[ListenAddress, list[socket.socket]]] = []  # by worker
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._doors: list[IListeningPort] = []
        self._verbs: WorkerVerbs | None = None
        self._stopping = False
        self.workers: list[WorkerProcess] = []

    # -- starting ----------------------------------------------------------------------

    async def start(self) -> None:
        """Start every worker; when one cannot, stop them all and raise.

        A stop that comes meanwhile is no failure.

        Raises:
            UacproxyError: ConfigError or ScriptError with the place at fault, StoreError, or
                ``WorkerFailed``.
        """
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise

    async def _start(self) -> None:
        config = self._config
        read_script(config)  # an error once, not from each
        await self._prepare_store()
        if self._stopping:
            return
        self._sockets = bind_all(config.sip.listen, config.sip.workers)
        self._steer()
        for _ in range(config.sip.workers):
            self._pairs.append(make_inbox())
        for number in range(config.sip.workers):
            self.workers.append(
                WorkerProcess(number, inherit=self._inherit, reactor=self._reactor, log=self.log)
            )
        self._verbs = WorkerVerbs(
            self.workers,
            version=__version__,
            seconds=self._reactor.seconds,
            owner_of=self._owner_of_account(),
            shutdown=self._shutdown,
            log=self.log,
        )
        if config.management.amp:
            factory = amp_factory(self._verbs)
            door = await listen(self._reactor, config.management.amp, factory, key="amp")
            self._doors.append(door)
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            is_ready = await worker.ready()
            if worker.is_stopping:  # maybe before it was ready
                return
            if not is_ready:
                raise WorkerFailed(worker.name, worker.status)
        for warning in warnings(config):
            self.log.warn("{warning}", warning=warning)
        self.log.info(
            "uacproxy {version} listens on {where} with {workers} workers",
            version=__version__,
            where=" ".join(str(address) for address, _ in self._sockets),
            workers=len(self.workers),
        )

    async def _prepare_store(self) -> None:
        """Make the file or reach the server, and the key that all workers use."""
        settings = self._config.store
        store = open_store(
            settings.url,
            flush_interval_s=settings.flush_interval / 1000,
            redis_prefix=settings.redis_prefix,
            now_utc=time.time,
            reactor=self._reactor,
            log=self.log,
            count=lambda _code: None,
        )
        try:
            await RestoreKeys(self._config.uac, self._reactor).load(store)
        finally:
            await store.close()

    def _steer(self) -> None:
        """Have the kernel give each datagram to its worker, as far as it can tell."""
        reaches = [
            steer(group[0], len(group))
            for address, group in self._sockets
            if address.transport == b"UDP"
        ]
        if any(reach is not FAR for reach in reaches):
            self.log.warn(
                "the kernel steers {what}datagrams to the workers, which hand over more to each "
                "other: it takes the whole program where net.core.optmem_max is 131072",
                what="few " if all(reaches) else "no ",
            )

    def _inherit(self, number: int, is_first: bool, door: int) -> Inheritance:
        return Inheritance(
            config=config_of_worker(self._config),
            number=number,
            workers=len(self.workers),
            is_first=is_first,
            sockets=[(address, group[number].fileno()) for address, group in self._sockets],
            inbox=self._pairs[number][0].fileno(),
            outboxes=[written.fileno() for _, written in self._pairs],
            door=door,
        )

    def _owner_of_account(self) -> Callable[[str], int] | None:
        """Return what tells the worker of an account, where that follows from its name."""
        instances = self._config.instances
        if self._config.store.url.startswith("redis") and instances.share_registrations:
            return None
        members = [worker.name for worker in self.workers]

        def owner_of(l_uuid: str) -> int:
            shard = shard_of(l_uuid, instances.shards)
            return members.index(pick_member(shard, members))

        return owner_of

    # -- stopping ----------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop the workers in order, all at once; then close what they had in common."""
        self._stopping = True
        await self._end()

    async def _end(self) -> None:
        for door in self._doors:
            closed = door.stopListening()
            if isinstance(closed, Deferred):
                await closed
        stopped = DeferredList([worker.stop() for worker in self.workers])
        late = self._reactor.callLater(STOP_WITHIN, self._kill)
        await stopped
        if late.active():
            late.cancel()
        close_all(self._sockets)
        for pair in self._pairs:
            for end in pair:
                end.close()

    def _kill(self) -> None:
        for worker in self.workers:
            if worker.pid:
                self.log.error("{name} did not stop; it is killed", name=worker.name)
                worker.signal(signal.SIGKILL)

    # -- what the service asks ---------------------------------------------------------

    def reload_script(self) -> None:
        """Have every worker read the routing again, and log what is wrong with it."""
        if self._verbs is not None:
            self._verbs.reload_script()


def config_of_worker(config: Config) -> Config:
    """Return the settings of one of the workers: its share of what is bounded for all."""
    workers = config.sip.workers
    uac = replace(
        config.uac,
        reg_rate=-(-config.uac.reg_rate // workers),
        reg_rate_per_registrar=-(-config.uac.reg_rate_per_registrar // workers),
    )
    return replace(config, uac=uac)
