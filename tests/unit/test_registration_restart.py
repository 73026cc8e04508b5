"""A service that ends and begins again: what it kept of its registrations, and what it sends.

The end is without any notice (kill -9): the second table has the store and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import SteppingClock
from tests.support.registrar import (
    EPOCH,
    HERE,
    Reply,
    account,
    challenge,
    credentials_of,
    ok,
    status,
)
from tests.unit.test_registrations import Bench, SeededRandom, challenged_or_ok
from uacproxy.errors import StoreCorrupt
from uacproxy.store.memory import MemoryStore
from uacproxy.uac.account import Account
from uacproxy.uac.register_series import KeptNonce, RegisterSeries
from uacproxy.uac.registration_event import LastExchange
from uacproxy.uac.registration_states import RegistrationState as State
from uacproxy.uac.registration_store import SPACE, Recollection, decode, encode


class Service:
    """A table that is killed and started again, with one store and one time."""

    def __init__(
        self, *script: Reply, accounts: list[Account] | None = None, **settings: Any
    ) -> None:
        self.settings = settings
        self.clock = SteppingClock()
        self.store = MemoryStore(lambda: self.clock.seconds() + EPOCH)
        self.accounts = [account()] if accounts is None else accounts
        self.start(*script)

    def start(self, *script: Reply) -> None:
        """Begin anew; the clock goes on, as that of the system does."""
        self.bench = Bench(
            *script,
            accounts=self.accounts,
            store=self.store,
            random=SeededRandom(),
            clock=self.clock,
            **self.settings,
        )

    def let(self, seconds: float) -> None:
        self.bench.let(seconds)

    def killed_for(self, seconds: float) -> None:
        self.clock = SteppingClock()
        self.clock.run_until(self.bench.clock.seconds() + seconds)


def test_a_stop_that_keeps_the_bindings_is_followed_by_a_start_that_sends_nothing() -> None:
    service = Service(challenged_or_ok, reg_release="keep")
    service.let(60.0)
    stopped = service.bench
    stopped.table.shutdown(lambda: None, 5.0)
    stopped.let(2.0)
    service.killed_for(30.0)
    service.start(challenged_or_ok)
    service.let(1500.0)
    assert (len(stopped.requests), service.bench.requests) == (2, [])
    assert service.bench.table.status("u1") == 1


def test_a_restart_sends_nothing_for_what_is_still_valid() -> None:
    accounts = [account(f"u{n}", r_username=f"t{n}") for n in range(20)]
    service = Service(challenged_or_ok, accounts=accounts)
    service.let(60.0)
    due = [service.bench.registration(one.l_uuid).next_at_utc for one in accounts]
    service.killed_for(30.0)
    service.start(challenged_or_ok)
    assert service.bench.table.gauges()["uac.regactive"] == 20
    service.let(1500.0)
    assert service.bench.requests == []
    again = [service.bench.registration(one.l_uuid).next_at_utc for one in accounts]
    assert again == pytest.approx(due, abs=0.01)
    service.let(1400.0)
    assert len(service.bench.requests) == 20


def test_after_a_restart_call_id_cseq_nonce_and_target_go_on() -> None:
    service = Service(challenge(b"n1"), ok(expires=600))
    service.let(5.0)
    before = service.bench.registrar.requests[-1]
    service.killed_for(60.0)
    service.start(ok())
    service.let(600.0)
    after = service.bench.registrar.requests[0]
    assert (after.call_id, after.from_.tag) == (before.call_id, before.from_.tag)
    assert after.cseq.number > before.cseq.number
    given = credentials_of(after)
    assert given is not None and given.nonce == b"n1" and int(given.nc, 16) > 1
    assert service.bench.registrar.targets[0] == HERE


def test_a_cseq_that_was_sent_and_not_noted_is_not_sent_again() -> None:
    """A kill -9 in the middle of an exchange, or while the store was away (10.3 step 7)."""
    service = Service(challenge(b"n1"), ok(expires=60))
    service.let(1.0)
    noted = service.store._spaces[SPACE].copy()
    service.let(600.0)  # the store does not hear of what happens now
    sent = max(service.bench.numbers())
    service.store._spaces[SPACE] = noted
    service.killed_for(0.0)
    service.start(ok())
    service.let(5.0)
    assert service.bench.numbers()[0] > sent
    assert service.bench.registrar.requests[0].call_id


class Hasty:
    """A store of a process that is killed before what may wait is written."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.waiting = 0
        self.written = 0
        self.get, self.scan, self.delete = inner.get, inner.scan, inner.delete

    def put(
        self,
        space: str,
        key: bytes,
        value: bytes,
        expires_at_utc: float,
        *,
        may_wait: bool = False,
    ) -> None:
        if may_wait:
            self.waiting += 1
        else:
            self.written += 1
            self.inner.put(space, key, value, expires_at_utc)


def test_renewals_may_wait_and_one_that_was_lost_is_made_again_soon_as_a_later_request() -> None:
    service = Service(challenged_or_ok)
    store = Hasty(service.store)
    service.store = cast(Any, store)
    service.start(challenge(b"n1"), ok(expires=60))
    service.let(5.0)
    assert (store.written, store.waiting) == (1, 0)
    service.let(40.0)
    assert store.waiting == 1
    last = service.bench.registrar.requests[-1]
    service.killed_for(1.0)
    service.start(ok(expires=60))
    assert service.bench.state() is State.REGISTERED
    assert service.bench.requests == []
    service.let(6.0)
    (again,) = service.bench.registrar.requests
    assert again.cseq.number > last.cseq.number
    given, before = credentials_of(again), credentials_of(last)
    assert given is not None and before is not None
    assert int(given.nc, 16) > int(before.nc, 16)


def test_a_refresh_that_came_due_while_nobody_was_here_is_sent_soon() -> None:
    service = Service(ok(expires=600))
    service.let(5.0)
    service.killed_for(550.0)
    service.start(ok())
    assert service.bench.state() is State.REGISTERED
    service.let(6.0)
    assert len(service.bench.requests) == 1


def test_a_binding_that_ran_out_meanwhile_is_registered_again() -> None:
    service = Service(ok(expires=600))
    service.let(5.0)
    service.killed_for(700.0)
    service.start(ok())
    service.let(1.0)
    assert len(service.bench.requests) == 1


@pytest.mark.parametrize(
    "change", [{"r_username": "other"}, {"auth_proxy": "sip:b.example"}, {"contact_user": "x"}]
)
def test_an_account_changed_meanwhile_is_registered_at_once(change: dict[str, str]) -> None:
    service = Service(ok())
    service.let(5.0)
    service.killed_for(5.0)
    service.accounts = [replace(service.accounts[0], **change)]  # type: ignore[arg-type]
    service.start(ok())
    service.let(1.0)
    assert len(service.bench.requests) == 1


def test_refused_credentials_are_tried_once_after_a_restart_and_wait_as_long_as_before() -> None:
    service = Service(challenge(b"n1"))
    service.let(3600.0)
    refusals = service.bench.registration().tally.refusals
    assert refusals >= 3
    service.killed_for(1.0)
    service.start(challenge(b"n1"))
    service.let(2000.0)
    assert len(service.bench.requests) == 2
    assert service.bench.registration().tally.refusals == refusals + 1
    assert "401" in (service.bench.table.explain("u1") or "")


def test_a_time_set_back_makes_no_binding_longer_than_it_was_granted() -> None:
    service = Service(ok(expires=600))
    service.let(5000.0)
    service.clock = SteppingClock()
    service.start(ok())
    service.let(1.0)
    assert len(service.bench.requests) == 1


def test_an_unregistered_account_is_not_taken_for_a_registered_one() -> None:
    service = Service(ok(), status(200))
    service.let(1.0)
    service.bench.table.unregister("l_uuid", "u1")
    service.let(1.0)
    service.killed_for(1.0)
    service.start(ok())
    service.let(1.0)
    assert service.bench.asked() == [b"3600"]


def test_the_store_holds_no_password() -> None:
    service = Service(challenge(b"n1"), ok())
    service.let(5.0)
    values = [value for value, _ in service.store._spaces[SPACE].values()]
    assert len(values) == 1 and b"hunter2" not in values[0]


def test_a_record_that_cannot_be_read_is_as_none() -> None:
    service = Service(ok())
    service.let(5.0)
    service.store.put(SPACE, b"u1", b'{"version": 1}', EPOCH + 9999)
    service.killed_for(1.0)
    service.start(ok())
    service.let(1.0)
    assert service.bench.table.status("u1") == 1
    assert len(service.bench.requests) == 1


@given(st.binary(max_size=200) | st.just(b"[" * 100_000))
def test_whatever_is_in_the_store_is_a_record_or_corrupt(octets: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode(octets)


def test_a_time_too_large_for_one_makes_a_record_corrupt() -> None:
    known = Recollection(RegisterSeries(), 12345.0, 0.0, 0.0, 60, 0, 0, None, b"12345678")
    written = encode(known)
    decode(written)
    with pytest.raises(StoreCorrupt):
        decode(written.replace(b"12345.0", b"1" + b"0" * 400))


octets = st.binary(max_size=20)
counts = st.integers(0, 2**40)


@given(octets, octets, counts, counts, st.lists(octets, max_size=3), st.text(max_size=20))
def test_a_record_reads_back_as_it_was(
    call_id: bytes, tag: bytes, cseq: int, nc: int, routes: list[bytes], why: str
) -> None:
    series = RegisterSeries()
    series.call_id, series.from_tag, series.cseq = call_id, tag, cseq
    series.nonces = (KeptNonce(b"authorization", call_id, nc),)
    series.service_route = tuple(routes)
    series.target = HERE
    last = LastExchange(EPOCH, 200, why.encode("utf-8", "replace").decode(), HERE)
    known = Recollection(series, EPOCH, EPOCH + 1, 0.0, 60, 1, 2, last, b"12345678")
    read = decode(encode(known))
    assert read._replace(series=series) == known
    for name in ("call_id", "from_tag", "cseq", "nonces", "service_route", "target", "public"):
        assert getattr(read.series, name) == getattr(series, name)
