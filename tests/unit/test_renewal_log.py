"""Renewals beside the records: a restart goes on from the last of them, however it ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import SteppingClock
from tests.support.registrar import EPOCH, account, credentials_of
from tests.support.registrar_pool import FIRST, Pool
from tests.unit.test_usual_refresh import granted, once_challenged
from uacproxy.sip.message import Message
from uacproxy.store.memory import MemoryStore
from uacproxy.uac import registration_store, renewal_log
from uacproxy.uac.account import Account
from uacproxy.uac.registration import Registration
from uacproxy.uac.renewal_log import RECORD_AGAIN, read_renewals

ANSWERS = once_challenged(granted())


class Service:
    """Accounts that are registered, stopped in one way or another, and started again."""

    def __init__(self, accounts: list[Account] | None = None, expires: int = 600) -> None:
        self.accounts = [account()] if accounts is None else accounts
        self.expires = expires
        self.clock = SteppingClock()
        self.store = MemoryStore(lambda: self.clock.seconds() + EPOCH)
        self.start(self.clock)

    def start(self, clock: SteppingClock) -> None:
        self.clock = clock
        self.pool = Pool(
            {FIRST: once_challenged(granted(self.expires))},
            self.accounts,
            store=self.store,
            clock=clock,
            reg_release="keep",
        )

    def killed_for(self, seconds: float) -> None:
        clock = SteppingClock()
        clock.run_until(self.pool.clock.seconds() + seconds)
        self.start(clock)

    @property
    def requests(self) -> list[Message]:
        return [request for _, request in self.pool.heard]

    def registration(self) -> Registration:
        found = self.pool.table.registration("u1")
        assert found is not None
        return found

    def held(self, space: str) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}

        def each(key: bytes, value: bytes, _expires_at_utc: float) -> None:
            found[key] = value

        self.store.scan(space, each, lambda: None)
        return found


def test_after_a_kill_the_last_renewal_is_gone_on_from() -> None:
    service = Service()
    service.pool.let(3000.0)
    before, due = service.requests[-1], service.registration().next_at_utc
    service.killed_for(30.0)
    service.pool.let(1.0)
    assert (service.requests, service.pool.table.status("u1")) == ([], 1)
    assert service.registration().next_at_utc == pytest.approx(due, abs=0.01)
    service.pool.let(600.0)
    after = service.requests[0]
    assert (after.call_id, after.cseq.number > before.cseq.number) == (before.call_id, True)
    last, first = credentials_of(before), credentials_of(after)
    assert last is not None and first is not None
    assert (first.nonce, int(first.nc, 16) > int(last.nc, 16)) == (last.nonce, True)


def test_a_stop_writes_what_was_gathered() -> None:
    service = Service()
    service.pool.let(380.0)
    while service.pool.counters.granted < 2:
        service.pool.let(0.05)
    due = service.registration().next_at_utc
    service.pool.table.shutdown(lambda: None, 5.0)
    service.killed_for(0.0)
    service.pool.let(1.0)
    assert service.registration().next_at_utc == pytest.approx(due, abs=0.01)


def test_many_renewals_are_one_value_and_the_record_stays() -> None:
    accounts = [account(f"u{number}", r_username=f"t{number}") for number in range(50)]
    service = Service(accounts)
    service.pool.let(100.0)
    records = service.held(registration_store.SPACE)
    service.pool.let(500.0)
    assert service.held(registration_store.SPACE) == records
    values = service.held(renewal_log.SPACE).values()
    found = [l_uuid for value in values for l_uuid, _ in read_renewals(value)]
    assert sorted(found) == sorted(one.l_uuid for one in accounts)


def test_the_record_itself_is_written_again_before_it_expires() -> None:
    service = Service()
    service.pool.let(100.0)
    record = service.held(registration_store.SPACE)
    service.pool.let(RECORD_AGAIN - 100.0)
    assert service.held(registration_store.SPACE) == record
    service.pool.let(1000.0)
    assert service.held(registration_store.SPACE) != record


def test_renewals_go_when_their_bindings_have_ended() -> None:
    service = Service()
    service.pool.let(86400.0)
    assert len(service.held(renewal_log.SPACE)) <= 2
    assert len(service.store) <= 5


def test_a_long_binding_has_its_record_written() -> None:
    service = Service([account(expires=10000)], 10000)
    service.pool.let(8000.0)
    assert service.pool.counters.granted == 2
    assert service.held(renewal_log.SPACE) == {}
    service.killed_for(30.0)
    service.pool.let(10.0)
    assert (service.requests, service.pool.table.status("u1")) == ([], 1)


def test_a_renewal_is_none_of_an_account_that_was_removed_and_added_again() -> None:
    service = Service()
    service.pool.let(1000.0)
    service.pool.table.remove("u1")
    service.pool.let(5.0)
    service.killed_for(0.0)
    service.pool.let(5.0)
    assert [request.cseq.number for request in service.requests] == [10, 11]


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda octets: b"\x01" + octets))
def test_whatever_is_in_the_store_is_renewals_or_corrupt(octets: bytes) -> None:
    try:
        found = list(read_renewals(octets))
    except ValueError:
        return
    assert len(found) <= 3


def test_values_that_cannot_be_read_cost_no_other() -> None:
    service = Service()
    service.pool.let(1000.0)
    service.store.put(renewal_log.SPACE, b"a", b"garbage", EPOCH + 1e6)
    service.store.put(renewal_log.SPACE, b"z", b"\x01" + bytes(7), EPOCH + 1e6)
    service.killed_for(1.0)
    service.pool.let(1.0)
    assert (service.requests, service.pool.table.status("u1")) == ([], 1)
