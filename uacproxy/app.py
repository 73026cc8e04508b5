"""The running service: what starts in which order, what ticks, and how it stops.

``Application`` starts its ``Parts`` in an order in which nobody is called before it is
ready, and stops them in the reverse: the registrations are taken back while the sockets
are still open, then those close, then the state is written.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall

from uacproxy import __version__
from uacproxy.collector import Collector
from uacproxy.config.check import warnings
from uacproxy.config.routing_again import read_routing_again
from uacproxy.config.schema import Config
from uacproxy.config.script import read_script
from uacproxy.manage.amp import amp_factory
from uacproxy.manage.endpoint import listen
from uacproxy.manage.instances import InstanceList
from uacproxy.manage.manhole import manhole_factory
from uacproxy.manage.operations import Operations
from uacproxy.manage.verb import Views
from uacproxy.parts import Parts
from uacproxy.ports import Target
from uacproxy.pulse import Pulse
from uacproxy.routing.scope import Scope
from uacproxy.sip.build import build_request
from uacproxy.sip.names import CALL_ID, CSEQ, FROM, TO
from uacproxy.transaction.timers import BEAT
from uacproxy.transport.place import WorkerPlace

LONGEST_REST: Final = 1.0  # s, between two beats of the transactions' timers
OVERLOAD_BEAT: Final = 1.0  # s, while all is well
OVERLOAD_LOOK: Final = 0.05  # s, while turns are late
SWEEP: Final = 5.0  # s, between looks at expired dialogs and bindings
LEASE_BEAT: Final = 0.25  # s
UNREGISTER_BOUND: Final = 5.0  # s, that a stop waits for registrars
ACCOUNTS_WITHIN: Final = 5.0  # s, that a worker waits for accounts before it reads what came


@final
class Application:
    """One running service; ``start`` and ``stop`` may each be called once."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        shutdown: Callable[[], None],
        place: WorkerPlace | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            config: resolved.
            reactor: Twisted's.
            shutdown: asks for the ordered stop, for ``uacctl shutdown``.
            place: among several workers; None: this process is the service.
        """
        self.parts = Parts(config, reactor, place)
        self._place = place
        self.log = self.parts.log
        self._config = config
        self._reactor = reactor
        self._shutdown = shutdown
        self._started_at = time.monotonic()
        self._loops: list[LoopingCall] = []
        self._pulses: list[Pulse] = []
        self._beats: Pulse | None = None
        self._register_at = math.inf  # s on the clock's time: the next beat of registrations
        self._doors: list[IListeningPort] = []
        self._instances = InstanceList(None)
        self._overload_due_at = 0.0  # s, of the next beat of the overload control
        self._look_due_at = math.inf  # s, of the next look at the turn's length
        self._spent = 0.0  # s of CPU at the last one
        self._collector = Collector(lambda: self.parts.table.servers + self.parts.table.clients)
        self._shares = False  # the leases on the accounts are under way

    # -- starting ----------------------------------------------------------------------

    async def start(self) -> None:
        """Open everything; when something cannot be opened, close what was and raise.

        Raises:
            UacproxyError: ConfigError or ScriptError with the place at fault, or
                StoreError.
        """
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise

    async def _start(self) -> None:
        config = self._config
        script = read_script(config)
        parts = self.parts
        parts.open_store()
        parts.build(script, await parts.restore_keys.load(parts.store))
        loaded: Deferred[None] = Deferred()
        parts.bindings.load(lambda: loaded.callback(None))
        await loaded
        if not config.store.url.startswith("redis"):  # else another instance may have them
            calls_loaded: Deferred[None] = Deferred()
            is_ours = None if self._place is None else parts.is_ours_alone
            parts.calls.load(lambda: calls_loaded.callback(None), is_ours)
            await calls_loaded
        if self._place is not None and parts.registrations.enabled:
            await self._load_accounts()
        await parts.open_sockets()
        self._beats = self._pulse(self._beat)
        parts.clock.wanted_by = self._beats.within
        self._pulse(self._beat_overload)
        self._every(SWEEP, self._sweep)
        await self._open_doors()
        if parts.registrations.enabled:
            if self._place is None:
                parts.registrations.start()
            if parts.notices is not None:
                parts.notices.start()
            if parts.shards is not None:
                self._every(LEASE_BEAT, parts.shards.beat)
                self._shares = True
            parts.registrations.tell_earlier(self._register_within)
            self._register_within(0.0)
        self._collector.start()
        place = self._place
        if place is not None:
            if place.is_first and place.number == 0:
                self._tell_started()
            self.log.info("{name} works, process {pid}", name=place.name, pid=os.getpid())
            return
        for warning in warnings(config):
            self.log.warn("{warning}", warning=warning)
        self._tell_started()
        where = " ".join(str(each) for each in parts.transports.local_addresses)
        self.log.info("uacproxy {version} listens on {where}", version=__version__, where=where)

    async def _load_accounts(self) -> None:
        """Wait for the accounts, but not for long: calls to them may wait in a worker's socket."""
        loaded: Deferred[None] = Deferred()

        def go_on() -> None:
            if not loaded.called:
                loaded.callback(None)

        late = self._reactor.callLater(ACCOUNTS_WITHIN, go_on)
        self.parts.registrations.start(go_on)
        await loaded
        if late.active():
            late.cancel()

    def _tell_started(self) -> None:
        """Run ``event_route("core:started")``, about a request of our own making."""
        parts = self.parts
        listening = parts.transports.local_addresses[0]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening.host, listening.host)
        target = Target(listening.transport, host, listening.port)
        flow = parts.transports.way_out.flow_to(target, listening)
        if flow is None:
            return
        here = b"sip:" + flow.sent_by
        address = b"<" + here + b">"
        fields = [(FROM, address + b";tag=" + parts.random.token()), (TO, address)]
        fields += [(CALL_ID, parts.random.token()), (CSEQ, b"1 OPTIONS")]
        request = build_request(b"OPTIONS", here, fields)
        parts.tell_event("core:started", Scope(request, request.branch_copy(), flow, False))

    async def _open_doors(self) -> None:
        parts = self.parts
        self._instances = InstanceList(parts.shards if parts.with_instances else None)
        management = self._config.management
        operations = Operations(
            Views(
                registrations=parts.registrations,
                dialogs=parts,
                stats=self,
                service=self,
                editor=parts.editor,
                instances=self._instances,
            )
        )
        if self._place is not None:
            factory = amp_factory(operations, ended=self._shutdown)
            door_end = self._place.door
            self._reactor.adoptStreamConnection(door_end.fileno(), door_end.family, factory)
            door_end.close()
            return
        if management.amp:
            door = await listen(self._reactor, management.amp, amp_factory(operations), key="amp")
            self._doors.append(door)
        if management.manhole:
            factory = manhole_factory(
                management.manhole_keys,
                management.manhole_host_key,
                {"app": self, "operations": operations},
            )
            door = await listen(self._reactor, management.manhole, factory, key="manhole")
            self._doors.append(door)

    # -- stopping ----------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop in order: un-register within a bound, write the state, close the sockets."""
        parts = self.parts
        if parts.is_built and parts.registrations.enabled:
            if parts.shards is None or not parts.shards.has_heirs:
                released: Deferred[None] = Deferred()
                parts.registrations.shutdown(lambda: released.callback(None), UNREGISTER_BOUND)
                await released
            if parts.shards is not None and self._shares:
                left: Deferred[None] = Deferred()
                parts.shards.leave(lambda: left.callback(None))
                await left
        if parts.is_built:
            parts.own_calls.hang_up()
        await self._close()

    async def _close(self) -> None:
        for pulse in self._pulses:
            pulse.stop()
        for loop in self._loops:
            if loop.running:
                loop.stop()
        for door in self._doors:
            closed = door.stopListening()
            if isinstance(closed, Deferred):
                await closed
        await self.parts.close()
        self._collector.stop()

    # -- what ticks --------------------------------------------------------------------

    def _beat(self) -> float:
        """Do what is due; return in how many s something more will be."""
        clock = self.parts.clock
        self.parts.transports.together(self._do_what_is_due)
        rest = min(LONGEST_REST, max(0.0, self._register_at - clock.seconds()))
        return clock.next_beat_in(rest)

    def _do_what_is_due(self) -> None:
        """Run timers, and registrations in the same turn: few wake-ups, few calls of the kernel."""
        clock = self.parts.clock
        clock.beat()
        now = clock.seconds()
        if now >= self._register_at - BEAT:  # beats are a little early, never late
            registrations = self.parts.registrations
            self._register_at = now + LONGEST_REST  # should the next line fail
            registrations.beat()
            self._register_at = now + registrations.next_beat_in()

    def _register_within(self, seconds: float) -> None:
        """Have the next beat of registrations no later."""
        at = self.parts.clock.seconds() + seconds
        if at < self._register_at:
            self._register_at = at
            if self._beats is not None:
                self._beats.within(seconds)

    def _pulse(self, work: Callable[[], float]) -> Pulse:
        """Do something again and again, each time after as long as it says."""
        pulse = Pulse(self._reactor, work, self._periodic_failed)
        pulse.start()
        self._pulses.append(pulse)
        return pulse

    def _periodic_failed(self) -> None:
        self.log.failure("periodic work failed")

    def _beat_overload(self) -> float:
        """See how late the reactor's turn is by work of our own, more often while it is late.

        A turn that was long because others had the processor counts for nothing.
        """
        overload, turn = self.parts.overload, self.parts.transports.turn
        now, spent = time.monotonic(), time.thread_time()
        late = min(now - self._look_due_at, spent - self._spent)
        if turn.is_stirred or late >= overload.delay:
            turn.seen(max(0.0, late), 0.0)
        if now >= self._overload_due_at:
            overload.beat()
            self._overload_due_at = now + OVERLOAD_BEAT - OVERLOAD_LOOK
        rest = OVERLOAD_LOOK
        if not turn.is_stirred:  # in the turn of another beat, which costs no wake-up
            rest = OVERLOAD_BEAT - self.parts.clock.seconds() % OVERLOAD_BEAT
            if rest < OVERLOAD_BEAT / 2:
                rest += OVERLOAD_BEAT
        self._look_due_at, self._spent = now + rest, spent
        return rest

    def _sweep(self) -> None:
        self.parts.tracker.expire_due()
        self.parts.bindings.expire_due()
        self._collector.look()

    def _every(self, seconds: float, call: Callable[[], object]) -> None:
        """Call again and again; an exception is logged and does not end it."""

        def guarded() -> None:
            try:
                call()
            except Exception:  # noqa: BLE001  (a LoopingCall would stop for good)
                self._periodic_failed()

        loop = LoopingCall(guarded)
        loop.clock = self._reactor
        loop.start(seconds, now=False)
        self._loops.append(loop)

    # -- what management asks ----------------------------------------------------------

    @property
    def version(self) -> str:
        """Return the version of the program."""
        return __version__

    @property
    def uptime(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started_at

    def reload_script(self) -> None:
        """Load the route script anew, or the rules; while they are broken the old ones stay.

        Raises:
            ScriptError: with file and line.
        """
        script = read_routing_again(self._config)
        self.parts.wiring.script = script
        what = "route script" if self._config.routing.script else "rules"
        self.log.info("{what} loaded: {file}", what=what, file=script.file)

    def shutdown(self) -> None:
        """Begin the ordered stop."""
        self._shutdown()

    def stats(self) -> dict[str, int | float]:
        """Return every counter and gauge by dotted name."""
        parts = self.parts
        found: dict[str, int | float] = {"uptime": round(self.uptime, 3)}
        for name, counters in (
            ("transport", parts.transport_counters),
            ("transaction", parts.transaction_counters),
            ("proxy", parts.proxy_counters),
            ("dialog", parts.dialog_counters),
            ("bridge", parts.bridge_counters),
            ("overload", parts.overload_counters),
            ("registration", parts.registration_counters),
        ):
            for counter, value in vars_of(counters).items():
                found[f"{name}.{counter}"] = value
        for code, times in parts.store_failures.items():
            found[f"store.{code}"] = times
        found["transaction.servers"] = parts.table.servers
        found["transaction.clients"] = parts.table.clients
        found["uac.requests"] = len(parts.requests)
        found["uac.calls"] = len(parts.own_calls)
        found["dialog.active"] = len(parts.tracker)
        found["collector.runs"] = self._collector.runs
        found["collector.longest"] = round(self._collector.longest, 4)
        found["timers.pending"] = parts.clock.pending
        found["bridge.calls"] = len(parts.calls)
        found["bridge.legs"] = len(parts.calls.legs)
        found["registrar.addresses"] = len(parts.bindings)
        found.update(parts.overload.gauges())
        found.update(parts.registrations.gauges())
        found.update(self._instances.gauges())
        return found


def vars_of(counters: object) -> dict[str, int]:
    """Return the counts of a counters object, compiled or not."""
    names = [name for name in dir(counters) if not name.startswith("_")]
    return {name: getattr(counters, name) for name in names}
