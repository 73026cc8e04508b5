"""The settings of the registrar for local users: section ``[registrar]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.settings import parse_db_url, parse_table, setting


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarSettings:
    """How local users register here and prove who they are."""

    realm: str = setting(
        "",
        doc="Realm named in our challenges. Empty: the first of `[sip] domains`.",
    )
    authenticate: bool = setting(
        False,
        doc="Challenge REGISTER requests of local users and check the answer against the "
        "subscriber table.",
    )
    subscriber_db_url: str = setting(
        "",
        names="url",
        parse=parse_db_url,
        doc="Database with the subscriber table: `sqlite:///FILE`, `postgresql://...` or "
        "`mysql://...`. Empty: no local user can be authenticated.",
    )
    subscriber_table: str = setting(
        "subscriber",
        parse=parse_table,
        doc="Table of local users with the columns `username`, `domain`, `password` and `ha1`, "
        "as Kamailio has it. `ha1` wins where both are set.",
    )
    nonce_lifetime: float = setting(
        300.0,
        unit="s",
        low=1,
        high=86400,
        doc="A nonce of ours is refused as stale after this.",
    )
    min_expires: int = setting(
        60,
        unit="s",
        low=1,
        high=86400,
        doc="Shortest registration granted; a shorter wish is answered 423 with this number.",
    )
    max_expires: int = setting(
        3600,
        unit="s",
        low=1,
        high=2592000,
        doc="Longest registration granted; a longer wish is cut to this.",
    )
    default_expires: int = setting(
        600,
        unit="s",
        low=1,
        high=2592000,
        doc="Granted where the request names no time.",
    )
    max_contacts: int = setting(
        10,
        low=1,
        high=1000,
        doc="Most bindings of one address of record; a further one is refused with 503.",
    )
