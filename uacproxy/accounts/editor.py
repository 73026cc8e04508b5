"""Writing accounts: rows of ``uacreg`` and of our own table beside it, from names and values.

A row is named by its l_uuid. What is not given stays as it is; of a new account it is
what most accounts have. Nothing is written unless the row makes an account afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, final

from sqlalchemy import Connection, String, delete, insert, inspect, select, update
from twisted.internet.defer import Deferred

from uacproxy.accounts.database import MAX_TEXT, Database, RunInThread, is_storable
from uacproxy.accounts.schema import (
    SETTINGS_TABLE,
    SETTINGS_VERSION,
    make_tables,
    settings_table,
    split_name,
    uacreg_table,
    version_table,
)
from uacproxy.errors import UacproxyError
from uacproxy.uac.account import COLUMNS, NUMBERS, BadRow, check_row
from uacproxy.uac.account_edit import ADD, CHECK, SECRETS, SET, WRITABLE, unknown_name
from uacproxy.uac.account_settings import ACCOUNT_SETTINGS
from uacproxy.uac.register_request import RegisterRequest

DEFAULT_EXPIRES: Final = 3600  # s

_ANY_CONTACT: Final = "127.0.0.1"  # reg_contact_addr is checked elsewhere

Given = Mapping[str, str]
T = TypeVar("T")


@final
class AccountEditor:
    """One database of accounts; every question runs in a thread."""

    def __init__(
        self, url: str, table: str = "uacreg", *, run_in_thread: RunInThread, section: str = "uac"
    ) -> None:
        """Understand ``url`` and ``table`` as ``SqlAccountSource`` does.

        Raises:
            ConfigError: naming section and key.
        """
        self._database = Database(
            url, section=section, key="reg_db_url", run_in_thread=run_in_thread
        )
        self._name = self._database.checked_table(table, "reg_db_table")
        self._schema, self._bare_name = split_name(table)
        self._table = uacreg_table(table)
        self._settings = settings_table(self._schema)
        self._settings_are_there = False

    def put(
        self,
        mode: str,
        rows: Sequence[Given],
        then: Callable[[list[tuple[int, str]]], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Write accounts, all of them or none.

        Args:
            mode: one of ``MODES``.
            rows: names of columns and settings with their values, ``l_uuid`` among them.
            then: gets what is wrong, with the number of the row from 0; empty: written.
            failed: as of ``SqlAccountSource.load``.
        """
        self._database.ask(lambda connection: self._put(connection, mode, rows), then, failed)

    def remove(
        self, l_uuid: str, then: Callable[[bool], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        """Delete an account with its settings; False: there is none."""
        self._database.ask(lambda connection: self._remove(connection, l_uuid), then, failed)

    def rows(
        self,
        then: Callable[[list[dict[str, object]]], None],
        failed: Callable[[UacproxyError], None],
        *,
        secrets: bool,
    ) -> None:
        """Give all accounts as they are in the tables; secrets left out unless asked for."""
        self._database.ask(lambda connection: self._rows(connection, secrets), then, failed)

    def close(self) -> Deferred[None]:
        """Close what is connected."""
        return self._database.close()

    # -- in a thread -----------------------------------------------------------------------

    def _put(
        self, connection: Connection, mode: str, rows: Sequence[Given]
    ) -> list[tuple[int, str]]:
        columns = self._columns(connection)
        wrong: list[tuple[int, str]] = []
        ready: list[tuple[str, dict[str, object], dict[str, str], bool]] = []
        for number, given in enumerate(rows):
            try:
                ready.append(self._prepared(connection, columns, mode, given))
            except ValueError as error:
                wrong.append((number, f"account {given.get('l_uuid', '')!a}: {error}"))
            except BadRow as error:
                wrong.append((number, str(error)))
        if not wrong and mode != CHECK:
            for l_uuid, row, settings, is_new in ready:
                self._write(connection, l_uuid, row, settings, is_new)
        return wrong

    def _prepared(
        self, connection: Connection, columns: set[str], mode: str, given: Given
    ) -> tuple[str, dict[str, object], dict[str, str], bool]:
        """Return what to write for one row; ValueError or BadRow: it cannot be."""
        for name in given:
            if name not in WRITABLE:
                raise ValueError(unknown_name(name))
            if name in COLUMNS and name not in columns and given[name]:
                raise ValueError(f"{name}: table {self._name} is of an older version without it")
        l_uuid = given.get("l_uuid", "")
        before = self._row(connection, columns, l_uuid) if is_storable(l_uuid) else None
        if before is None and mode == SET:
            raise ValueError(f"l_uuid: there is no account {l_uuid!a}")
        if before is not None and mode == ADD:
            raise ValueError(f"l_uuid: there is an account {l_uuid!a} already")
        settings = self._settings_of(connection, l_uuid) if before is not None else {}
        settings |= {name: value for name, value in given.items() if name in ACCOUNT_SETTINGS}
        row: dict[str, object] = {name: given[name] for name in given if name in columns}
        whole = {**(before or {}), **row} if before is not None else _with_defaults(row, columns)
        account = check_row(whole, [*settings.items()])
        RegisterRequest(account, _ANY_CONTACT, b"")  # says which column makes no URI
        for name in NUMBERS:
            if name in whole and name != "id":
                whole[name] = getattr(account, name)
        for name, value in whole.items():
            if isinstance(value, str) and len(value) > self._length_of(name):
                raise ValueError(f"{name}: is longer than the column")
        return l_uuid, whole, settings, before is None

    def _length_of(self, name: str) -> int:
        kind = self._table.c[name].type
        return kind.length or MAX_TEXT if isinstance(kind, String) else MAX_TEXT

    def _write(
        self,
        connection: Connection,
        l_uuid: str,
        row: dict[str, object],
        settings: dict[str, str],
        is_new: bool,
    ) -> None:
        if is_new:
            connection.execute(insert(self._table).values(row))
        else:
            connection.execute(
                update(self._table).where(self._table.c.l_uuid == l_uuid).values(row)
            )
        if settings:
            self._make_settings_table(connection)
        elif is_new or not self._has_settings(connection):
            return
        columns = self._settings.c
        connection.execute(delete(self._settings).where(columns.l_uuid == l_uuid))
        for name, value in settings.items():
            if value:
                connection.execute(
                    insert(self._settings).values(l_uuid=l_uuid, name=name, value=value)
                )

    def _remove(self, connection: Connection, l_uuid: str) -> bool:
        columns = self._columns(connection)
        try:
            if not is_storable(l_uuid) or self._row(connection, columns, l_uuid) is None:
                return False
        except ValueError:
            return False
        connection.execute(delete(self._table).where(self._table.c.l_uuid == l_uuid))
        if self._has_settings(connection):
            connection.execute(delete(self._settings).where(self._settings.c.l_uuid == l_uuid))
        return True

    def _rows(self, connection: Connection, secrets: bool) -> list[dict[str, object]]:
        columns = self._columns(connection)
        names = [name for name in COLUMNS if name in columns and name != "id"]
        settings: dict[str, dict[str, str]] = {}
        if self._has_settings(connection):
            ours = self._settings.c
            for owner, name, value in connection.execute(
                select(ours.l_uuid, ours.name, ours.value)
            ):
                settings.setdefault(str(owner), {})[str(name)] = str(value)
        found: list[dict[str, object]] = []
        question = select(*[self._table.c[name] for name in names]).order_by(self._table.c.l_uuid)
        for values in connection.execute(question):
            row: dict[str, object] = dict(zip(names, values, strict=True))
            row |= dict.fromkeys(ACCOUNT_SETTINGS, "") | settings.get(str(row["l_uuid"]), {})
            found.append({n: v for n, v in row.items() if secrets or n not in SECRETS})
        return found

    def _row(
        self, connection: Connection, columns: set[str], l_uuid: str
    ) -> dict[str, object] | None:
        names = [name for name in COLUMNS if name in columns and name != "id"]
        question = select(*[self._table.c[name] for name in names]).where(
            self._table.c.l_uuid == l_uuid
        )
        for values in connection.execute(question):
            row = dict(zip(names, values, strict=True))
            if row["l_uuid"] != l_uuid:  # MySQL finds it in capitals too
                raise ValueError(f"l_uuid: {row['l_uuid']!a} is the same name to this database")
            return row
        return None

    def _settings_of(self, connection: Connection, l_uuid: str) -> dict[str, str]:
        if not self._has_settings(connection):
            return {}
        columns = self._settings.c
        question = select(columns.name, columns.value).where(columns.l_uuid == l_uuid)
        return {str(name): str(value) for name, value in connection.execute(question)}

    def _has_settings(self, connection: Connection) -> bool:
        if not self._settings_are_there:  # asked once: an import has many rows
            looked_at = inspect(connection)
            self._settings_are_there = looked_at.has_table(SETTINGS_TABLE, schema=self._schema)
        return self._settings_are_there

    def _make_settings_table(self, connection: Connection) -> None:
        if self._has_settings(connection):
            return
        self._settings.create(connection)
        if inspect(connection).has_table("version", schema=self._schema):
            row = {"table_name": SETTINGS_TABLE, "table_version": SETTINGS_VERSION}
            connection.execute(insert(version_table(schema=self._schema)).values(row))

    def _columns(self, connection: Connection) -> set[str]:
        """Return the columns the table has; an empty SQLite file gets the tables first."""
        self._settings_are_there = False  # whatever an earlier transaction saw
        looked_at = inspect(connection)
        if self._database.is_sqlite and not looked_at.get_table_names():
            make_tables(connection, uacreg=self._name)
            return set(COLUMNS)
        if not looked_at.has_table(self._bare_name, schema=self._schema):
            raise self._database.wrong(f"{self._database.name} has no table {self._name}")
        there: Any = looked_at.get_columns(self._bare_name, schema=self._schema)
        return {str(column["name"]).lower() for column in there}


def _with_defaults(row: dict[str, object], columns: set[str]) -> dict[str, object]:
    """Return a new account's row, with what most accounts have where nothing is said."""
    whole: dict[str, object] = {
        name: 0 if name in NUMBERS else "" for name in COLUMNS if name in columns and name != "id"
    }
    whole["expires"] = DEFAULT_EXPIRES
    whole["auth_username"] = row.get("r_username", "")
    if row.get("r_domain"):
        whole["auth_proxy"] = f"sip:{row['r_domain']}"
    return whole | row
