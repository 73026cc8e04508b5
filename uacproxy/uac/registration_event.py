"""What is told of a registration: each transition, and how its last REGISTER ended."""

from __future__ import annotations

from typing import NamedTuple

from uacproxy.ports import Target
from uacproxy.uac.account import Account
from uacproxy.uac.registration_states import RegistrationState


class RegistrationEvent(NamedTuple):
    """One transition, for log, counters and scripts."""

    account: Account
    before: RegistrationState
    after: RegistrationState
    status: int  # of the response that caused it, 408 or 503 for none, 0 for no request
    why: str  # reason phrase, or what else caused it
    at_utc: float  # s of the epoch
    next_at_utc: float  # when the next action is due; 0.0: never by itself


class LastExchange(NamedTuple):
    """How the last REGISTER ended."""

    at_utc: float
    status: int
    why: str
    target: Target | None
