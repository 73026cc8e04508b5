"""Registrations by what they are looked up by: l_uuid, local user, and the columns of RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from uacproxy.uac.account import Account
from uacproxy.uac.inbound_match import InboundIndex
from uacproxy.uac.registration import Registration


@final
class AccountIndex:
    """Every account's registration; of those with one local user the newest comes last."""

    def __init__(self) -> None:
        self._all: dict[str, Registration] = {}
        self._of_local_user: dict[str, list[Registration]] = {}
        self.inbound = InboundIndex()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def __iter__(self) -> Iterator[Registration]:
        """Give all there are now; they may change meanwhile."""
        return iter(list(self._all.values()))

    def get(self, l_uuid: str) -> Registration | None:
        """Return one by its l_uuid."""
        return self._all.get(l_uuid)

    def accounts(self) -> dict[str, Account]:
        """Return every account by its l_uuid."""
        return {l_uuid: one.account for l_uuid, one in self._all.items()}

    def add(self, registration: Registration) -> None:
        """Add one whose l_uuid is new."""
        account = registration.account
        self._all[account.l_uuid] = registration
        self._of_local_user.setdefault(account.l_username, []).append(registration)
        self.inbound.add(account)

    def remove(self, l_uuid: str) -> Registration | None:
        """Remove and return one."""
        registration = self._all.pop(l_uuid, None)
        if registration is not None:
            self._unlist(registration)
            self.inbound.remove(registration.account)
            self.inbound.place(l_uuid, None)
        return registration

    def replace(self, old: Registration, new: Registration) -> None:
        """Let ``new`` be found where ``old`` was; both have the same l_uuid."""
        self._all[new.account.l_uuid] = new
        self.inbound.remove(old.account)
        self.inbound.add(new.account)
        if new.account.l_username == old.account.l_username:
            known = self._of_local_user[new.account.l_username]
            known[known.index(old)] = new
        else:
            self._unlist(old)
            self._of_local_user.setdefault(new.account.l_username, []).append(new)

    def rewrite(self, registration: Registration, account: Account) -> None:
        """Give one another account of the same l_uuid."""
        self.inbound.remove(registration.account)
        self.inbound.add(account)
        if account.l_username != registration.account.l_username:
            self._unlist(registration)
            self._of_local_user.setdefault(account.l_username, []).append(registration)
        registration.account = account

    def of_local_user(self, user: str) -> list[Registration]:
        """Return those of one local user, the newest last."""
        return self._of_local_user.get(user, [])

    def first(self, attr: str, value: str) -> Registration | None:
        """Return the first whose column ``attr`` is ``value``.

        Raises:
            KeyError: not one of the four columns an RPC may ask by.
        """
        if attr == "l_uuid":
            return self._all.get(value)
        if attr == "l_username":
            known = self._of_local_user.get(value)
            return None if known is None else known[0]
        if attr == "r_username":
            for registration in self._all.values():
                if registration.account.r_username == value:
                    return registration
            return None
        if attr == "auth_username":
            for registration in self._all.values():
                if registration.account.auth_username == value:
                    return registration
            return None
        raise KeyError(attr)

    def _unlist(self, registration: Registration) -> None:
        user = registration.account.l_username
        known = self._of_local_user[user]
        known.remove(registration)
        if not known:
            del self._of_local_user[user]
