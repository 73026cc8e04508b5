"""Every verb an operator has, once: AMP, ``uacctl`` and the manual page are driven by this table.

A verb is a function of the service's views and of its arguments. It returns a value
that JSON can say, or an iterator of records where a list may be long, or raises
``Fault``. The names, faults and texts of ``uac.reg_*`` are those of the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Protocol, final

from uacproxy.errors import ScriptError
from uacproxy.manage.records import shown_record

Value = dict[str, Any] | str | int
Rows = Iterator[dict[str, object]]


@final
class Fault(Exception):
    """A verb's answer is no: a number and words, as the module's RPC commands give them.

    It is an outcome for the operator, not an error of the service, and so stands
    outside the tree of ``uacproxy.errors``.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class RegistrationView(Protocol):
    """The registrations as an operator sees them."""

    @property
    def enabled(self) -> bool:
        """Tell whether ``reg_db_url`` is configured."""

    def dump(self) -> Rows:
        """Yield the record struct of every registration.

        The iterator is read a page at a time, so records may come and go between two
        steps; each step has to survive that.
        """

    def find(self, attr: str, value: str) -> dict[str, object] | None:
        """Return the first record whose ``attr`` is ``value``; KeyError: no such attribute."""

    def explain(self, l_uuid: str) -> str | None:
        """Return the state, the last exchange and the next action in words; None: unknown."""


class DialogView(Protocol):
    """The dialogs in progress."""

    def dialogs(self) -> Rows:
        """Yield one record for each; as ``dump``, read a page at a time."""


class StatsView(Protocol):
    """Counters and gauges."""

    def stats(self) -> dict[str, int | float]:
        """Return values by dotted name."""


class ServiceView(Protocol):
    """The running service itself."""

    @property
    def version(self) -> str:
        """Return the version of the program."""

    @property
    def uptime(self) -> float:
        """Return the seconds since the start."""

    def reload_script(self) -> None:
        """Read the route script again; ScriptError: it is broken, the old one still runs."""

    def shutdown(self) -> None:
        """Begin the ordered stop."""


@dataclass(frozen=True)
class Parting:
    """A value to be answered, and what to do once the answer has left."""

    value: Value
    act: Callable[[], None]


Result = Value | Rows | Parting


@dataclass(frozen=True)
class Views:
    """All that the verbs may look at."""

    registrations: RegistrationView
    dialogs: DialogView
    stats: StatsView
    service: ServiceView


@dataclass(frozen=True)
class Argument:
    """One argument of a verb; ``read`` turns the operator's text into the value, or ValueError."""

    name: str
    doc: str
    read: Callable[[str], Any] = str

    @property
    def type_name(self) -> str:
        """Return the type for the manual page."""
        return {"str": "string", "int": "integer"}[self.read.__name__]


@dataclass(frozen=True)
class Verb:
    """One row of the table; ``columns`` are those of the list on a terminal (JSON has all)."""

    name: str
    doc: str
    function: Callable[..., Result]
    arguments: tuple[Argument, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """Return the verb with its arguments in capitals."""
        return " ".join([self.name, *(argument.name.upper() for argument in self.arguments)])


@final
class Operations:
    """The table of verbs, bound to one running service."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def call(self, name: str, arguments: Sequence[str]) -> Result:
        """Run one verb.

        Returns:
            A value, an iterator of records not yet read, or a ``Parting``.

        Raises:
            Fault: 404 no such verb, 400 wrong arguments, or what the verb says.
        """
        verb = VERBS.get(name)
        if verb is None:
            raise Fault(404, unknown_verb(name))
        if len(arguments) != len(verb.arguments):
            raise Fault(400, "Invalid Parameters")
        try:
            values = [a.read(text) for a, text in zip(verb.arguments, arguments, strict=True)]
        except ValueError:
            raise Fault(400, "Invalid Parameter Values") from None
        return verb.function(self._views, *values)


def unknown_verb(name: str) -> str:
    """Return the words for a verb that does not exist, with the nearest that does."""
    nearest = get_close_matches(name[:64], VERBS, n=1, cutoff=0.5)
    hint = f", the nearest is {nearest[0]}" if nearest else ""
    return f"No verb {name[:64]!r}{hint}"


def _stats(views: Views) -> Value:
    return dict(sorted(views.stats.stats().items()))


def _reg_dump(views: Views) -> Rows:
    return map(shown_record, _registrations(views).dump())


def _reg_info(views: Views, attr: str, value: str) -> Value:
    registrations = _registrations(views)
    if not attr or not value:
        raise Fault(400, "Invalid Parameter Values")
    try:
        record = registrations.find(attr, value)
    except KeyError:
        raise Fault(400, "Unsupported filter attribute") from None
    if record is None:
        raise Fault(404, "Record not found")
    return shown_record(record)


def _dialogs(views: Views) -> Rows:
    return views.dialogs.dialogs()


def _explain(views: Views, l_uuid: str) -> Value:
    registrations = _registrations(views)
    if not l_uuid:
        raise Fault(400, "Invalid Parameter Values")
    words = registrations.explain(l_uuid)
    if words is None:
        raise Fault(404, "Record not found")
    return words


def _reload_script(views: Views) -> Value:
    try:
        views.service.reload_script()
    except ScriptError as error:
        raise Fault(500, f"{error}; the old script still runs") from error
    return "The route script was read again."


def _shutdown(views: Views) -> Parting:
    return Parting("The service is stopping.", views.service.shutdown)


def _version(views: Views) -> Value:
    return {"version": views.service.version, "uptime": int(views.service.uptime)}


def _help(_views: Views) -> Rows:
    return ({"verb": verb.usage, "does": verb.doc} for verb in VERBS.values())


def _registrations(views: Views) -> RegistrationView:
    if not views.registrations.enabled:
        raise Fault(500, "Not enabled")
    return views.registrations


_L_UUID = Argument("l_uuid", "The account's l_uuid in the registration table.")
_FILTER = (
    Argument("attr", "One of l_uuid, l_username, r_username, auth_username."),
    Argument("value", "Compared exactly, case included; the first match is meant."),
)

VERBS: Final[dict[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb("stats", "Counters and gauges by dotted name.", _stats),
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
        Verb("dialogs", "The dialogs in progress.", _dialogs),
        Verb(
            "explain",
            "State of one registration in words: last exchange, reason, next action.",
            _explain,
            (_L_UUID,),
        ),
        Verb(
            "reload-script",
            "Read the route script again; a broken one leaves the old one running.",
            _reload_script,
        ),
        Verb("shutdown", "Stop the service in order, bindings removed.", _shutdown),
        Verb("version", "Version of the service and its uptime in seconds.", _version),
        Verb("help", "These verbs.", _help),
    )
}
