"""A registration as operators see it: the record struct of ``uac.reg_dump``, and in words.

Names and order of the struct are the uac module's. No password and no HA1 is in either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from uacproxy.ports import Target
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_history import Past
from uacproxy.uac.registration_states import (
    FLAG_AUTH_SENT,
    FLAG_DISABLED,
    FLAG_INITIALISED,
    FLAG_ONGOING,
    FLAG_ONLINE,
    RegistrationState,
)

MASK: Final = "***"
UNSET: Final = "none"

_NEXT: Final[dict[RegistrationState, str]] = {
    RegistrationState.DELAYED: "the first REGISTER",
    RegistrationState.REGISTERING: "an answer, or the REGISTER is given up",
    RegistrationState.CHALLENGED: "an answer, or the REGISTER is given up",
    RegistrationState.REGISTERED: "refresh",
    RegistrationState.REFRESHING: "an answer, or the REGISTER is given up",
    RegistrationState.BACKING_OFF: "try again",
    RegistrationState.REJECTED: "try again, in case credentials or provider were mended",
    RegistrationState.UNREGISTERING: "an answer, or the binding is left to expire",
}


def flags_of(registration: Registration) -> int:
    """Return where it stands as the bits of the table's ``flags``."""
    state = registration.state
    flags = 0
    if state is RegistrationState.DISABLED:
        flags |= FLAG_DISABLED
    if registration.in_flight:
        flags |= FLAG_ONGOING
    if registration.is_online:
        flags |= FLAG_ONLINE
    if registration.is_auth_sent:
        flags |= FLAG_AUTH_SENT
    if state is not RegistrationState.DELAYED and (
        registration.in_flight or registration.last is not None
    ):
        flags |= FLAG_INITIALISED
    return flags


def record_of(registration: Registration, now_utc: float) -> dict[str, object]:
    """Return the record struct.

    ``timer_expires`` is when our binding runs out, or else when the next action is due;
    0 where neither is to come, and ``diff_expires`` with it.
    """
    account = registration.account
    expires_at = registration.next_at_utc
    if registration.is_bound:
        expires_at = registration.at_utc(registration.bound_until)
    return {
        "l_uuid": account.l_uuid,
        "l_username": account.l_username,
        "l_domain": account.l_domain,
        "r_username": account.r_username,
        "r_domain": account.r_domain,
        "realm": account.realm,
        "auth_username": account.auth_username,
        "auth_password": MASK if account.auth_password else UNSET,
        "auth_ha1": MASK if account.auth_ha1 else UNSET,
        "auth_proxy": account.auth_proxy or UNSET,
        "expires": account.expires,
        "flags": flags_of(registration),
        "diff_expires": int(expires_at - now_utc) if expires_at else 0,
        "timer_expires": int(expires_at),
        "reg_init": int(registration.made_at_utc),
        "reg_delay": account.reg_delay,
        "contact_addr": account.contact_addr or UNSET,
        "socket": account.socket,
        "contact_user": account.contact_user or UNSET,
    }


def explain(registration: Registration, now_utc: float) -> str:
    """Return state, last exchange, binding and next action, a line each."""
    account = registration.account
    lines = [
        f"account {account.l_uuid} ({account.r_username}@{account.r_domain})",
        f"state: {registration.state.word} since {_time(registration.since_utc)}"
        + (f" ({registration.why})" if registration.why else ""),
        f"last exchange: {_last(registration)}",
        f"binding: {_binding(registration, now_utc)}",
        f"next: {_next(registration, now_utc)}",
    ]
    history = registration.past()
    if len(history) > 1:
        lines.append("history:")
        lines += [f"  {_step(past)}" for past in history]
    return "\n".join(lines)


def _step(past: Past) -> str:
    told = f"{past.status or ''} {past.why}".strip()
    return f"{_time(past.at_utc)} {past.before.word} -> {past.after.word}: {told}"


def _last(registration: Registration) -> str:
    last = registration.last
    if last is None:
        return "none yet"
    return f"{last.status} {last.why} at {_time(last.at_utc)}{_where(last.target)}"


def _where(target: Target | None) -> str:
    if target is None:
        return ""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f", with {target.transport.decode('ascii').lower()}:{host}:{target.port}"


def _binding(registration: Registration, now_utc: float) -> str:
    others = ""
    if registration.others:
        others = f"; the registrar lists {registration.others} Contacts of others"
    if not registration.is_bound:
        return "none of ours" + others
    until = registration.at_utc(registration.bound_until)
    return (
        f"granted for {registration.granted} s, until {_time(until)}"
        f" (in {int(until - now_utc)} s){others}"
    )


def _next(registration: Registration, now_utc: float) -> str:
    words = _NEXT.get(registration.state)
    if words is None:
        asks = "enabled" if registration.state is RegistrationState.DISABLED else "asked for"
        return f"nothing until it is {asks}"
    at = registration.next_at_utc
    return f"{words} at {_time(at)} (in {max(0, int(at - now_utc))} s)"


def _time(at_utc: float) -> str:
    return datetime.fromtimestamp(int(at_utc), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
