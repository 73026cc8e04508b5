"""A provider with several addresses, and accounts that register there over a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.support.clock import SteppingClock
from tests.support.log import KeptLog
from tests.support.registrar import EPOCH, CountingRandom, ListedAccounts, Reply, account
from uacproxy.counters import RegistrationCounters, TransactionCounters
from uacproxy.ports import Flow, Store, Target
from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri
from uacproxy.testing.loopback import Network
from uacproxy.transaction.table import TransactionTable
from uacproxy.uac.account import Account
from uacproxy.uac.registration_event import RegistrationEvent
from uacproxy.uac.registrations import RegistrationTable
from uacproxy.uac.send import RequestSender
from uacproxy.uac.settings import UacSettings
from uacproxy.uac.silent_targets import SilentTargets
from uacproxy.uac.written_request import WrittenSender

FIRST = Target(b"UDP", "192.0.2.11", 5060)
SECOND = Target(b"UDP", "192.0.2.12", 5060)
THIRD = Target(b"UDP", "192.0.2.13", 5060)


class Pool:
    """A provider with three addresses behind one name, and accounts that register there."""

    def __init__(
        self,
        replies: dict[Target, Reply],
        accounts: Sequence[Account] | None = None,
        *,
        always_long: bool = False,
        store: Store | None = None,
        clock: SteppingClock | None = None,
        **settings: Any,
    ) -> None:
        """Begin; with ``always_long`` no refresh is written as the last one was."""
        self.clock = clock or SteppingClock()
        self.replies = replies
        self.heard: list[tuple[Target, Message]] = []
        network = Network(self.clock)
        for target in replies:
            self._listen(network, target)
        here = network.endpoint("192.0.2.100", 5060, deliver=self._answer_came, log=KeptLog())
        self.transactions = TransactionTable(
            clock=self.clock,
            random=CountingRandom(),
            counters=TransactionCounters(),
            user=self,  # type: ignore[arg-type]  # requests come to nobody
        )
        self.counters = RegistrationCounters()
        self.events: list[RegistrationEvent] = []
        sender = RequestSender(
            transports=here,
            resolver=self,
            table=self.transactions,
            silent=SilentTargets(self.clock.seconds),
        )
        self.table = RegistrationTable(
            settings=UacSettings(**{"reg_contact_addr": "192.0.2.100:5060", **settings}),
            source=ListedAccounts(self.clock, [account()] if accounts is None else accounts),
            sender=sender,
            clock=self.clock,
            now_utc=lambda: self.clock.seconds() + EPOCH,
            random=CountingRandom(),
            counters=self.counters,
            log=KeptLog(),
            heard=self.events.append,
            store=store,
            written=None if always_long else WrittenSender(sender, self.clock.seconds),
        )
        self.table.start()

    def _listen(self, network: Network, target: Target) -> None:
        def deliver(request: Message, flow: Flow) -> None:
            self.heard.append((target, request))
            response = self.replies[target](request)
            if response is not None:
                flow.send(response.encode(), None)

        network.endpoint(target.host, target.port, deliver=deliver, log=KeptLog())

    def _answer_came(self, response: Message, flow: Flow) -> None:
        self.transactions.response_received(response, flow)

    def response_unmatched(self, response: Message, flow: Flow) -> None: ...

    def resolve(self, uri: Uri, then: Callable[[list[Target]], None]) -> None:
        then([FIRST, SECOND, THIRD])

    def let(self, seconds: float) -> None:
        until = self.clock.seconds() + seconds
        while self.clock.seconds() < until:
            self.clock.run_until(min(self.clock.seconds() + 1.0, until))
            self.table.beat()

    def asked(self, r_username: bytes = b"trunk7") -> list[Target]:
        """Return whom each REGISTER of an account went to, retransmissions left out."""
        seen: dict[tuple[int, Target], None] = {}
        for target, request in self.heard:
            if b"sip:%b@" % r_username in request.to.uri:
                seen.setdefault((request.cseq.number, target))
        return [target for _, target in seen]
