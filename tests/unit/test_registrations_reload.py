"""Accounts that change while they are registered: what is sent for it, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.support.registrar import account, ok, proves, silence, status
from tests.unit.test_registrations import Bench as Registered
from tests.unit.test_registrations import challenged_or_ok
from uacproxy.errors import StoreUnavailable, UacproxyError
from uacproxy.sip.message import Message
from uacproxy.sip.names import AUTHORIZATION, CONTACT, EXPIRES
from uacproxy.uac.account import Account, BadRow
from uacproxy.uac.account_loader import Reloaded
from uacproxy.uac.registration_states import RegistrationState as State


class Bench(Registered):
    """Accounts that are registered already, and what is sent afterwards."""

    def __init__(
        self,
        reply: Callable[[Message], Message | None] | None = None,
        *,
        accounts: Sequence[Account] | None = None,
        settle: float = 3.0,
        **settings: Any,
    ) -> None:
        super().__init__(
            reply or ok(), accounts=accounts, **{"reload_delta": 0, "reg_slow_start": 0, **settings}
        )
        self.let(settle)
        self.before = len(self.registrar.requests)
        self.reloads: list[Reloaded | UacproxyError] = []

    @property
    def sent(self) -> list[Message]:
        return self.registrar.requests[self.before :]

    def reload(self, *accounts: Account) -> Reloaded | UacproxyError:
        self.source.accounts = list(accounts)
        assert self.table.loader is not None
        self.table.loader.reload(self.reloads.append, self.reloads.append)
        self.let(3.0)
        return self.reloads[-1]

    def refresh(self, l_uuid: str = "u1") -> bool:
        found: list[bool] = []
        assert self.table.loader is not None
        self.table.loader.refresh(l_uuid, found.append, self.reloads.append)
        self.let(3.0)
        return found[0]

    def what_was_sent(self) -> list[tuple[str, str, str]]:
        """Return address of record, Contact and interval of each REGISTER."""
        return [
            (
                one.to.uri.decode(),
                (one.get(CONTACT) or b"").decode().strip("<>"),
                (one.get(EXPIRES) or b"").decode(),
            )
            for one in self.sent
        ]


OURS = "sip:u1@192.0.2.100:5060"
AOR = "sip:trunk7@provider.example"


def test_a_reload_of_the_same_rows_sends_nothing() -> None:
    """A reload changed Call-IDs and emptied the state for a while (OpenSIPS #333 #168)."""
    bench = Bench()
    assert bench.reload(account()) == Reloaded(0, 0, 0, 1, 0)
    assert bench.what_was_sent() == []
    assert bench.table.status("u1") == 1


def test_ten_thousand_rows_with_one_new_password_send_register_for_that_one() -> None:
    """OpenSIPS #333, fspbx PR 594."""
    rows = [account(f"u{n}", l_username=f"a{n}", r_username=f"t{n}") for n in range(10_000)]
    bench = Bench(challenged_or_ok, accounts=rows, settle=60.0, beat=0.1)
    assert bench.table.gauges()["uac.regactive"] == 10_000
    rows[4711] = account("u4711", l_username="a4711", r_username="t4711", auth_password="new")
    assert str(bench.reload(*rows)) == "0 added, 1 changed, 0 removed, 9999 unchanged"
    assert {to for to, _, _ in bench.what_was_sent()} == {"sip:t4711@provider.example"}
    (challenged,) = [one for one in bench.sent if one.has(AUTHORIZATION)]
    assert proves(challenged, b"new")
    assert bench.table.gauges()["uac.regactive"] == 10_000


def test_a_changed_password_goes_on_with_call_id_and_cseq_and_takes_nothing_back() -> None:
    bench = Bench()
    bench.reload(account(auth_password="new"))
    (before, after) = bench.registrar.requests
    assert (after.call_id, after.cseq.number) == (before.call_id, before.cseq.number + 1)
    assert bench.what_was_sent() == [(AOR, OURS, "3600")]
    assert bench.table.status("u1") == 1


def test_an_account_whose_password_changes_stays_online_meanwhile() -> None:
    bench = Bench()
    bench.registrar.script = [silence]
    bench.reload(account(auth_password="new"))
    assert (bench.state(), bench.table.status("u1")) == (State.REGISTERING, 1)


@pytest.mark.parametrize(
    ("columns", "aor", "contact"),
    [
        ({"contact_addr": "198.51.100.9:5070"}, AOR, "sip:u1@198.51.100.9:5070"),
        ({"contact_user": "t"}, AOR, "sip:t@192.0.2.100:5060;line=u1"),
        ({"r_username": "other"}, "sip:other@provider.example", OURS),
        ({"r_domain": "new.example"}, "sip:trunk7@new.example", OURS),
    ],
)
def test_another_binding_is_made_before_the_old_one_is_taken_back(
    columns: dict[str, Any], aor: str, contact: str
) -> None:
    bench = Bench()
    bench.reload(account(**columns))
    assert bench.what_was_sent() == [(aor, contact, "3600"), (AOR, OURS, "0")]
    assert bench.table.status("u1") == 1
    bench.let(7200.0)
    assert {sent[:2] for sent in bench.what_was_sent()[2:]} == {(aor, contact)}


def test_the_old_binding_is_kept_and_refreshed_until_the_new_one_is_there() -> None:
    def only_the_old(request: Message) -> Message | None:
        return (ok() if b"trunk7" in request.to.uri else status(503))(request)

    bench = Bench(only_the_old)
    bench.reload(account(r_username="other"))
    bench.let(7200.0)
    assert bench.table.status("u1") == 1
    assert [sent for sent in bench.what_was_sent() if sent[0] == AOR] == [(AOR, OURS, "3600")] * 3
    bench.registrar.script = [ok()]
    bench.let(400.0)
    assert bench.what_was_sent()[-1] == (AOR, OURS, "0")


def test_a_changed_account_that_had_no_binding_is_tried_only_as_it_is_now() -> None:
    bench = Bench(status(503))
    bench.reload(account(r_username="other"))
    bench.let(3600.0)
    assert {sent[0] for sent in bench.what_was_sent()} == {"sip:other@provider.example"}


def test_a_change_that_is_undone_before_it_worked_takes_nothing_back() -> None:
    def only_the_old(request: Message) -> Message | None:
        return (ok() if b"trunk7" in request.to.uri else status(503))(request)

    bench = Bench(only_the_old)
    bench.reload(account(r_username="other"))
    bench.reload(account())
    bench.let(60.0)
    assert (AOR, OURS, "0") not in bench.what_was_sent()
    assert bench.table.status("u1") == 1


def test_a_removed_account_is_unregistered_and_forgotten() -> None:
    """The binding of a deleted trunk was left (asterisk #167, siphon PR 434)."""
    bench = Bench(accounts=[account(), account("u2", r_username="t2")])
    assert bench.reload(account()) == Reloaded(0, 0, 1, 1, 0)
    t2 = "sip:t2@provider.example"
    assert bench.what_was_sent() == [(t2, "sip:u2@192.0.2.100:5060", "0")]
    assert (bench.table.status("u2"), len(bench.table)) == (-1, 1)
    bench.let(7200.0)
    assert t2 not in {sent[0] for sent in bench.what_was_sent()[1:]}


def test_many_removed_accounts_are_no_storm() -> None:
    rows = [account(f"u{n}", l_username=f"a{n}", r_username=f"t{n}") for n in range(100)]
    bench = Registered(ok(), accounts=rows, beat=0.1, reg_rate=20, reg_slow_start=0)
    bench.let(20.0)
    bench.source.accounts = []
    assert bench.table.loader is not None
    bench.table.loader.catch_up()
    bench.let(1.0)
    assert 1 <= bench.asked().count(b"0") <= 25
    bench.let(20.0)
    assert bench.asked().count(b"0") == 100


def test_an_account_that_comes_back_while_it_is_unregistered_is_registered_after_it() -> None:
    bench = Bench()
    bench.registrar.script = [silence]
    bench.reload()
    bench.registrar.script = [ok()]
    bench.reload(account())
    assert [sent[2] for sent in bench.what_was_sent()] == ["0"]
    bench.let(40.0)
    assert [sent[2] for sent in bench.what_was_sent()] == ["0", "3600"]
    assert bench.registrar.most_under_way == 1
    assert bench.table.status("u1") == 1


def test_a_new_row_starts_and_is_found() -> None:
    bench = Bench()
    bench.reload(account(), account("u2", l_username="bob", r_username="t2", reg_delay=5))
    assert bench.what_was_sent() == []
    bench.let(4.0)
    assert bench.table.status("u2") == 1
    found = bench.table.account_of_local_user("bob", "")
    assert found is not None and found.l_uuid == "u2"


def test_another_local_user_sends_nothing_and_is_found_at_once() -> None:
    bench = Bench()
    bench.reload(account(l_username="bob", l_domain="b.example"))
    assert bench.what_was_sent() == []
    assert bench.table.account_of_local_user("alice", "") is None
    found = bench.table.account_of_local_user("bob", "")
    assert found is not None and found.l_domain == "b.example"


def test_a_row_that_is_disabled_is_unregistered_and_one_enabled_again_registers() -> None:
    bench = Bench()
    bench.reload(account(flags=1))
    assert (bench.table.status("u1"), bench.what_was_sent()) == (-3, [(AOR, OURS, "0")])
    bench.reload(account())
    assert bench.table.status("u1") == 1


def test_a_row_without_an_interval_any_more_is_unregistered() -> None:
    bench = Bench()
    bench.reload(account(expires=0))
    assert (bench.table.status("u1"), bench.what_was_sent()) == (-99, [(AOR, OURS, "0")])


def test_an_account_an_operator_has_disabled_stays_so_when_its_row_changes() -> None:
    bench = Bench()
    bench.table.disable("l_uuid", "u1")
    bench.let(1.0)
    bench.reload(account(auth_password="new"))
    assert bench.table.status("u1") == -3
    bench.table.enable("l_uuid", "u1")
    bench.let(3.0)
    assert bench.table.status("u1") == 1


def test_an_account_given_up_for_a_wrong_password_registers_with_the_right_one() -> None:
    bench = Bench(status(403), reg_retry_interval=0)
    assert bench.table.status("u1") == -3
    bench.registrar.script = [ok()]
    bench.reload(account(auth_password="new"))
    assert bench.table.status("u1") == 1


def test_a_row_that_cannot_be_read_any_more_changes_nothing_and_is_told_once() -> None:
    bench = Bench()
    bench.source.skipped = [BadRow("u1", "auth_proxy", "is empty")]
    assert bench.reload() == Reloaded(0, 0, 0, 1, 1)
    bench.reload()
    assert (bench.what_was_sent(), bench.table.status("u1")) == ([], 1)
    assert bench.log.told("warn") == ["account 'u1': auth_proxy: is empty; the row is skipped"]


def test_a_change_no_register_can_be_made_of_keeps_the_binding_there_is() -> None:
    bench = Bench()
    bench.reload(account(auth_proxy="tel:+1"))
    assert bench.what_was_sent() == []
    assert "auth_proxy" in (bench.table.explain("u1") or "") or bench.state() is State.DISABLED
    bench.reload(account())
    assert bench.table.status("u1") == 1


def test_a_source_that_is_away_changes_nothing_and_is_named() -> None:
    """Siphon PR 439."""
    bench = Bench()
    bench.source.error = StoreUnavailable("the database is away")
    answer = bench.reload()
    assert isinstance(answer, StoreUnavailable)
    assert (bench.what_was_sent(), bench.table.status("u1")) == ([], 1)
    assert bench.counters.load_failures == 1


def test_two_reloads_within_the_delta_are_one_too_many() -> None:
    bench = Bench(reload_delta=30)
    assert isinstance(bench.reload(account()), Reloaded)
    assert "reload_delta" in str(bench.reload(account()))
    bench.let(30.0)
    assert isinstance(bench.reload(account()), Reloaded)


def test_a_reload_asked_for_while_rows_are_read_reads_them_once_more() -> None:
    bench = Bench()
    assert bench.table.loader is not None
    bench.table.loader.catch_up()
    bench.table.loader.catch_up()
    bench.table.loader.catch_up()
    bench.let(1.0)
    assert bench.source.loads == 3  # the first start, one for the first, one for the others


def test_the_table_is_polled_where_that_is_asked_for() -> None:
    bench = Bench(reg_poll_interval=60)
    bench.source.accounts = [account(), account("u2", r_username="t2")]
    bench.let(62.0)
    assert bench.table.status("u2") == 1
    bench.source.error = StoreUnavailable("the database is away")
    bench.let(120.0)
    assert len(bench.table) == 2
    assert "a list, nothing changes: the database is away" in bench.log.told("error")[0]
    bench.source.error = None
    bench.source.accounts = []
    bench.let(62.0)
    assert len(bench.table) == 0


def test_without_an_interval_the_table_is_not_polled() -> None:
    bench = Bench()
    bench.let(4000.0)
    assert bench.source.loads == 1


def test_one_row_is_refreshed_and_the_others_are_not_looked_at() -> None:
    bench = Bench(accounts=[account(), account("u2", r_username="t2")])
    bench.source.accounts = [account(auth_password="new"), account("u2", r_username="other")]
    assert bench.refresh("u1")
    assert bench.what_was_sent() == [(AOR, OURS, "3600")]


def test_a_refresh_of_a_row_that_is_not_there_changes_nothing() -> None:
    bench = Bench()
    bench.source.accounts = []
    assert not bench.refresh("u1")
    assert (bench.what_was_sent(), bench.table.status("u1")) == ([], 1)


@pytest.mark.parametrize("verb", ["unregister", "disable"])
def test_a_refresh_starts_what_is_at_rest(verb: str) -> None:
    bench = Bench()
    getattr(bench.table, verb)("l_uuid", "u1")
    bench.let(1.0)
    assert bench.table.status("u1") < 0
    assert bench.refresh("u1")
    assert bench.table.status("u1") == 1


def test_an_account_added_by_hand_outlives_a_reload_until_it_is_removed() -> None:
    bench = Bench()
    assert bench.table.add(account("u2", r_username="t2"))
    assert not bench.table.add(account("u2"))
    bench.reload(account())
    assert bench.table.status("u2") == 1
    assert bench.table.remove("u2")
    assert not bench.table.remove("u2")
    bench.let(2.0)
    assert bench.table.status("u2") == -1
    assert bench.what_was_sent()[-1][2] == "0"


def test_shutdown_takes_back_what_was_still_kept() -> None:
    def only_the_old(request: Message) -> Message | None:
        return (ok() if b"trunk7" in request.to.uri else status(503))(request)

    bench = Bench(only_the_old)
    bench.reload(account(r_username="other"))
    bench.table.shutdown(lambda: None, 5.0)
    bench.let(10.0)
    assert (AOR, OURS, "0") in bench.what_was_sent()
