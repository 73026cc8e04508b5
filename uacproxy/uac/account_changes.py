"""Accounts added, changed and removed, and where each of them begins.

Reload is a difference: what has not changed on the wire goes on untouched. A changed
account keeps its binding until the new one is there; one that is removed has it taken
back; see ``registration_leaving``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.counters import RegistrationCounters
from uacproxy.uac.account import Account
from uacproxy.uac.account_index import AccountIndex
from uacproxy.uac.account_requests import AccountRequests
from uacproxy.uac.reconcile import Changes, is_same_on_the_wire, reconcile
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_delays import first_in
from uacproxy.uac.registration_leaving import LeavingBindings
from uacproxy.uac.registration_resumption import Resumption
from uacproxy.uac.registration_schedule import Schedule
from uacproxy.uac.registration_shards import RegistrationShards
from uacproxy.uac.registration_states import FLAG_DISABLED, FLAG_INITIALISED, RegistrationState
from uacproxy.uac.registration_store import Recollection
from uacproxy.uac.registration_wiring import RegistrationWiring

MOST_CHANGED_AT_ONCE: Final = 500  # accounts; between two handfuls calls go on
TAKEN_BACK_WITHIN: Final = 35.0  # s; a REGISTER without an answer ends after 32


@final
class AccountChanges:
    """Fits ``AccountTable``: what the rows say goes in here."""

    def __init__(
        self,
        *,
        index: AccountIndex,
        requests: AccountRequests,
        wiring: RegistrationWiring,
        schedule: Schedule,
        leaving: LeavingBindings,
        resumption: Resumption,
        disabled: set[str],
        shards: RegistrationShards | None,
        counters: RegistrationCounters,
        random_delay: int,
    ) -> None:
        """Begin with what is in ``index``.

        Args:
            index: of the accounts; changed here and nowhere else.
            requests: makes REGISTERs.
            wiring: of the registrations made here.
            schedule: of their deadlines.
            leaving: takes the bindings nobody wants any more.
            resumption: knows what was registered before.
            disabled: l_uuids of those an operator has disabled.
            shards: tells which accounts are registered here; None: all.
            counters: added to here.
            random_delay: reg_random_delay, s.
        """
        self._index = index
        self._requests = requests
        self._wiring = wiring
        self._schedule = schedule
        self._leaving = leaving
        self._resumption = resumption
        self._disabled = disabled
        self._shards = shards
        self._counters = counters
        self._random_delay = random_delay
        self._by_hand: set[str] = set()  # l_uuids of accounts that have no row
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self._index)

    def close(self) -> None:
        """Change no more than what is begun within this turn."""
        self._is_closed = True

    def difference(self, accounts: list[Account], unreadable: set[str]) -> Changes:
        """Say what has to happen for these to be the accounts; those unreadable stay."""
        return reconcile(self._index.accounts(), accounts, unreadable | self._by_hand)

    def apply(self, changes: Changes, then: Callable[[], None]) -> None:
        """Add, change and remove, a handful a turn, then call ``then``."""
        self._apply_some([*changes.added, *changes.changed], changes.removed, 0, then)

    def _apply_some(
        self, accounts: list[Account], removed: list[str], at: int, then: Callable[[], None]
    ) -> None:
        if self._is_closed:
            then()
            return
        until = at + MOST_CHANGED_AT_ONCE
        for account in accounts[at:until]:
            self.put(account)
        for l_uuid in removed[at:until]:
            self.remove(l_uuid)
        self._schedule.send_due()
        if until < max(len(accounts), len(removed)):
            self._wiring.clock.callLater(0.0, self._apply_some, accounts, removed, until, then)
        else:
            self._resumption.drop()
            if self._shards is not None:
                self._shards.loaded()
            then()

    def put(self, account: Account, *, anew: bool = False) -> None:
        """Add an account, or let it be as it is now said to be.

        The binding of a changed one is kept until the new one is there. One that an
        operator has disabled stays so.

        Args:
            account: as its row says.
            anew: start it where it is at rest, whatever an operator had asked for.
        """
        l_uuid = account.l_uuid
        self._by_hand.discard(l_uuid)
        if anew:
            self._disabled.discard(l_uuid)
        old = self._index.get(l_uuid)
        if old is None:
            self._add(account)
            return
        before = old.account
        if not is_same_on_the_wire(before, account) or _is_off(before) is not _is_off(account):
            self._replace(old, account)
            return
        self._index.rewrite(old, account)
        if anew and old.state in (RegistrationState.IDLE, RegistrationState.DISABLED):
            self._replace(old, account)

    def add(self, account: Account) -> bool:
        """Add an account that has no row; False: there is one of this l_uuid."""
        if self._index.get(account.l_uuid) is not None:
            return False
        self._add(account)
        self._by_hand.add(account.l_uuid)
        return True

    def remove(self, l_uuid: str) -> bool:
        """Forget an account and take its binding back; False: there is none of this l_uuid."""
        registration = self._index.remove(l_uuid)
        if registration is None:
            return False
        self._resumption.forget(l_uuid)
        self._by_hand.discard(l_uuid)
        self._disabled.discard(l_uuid)
        if self._shards is not None:
            self._shards.remove(l_uuid)
        self._leaving.leave(registration)
        return True

    def take_up(self, registration: Registration, known: Recollection | None) -> None:
        """Register an account from here on, from where its last owner has left it."""
        account = registration.account
        self._resumption.note_disabled(account.l_uuid, known)
        fault = self._requests.fault_of(account)
        if fault or _is_off(account):
            registration.start_disabled(fault or "disabled in the table")
        elif account.l_uuid in self._disabled:
            registration.start_disabled("disabled by an operator")
        elif known is None or not self._resumption.resume(registration, known):
            if known is not None and known.bound_until_utc > self._wiring.now_utc():
                registration.series.old_contact = known.contact  # the last owner's
            registration.start(self._first_delay(account))

    def _add(self, account: Account) -> None:
        registration, fault = self._make(account)
        self._index.add(registration)
        if self._shards is not None:
            self._shards.add(account.l_uuid)
        old = None if fault else self._leaving.take_over(account)
        if old is not None:
            registration.take_over(old)
        self._begin(registration, fault, self._first_delay(account) if old is None else 0.0)

    def _replace(self, old: Registration, account: Account) -> None:
        registration, fault = self._make(account)
        self._index.replace(old, registration)
        registration.history = old.history
        if self._shards is not None and old.state is RegistrationState.ELSEWHERE and not fault:
            self._replace_elsewhere(old, registration, self._shards)
            return
        if _is_off(account) or account.expires == 0 or account.l_uuid in self._disabled:
            self._leaving.leave(old)
        elif not fault and self._requests.is_same_binding(old.account, account):
            registration.take_over(old)
        else:
            if old.is_bound or old.in_flight:
                self._leaving.keep(old)
            else:
                old.release()  # there is nothing to keep, and nothing to try any more
            again = self._leaving.take_over(account)  # changed back, before it had changed
            if again is not None:
                registration.take_over(again)
        self._begin(registration, fault, 0.0)

    def _make(self, account: Account) -> tuple[Registration, str]:
        """Return the machine of an account, and why none of its requests can be made."""
        fault = self._requests.fault_of(account)
        if fault:
            self._counters.bad_rows += 1
        return Registration(account, self._wiring, can_register=not fault), fault

    def _begin(self, registration: Registration, fault: str, delay: float) -> None:
        account = registration.account
        known = None if fault else self._resumption.known_of(account.l_uuid)
        if fault:
            registration.start_disabled(fault)
        elif _is_off(account):
            registration.start_disabled("disabled in the table")
        elif self._shards is not None and not self._shards.may_begin(account.l_uuid):
            registration.hand_over()
            if known is not None:
                self._resumption.observe(registration, known)
        elif account.l_uuid in self._disabled:
            registration.start_disabled("disabled by an operator")
        elif self._leaving.is_being_taken_back(account):
            registration.start(TAKEN_BACK_WITHIN)  # at the latest; at once when it is gone
        elif known is None or not self._resumption.resume(registration, known):
            registration.start(delay)

    def _replace_elsewhere(
        self, old: Registration, registration: Registration, shards: RegistrationShards
    ) -> None:
        """Know a changed account as its owner has it until that has registered it anew."""
        if _is_off(registration.account):
            registration.start_disabled("disabled in the table")
            return
        registration.hand_over()
        registration.observe(old.granted, old.bound_until - self._wiring.clock.seconds())
        shards.again(registration.account.l_uuid)

    def _first_delay(self, account: Account) -> float:
        """Return s before the first REGISTER; accounts flagged as initialised do not wait."""
        if account.flags & FLAG_INITIALISED:
            return 0.0
        return first_in(account.reg_delay, self._random_delay, self._wiring.random)


def _is_off(account: Account) -> bool:
    """Tell whether the row itself says that the account is disabled."""
    return account.flags & FLAG_DISABLED != 0
