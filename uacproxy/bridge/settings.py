"""The settings of bridged calls: section ``[bridge]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.bridge.policy import ALWAYS_ALLOWED, NEVER
from uacproxy.settings import setting
from uacproxy.sip.grammar import is_token, octets_of, text
from uacproxy.sip.names import canonical

PASSED_METHODS = ("UPDATE", "PRACK", "INFO", "MESSAGE", "NOTIFY", "REFER")


def parse_field_name(word: str) -> str:
    """Parse the name of a field to pass on; raise ValueError with the reason."""
    octets = octets_of(word)
    if not is_token(octets):
        raise ValueError(f"'{word}' is no field name")
    name = canonical(octets)
    if name in NEVER:
        raise ValueError(f"{word} is each side's own and is never passed on")
    return word


def parse_passed_method(word: str) -> str:
    """Parse a method to pass on; raise ValueError with the reason."""
    octets = octets_of(word.upper())
    if not is_token(octets):
        raise ValueError(f"'{word}' is no method")
    if octets in ALWAYS_ALLOWED:
        raise ValueError(f"{text(octets)} is part of every call and needs no mention")
    if octets in (b"REGISTER", b"PUBLISH"):
        raise ValueError(f"{text(octets)} has no place inside a call")
    return text(octets)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """What a bridged call passes from one side to the other, and how long it may last."""

    pass_headers: tuple[str, ...] = setting(
        (),
        many="words",
        parse=parse_field_name,
        doc="Header fields to pass on beside those of `b2bua.md`, in requests and responses, "
        "such as `Diversion` or `X-Account`. What is not listed there or here ends at the bridge.",
    )
    methods: tuple[str, ...] = setting(
        PASSED_METHODS,
        many="words",
        parse=parse_passed_method,
        doc="Methods passed on inside a call beside re-INVITE, BYE and OPTIONS; others are "
        "answered 405.",
    )
    refer: str = setting(
        "pass",
        choices=("pass", "refuse"),
        doc="What becomes of REFER inside a call. `pass`: it goes to the other side, a Replaces in "
        "it mapped to the dialog there. `refuse`: it is answered 603.",
    )
    session_expires: int = setting(
        1800,
        unit="s",
        low=0,
        high=86400,
        doc="Session interval asked for and offered (RFC 4028), on each side apart; at least 90. "
        "0: no session timers.",
    )
    min_se: int = setting(
        90,
        unit="s",
        low=90,
        high=86400,
        doc="Shortest session interval taken; a request with a shorter one is answered 422.",
    )
    refresher: str = setting(
        "peer",
        choices=("peer", "us"),
        doc="Who refreshes the session where the peer leaves the choice and can do it.",
    )
    max_call_time: float = setting(
        43200.0,
        unit="s",
        low=0,
        high=2592000,
        doc="An answered call is ended on both sides after this. 0: never.",
    )
    ring_timeout: float = setting(
        300.0,
        unit="s",
        low=0,
        high=86400,
        doc="A target that has not answered after this is cancelled and counts as failed with "
        "408. 0: never.",
    )
