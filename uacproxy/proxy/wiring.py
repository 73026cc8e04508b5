"""What every part of the proxy core works with; made once, by the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, final

from uacproxy.bridge.calls import Calls
from uacproxy.counters import ProxyCounters
from uacproxy.dialog.tracker import DialogTracker
from uacproxy.ports import Clock, Log, Resolver, Transports
from uacproxy.proxy.route_mark import RouteMark
from uacproxy.proxy.settings import SipSettings
from uacproxy.proxy.target_set import FindLocal
from uacproxy.routing.features import Features
from uacproxy.routing.runner import Runner
from uacproxy.routing.script import Script
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.uri import Uri
from uacproxy.transaction.table import TransactionTable
from uacproxy.uac.account_way import AccountWay
from uacproxy.uac.own_calls import OwnCalls
from uacproxy.uac.rr_param import RestoreCodec


class OurNames(Protocol):
    """Which URIs name this service."""

    def __call__(self, uri: Uri) -> bool:
        """Tell whether host and port of ``uri`` are ours."""


def _no_way(_l_uuid: str) -> AccountWay | None:
    """Know no account."""
    return None


@final
class Wiring:
    """The core's surroundings; ``script`` is swapped when a new one has loaded."""

    __slots__ = (
        "account_way",
        "bridge",
        "clock",
        "codec",
        "counters",
        "features",
        "find_local",
        "is_ours",
        "log",
        "loop_detection",
        "max_forwards",
        "own_calls",
        "record_route",
        "resolver",
        "restores",
        "route_mark",
        "runner",
        "script",
        "server_name",
        "stores",
        "t1",
        "table",
        "timer_c",
        "tracker",
        "transports",
        "udp_limit",
    )

    def __init__(
        self,
        *,
        settings: SipSettings,
        table: TransactionTable,
        transports: Transports,
        resolver: Resolver,
        clock: Clock,
        tracker: DialogTracker,
        codec: RestoreCodec,
        features: Features,
        runner: Runner,
        script: Script,
        find_local: FindLocal,
        own_calls: OwnCalls,
        is_ours: OurNames,
        route_mark: RouteMark | None = None,
        account_way: Callable[[str], AccountWay | None] = _no_way,
        bridge: Calls | None = None,
        counters: ProxyCounters,
        log: Log,
    ) -> None:
        self.timer_c: float = settings.timer_c  # s
        self.t1: float = settings.t1  # s
        self.udp_limit: int = settings.udp_limit  # octets, 0: never switch
        self.max_forwards: int = settings.max_forwards
        self.record_route: bool = settings.record_route
        self.loop_detection: bool = settings.loop_detection
        self.server_name: bytes = octets_of(settings.server_name)
        self.table = table
        self.transports = transports
        self.resolver = resolver
        self.clock = clock
        self.tracker = tracker
        self.codec = codec
        self.stores = features.restore_mode != "none"  # identities, in Record-Route
        self.restores = features.restore_mode == "auto"
        self.features = features
        self.runner = runner
        self.script = script
        self.find_local = find_local
        self.own_calls = own_calls  # what comes inside their dialogs is for them
        self.is_ours = is_ours
        self.account_way = account_way  # by l_uuid: where the account's REGISTER went
        self.route_mark = route_mark  # None: any Route of ours counts, as in a mixed farm
        self.bridge = bridge  # None: Bridge is not to be had
        self.counters = counters
        self.log = log
