"""The parts of the service, put together: the only module that sees every floor.

``Parts`` makes each part from the ``Config`` and hands it the callables of the others. It
opens the store and nothing else; ``app`` starts what is here, in order, and stops it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import chain
from traceback import format_exception
from typing import Any, final

from twisted.internet.defer import Deferred
from twisted.internet.task import cooperate
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from uacproxy.accounts.editor import AccountEditor
from uacproxy.assembly.notices import make_notices
from uacproxy.assembly.registrar import make_registrar
from uacproxy.assembly.registrations import make_registrations
from uacproxy.assembly.restore_keys import RestoreKeys, restore_codec
from uacproxy.assembly.worker_words import WorkerWords
from uacproxy.bridge.calls import Calls
from uacproxy.bridge.wiring import BridgeWiring
from uacproxy.config.schema import Config
from uacproxy.counters import (
    BridgeCounters,
    DialogCounters,
    OverloadCounters,
    ProxyCounters,
    RegistrationCounters,
    TransactionCounters,
    TransportCounters,
)
from uacproxy.dialog.tracker import DialogTracker
from uacproxy.errors import ScriptError
from uacproxy.manage.log import open_log
from uacproxy.ports import Flow, Random, Target
from uacproxy.proxy.core import ProxyCore
from uacproxy.proxy.route_mark import RouteMark
from uacproxy.proxy.target_set import Destination
from uacproxy.proxy.wiring import Wiring
from uacproxy.registrar.binding import canonical_aor
from uacproxy.registrar.bindings import BindingTable
from uacproxy.resolve.lookups import DnsLookup, SystemLookup
from uacproxy.resolve.resolver import NameResolver
from uacproxy.resolve.uri_resolver import UriResolver
from uacproxy.routing.context import RouteContext
from uacproxy.routing.features import Features
from uacproxy.routing.request_sending import RequestSending
from uacproxy.routing.runner import Runner
from uacproxy.routing.scope import Scope
from uacproxy.routing.script import Script
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.message import Message
from uacproxy.sip.owner import owner_of_token
from uacproxy.sip.uri import Uri
from uacproxy.store.open import OpenStore, open_store
from uacproxy.transaction.table import TransactionTable
from uacproxy.transaction.timers import BeatClock
from uacproxy.transaction.tokens import OwnTokens, SystemRandom
from uacproxy.transport.addresses import family_of
from uacproxy.transport.overload import Overload
from uacproxy.transport.own_uris import OwnUris
from uacproxy.transport.place import WorkerPlace
from uacproxy.transport.sockets import SocketSet
from uacproxy.uac.auth_param import AuthSeal
from uacproxy.uac.contact_user import ContactSeal
from uacproxy.uac.credentials import CredentialList, credential_of
from uacproxy.uac.dialog_request import DialogRequests
from uacproxy.uac.invite import InviteSender
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.own_calls import OwnCalls
from uacproxy.uac.registration_event import RegistrationEvent
from uacproxy.uac.request_exchange import OwnRequests
from uacproxy.uac.send import RequestSender
from uacproxy.uac.shard_set import ShardSet
from uacproxy.uac.silent_targets import SilentTargets


@final
class Parts:
    """All parts of one service; ``build`` makes them once the script is read and the keys known."""

    def __init__(self, config: Config, reactor: Any, place: WorkerPlace | None = None) -> None:
        """Prepare; nothing is opened yet.

        Args:
            config: resolved.
            reactor: Twisted's.
            place: among several workers; None: this process is the service.
        """
        self.config = config
        self.place = place
        self._reactor = reactor
        name = "uacproxy" if place is None else place.name.replace(" ", "-")
        self.log: Logger = open_log(config.log.level, config.log.file, config.log.format, name)
        self.transport_counters = TransportCounters()
        self.transaction_counters = TransactionCounters()
        self.proxy_counters = ProxyCounters()
        self.dialog_counters = DialogCounters()
        self.bridge_counters = BridgeCounters()
        self.overload_counters = OverloadCounters()
        self.registration_counters = RegistrationCounters()
        self.store_failures: dict[str, int] = {}
        delays = random.Random(os.urandom(32))  # without a call of the kernel for each
        self.random: Random = SystemRandom(os.urandom, delays.uniform)
        if place is not None:
            self.random = OwnTokens(self.random, place.number, place.workers)
        self.clock = BeatClock(time.monotonic, self._timer_failed)
        self._domains = frozenset(octets_of(name.lower()) for name in config.sip.domains)
        self.restore_keys = RestoreKeys(config.uac, reactor)
        self.is_built = False
        self.editor: AccountEditor | None = None
        self.shards: ShardSet | None = None
        self.with_instances = False  # the accounts are shared with other instances
        self._to_close: list[Callable[[], Deferred[None]]] = []  # what was opened, in order

    def open_store(self) -> None:
        """Open the store."""
        settings = self.config.store
        medium = open_store(
            settings.url,
            flush_interval_s=settings.flush_interval / 1000,
            redis_prefix=settings.redis_prefix,
            now_utc=time.time,
            reactor=self._reactor,
            log=self.log,
            count=self._store_failed,
            replaced=self._store_replaced,
        )
        self._medium = medium
        self.store: OpenStore = medium
        if self.place is not None:
            self.words = WorkerWords(medium, settings.flush_interval / 1000, time.monotonic)
            self.store = self.words.store
        self._to_close.append(medium.close)

    async def open_sockets(self) -> None:
        """Begin to listen; whatever comes finds all parts there."""
        await self.transports.open()
        if self.transports.post is not None:
            self.words.join(self.transports.post, self.bindings)
        self._to_close.append(self.transports.close)

    async def close(self) -> None:
        """Close what was opened, the last first; transactions end and nobody is told."""
        if self.is_built:
            self.table.stop()
        while self._to_close:
            await self._to_close.pop()()

    def dialogs(self) -> Iterator[dict[str, object]]:
        """Yield every dialog in progress: the tracked ones, and the bridged calls."""
        yield from self.tracker.dialogs()
        yield from self.calls.rows()

    def build(self, script: Script, keys: list[bytes]) -> None:
        """Make every part; the store is open.

        Args:
            script: or the rules compiled.
            keys: as ``restore_keys`` has loaded them.
        """
        config = self.config
        codec = restore_codec(config.uac, keys)
        sip = config.sip
        self.overload = Overload(
            delay=config.limits.overload_delay,
            retry_after=config.limits.overload_retry_after,
            counters=self.overload_counters,
            seconds=time.monotonic,
            log=self.log,
        )
        self.table = TransactionTable(
            clock=self.clock,
            random=self.random,
            counters=self.transaction_counters,
            user=_NotYet(),
            t1=sip.t1,
            t2=sip.t2,
            t4=sip.t4,
            max_transactions=config.limits.max_transactions,
        )
        self.transports = SocketSet(
            reactor=self._reactor,
            listen=sip.listen,
            advertise=sip.advertise,
            limits=config.limits,
            counters=self.transport_counters,
            deliver=self.table.message_received,
            reject=self._reject,
            log=self.log,
            tcp_idle=sip.tcp_idle,
            connection_lost=self._connection_lost,
            tcp_connect_timeout=sip.tcp_connect_timeout,
            overload=self.overload,
            transactions=self.table,
            place=self.place,
        )
        self.own_uris = OwnUris(self.transports.names, self._domains)
        self.resolver = self._make_resolver()
        self.tracker = DialogTracker(
            clock=self.clock,
            now_utc=time.time,
            random=self.random,
            store=None if config.store.url == "memory:" else self.store,
            counters=self.dialog_counters,
            early_timeout=config.dialog.early_timeout,
            lifetime=config.dialog.lifetime,
            max_dialogs=config.limits.max_dialogs,
            is_shared=config.store.url.startswith("redis"),
        )
        self.sender = RequestSender(
            transports=self.transports.way_out,
            resolver=self.resolver,
            table=self.table,
            udp_limit=sip.udp_limit,
            default_socket=config.uac.default_socket,
            silent=SilentTargets(self.clock.seconds),
        )
        nonces = NonceBook()
        self.invites = InviteSender(
            transports=self.transports.way_out,
            resolver=self.resolver,
            table=self.table,
            clock=self.clock,
            nonces=nonces,
            udp_limit=sip.udp_limit,
            t1=sip.t1,
            default_socket=config.uac.default_socket,
        )
        self.requests = OwnRequests(sender=self.sender, clock=self.clock, nonces=nonces)
        self.own_calls = OwnCalls(
            invites=self.invites,
            requests=self.requests,
            clock=self.clock,
            t1=sip.t1,
            t2=sip.t2,
            lifetime=config.dialog.lifetime,
        )
        made = make_registrations(
            config,
            sender=self.sender,
            clock=self.clock,
            reactor=self._reactor,
            random=self.random,
            counters=self.registration_counters,
            log=self.log,
            store=self.store,
            heard=self._registration_changed,
            in_thread=self._in_thread,
            to_close=self._to_close,
            medium=self._medium,
            place=self.place,
            told=None if self.place is None else self.words.changes,
        )
        self.registrations, self.editor, self.shards, self.with_instances = made
        self.notices = make_notices(
            config,
            self.registrations,
            clock=self.clock,
            reactor=self._reactor,
            run_in_thread=self._in_thread,
            log=self.log,
        )
        if self.notices is not None:
            self._to_close.append(self.notices.close)
        self.bindings = BindingTable(time.time, self.store, config.registrar.max_contacts)
        self.registrar = make_registrar(
            config,
            bindings=self.bindings,
            is_our_domain=self.own_uris.is_our_domain,
            random=self.random,
            log=self.log,
            in_thread=self._in_thread,
            to_close=self._to_close,
        )
        uac = config.uac
        credentials = CredentialList(credential_of(line) for line in uac.credential)
        features = Features(
            restore_mode=uac.restore_mode,
            credentials=credentials,
            auth_realm_avp=uac.auth_realm_avp,
            auth_username_avp=uac.auth_username_avp,
            auth_password_avp=uac.auth_password_avp,
            accounts=self.registrations if self.registrations.enabled else None,
            is_ours=self.own_uris.is_ours,
            track=self._track,
            set_dialog_variable=self._set_dialog_variable,
            counters=self.proxy_counters,
            log=self.log,
            codec=codec,
            track_cseq=config.dialog.track_cseq,
            restore_dlg=uac.restore_dlg,
            restore_from_avp=uac.restore_from_avp,
            restore_to_avp=uac.restore_to_avp,
            keep_early=self._keep_early,
            contact_seal=ContactSeal(keys),
            requests=RequestSending(
                requests=self.requests,
                calls=self.own_calls,
                random=self.random,
                user_agent=octets_of(sip.server_name),
                credentials=credentials,
                listens_on=self.transports.way_out.listens_on,
                promise=Deferred,
                tell=self.tell_event,
            ),
            auth_seal=AuthSeal(keys, os.urandom(4)),
            consume_credentials=uac.consume_credentials,
            nonces=nonces,
        )
        self.calls = self._make_calls(features)
        self.wiring = Wiring(
            settings=sip,
            table=self.table,
            transports=self.transports.way_out,
            resolver=self.resolver,
            clock=self.clock,
            tracker=self.tracker,
            codec=codec,
            features=features,
            runner=Runner(_spawn, self.proxy_counters, self.log),
            script=script,
            find_local=self._find_local,
            own_calls=self.own_calls,
            is_ours=self.own_uris.is_ours,
            account_way=self.registrations.way,
            bridge=self.calls,
            route_mark=None if uac.restore_codec == "kamailio" else RouteMark(keys),
            counters=self.proxy_counters,
            log=self.log,
        )
        self.core = ProxyCore(self.wiring, self.registrar.register)
        self.table.user = self.core
        self.is_built = True

    def is_ours_alone(self, call_id: bytes) -> bool:
        """Tell whether no other worker has the calls of a Call-ID."""
        place = self.place
        return place is None or owner_of_token(call_id, place.workers) == place.number

    def _connection_lost(self, target: Target) -> None:
        if self.is_built:
            self.registrations.connection_lost(target)

    def _make_calls(self, features: Features) -> Calls:
        config = self.config
        sip = config.sip
        return Calls(
            BridgeWiring(
                settings=config.bridge,
                table=self.table,
                invites=self.invites,
                requests=DialogRequests(self.sender, features.nonces),
                clock=self.clock,
                now_utc=time.time,
                random=self.random,
                store=self.store,
                credentials_of=features.sources.of,
                counters=self.bridge_counters,
                log=self.log,
                server_name=octets_of(sip.server_name),
                max_forwards=sip.max_forwards,
                max_calls=config.limits.max_dialogs,
                t1=sip.t1,
                t2=sip.t2,
            )
        )

    def _make_resolver(self) -> UriResolver:
        dns = self.config.dns
        pool = self._reactor.getThreadPool()
        families = sorted({family_of(each.host) for each in self.config.sip.listen})
        lookup: Any
        if dns.servers:
            lookup = DnsLookup(self._reactor, dns.servers, families)
        else:
            lookup = SystemLookup(self._reactor, pool, families)
        names = NameResolver(
            lookup=lookup,
            clock=self._reactor,
            log=self.log,
            timeout=dns.timeout,
            cache_max=dns.cache_max,
            min_ttl=dns.min_ttl,
            negative_ttl=dns.negative_ttl,
        )
        return UriResolver(names.look_up, dns.cache_max)

    # -- the work of others, in one place ----------------------------------------------

    def _reject(self, error: Any, flow: Flow) -> None:
        self.core.malformed(error, flow)

    def _find_local(self, uri: Uri) -> list[Destination]:
        return [
            Destination(binding.contact, b"", binding.target, binding.q, binding.path)
            for binding in self.bindings.lookup(canonical_aor(uri))
        ]

    def _track(self, scope: Scope) -> bool:
        if scope.dialog is None and not scope.in_dialog:
            scope.dialog = self.tracker.track(scope.received)
        return scope.dialog is not None

    def _keep_early(self, scope: Scope) -> None:
        if scope.dialog is not None:
            self.tracker.keep_early(scope.dialog)

    def _set_dialog_variable(self, scope: Scope, name: str, value: str | None) -> None:
        if scope.dialog is None:
            raise ScriptError(f"$dlg_var({name}): the dialog is not tracked")
        self.tracker.set_variable(scope.dialog, name, value)

    def _registration_changed(self, event: RegistrationEvent) -> None:
        """Run ``event_route("uac:registration")``, where the script has one."""
        script = self.wiring.script
        handler = script.event("uac:registration")
        if handler is not None:
            self.wiring.runner.run(handler, event, script.file, _ignore, _ignore)

    def tell_event(self, name: str, scope: Scope) -> None:
        """Run an event route about a message, where the script has one."""
        wiring = self.wiring
        handler = wiring.script.event(name)
        if handler is not None:
            ctx = RouteContext(wiring.features, scope)
            wiring.runner.run(handler, ctx, wiring.script.file, _ignore, _ignore)

    def _timer_failed(self, error: Exception) -> None:
        self.log.error("timer failed: {trace}", trace="".join(format_exception(error)))

    def _store_failed(self, code: str) -> None:
        self.store_failures[code] = self.store_failures.get(code, 0) + 1

    def _store_replaced(self) -> None:
        """Write again what is in memory; between two slices of it calls go on."""
        self.restore_keys.write_again(self.store)
        if self.is_built:
            cooperate(
                chain(
                    self.tracker.written_again(),
                    self.bindings.written_again(),
                    self.registrations.written_again(),
                    self.calls.written_again(),
                )
            )

    def _in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)


@final
class _NotYet:
    """The transaction user before there is one: no socket is open, so nothing comes."""

    def request_received(self, server: Any, request: Message, flow: Flow) -> None:
        """Take nothing."""

    def ack_received(self, ack: Message, flow: Flow) -> None:
        """Take nothing."""

    def cancel_received(self, server: Any, cancel: Message) -> None:
        """Take nothing."""

    def response_unmatched(self, response: Message, flow: Flow) -> None:
        """Take nothing."""


def _ignore(_outcome: object) -> None:
    """Take what an event handler came to: nothing depends on it, errors are logged already."""


def _spawn(
    work: Awaitable[Any],
    done: Callable[[Any], None],
    failed: Callable[[BaseException], None],
) -> None:
    """Drive a script's coroutine on the reactor."""
    running: Deferred[Any]
    if isinstance(work, Deferred):
        running = work
    else:
        assert isinstance(work, Coroutine)
        running = Deferred.fromCoroutine(work)
    running.addCallbacks(done, lambda failure: failed(failure.value))
