"""The settings of several instances on one Redis: section ``[instances]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from uacproxy.settings import setting

MOST_SHARDS: Final = 1024


def parse_shards(text: str) -> int:
    """Check a number of shards; raise ValueError with the reason."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_SHARDS:
        raise ValueError(f"'{text[:20]}' is no number from 1 to {MOST_SHARDS}")
    shards = int(text)
    if shards & (shards - 1):
        raise ValueError(f"{shards} is no power of two")
    return shards


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSettings:
    """How several instances that share a Redis share the accounts.

    Without Redis in `[store] url` none of this has a meaning: the one instance registers all.
    """

    name: str = setting(
        "",
        doc="Names this instance to the others and to operators; the same after a restart, and "
        "no other's. Empty: the name of the host and the first address listened on.",
    )
    share_registrations: bool = setting(
        True,
        doc="Each account is registered by exactly one instance. `no`: this one registers every "
        "account of its table, whatever others do; for instances with accounts of their own.",
    )
    shards: int = setting(
        64,
        parse=parse_shards,
        doc="Accounts are shared out in so many parts, a power of two; the same number at every "
        "instance, and at least some ten times the instances.",
    )
    lease_time: int = setting(
        10,
        unit="s",
        low=3,
        high=300,
        doc="An instance that nobody has heard of for so long is taken for dead and its accounts "
        "are taken over; the same at every instance. One that cannot reach Redis for so long "
        "registers nothing until it can.",
    )
