"""Bindings nobody wants any more: of removed accounts, and of changed ones once replaced.

Make before break: the binding a changed account had stays, and is refreshed, until the
new one is there; then it is taken back. What is to be taken back goes out a handful at
a time, however many rows were deleted at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, final

from uacproxy.uac.account import Account
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_states import RegistrationState

_AT_REST: Final = (
    RegistrationState.IDLE,
    RegistrationState.DISABLED,
    RegistrationState.ELSEWHERE,
)


@final
class LeavingBindings:
    """Registrations that are no account's any more; each is forgotten when it is at rest."""

    def __init__(self, is_same_binding: Callable[[Account, Account], bool]) -> None:
        """Begin with none.

        Args:
            is_same_binding: tells whether two accounts have the same address of record
                and Contact, so that taking one back would take the other.
        """
        self._is_same_binding = is_same_binding
        self._kept: dict[str, list[Registration]] = {}  # by l_uuid, until there is a new one
        self._going: dict[str, list[Registration]] = {}  # taken back, now or in their turn
        self._turns: deque[Registration] = deque()

    def __iter__(self) -> Iterator[Registration]:
        """Give all of them."""
        for registrations in (*self._kept.values(), *self._going.values()):
            yield from registrations

    @property
    def is_waiting(self) -> bool:
        """Tell whether some are still to be taken back."""
        return bool(self._turns)

    def keep(self, old: Registration) -> None:
        """Keep a binding until the account of this l_uuid has its new one."""
        self._kept.setdefault(old.account.l_uuid, []).append(old)

    def leave(self, registration: Registration) -> None:
        """Take a binding back in its turn, and those it was to replace."""
        l_uuid = registration.account.l_uuid
        for one in [*self._kept.pop(l_uuid, []), registration]:
            self._going.setdefault(l_uuid, []).append(one)
            self._turns.append(one)

    def take_over(self, account: Account) -> Registration | None:
        """Return and forget one whose binding is that of ``account``, None where there is none.

        One that is being taken back at this moment stays; see ``is_being_taken_back``.
        """
        for pile in (self._kept, self._going):
            for old in pile.get(account.l_uuid, ()):
                going_now = old.state is RegistrationState.UNREGISTERING
                if not going_now and self._is_same_binding(old.account, account):
                    _take(pile, old)
                    return old
        return None

    def is_being_taken_back(self, account: Account) -> bool:
        """Tell whether the binding ``account`` is to have is going away just now."""
        return any(
            self._is_same_binding(old.account, account)
            for old in self._going.get(account.l_uuid, ())
        )

    def is_online(self, l_uuid: str) -> bool:
        """Tell whether a binding kept until there is a new one still brings calls."""
        return any(old.is_online for old in self._kept.get(l_uuid, ()))

    def release_some(self, most: int) -> None:
        """Begin to take back up to ``most`` bindings; those that are none cost nothing."""
        while self._turns and most > 0:
            registration = self._turns.popleft()
            if registration not in self._going.get(registration.account.l_uuid, ()):
                continue
            if registration.in_flight or registration.is_bound:
                most -= 1
            registration.release()
            self._forget_at_rest(registration)

    def changed(self, registration: Registration) -> bool:
        """Hear of a new state; tell whether one has left, or an account has its new binding."""
        l_uuid = registration.account.l_uuid
        if l_uuid not in self._kept and l_uuid not in self._going:
            return False
        kept = self._kept.get(l_uuid, ())
        if registration in kept:
            if registration.state in _AT_REST:
                _take(self._kept, registration)
            return False
        if registration.state is RegistrationState.REGISTERED and kept:
            for old in self._kept.pop(l_uuid):
                self._going.setdefault(l_uuid, []).append(old)
                self._turns.append(old)
            return False
        return self._forget_at_rest(registration)

    def _forget_at_rest(self, registration: Registration) -> bool:
        going = self._going.get(registration.account.l_uuid, ())
        if registration.state not in _AT_REST or registration not in going:
            return False
        _take(self._going, registration)
        return True


def _take(pile: dict[str, list[Registration]], registration: Registration) -> None:
    l_uuid = registration.account.l_uuid
    pile[l_uuid].remove(registration)
    if not pile[l_uuid]:
        del pile[l_uuid]
