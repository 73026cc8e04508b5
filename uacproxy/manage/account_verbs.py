"""The verbs that edit the table of accounts; ``uacctl account`` puts them to use.

What was written is read again at once, so it is registered, changed or taken back
without a reload.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from uacproxy.errors import UacproxyError
from uacproxy.manage.verb import Argument, EditorView, Fault, Later, Rows, Value, Verb, Views
from uacproxy.uac.account_edit import CHECK, MODES

Then = Callable[[Value | Rows], None]
Failed = Callable[[Fault], None]


def _put(views: Views, mode: str, rows: str) -> Later:
    editor = _editor(views)
    try:
        accounts = json.loads(rows)
    except (ValueError, RecursionError):
        raise Fault(400, "Invalid Parameter Values") from None
    if mode not in MODES or not isinstance(accounts, list) or not all(map(_is_row, accounts)):
        raise Fault(400, "Invalid Parameter Values")

    def begin(then: Then, failed: Failed) -> None:
        refused = _refusing(failed)

        def written(wrong: list[tuple[int, str]]) -> None:
            count = 0 if wrong or mode == CHECK else len(accounts)
            result: Value = {"written": count, "wrong": [list(one) for one in wrong]}
            if count == 0:
                then(result)
            elif len(accounts) == 1:
                l_uuid = accounts[0]["l_uuid"]
                views.registrations.refresh(l_uuid, lambda _is_there: then(result), refused)
            else:
                views.registrations.catch_up()
                then(result)

        editor.put(mode, accounts, written, refused)

    return Later(begin)


def _remove(views: Views, l_uuid: str) -> Later:
    editor = _editor(views)

    def begin(then: Then, failed: Failed) -> None:
        def removed(was_there: bool) -> None:
            if was_there:
                views.registrations.remove(l_uuid)
                then({})
            else:
                failed(Fault(404, "Record not found"))

        editor.remove(l_uuid, removed, _refusing(failed))

    return Later(begin)


def _changed(views: Views) -> Value:
    if not views.registrations.enabled:
        raise Fault(500, "Not enabled")
    views.registrations.catch_up()
    return {}


def _list(views: Views, with_secrets: int = 0) -> Later:
    editor = _editor(views)

    def begin(then: Then, failed: Failed) -> None:
        editor.rows(lambda rows: then(iter(rows)), _refusing(failed), secrets=with_secrets == 1)

    return Later(begin)


def _editor(views: Views) -> EditorView:
    if views.editor is None:
        raise Fault(500, "Not enabled")
    return views.editor


def _is_row(row: object) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(value, str) for value in row.values())
        and isinstance(row.get("l_uuid"), str)
    )


def _refusing(failed: Failed) -> Callable[[UacproxyError], None]:
    def refused(error: UacproxyError) -> None:
        failed(Fault(500, str(error)))

    return refused


ACCOUNT_VERBS: Final = (
    Verb(
        "account.put",
        "Write accounts to the table; `uacctl account add`, `set` and `import` use it.",
        _put,
        (
            Argument("mode", "add, set, put (either) or check (nothing is written)."),
            Argument("rows", "A JSON array of objects: columns and settings by name, in text."),
        ),
    ),
    Verb(
        "account.remove",
        "Delete an account from the table, and take its binding back.",
        _remove,
        (Argument("l_uuid", "The account's l_uuid in the registration table."),),
    ),
    Verb(
        "account.changed",
        "Say that the table was written: it is read again, however soon after the last time.",
        _changed,
    ),
    Verb(
        "account.list",
        "The accounts as they are in the table.",
        _list,
        (Argument("secrets", "1: passwords and HA1s too.", int, is_optional=True),),
    ),
)
