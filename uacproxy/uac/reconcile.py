"""What has to happen for the accounts we have to become those of the table: a pure function.

A reload is the difference, so an account whose row says what it said before is left
alone: no REGISTER, the same Call-ID, no gap.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from uacproxy.uac.account import Account


class Changes(NamedTuple):
    """Disjoint; the order is that of the table."""

    added: list[Account]
    changed: list[Account]  # known by l_uuid, and something else than before
    removed: list[str]  # l_uuids

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.added or self.changed or self.removed)


def reconcile(
    known: Mapping[str, Account], wanted: Iterable[Account], kept: Container[str] = ()
) -> Changes:
    """Compare what is known with what is wanted.

    Args:
        known: by l_uuid.
        wanted: each l_uuid once.
        kept: l_uuids that stay as they are where nothing is wanted of them: rows that
            cannot be read just now, and accounts that never had a row.
    """
    added: list[Account] = []
    changed: list[Account] = []
    seen: set[str] = set()
    for account in wanted:
        seen.add(account.l_uuid)
        before = known.get(account.l_uuid)
        if before is None:
            added.append(account)
        elif before != account:
            changed.append(account)
    removed = [l_uuid for l_uuid in known if l_uuid not in seen and l_uuid not in kept]
    return Changes(added, changed, removed)


def is_same_on_the_wire(one: Account, other: Account) -> bool:
    """Tell whether both make the same REGISTER with the same credentials.

    What only look-ups, the start, inbound calls and the next exchange ask for does not count.
    """
    return _on_the_wire(one) == _on_the_wire(other)


def _on_the_wire(account: Account) -> Account:
    settings = replace(
        account.settings,
        did=(),
        did_source="",
        refresh_from=None,
        refresh_until=None,
        follow_redirect=None,
    )
    return replace(
        account, l_username="", l_domain="", flags=0, reg_delay=0, settings=settings, id=0
    )
