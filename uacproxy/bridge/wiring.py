"""What every bridged call works with; made once, by the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.bridge.policy import IN_REQUESTS, IN_RESPONSES
from uacproxy.bridge.settings import BridgeSettings
from uacproxy.counters import BridgeCounters
from uacproxy.ports import Clock, Log, Random, Store
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.names import canonical
from uacproxy.transaction.table import TransactionTable
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.dialog_request import DialogRequests
from uacproxy.uac.invite import InviteSender

CredentialsOf = Callable[[str, bytes, bytes], CredentialList]
"""Credentials by source, Call-ID and tag of the caller; see ``uac.credential_sources``."""


@final
class BridgeWiring:
    """The surroundings of all calls."""

    __slots__ = (
        "clock",
        "counters",
        "credentials_of",
        "invites",
        "log",
        "max_calls",
        "max_forwards",
        "methods",
        "now_utc",
        "passed_in_requests",
        "passed_in_responses",
        "random",
        "requests",
        "server_name",
        "settings",
        "store",
        "t1",
        "t2",
        "table",
    )

    def __init__(
        self,
        *,
        settings: BridgeSettings,
        table: TransactionTable,
        invites: InviteSender,
        requests: DialogRequests,
        clock: Clock,
        now_utc: Callable[[], float],
        random: Random,
        store: Store,
        credentials_of: CredentialsOf,
        counters: BridgeCounters,
        log: Log,
        server_name: bytes,
        max_forwards: int,
        max_calls: int,
        t1: float,
        t2: float,
    ) -> None:
        self.settings = settings
        self.table = table
        self.invites = invites
        self.requests = requests
        self.clock = clock
        self.now_utc = now_utc
        self.random = random
        self.store = store
        self.credentials_of = credentials_of
        self.counters = counters
        self.log = log
        self.server_name = server_name
        self.max_forwards = max_forwards
        self.max_calls = max_calls
        self.t1 = t1  # s
        self.t2 = t2  # s
        also = frozenset(canonical(octets_of(name)) for name in settings.pass_headers)
        self.passed_in_requests: frozenset[bytes] = IN_REQUESTS | also
        self.passed_in_responses: frozenset[bytes] = IN_RESPONSES | also
        self.methods: list[bytes] = [
            octets_of(one) for one in settings.methods if one != "REFER" or settings.refer == "pass"
        ]
