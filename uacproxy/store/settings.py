"""The settings of stored state: section ``[store]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from uacproxy.settings import setting

_REDIS = re.compile(r"redis://([^@/\s]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/\d+)?")


def parse_store_url(text: str) -> str:
    """Check the form of a store URL; the text stays as it is.

    Raises:
        ValueError: with the reason; the URL is not repeated, for it may hold a password.
    """
    if text == "memory:":
        return text
    if text.startswith("sqlite:///"):
        if not text.removeprefix("sqlite:///").strip("/"):
            raise ValueError("sqlite:/// needs a file name; for state in memory write memory:")
        return text
    if text.startswith("redis://"):
        if not _REDIS.fullmatch(text):
            raise ValueError("not of the form redis://HOST:PORT/DB")
        return text
    raise ValueError("begins with none of memory:, sqlite:///FILE, redis://HOST:PORT/DB")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where dialogs, bindings and the state of registrations outlive a restart."""

    url: str = setting(
        "sqlite:///uacproxy-state.db",
        names="url",
        parse=parse_store_url,
        doc="`memory:` keeps nothing over a restart, `sqlite:///FILE` is for one instance, "
        "`redis://HOST:PORT/DB` for several that take over from each other.",
    )
    flush_interval: int = setting(
        100,
        unit="ms",
        low=1,
        high=100,
        doc="Writes are collected for this long and go to the store in one batch.",
    )
    redis_prefix: str = setting(
        "uacproxy:",
        doc="Begins every key in Redis, so that one database can serve several farms.",
    )
