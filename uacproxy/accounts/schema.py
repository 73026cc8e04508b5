"""The tables of Kamailio we share, as its own scripts create them, and the one that is ours.

``uacreg`` is schema version 6, ``subscriber`` version 7; the table ``version`` holds
these numbers. The names of indexes are those of Kamailio's PostgreSQL and SQLite scripts.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    text,
)

UACREG_VERSION: Final = 6
SUBSCRIBER_VERSION: Final = 7
SETTINGS_VERSION: Final = 1
VERSION_VERSION: Final = 1

SETTINGS_TABLE: Final = "uacproxy_account"

# columns that came after version 1; a table of an older version lacks some of them
LATER_COLUMNS: Final = frozenset(
    {"flags", "reg_delay", "auth_ha1", "socket", "contact_addr", "contact_user"}
)


def uacreg_table(name: str = "uacreg", metadata: MetaData | None = None) -> Table:
    """Return the table of accounts to register, as ``NAME`` or ``SCHEMA.NAME``."""
    schema, name = split_name(name)
    return Table(
        name,
        metadata if metadata is not None else MetaData(),
        Column("id", Integer, primary_key=True),
        _words("l_uuid", 64),
        _words("l_username", 64),
        _words("l_domain", 64),
        _words("r_username", 64),
        _words("r_domain", 64),
        _words("realm", 64),
        _words("auth_username", 64),
        _words("auth_password", 64),
        _words("auth_ha1", 128),
        _words("auth_proxy", 255),
        _number("expires"),
        _number("flags"),
        _number("reg_delay"),
        _words("contact_addr", 255),
        _words("contact_user", 255),
        _words("socket", 128),
        UniqueConstraint("l_uuid", name=f"{name}_l_uuid_idx"),
        schema=schema,
    )


def subscriber_table(name: str = "subscriber", metadata: MetaData | None = None) -> Table:
    """Return the table of local users and their passwords."""
    schema, name = split_name(name)
    table = Table(
        name,
        metadata if metadata is not None else MetaData(),
        Column("id", Integer, primary_key=True),
        _words("username", 64),
        _words("domain", 64),
        _words("password", 64),
        _words("ha1", 128),
        _words("ha1b", 128),
        UniqueConstraint("username", "domain", name=f"{name}_account_idx"),
        schema=schema,
    )
    Index(f"{name}_username_idx", table.c.username)
    return table


def settings_table(schema: str | None = None, metadata: MetaData | None = None) -> Table:
    """Return our own table: settings of accounts that Kamailio has no column for."""
    return Table(
        SETTINGS_TABLE,
        metadata if metadata is not None else MetaData(),
        Column("id", Integer, primary_key=True),
        _words("l_uuid", 64),
        _words("name", 64),
        Column("value", Text, nullable=False),
        UniqueConstraint("l_uuid", "name", name=f"{SETTINGS_TABLE}_idx"),
        schema=schema,
    )


def version_table(metadata: MetaData | None = None, schema: str | None = None) -> Table:
    """Return the table that says of which version the others are."""
    return Table(
        "version",
        metadata if metadata is not None else MetaData(),
        Column("id", Integer, primary_key=True),
        Column("table_name", String(32), nullable=False),
        _number("table_version"),
        UniqueConstraint("table_name", name="version_table_name_idx"),
        schema=schema,
    )


def make_tables(
    connection: Connection, *, uacreg: str = "uacreg", subscriber: str = "subscriber"
) -> None:
    """Create all tables with their version rows, in a database that has none of them."""
    metadata = MetaData()
    uacreg_table(uacreg, metadata)
    subscriber_table(subscriber, metadata)
    settings_table(None, metadata)
    version = version_table(metadata)
    metadata.create_all(connection)
    versions = {
        "version": VERSION_VERSION,
        uacreg: UACREG_VERSION,
        subscriber: SUBSCRIBER_VERSION,
        SETTINGS_TABLE: SETTINGS_VERSION,
    }
    rows = [{"table_name": name, "table_version": number} for name, number in versions.items()]
    connection.execute(insert(version), rows)


def split_name(name: str) -> tuple[str | None, str]:
    """Return schema and name of ``SCHEMA.NAME``; schema None where there is none."""
    schema, _, bare = name.rpartition(".")
    return schema or None, bare


def _words(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))
