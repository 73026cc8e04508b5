"""How much of a peer's input is read, and how much of it kept: section ``[limits]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.settings import setting


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How large a message may be and how many things are kept at a time."""

    max_message: int = setting(
        65535,
        unit="octets",
        low=1300,
        high=16777216,
        doc="Longest message, body included. A longer one is answered 513; on TCP its "
        "connection is closed.",
    )
    max_fields: int = setting(
        256,
        low=16,
        high=65536,
        doc="Most header fields in one message. One with more is answered 513.",
    )
    max_field: int = setting(
        8192,
        unit="octets",
        low=256,
        high=1048576,
        doc="Longest single header field, folded lines counted together, and longest start line. "
        "A longer field is answered 513, a longer start line 414.",
    )
    max_nesting: int = setting(
        16,
        low=1,
        high=256,
        doc="Deepest nesting of comments in a field; deeper is answered 513. Bodies are passed on "
        "unread, so what is nested in them does not count.",
    )
    max_connections: int = setting(
        10000,
        low=1,
        high=1000000,
        doc="Most stream connections open at a time; a further one is closed at once.",
    )
    max_transactions: int = setting(
        400000,
        low=1,
        high=10000000,
        doc="Most transactions at a time; further requests are answered 503. One lives 32 s and "
        "more, ended or not, so a thousand calls a second keep some 101,000.",
    )
    max_dialogs: int = setting(
        100000,
        low=1,
        high=10000000,
        doc="Most tracked dialogs at a time; further calls are answered 503.",
    )
    overload_delay: float = setting(
        0.1,
        unit="s",
        low=0,
        high=10,
        doc="Messages that wait longer than this before they are read, for a quarter of a second "
        "without a break, mean overload: a part of the requests that begin something is answered "
        "503 with Retry-After, more the longer the wait, all at twice this. 0: never. "
        "A socket's buffer filled by a third counts as well.",
    )
    overload_retry_after: int = setting(
        6,
        unit="s",
        low=1,
        high=3600,
        doc="Retry-After of those answers, spread by half of it to either side so that callers do "
        "not come back together.",
    )
