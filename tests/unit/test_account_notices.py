"""What is told of changed accounts is gathered, and read one by one or all at once."""

from __future__ import annotations

from tests.support.clock import SteppingClock
from tests.support.registrar import account
from tests.unit.test_registrations_reload import Bench
from uacproxy.errors import StoreUnavailable
from uacproxy.uac.account_loader import LOAD_AGAIN_IN
from uacproxy.uac.account_notices import GATHERED_FOR, MOST_ROWS, AccountNotices
from uacproxy.uac.registration_states import RegistrationState as State


class Read:
    """Fits ``FollowedAccounts``: notes what was read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def catch_up(self) -> None:
        self.read.append("all")

    def follow(self, l_uuid: str) -> None:
        self.read.append(l_uuid)


def gathered(*notices: str) -> list[str]:
    clock = SteppingClock()
    read = Read()
    told = AccountNotices(read, clock)
    for l_uuid in notices:
        told.received(l_uuid)
    assert read.read == []
    clock.advance(GATHERED_FOR)
    return read.read


def test_an_account_told_of_twice_is_read_once() -> None:
    assert gathered("a", "b", "a") == ["a", "b"]


def test_a_notice_that_names_nobody_has_all_read_once() -> None:
    assert gathered("a", "", "b", "") == ["all"]


def test_more_than_a_handful_have_all_read_once() -> None:
    names = [str(number) for number in range(MOST_ROWS)]
    assert gathered(*names) == names
    assert gathered(*names, "one more", "and more") == ["all"]


def test_whoever_begins_to_listen_has_all_read_and_hears_on_afterwards() -> None:
    clock = SteppingClock()
    read = Read()
    told = AccountNotices(read, clock)
    told.listening()
    clock.advance(GATHERED_FOR)
    told.received("a")
    clock.advance(GATHERED_FOR)
    assert read.read == ["all", "a"]


def test_a_changed_row_is_registered_and_one_that_is_gone_taken_back() -> None:
    bench = Bench()
    bench.source.accounts = [account(expires=1800)]
    bench.table.follow("u1")
    bench.let(3.0)
    assert [interval for _, _, interval in bench.what_was_sent()] == ["1800"]
    bench.source.accounts = []
    bench.table.follow("u1")
    bench.let(3.0)
    assert [interval for _, _, interval in bench.what_was_sent()] == ["1800", "0"]
    assert bench.table.registration("u1") is None


def test_an_account_an_operator_has_disabled_stays_so() -> None:
    bench = Bench()
    bench.table.disable("l_uuid", "u1")
    bench.let(3.0)
    bench.source.accounts = [account(expires=1800)]
    bench.table.follow("u1")
    bench.let(3.0)
    assert bench.state() is State.DISABLED


def test_a_source_that_is_away_when_it_tells_is_read_later() -> None:
    bench = Bench()
    bench.source.accounts = [account(expires=1800)]
    bench.source.error = StoreUnavailable("a list: gone")
    bench.table.catch_up()
    bench.let(LOAD_AGAIN_IN + 1.0)
    bench.source.error = None
    assert bench.sent == []
    bench.let(LOAD_AGAIN_IN + 1.0)
    assert [interval for _, _, interval in bench.what_was_sent()] == ["1800"]
