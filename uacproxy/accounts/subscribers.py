"""What local users authenticate with: Kamailio's table ``subscriber``.

The registrar's side of digest (RFC 7616 3.3) needs the HA1 of a user in a realm. A short
memory keeps a flood of REGISTERs off the database, and one question answers all who
ask the same meanwhile.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from sqlalchemy import Connection, inspect, select
from twisted.internet.defer import Deferred

from uacproxy.accounts.database import Database, RunInThread, is_storable
from uacproxy.accounts.schema import make_tables, split_name, subscriber_table
from uacproxy.errors import StoreUnavailable, UacproxyError

REMEMBERED_FOR: Final = 30.0  # s, unknown users too
MAX_REMEMBERED: Final = 10_000  # users
MAX_ASKING: Final = 500  # questions on their way

_HEX: Final = frozenset("0123456789abcdef")

_Waiter = tuple[Callable[[str | None], None], Callable[[UacproxyError], None]]


@final
class SqlSubscribers:
    """HA1s by user and realm; every question runs in a thread."""

    def __init__(
        self,
        url: str,
        table: str = "subscriber",
        *,
        run_in_thread: RunInThread,
        seconds: Callable[[], float],
        section: str = "registrar",
        key: str = "subscriber_db_url",
        table_key: str = "subscriber_table",
    ) -> None:
        """Understand ``url`` and ``table``; nothing is connected yet.

        Args:
            url: as of ``[uac] reg_db_url``.
            table: with the columns username, domain, password and ha1.
            run_in_thread: runs what blocks.
            seconds: monotonic time, s.
            section: of the ini file the URL stands in, for errors.
            key: of the URL in that section.
            table_key: of the table in that section.

        Raises:
            ConfigError: naming the key at fault, without a password.
        """
        self._database = Database(url, section=section, key=key, run_in_thread=run_in_thread)
        self._table_name = self._database.checked_table(table, table_key)
        self._table = subscriber_table(table)
        self._seconds = seconds
        self._remembered: OrderedDict[tuple[str, str], tuple[str | None, float]] = OrderedDict()
        self._asking: dict[tuple[str, str], list[_Waiter]] = {}
        self._has_table = False

    def ha1_of(
        self,
        username: str,
        realm: str,
        then: Callable[[str | None], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Give a user's HA1 in small letters, or None for one we do not know.

        The row is the one whose domain is ``realm``, else one whose domain is empty. Its
        column ha1 is given as it is (32 digits, or 64 for the SHA-256 family); without
        one the MD5 of USERNAME:REALM:PASSWORD.

        Calls:
            then: at once from memory or for what no row can hold, else in a later turn.
            failed: when the database cannot be asked now; that is not remembered.
        """
        who = (username, realm)
        if not (is_storable(username) and is_storable(realm)):
            then(None)
            return
        remembered = self._remembered.get(who)
        if remembered is not None and remembered[1] > self._seconds():
            then(remembered[0])
        elif who in self._asking:
            self._asking[who].append((then, failed))
        elif len(self._asking) >= MAX_ASKING:
            failed(StoreUnavailable(f"{self._database.name}: too many questions wait"))
        else:
            self._asking[who] = [(then, failed)]
            self._database.ask(
                lambda connection: self._read(connection, username, realm),
                lambda ha1: self._answered(who, ha1),
                lambda error: self._failed(who, error),
            )

    def forget(self) -> None:
        """Ask the database anew from now on, as after a password was changed."""
        self._remembered.clear()

    def close(self) -> Deferred[None]:
        """Close what is connected."""
        return self._database.close()

    def _read(self, connection: Connection, username: str, realm: str) -> str | None:
        self._find_table(connection)
        columns = self._table.c
        question = (
            select(columns.ha1, columns.password)
            .where(columns.username == username, columns.domain.in_([realm, ""]))
            .order_by(columns.domain.desc())
        )
        row = connection.execute(question).first()
        if row is None:
            return None
        ha1 = str(row[0] or "").lower()
        if len(ha1) in (32, 64) and _HEX.issuperset(ha1):
            return ha1
        password = str(row[1] or "")
        if not password:
            return None
        secret = f"{username}:{realm}:{password}".encode("utf-8", "surrogateescape")
        return hashlib.md5(secret, usedforsecurity=False).hexdigest()

    def _find_table(self, connection: Connection) -> None:
        """Make the tables in an empty SQLite file; tell when there is none of ours."""
        if self._has_table:
            return
        looked_at = inspect(connection)
        if self._database.is_sqlite and not looked_at.get_table_names():
            make_tables(connection, subscriber=self._table_name)
        else:
            schema, name = split_name(self._table_name)
            if not looked_at.has_table(name, schema=schema):
                raise self._database.wrong(f"{self._database.name} has no table {self._table_name}")
        self._has_table = True

    def _answered(self, who: tuple[str, str], ha1: str | None) -> None:
        self._remembered[who] = (ha1, self._seconds() + REMEMBERED_FOR)
        self._remembered.move_to_end(who)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        for then, _ in self._asking.pop(who):
            then(ha1)

    def _failed(self, who: tuple[str, str], error: UacproxyError) -> None:
        for _, failed in self._asking.pop(who):
            failed(error)
