"""The proxy core with its transactions, on a stepping clock, between peers made of octets.

Everything from ``TransactionTable`` upward is real; the sockets are lists. A peer is an
address: ``world.receive(octets, PEER)`` is a datagram from it, ``world.sent_to(PEER)``
what it got.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.clock import SteppingClock
from uacproxy.bridge.calls import Calls
from uacproxy.bridge.settings import BridgeSettings
from uacproxy.bridge.wiring import BridgeWiring
from uacproxy.counters import (
    BridgeCounters,
    DialogCounters,
    ProxyCounters,
    TransactionCounters,
    TransportCounters,
)
from uacproxy.dialog.tracker import DialogTracker
from uacproxy.errors import ScriptError
from uacproxy.ports import Flow, HostPort, Store, Target
from uacproxy.proxy.core import ProxyCore
from uacproxy.proxy.settings import SipSettings
from uacproxy.proxy.target_set import Destination
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.context import RouteContext
from uacproxy.routing.features import Accounts, Features
from uacproxy.routing.request_sending import RequestSending
from uacproxy.routing.rules import compile_rules
from uacproxy.routing.runner import Runner
from uacproxy.routing.scope import Scope
from uacproxy.routing.script import Script, load_script
from uacproxy.routing.settings import RuleSettings
from uacproxy.settings import ListenAddress
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.limits import LimitSettings
from uacproxy.sip.message import Message
from uacproxy.sip.parse import MalformedMessage, parse_message
from uacproxy.sip.uri import Uri
from uacproxy.sip.via import Via
from uacproxy.store.memory import MemoryStore
from uacproxy.transaction.table import TransactionTable
from uacproxy.transport.inbound import Inbound
from uacproxy.uac.account_way import AccountWay
from uacproxy.uac.auth_param import AuthSeal
from uacproxy.uac.contact_user import ContactSeal
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.dialog_request import DialogRequests
from uacproxy.uac.invite import InviteSender
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.own_calls import OwnCalls
from uacproxy.uac.request_exchange import OwnRequests
from uacproxy.uac.rr_param import RestoreCodec, SealedCodec
from uacproxy.uac.send import RequestSender

CALLER: HostPort = ("192.0.2.1", 5060)
CALLEE: HostPort = ("192.0.2.2", 5060)
OTHER: HostPort = ("192.0.2.3", 5060)
_RUNS = itertools.count()  # each world is a run of the service of its own
HERE: HostPort = ("192.0.2.100", 5060)


class CountingRandom:
    """Tokens that count, so that a failing test can be read."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def token(self) -> bytes:
        return b"%016x" % next(self._numbers)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


class SilentLog:
    """Remembers what was told, as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _tell(self, format: str, **values: object) -> None:
        self.lines.append(format.format(**values))

    debug = info = warn = error = _tell


class WorldFlow(Flow):
    """A datagram's way to one peer, or a stream's."""

    sent_by = b"192.0.2.100:5060"

    def __init__(self, world: World, remote: HostPort, transport: bytes) -> None:
        super().__init__(transport, remote, HERE, reliable=transport == b"TCP")
        self._world = world

    def send(self, octets: bytes, failed: Callable[[], None] | None) -> None:
        world = self._world
        if self.remote in world.unreachable or (self.remote, self.transport) in world.refusing:
            if failed is not None:
                world.clock.callLater(0, failed)
            return
        world.sent.append((world.clock.seconds(), self.remote, self.transport, octets))

    def answering(self, via: Via) -> Flow:
        if self.reliable or via.rport is not None:
            return self
        return self._world.flow(via.port, self.remote[0], self.transport)


class World:
    """One proxy."""

    def __init__(
        self,
        script: str = "",
        rules: Sequence[RuleSettings] = (),
        *,
        codec: RestoreCodec | None = None,
        restore_dlg: bool = False,
        restore_avps: tuple[str, str] = ("", ""),
        restore_mode: str = "auto",
        credentials: CredentialList | None = None,
        accounts: Accounts | None = None,
        settings: SipSettings | None = None,
        domains: Sequence[bytes] = (b"proxy.example",),
        avps: tuple[str, str, str] = ("$avp(arealm)", "$avp(auser)", "$avp(apass)"),
        max_transactions: int = 400_000,
        max_dialogs: int = 1000,
        track_cseq: bool = True,
        consume_credentials: bool = True,
        store: Store | None = None,
        default_socket: ListenAddress | None = None,
        max_requests: int = 1000,
        account_way: Callable[[str], AccountWay | None] = lambda _: None,
        bridge: BridgeSettings | None = None,
        max_calls: int = 1000,
    ) -> None:
        self.clock = SteppingClock()
        self.random = CountingRandom()
        self.log = SilentLog()
        self.counters = ProxyCounters()
        self.transaction_counters = TransactionCounters()
        self.dialog_counters = DialogCounters()
        self.store: Store = MemoryStore(self.clock.seconds) if store is None else store
        self.domains = set(domains)
        self.bindings: dict[bytes, list[Destination]] = {}
        self.names: dict[bytes, list[HostPort]] = {}
        self.unreachable: set[HostPort] = set()
        self.refusing: set[tuple[HostPort, bytes]] = set()  # unreachable by one transport
        self.has_tcp = True
        self.sent: list[tuple[float, HostPort, bytes, bytes]] = []
        self._mistake: Exception | None = None
        self.spawned: list[Any] = []
        self._flows: dict[tuple[HostPort, bytes], WorldFlow] = {}
        self.table = TransactionTable(
            clock=self.clock,
            random=self.random,
            counters=self.transaction_counters,
            user=None,  # type: ignore[arg-type]  # set below
            max_transactions=max_transactions,
        )
        self.tracker = DialogTracker(
            clock=self.clock,
            now_utc=self.clock.seconds,
            random=self.random,
            store=self.store,
            counters=self.dialog_counters,
            early_timeout=300.0,
            lifetime=43200.0,
            max_dialogs=max_dialogs,
        )
        self.nonces = NonceBook()
        self.requests = OwnRequests(
            sender=RequestSender(
                transports=self,
                resolver=self,
                table=self.table,
                default_socket=default_socket,
            ),
            clock=self.clock,
            nonces=self.nonces,
            most=max_requests,
        )
        self.own_calls = OwnCalls(
            invites=InviteSender(
                transports=self,
                resolver=self,
                table=self.table,
                clock=self.clock,
                nonces=self.nonces,
                default_socket=default_socket,
            ),
            requests=self.requests,
            clock=self.clock,
            lifetime=3600.0,
            most=max_requests,
        )
        sealing = codec or SealedCodec(b"vsf", b"vst", [bytes(range(32))])
        features = Features(
            restore_mode=restore_mode,
            codec=sealing,
            restore_dlg=restore_dlg,
            restore_from_avp=restore_avps[0],
            restore_to_avp=restore_avps[1],
            keep_early=self._keep_early,
            contact_seal=ContactSeal([bytes(range(32))]),
            auth_seal=AuthSeal([bytes(range(32))], b"%04d" % next(_RUNS)),
            consume_credentials=consume_credentials,
            track_cseq=track_cseq,
            credentials=credentials or CredentialList(),
            auth_realm_avp=avps[0],
            auth_username_avp=avps[1],
            auth_password_avp=avps[2],
            accounts=accounts,
            requests=RequestSending(
                requests=self.requests,
                calls=self.own_calls,
                random=self.random,
                user_agent=b"uacproxy",
                credentials=credentials or CredentialList(),
                listens_on=self.listens_on,
                promise=Deferred,
                tell=self._tell_event,
            ),
            is_ours=self.is_ours,
            track=self._track,
            set_dialog_variable=self._set_dialog_variable,
            counters=self.counters,
            log=self.log,
            nonces=self.nonces,
        )
        sip = settings or SipSettings()
        self.bridge_counters = BridgeCounters()
        sender = RequestSender(transports=self, resolver=self, table=self.table)
        invites = InviteSender(
            transports=self,
            resolver=self,
            table=self.table,
            clock=self.clock,
            nonces=self.nonces,
        )
        self.calls = Calls(
            BridgeWiring(
                settings=bridge or BridgeSettings(),
                table=self.table,
                invites=invites,
                requests=DialogRequests(sender, self.nonces),
                clock=self.clock,
                now_utc=self.clock.seconds,
                random=self.random,
                store=self.store,
                credentials_of=features.sources.of,
                counters=self.bridge_counters,
                log=self.log,
                server_name=octets_of(sip.server_name),
                max_forwards=sip.max_forwards,
                max_calls=max_calls,
                t1=sip.t1,
                t2=sip.t2,
            )
        )
        self.wiring = Wiring(
            settings=sip,
            table=self.table,
            transports=self,
            resolver=self,
            clock=self.clock,
            tracker=self.tracker,
            codec=sealing,
            features=features,
            runner=Runner(self._spawn, self.counters, self.log),
            script=self._script(script, rules),
            find_local=self._find_local,
            own_calls=self.own_calls,
            is_ours=self.is_ours,
            account_way=account_way,
            bridge=self.calls,
            counters=self.counters,
            log=self.log,
        )
        self.core = ProxyCore(self.wiring, self._register)
        self.table.user = self.core
        self.transport_counters = TransportCounters()
        self.inbound = Inbound(
            limits=LimitSettings(),
            counters=self.transport_counters,
            is_ours=self.is_ours,
            deliver=self._deliver,
            reject=self._reject,
            clock=self.clock,
            log=self.log,
        )

    @staticmethod
    def _script(script: str, rules: Sequence[RuleSettings]) -> Script:
        if script:
            return load_script("route.py", script)
        return compile_rules(rules, "uacproxy.ini")

    # -- what a test does --------------------------------------------------------------

    def receive(self, octets: bytes, peer: HostPort = CALLER, transport: bytes = b"UDP") -> None:
        """Let a message arrive, as the transport would hand it on."""
        self.inbound.datagram_received(octets, self.flow(peer[1], peer[0], transport))
        if self._mistake is not None:
            raise self._mistake

    def _deliver(self, message: Message, flow: Flow) -> None:
        try:
            if message.is_request:
                self.table.request_received(message, flow)
            else:
                self.table.response_received(message, flow)
        except Exception as error:
            self._mistake = error  # which Inbound would swallow
            raise

    def _reject(self, error: MalformedMessage, flow: Flow) -> None:
        try:
            self.core.malformed(error, flow)
        except Exception as mistake:
            self._mistake = mistake
            raise

    def let(self, seconds: float) -> None:
        """Let time pass, stopping at each timer."""
        self.clock.run_until(self.clock.seconds() + seconds)

    def sent_to(self, peer: HostPort) -> list[Message]:
        """Return what a peer got so far, parsed."""
        return [parse_message(octets) for _, to, _, octets in self.sent if to == peer]

    def last_to(self, peer: HostPort) -> Message:
        """Return the last message a peer got."""
        return self.sent_to(peer)[-1]

    def kinds_to(self, peer: HostPort) -> list[str]:
        """Return what a peer got, in words: methods and status codes."""
        return [
            text(message.method) if message.is_request else str(message.status)
            for message in self.sent_to(peer)
        ]

    # -- ports -------------------------------------------------------------------------

    def flow(self, port: int, host: str, transport: bytes) -> WorldFlow:
        key = ((host, port), transport)
        if key not in self._flows:
            self._flows[key] = WorldFlow(self, (host, port), transport)
        return self._flows[key]

    def flow_to(self, target: Target, socket: ListenAddress | None = None) -> Flow | None:
        if socket is not None and (
            not self.listens_on(socket) or socket.transport != target.transport
        ):
            return None
        if target.transport == b"TCP" and not self.has_tcp:
            return None
        return self.flow(target.port, target.host, target.transport)

    def listens_on(self, socket: ListenAddress) -> bool:
        return (socket.host, socket.port) == HERE

    def is_ours(self, uri: Any, port: int | None = None, transport: bytes | None = None) -> bool:
        """Serve both as ``Transports.is_ours`` and as the wiring's."""
        host = uri.host if isinstance(uri, Uri) else uri
        return host == b"192.0.2.100" or host in self.domains

    def resolve(self, uri: Uri, then: Callable[[list[Target]], None]) -> None:
        transport = uri.transport
        found = self.names.get(uri.host)
        if found is None:
            found = [(text(uri.address), uri.port or 5060)] if uri.address[:1].isdigit() else []
        then([Target(transport or b"UDP", host, port, bool(transport)) for host, port in found])

    def _spawn(
        self,
        work: Awaitable[Any],
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Run a coroutine that awaits nothing, or keep it for the test to finish."""
        self._drive(work, done, failed)

    def _tell_event(self, name: str, scope: Scope) -> None:
        script = self.wiring.script
        handler = script.event(name)
        if handler is not None:
            ctx = RouteContext(self.wiring.features, scope)
            self.wiring.runner.run(handler, ctx, script.file, lambda _: None, lambda _: None)

    def _drive(
        self,
        coroutine: Any,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        try:
            waits_for = coroutine.send(None)
        except StopIteration as stop:
            done(stop.value)
        except Exception as error:  # noqa: BLE001  the runner hears whatever a handler raises
            failed(error)
        else:
            if isinstance(waits_for, Deferred):
                waits_for.addBoth(self._go_on, coroutine, done, failed)
            else:
                self.spawned.append((coroutine, done, failed))

    def _go_on(self, result: Any, *waiting: Any) -> Any:
        self._drive(*waiting)
        return result

    def resume(self, index: int = 0) -> None:
        """Let a handler that was kept go on to its end."""
        coroutine, done, failed = self.spawned.pop(index)
        self._drive(coroutine, done, failed)

    def _find_local(self, uri: Uri) -> list[Destination]:
        return self.bindings.get(uri.user + b"@" + uri.host, [])

    def _track(self, scope: Scope) -> bool:
        if scope.dialog is None and not scope.in_dialog:
            scope.dialog = self.tracker.track(scope.received)
        return scope.dialog is not None

    def _keep_early(self, scope: Scope) -> None:
        assert scope.dialog is not None
        self.tracker.keep_early(scope.dialog)

    def _set_dialog_variable(self, scope: Scope, name: str, value: str | None) -> None:
        if scope.dialog is None:
            raise ScriptError(f"$dlg_var({name}): the dialog is not tracked")
        self.tracker.set_variable(scope.dialog, name, value)

    def _register(self, request: Message, flow: Flow, respond: Callable[[Message], None]) -> None:
        from uacproxy.sip.build import build_response

        respond(build_response(request, 200, to_tag=b"registrar"))


def invite(
    *,
    uri: bytes = b"sip:bob@192.0.2.2",
    branch: bytes = b"z9hG4bKinvite1",
    cseq: int = 1,
    fields: bytes = b"",
    to: bytes = b"<sip:bob@b.example>",
    from_: bytes = b'"Alice" <sip:alice@a.example>;tag=at1',
    call_id: bytes = b"call-1@a.example",
    method: bytes = b"INVITE",
    body: bytes = b"",
    max_forwards: bytes = b"Max-Forwards: 70\r\n",
) -> bytes:
    """Return a request of the caller."""
    return (
        method + b" " + uri + b" SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch="
        + branch
        + b"\r\n"
        + max_forwards
        + fields
        + b"From: "
        + from_
        + b"\r\nTo: "
        + to
        + b"\r\n"
        b"Call-ID: " + call_id + b"\r\nCSeq: %d " % cseq + method + b"\r\n"
        b"Contact: <sip:alice@192.0.2.1>\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )


def answer(
    request: Message, status: int, to_tag: bytes = b"bt1", fields: bytes = b"", body: bytes = b""
) -> bytes:
    """Return a response of whoever got ``request``, with all its Via and Record-Route."""
    lines = [b"SIP/2.0 %d Whatever" % status]
    for name, line in zip(request.names, request.lines, strict=True):
        if name in (b"via", b"from", b"call-id", b"cseq", b"record-route"):
            lines.append(line)
        elif name == b"to":
            lines.append(line if request.to.tag or not to_tag else line + b";tag=" + to_tag)
    head = b"\r\n".join(lines) + b"\r\nContact: <sip:bob@192.0.2.2>\r\n" + fields
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
