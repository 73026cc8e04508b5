"""Accounts, transactions and a real registrar with digest, over a network that loses datagrams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clock import SteppingClock
from tests.support.log import KeptLog
from tests.support.registrar import EPOCH, CountingRandom, ListedAccounts, account
from uacproxy.counters import RegistrationCounters, TransactionCounters
from uacproxy.ports import Flow, Target
from uacproxy.registrar.bindings import BindingTable
from uacproxy.registrar.digest_server import DigestServer
from uacproxy.registrar.registrar import Registrar
from uacproxy.registrar.settings import RegistrarSettings
from uacproxy.sip.digest_hash import compute_ha1, find_algorithm
from uacproxy.sip.message import Message
from uacproxy.sip.uri import Uri
from uacproxy.store.memory import MemoryStore
from uacproxy.testing.loopback import FAIR, Network, Weather
from uacproxy.transaction.invite_server import InviteServer
from uacproxy.transaction.server import ServerTransaction
from uacproxy.transaction.table import TransactionTable
from uacproxy.uac.registrations import RegistrationTable
from uacproxy.uac.send import RequestSender
from uacproxy.uac.settings import UacSettings
from uacproxy.uac.written_request import WrittenSender

HERE = ("192.0.2.100", 5060)
PROVIDER = ("192.0.2.7", 5060)
USER = b"trunk7"
AOR = b"trunk7@provider.example"


class Provider:
    """The other side: its own transactions, and the registrar for one user."""

    def __init__(self, clock: SteppingClock, network: Network, now: Callable[[], float]) -> None:
        self.bindings = BindingTable(now, MemoryStore(now), 10)
        digest = DigestServer(b"provider.example", b"k" * 32, now, 3600.0)
        self.registrar = Registrar(
            settings=RegistrarSettings(),
            bindings=self.bindings,
            is_our_domain=lambda host: host == b"provider.example",
            digest=digest,
            ha1_of=self._ha1_of,
            now_utc=now,
            random=CountingRandom(),
        )
        self.table = TransactionTable(
            clock=clock, random=CountingRandom(), counters=TransactionCounters(), user=self
        )
        self.endpoint = network.endpoint(*PROVIDER, deliver=self._deliver, log=KeptLog())

    def _ha1_of(self, username: bytes, realm: bytes, then: Callable[..., None], *_: object) -> None:
        algorithm = find_algorithm(b"MD5")
        assert algorithm is not None
        then(compute_ha1(algorithm, username, realm, b"hunter2").decode())

    def _deliver(self, message: Message, flow: Flow) -> None:
        self.table.request_received(message, flow)

    def request_received(self, server: ServerTransaction, request: Message, flow: Flow) -> None:
        self.registrar.register(request, flow, server.respond)

    def ack_received(self, ack: Message, flow: Flow) -> None: ...

    def cancel_received(self, server: InviteServer, cancel: Message) -> None: ...

    def response_unmatched(self, response: Message, flow: Flow) -> None: ...


class Bench:
    """One account on one network with one provider."""

    def __init__(self, weather: Weather = FAIR, password: str = "hunter2") -> None:
        self.clock = SteppingClock()
        self.network = Network(self.clock, weather=weather, seed=5)
        self.provider = Provider(self.clock, self.network, self.now)
        endpoint = self.network.endpoint(*HERE, deliver=self._deliver, log=KeptLog())
        self.transactions = TransactionTable(
            clock=self.clock,
            random=CountingRandom(),
            counters=TransactionCounters(),
            user=self.provider,
        )
        own = account(auth_username="trunk7", auth_password=password)
        self.counters = RegistrationCounters()
        sender = RequestSender(transports=endpoint, resolver=self, table=self.transactions)
        self.table = RegistrationTable(
            settings=UacSettings(reg_contact_addr="192.0.2.100:5060"),
            source=ListedAccounts(self.clock, [own]),
            sender=sender,
            clock=self.clock,
            now_utc=self.now,
            random=CountingRandom(),
            counters=self.counters,
            log=KeptLog(),
            written=WrittenSender(sender, self.clock.seconds),
        )
        self.table.start()

    def now(self) -> float:
        return self.clock.seconds() + EPOCH

    def resolve(self, uri: Uri, then: Callable[[list[Target]], None]) -> None:
        then([Target(b"UDP", *PROVIDER)])

    def _deliver(self, message: Message, flow: Flow) -> None:
        self.transactions.response_received(message, flow)

    def let(self, seconds: float) -> None:
        until = self.clock.seconds() + seconds
        while self.clock.seconds() < until:
            self.clock.run_until(min(self.clock.seconds() + 1.0, until))
            self.table.beat()


@pytest.mark.parametrize("weather", [FAIR, Weather(loss=0.3, duplication=0.2, reordering=0.3)])
def test_an_account_stays_registered_for_a_day(weather: Weather) -> None:
    bench = Bench(weather)
    bench.let(120.0)
    for _ in range(240):
        bench.let(360.0)
        assert bench.table.status("u1") == 1
        assert len(bench.provider.bindings.lookup(AOR)) == 1
    assert bench.counters.refused == 0


def test_on_a_fair_network_a_refresh_is_one_transaction() -> None:
    bench = Bench()
    bench.let(86400.0)
    assert bench.counters.sent <= bench.counters.granted + 1 + 24  # nonces live for an hour


def test_a_wrong_password_registers_nothing() -> None:
    bench = Bench(password="hunter3")
    bench.let(60.0)
    assert bench.provider.bindings.lookup(AOR) == []
    assert "refused our credential" in (bench.table.explain("u1") or "")


def test_an_unregistered_account_is_gone_at_the_registrar() -> None:
    bench = Bench()
    bench.let(5.0)
    assert len(bench.provider.bindings.lookup(AOR)) == 1
    bench.table.unregister("l_uuid", "u1")
    bench.let(5.0)
    assert bench.provider.bindings.lookup(AOR) == []


def test_shutdown_leaves_nothing_at_the_registrar_and_no_transaction() -> None:
    bench = Bench()
    bench.let(5.0)
    told: list[bool] = []
    bench.table.shutdown(lambda: told.append(True), 5.0)
    bench.let(60.0)
    assert (told, bench.provider.bindings.lookup(AOR), bench.transactions.clients) == (
        [True],
        [],
        0,
    )
