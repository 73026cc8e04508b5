"""The record struct of a registration, as the module's RPC commands print it.

Names and order of the fields are those an operator of Kamailio knows from
``uac.reg_dump``. Unlike there, no password and no HA1 is ever printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RECORD_FIELDS: Final = (
    "l_uuid",
    "l_username",
    "l_domain",
    "r_username",
    "r_domain",
    "realm",
    "auth_username",
    "auth_password",
    "auth_ha1",
    "auth_proxy",
    "expires",
    "flags",
    "diff_expires",
    "timer_expires",
    "reg_init",
    "reg_delay",
    "contact_addr",
    "socket",
    "contact_user",
)

SECRET_FIELDS: Final = frozenset({"auth_password", "auth_ha1"})
NONE_WHEN_EMPTY: Final = frozenset({"auth_proxy", "contact_addr", "contact_user"}) | SECRET_FIELDS
NULL_WHEN_EMPTY: Final = frozenset({"realm", "socket"})


def shown_record(record: Mapping[str, object]) -> dict[str, object]:
    """Return what an operator may see of ``record``, in the order of the struct.

    Only the fields of the struct pass, so a field added to a registration is not
    printed by accident. Doing it twice changes nothing.

    Raises:
        KeyError: a field of the struct is absent.
    """
    return {name: _shown(name, record[name]) for name in RECORD_FIELDS}


def _shown(name: str, value: object) -> object:
    if name in NULL_WHEN_EMPTY:
        return value or None
    if name in NONE_WHEN_EMPTY and value in ("", None, "none"):
        return "none"
    return "***" if name in SECRET_FIELDS else value
