"""A confirmed call as a store keeps it: what BYE and re-INVITE need after a restart."""

from __future__ import annotations

import json
from math import isfinite
from typing import Final, final

from uacproxy.bridge.leg import Leg
from uacproxy.dialog.ua_dialog import UaDialog, ua_dialog_of
from uacproxy.errors import StoreCorrupt
from uacproxy.sip.grammar import octets_of, octets_of_line, text

_VERSION: Final = 2
_LONGEST: Final = 2**32 - 1  # s, of a session


@final
class LegRecord:
    """One leg of a record."""

    __slots__ = ("allow", "dialog", "hidden", "interval", "last_body", "we_refresh")

    def __init__(
        self,
        dialog: UaDialog,
        allow: list[bytes],
        interval: int,
        we_refresh: bool,
        last_body: tuple[list[bytes], bytes] | None,
        hidden: frozenset[bytes],
    ) -> None:
        self.dialog = dialog
        self.allow = allow
        self.interval = interval
        self.we_refresh = we_refresh
        self.last_body = last_body
        self.hidden = hidden


@final
class CallRecord:
    """What is written of a call."""

    __slots__ = ("auth_source", "auth_to_caller", "ends_at_utc", "inner", "outer", "started_at_utc")

    def __init__(
        self,
        inner: LegRecord,
        outer: LegRecord,
        started_at_utc: float,
        ends_at_utc: float,
        auth_source: str,
        auth_to_caller: str,
    ) -> None:
        self.inner = inner
        self.outer = outer
        self.started_at_utc = started_at_utc
        self.ends_at_utc = ends_at_utc
        self.auth_source = auth_source
        self.auth_to_caller = auth_to_caller


def encode_call(
    inner: Leg,
    outer: Leg,
    started_at_utc: float,
    ends_at_utc: float,
    auth_source: str,
    auth_to_caller: str,
) -> bytes:
    """Return what a store keeps of a call."""
    record = [
        _VERSION,
        _plain(inner),
        _plain(outer),
        started_at_utc,
        ends_at_utc,
        auth_source,
        auth_to_caller,
    ]
    return json.dumps(record, separators=(",", ":")).encode("ascii")


def decode_call(value: bytes) -> CallRecord:
    """Read what ``encode_call`` wrote.

    Raises:
        StoreCorrupt: it did not.
    """
    try:
        record = json.loads(value)
        if record[0] != _VERSION:
            raise StoreCorrupt("call record of another version")
        _, inner, outer, started, ends, auth_source, auth_to_caller = record
        started_at_utc = float(started)
        ends_at_utc = float(ends)
        if not isfinite(started_at_utc) or not isfinite(ends_at_utc):
            raise StoreCorrupt("call record with a time that is none")
        return CallRecord(
            _leg(inner),
            _leg(outer),
            started_at_utc,
            ends_at_utc,
            str(auth_source),
            str(auth_to_caller),
        )
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise StoreCorrupt("call record cannot be read") from error


def _plain(leg: Leg) -> list[object]:
    body: list[object] = []
    if leg.last_body is not None:
        body = [[text(line) for line in leg.last_body[0]], text(leg.last_body[1])]
    return [
        leg.dialog.record(),
        [text(method) for method in leg.peer_allow],
        leg.timer.interval,
        leg.timer.we_refresh,
        body,
        sorted(text(name) for name in leg.hidden),
    ]


def _leg(record: list[object]) -> LegRecord:
    dialog, allow, interval, we_refresh, body, hidden = record
    if not isinstance(allow, list) or not isinstance(interval, int) or not isinstance(body, list):
        raise StoreCorrupt("call record cannot be read")
    if not isinstance(hidden, list):
        raise StoreCorrupt("call record cannot be read")
    if not 0 <= interval <= _LONGEST:
        raise StoreCorrupt("call record with a session interval that is none")
    last_body: tuple[list[bytes], bytes] | None = None
    if body:
        lines, octets = body
        last_body = ([_line(line) for line in lines], octets_of(octets))
    return LegRecord(
        ua_dialog_of(dialog),
        [octets_of(method) for method in allow],
        interval,
        bool(we_refresh),
        last_body,
        frozenset([octets_of(name) for name in hidden]),
    )


def _line(characters: str) -> bytes:
    """Return a whole field; it may go on in a line that begins with white space (7.3.1)."""
    octets = octets_of(characters)
    octets_of_line(text(octets.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t")))
    return octets
