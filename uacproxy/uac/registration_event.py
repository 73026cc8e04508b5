"""What is told of a registration: each transition, and how its last REGISTER ended."""

from __future__ import annotations

from typing import Final, NamedTuple

from uacproxy.ports import Log, Target
from uacproxy.uac.account import Account
from uacproxy.uac.registration_states import IN_FLIGHT, RegistrationState

_STEP: Final = "account {l_uuid}: {before} -> {after}: {status} {why}; "
_STEP_ON: Final = _STEP + "next action in {wait:.0f} s"
_STEP_LAST: Final = _STEP + "nothing more is due"
LOUD: Final = (RegistrationState.REJECTED, RegistrationState.DISABLED)  # may be a warning
_QUIETLY: Final = (RegistrationState.DELAYED, RegistrationState.ELSEWHERE)  # in the log


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


def tell_log(log: Log, event: RegistrationEvent) -> None:
    """Write a transition where it is worth as much as it means to an operator."""
    tell = log.info
    if event.after is RegistrationState.REJECTED:
        tell = log.warn
    elif event.after is RegistrationState.DISABLED and event.status:
        tell = log.warn  # by a failure, for good
    elif event.after in IN_FLIGHT or event.after in _QUIETLY:
        tell = log.debug
    tell(
        _STEP_ON if event.next_at_utc else _STEP_LAST,
        l_uuid=event.account.l_uuid,
        before=event.before.word,
        after=event.after.word,
        status=event.status or "-",
        why=event.why,
        wait=event.next_at_utc - event.at_utc,
    )
