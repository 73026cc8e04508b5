"""Every verb an operator has, once: AMP, ``uacctl`` and the manual page are driven by this table.

The names, faults and texts of ``uac.reg_*`` are those of the module; they stand in
``registration_verbs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, final

from uacproxy.errors import ScriptError
from uacproxy.manage.account_verbs import ACCOUNT_VERBS
from uacproxy.manage.instance_verbs import INSTANCE_VERBS
from uacproxy.manage.registration_verbs import REGISTRATION_VERBS
from uacproxy.manage.verb import Fault, Parting, Result, Rows, Value, Verb, Views
from uacproxy.manage.worker_verbs import WORKER_VERBS


@final
class Operations:
    """The table of verbs, bound to one running service."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def call(self, name: str, arguments: Sequence[str]) -> Result:
        """Run one verb.

        Returns:
            A value, an iterator of records not yet read, a ``Parting`` or a ``Later``.

        Raises:
            Fault: 404 no such verb, 400 wrong arguments, or what the verb says.
        """
        verb = VERBS.get(name)
        if verb is None:
            raise Fault(404, unknown_verb(name))
        if not verb.takes(len(arguments)):
            raise Fault(400, "Invalid Parameters")
        try:
            values = [a.read(text) for a, text in zip(verb.arguments, arguments, strict=False)]
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


def _dialogs(views: Views) -> Rows:
    return views.dialogs.dialogs()


def _reload_script(views: Views) -> Value:
    try:
        views.service.reload_script()
    except ScriptError as error:
        raise Fault(500, f"{error}; the old routing still runs") from error
    return "The route script, or the rules of the ini file, were read again."


def _shutdown(views: Views) -> Parting:
    return Parting("The service is stopping.", views.service.shutdown)


def _version(views: Views) -> Value:
    return {"version": views.service.version, "uptime": int(views.service.uptime)}


def _help(_views: Views) -> Rows:
    return ({"verb": verb.usage, "does": verb.doc} for verb in VERBS.values())


VERBS: Final[dict[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb("stats", "Counters and gauges by dotted name.", _stats),
        *REGISTRATION_VERBS,
        *ACCOUNT_VERBS,
        Verb("dialogs", "The dialogs in progress.", _dialogs),
        *INSTANCE_VERBS,
        *WORKER_VERBS,
        Verb(
            "reload-script",
            "Read the route script, or the rules, again; what is broken leaves the old running.",
            _reload_script,
        ),
        Verb("shutdown", "Stop the service in order, bindings removed.", _shutdown),
        Verb("version", "Version of the service and its uptime in seconds.", _version),
        Verb("help", "These verbs.", _help),
    )
}
