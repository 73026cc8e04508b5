"""Accounts out of an SQL table ``uacreg``, of any version of its schema up to ours.

A column a table of an older version lacks has its default. A database without a table
``version`` is taken as it is, with a warning; a table of a newer version is refused. An
empty SQLite file gets the tables, so a first start needs no script.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from sqlalchemy import ColumnElement, Connection, inspect, select
from twisted.internet.defer import Deferred

from uacproxy.accounts.database import Database, RunInThread, is_storable
from uacproxy.accounts.schema import (
    LATER_COLUMNS,
    SETTINGS_TABLE,
    UACREG_VERSION,
    make_tables,
    settings_table,
    split_name,
    uacreg_table,
    version_table,
)
from uacproxy.errors import UacproxyError
from uacproxy.ports import Log
from uacproxy.uac.account import COLUMNS, Account, BadRow, check_row
from uacproxy.uac.account_settings import ACCOUNT_SETTINGS

PAGE: Final = 1000  # rows fetched at a time


class _Loaded(NamedTuple):
    accounts: list[Account]
    skipped: list[BadRow]
    warnings: list[str]


@final
class SqlAccountSource:
    """An ``AccountSource`` over one table; every question runs in a thread."""

    def __init__(
        self,
        url: str,
        table: str = "uacreg",
        *,
        run_in_thread: RunInThread,
        log: Log,
        section: str = "uac",
        key: str = "reg_db_url",
        table_key: str = "reg_db_table",
    ) -> None:
        """Understand ``url`` and ``table``; nothing is connected yet.

        Raises:
            ConfigError: naming ``section`` and ``key`` or ``table_key``, without a password.
        """
        self._database = Database(url, section=section, key=key, run_in_thread=run_in_thread)
        self._table_name = self._database.checked_table(table, table_key)
        self._schema, self._bare_name = split_name(table)
        self._table = uacreg_table(table)
        self._log = log
        self._warned: set[str] = set()

    @property
    def name(self) -> str:
        """Return where the accounts come from, for a log: the URL without its password."""
        return f"{self._database.name} {self._table_name}"

    def load(
        self,
        then: Callable[[list[Account], list[BadRow]], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Give all accounts, and what is wrong with each row that was skipped.

        Calls:
            failed: with StoreUnavailable when the database cannot be read now, with
            ConfigError when there is no such table or it is not one we can read.
        """

        def loaded(found: _Loaded) -> None:
            for warning in found.warnings:
                if warning not in self._warned:
                    self._warned.add(warning)
                    self._log.warn("{source}: {warning}", source=self.name, warning=warning)
            then(found.accounts, found.skipped)

        self._database.ask(self._read_all, loaded, failed)

    def load_one(
        self,
        l_uuid: str,
        then: Callable[[Account | None], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Give one account, None where no row has this l_uuid; a bad row fails with BadRow."""

        def read(connection: Connection) -> Account | None:
            columns = self._columns(connection)
            if not is_storable(l_uuid):
                return None
            question = select(*columns).where(self._table.c.l_uuid == l_uuid)
            for values in connection.execute(question):
                row = {column.name: value for column, value in zip(columns, values, strict=True)}
                if row["l_uuid"] == l_uuid:  # MySQL finds it in capitals too
                    return check_row(row, self._settings(connection, l_uuid).get(l_uuid, ()))
            return None

        self._database.ask(read, then, failed)

    def close(self) -> Deferred[None]:
        """Close what is connected."""
        return self._database.close()

    def _read_all(self, connection: Connection) -> _Loaded:
        found = _Loaded([], [], [])
        self._make_missing(connection)
        columns = self._columns(connection)
        self._check_version(connection, found.warnings)
        names = [column.name for column in columns]
        settings = self._settings(connection)
        names_set = {name for rows in settings.values() for name, _ in rows}
        for name in sorted(names_set.difference(ACCOUNT_SETTINGS)):
            found.warnings.append(f"{SETTINGS_TABLE}: there is no setting {name!a}; it is ignored")
        seen: set[str] = set()
        question = select(*columns).order_by(self._table.c.l_uuid)
        for row in connection.execution_options(yield_per=PAGE).execute(question):
            try:
                values = dict(zip(names, row, strict=True))
                account = check_row(values, settings.get(str(values["l_uuid"]), ()))
                if account.l_uuid in seen:  # a table made without its unique index
                    raise BadRow(account.l_uuid, "l_uuid", "is there twice")
            except BadRow as error:
                found.skipped.append(error)
            else:
                seen.add(account.l_uuid)
                found.accounts.append(account)
        return found

    def _make_missing(self, connection: Connection) -> None:
        if self._database.is_sqlite and not inspect(connection).get_table_names():
            make_tables(connection, uacreg=self._table_name)

    def _columns(self, connection: Connection) -> list[ColumnElement[object]]:
        """Return those of our columns the table has, or raise ConfigError."""
        looked_at = inspect(connection)
        if not looked_at.has_table(self._bare_name, schema=self._schema):
            raise self._database.wrong(f"{self._database.name} has no table {self._table_name}")
        there = {
            column["name"].lower()
            for column in looked_at.get_columns(self._bare_name, schema=self._schema)
        }
        missing = [
            name
            for name in COLUMNS
            if name not in there and name not in LATER_COLUMNS and name != "id"
        ]
        if missing:
            raise self._database.wrong(
                f"{self._database.name}: table {self._table_name} has no column {missing[0]}"
            )
        return [self._table.c[name] for name in COLUMNS if name in there]

    def _settings(
        self, connection: Connection, l_uuid: str | None = None
    ) -> dict[str, list[tuple[str, str]]]:
        """Return names and values of all accounts, or of one; nothing where there is no table."""
        found: dict[str, list[tuple[str, str]]] = {}
        if inspect(connection).has_table(SETTINGS_TABLE, schema=self._schema):
            columns = settings_table(self._schema).c
            question = select(columns.l_uuid, columns.name, columns.value)
            if l_uuid is not None:
                question = question.where(columns.l_uuid == l_uuid)
            for owner, name, value in connection.execute(question):
                found.setdefault(str(owner), []).append((str(name), str(value or "")))
        return found

    def _check_version(self, connection: Connection, warnings: list[str]) -> None:
        if not inspect(connection).has_table("version", schema=self._schema):
            warnings.append("there is no table version; the columns decide")
            return
        version = version_table(schema=self._schema)
        question = select(version.c.table_version).where(version.c.table_name == self._bare_name)
        number = connection.execute(question).scalar()
        if number is None:
            warnings.append(f"table version does not name {self._bare_name}; the columns decide")
        elif not 1 <= int(number) <= UACREG_VERSION:
            raise self._database.wrong(
                f"{self._database.name}: table {self._table_name} has version {number},"
                f" this service reads 1 to {UACREG_VERSION}"
            )
