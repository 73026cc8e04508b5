"""How an account is edited: what may be written, in which way, and what is a secret."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from uacproxy.uac.account import COLUMNS
from uacproxy.uac.account_settings import ACCOUNT_SETTINGS

ADD: Final = "add"  # only accounts that are not there
SET: Final = "set"  # only those that are
PUT: Final = "put"  # either
CHECK: Final = "check"  # either, and nothing is written
MODES: Final = (ADD, SET, PUT, CHECK)

WRITABLE: Final = (*[name for name in COLUMNS if name != "id"], *ACCOUNT_SETTINGS)
SECRETS: Final = frozenset(
    (
        "auth_password",
        "auth_ha1",
        *[name for name, setting in ACCOUNT_SETTINGS.items() if setting.is_secret],
    )
)


def unknown_name(name: str) -> str:
    """Return the words for a name that is no column and no setting, with the nearest."""
    nearest = get_close_matches(name, WRITABLE, n=1)
    hint = f", the nearest is {nearest[0]}" if nearest else ""
    return f"{name[:64]!a} is no column and no setting{hint}"
