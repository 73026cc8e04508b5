"""The verbs for registrations: the eleven RPC commands of the uac module, and ``explain``.

Names, arguments, fields and fault codes are the module's. Where it answers nothing, an
empty record is answered, or what is worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from uacproxy.errors import UacproxyError
from uacproxy.manage.records import shown_record
from uacproxy.manage.verb import Argument, Fault, Later, RegistrationView, Rows, Value, Verb, Views
from uacproxy.uac.account import BadRow, check_row
from uacproxy.uac.account_loader import Reloaded

T = TypeVar("T")

UNSET: Final = "."  # in an argument of reg_add


def _reg_dump(views: Views) -> Rows:
    return map(shown_record, _registrations(views).dump())


def _reg_info(views: Views, attr: str, value: str) -> Value:
    registrations = _registrations(views)
    record = _found(registrations.find, attr, value)
    return shown_record(record)


def _reg_enable(views: Views, attr: str, value: str) -> Value:
    _found(_registrations(views).enable, attr, value)
    return {}


def _reg_disable(views: Views, attr: str, value: str) -> Value:
    _found(_registrations(views).disable, attr, value)
    return {}


def _reg_register(views: Views, attr: str, value: str) -> Value:
    _found(_registrations(views).register, attr, value)
    return {}


def _reg_unregister(views: Views, attr: str, value: str) -> Value:
    _found(_registrations(views).unregister, attr, value)
    return {}


def _reg_reload(views: Views) -> Later:
    registrations = _registrations(views)

    def begin(then: Callable[[Value | Rows], None], failed: Callable[[Fault], None]) -> None:
        def reloaded(what: Reloaded) -> None:
            then(dict(what._asdict()))

        def refused(error: UacproxyError) -> None:
            failed(Fault(500, f"Failed to reload records, nothing has changed: {error}"))

        registrations.reload(reloaded, refused)

    return Later(begin)


def _reg_refresh(views: Views, l_uuid: str) -> Later:
    registrations = _registrations(views)
    if not l_uuid:
        raise Fault(400, "Invalid Parameter Values")

    def begin(then: Callable[[Value | Rows], None], failed: Callable[[Fault], None]) -> None:
        def refreshed(is_there: bool) -> None:
            if is_there:
                then({})
            else:
                failed(Fault(404, "Record not found"))

        def refused(error: UacproxyError) -> None:
            failed(Fault(500, f"Failed to refresh the record, nothing has changed: {error}"))

        registrations.refresh(l_uuid, refreshed, refused)

    return Later(begin)


def _reg_active(views: Views, mode: int) -> Value:
    registrations = _registrations(views)
    before = registrations.active
    registrations.active = mode != 0
    return {"omode": int(before), "nmode": mode}


def _reg_add(views: Views, *values: str | int) -> Value:
    registrations = _registrations(views)
    names = [argument.name for argument in ADD_ARGUMENTS]
    row: dict[str, object] = {
        name: None if value == UNSET else value for name, value in zip(names, values, strict=False)
    }
    if not row["l_uuid"]:
        raise Fault(400, "Invalid Parameter Values")
    try:
        account = check_row(row)
    except BadRow as error:
        raise Fault(500, str(error)) from None
    if not registrations.add(account):
        raise Fault(409, "UUID already exists")
    return {}


def _reg_remove(views: Views, l_uuid: str) -> Value:
    registrations = _registrations(views)
    if not l_uuid:
        raise Fault(400, "Invalid Parameter Values")
    if not registrations.remove(l_uuid):
        raise Fault(404, "Record not found")
    return {}


def _explain(views: Views, l_uuid: str) -> Value:
    registrations = _registrations(views)
    if not l_uuid:
        raise Fault(400, "Invalid Parameter Values")
    words = registrations.explain(l_uuid)
    if words is None:
        raise Fault(404, "Record not found")
    return words


def _registrations(views: Views) -> RegistrationView:
    if not views.registrations.enabled:
        raise Fault(500, "Not enabled")
    return views.registrations


def _found(ask: Callable[[str, str], T | None], attr: str, value: str) -> T:
    """Return what ``ask`` finds by a column; the module's faults where it finds nothing."""
    if not attr or not value:
        raise Fault(400, "Invalid Parameter Values")
    try:
        found = ask(attr, value)
    except KeyError:
        raise Fault(400, "Unsupported filter attribute") from None
    if not found:
        raise Fault(404, "Record not found")
    return found


_L_UUID = Argument("l_uuid", "The account's l_uuid in the registration table.")
_FILTER = (
    Argument("attr", "One of l_uuid, l_username, r_username, auth_username."),
    Argument("value", "Compared exactly, case included; the first match is meant."),
)
ADD_ARGUMENTS: Final = (
    Argument("l_uuid", "Names the account; one that exists is a fault."),
    Argument("l_username", "Local user that its calls are for."),
    Argument("l_domain", "Domain of the local user."),
    Argument("r_username", "User at the provider."),
    Argument("r_domain", "The provider's domain."),
    Argument("realm", "Of its challenges; a single dot, here and below: not set."),
    Argument("auth_username", "User to authenticate as."),
    Argument("auth_password", "Password; others on this machine can see it in the command line."),
    Argument("auth_ha1", "HA1 instead of a password."),
    Argument("auth_proxy", "URI of the next hop."),
    Argument("expires", "Seconds to ask for; 0: never registers.", int),
    Argument("flags", "1: disabled; 16: reg_delay is not waited for.", int),
    Argument("reg_delay", "Seconds before the first REGISTER.", int),
    Argument("socket", "Local socket, PROTO:HOST:PORT."),
    Argument("contact_addr", "HOST[:PORT] of the Contact."),
    Argument("contact_user", "User of the Contact.", is_optional=True),
)

REGISTRATION_VERBS: Final = (
    Verb(
        "uac.reg_dump",
        "The record of every registration.",
        _reg_dump,
        columns=(
            "l_uuid",
            "l_username",
            "l_domain",
            "r_username",
            "r_domain",
            "auth_proxy",
            "expires",
            "diff_expires",
            "flags",
        ),
    ),
    Verb("uac.reg_info", "The record of one registration.", _reg_info, _FILTER),
    Verb("uac.reg_enable", "Register an account again that was disabled.", _reg_enable, _FILTER),
    Verb(
        "uac.reg_disable",
        "Stop registering an account and take its binding back.",
        _reg_disable,
        _FILTER,
    ),
    Verb(
        "uac.reg_register",
        "Send a REGISTER for an account now, even for a disabled one.",
        _reg_register,
        _FILTER,
    ),
    Verb(
        "uac.reg_unregister",
        "Take an account's binding back; it rests until it is registered, enabled or refreshed.",
        _reg_unregister,
        _FILTER,
    ),
    Verb(
        "uac.reg_reload",
        "Read the table again; only what has changed is registered anew.",
        _reg_reload,
    ),
    Verb(
        "uac.reg_refresh",
        "Read one row again, and start the account if it is at rest.",
        _reg_refresh,
        (_L_UUID,),
    ),
    Verb(
        "uac.reg_active",
        "0: no REGISTER is sent by itself any more; 1: they are again.",
        _reg_active,
        (Argument("mode", "0 or 1.", int),),
    ),
    Verb(
        "uac.reg_add",
        "Add an account to the running service alone, not to the table.",
        _reg_add,
        ADD_ARGUMENTS,
    ),
    Verb(
        "uac.reg_remove",
        "Remove an account from the running service, not from the table.",
        _reg_remove,
        (_L_UUID,),
    ),
    Verb(
        "explain",
        "State of one registration in words: last exchange, reason, next action.",
        _explain,
        (_L_UUID,),
    ),
)
