"""One database of an operator: from the URL as Kamailio writes it to questions in a thread.

No error that leaves here holds a password, and a driver's own errors never leave.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar, final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from uacproxy.errors import ConfigError, OwnMistake, StoreUnavailable, UacproxyError

CONNECT_WITHIN: Final = 5  # s
ANSWER_WITHIN: Final = 30  # s, where a driver can tell

MAX_TEXT: Final = 255  # characters, the widest of Kamailio's columns

RunInThread = Callable[[Callable[[], Any]], Deferred[Any]]
"""``twisted.internet.threads.deferToThread``, or what a test puts in its place."""

T = TypeVar("T")

# scheme in a URL -> SQLAlchemy's name of the driver, what to install for it, arguments
_DRIVERS: Final[dict[str, tuple[str, str, dict[str, object]]]] = {
    "sqlite": ("sqlite", "", {"timeout": CONNECT_WITHIN}),
    "postgresql": (
        "postgresql+psycopg",
        "psycopg[binary]",
        # a server that is gone without a word is noticed after a minute
        {"connect_timeout": CONNECT_WITHIN, "keepalives_idle": 30, "keepalives_interval": 10},
    ),
    "mysql": (
        "mysql+pymysql",
        "pymysql",
        {"connect_timeout": CONNECT_WITHIN, "read_timeout": ANSWER_WITHIN},
    ),
}
_ALIASES: Final = {"postgres": "postgresql", "mariadb": "mysql", "sqlite3": "sqlite"}
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*")


@final
class Database:
    """An engine that connects when first asked, and again after the server was away."""

    def __init__(self, url: str, *, section: str, key: str, run_in_thread: RunInThread) -> None:
        """Understand ``url``; nothing is connected yet.

        Args:
            url: ``sqlite:///FILE``, ``postgresql://...`` (``postgres://``) or ``mysql://...``.
            section: of the ini file the URL stands in, for errors; ``key`` too.
            key: of that section.
            run_in_thread: runs what blocks.

        Raises:
            ConfigError: not such a URL, or its driver is not installed.
        """
        self._section = section
        self._key = key
        self._run_in_thread = run_in_thread
        try:
            parsed = make_url(_escaped(url))
        except (ArgumentError, ValueError):
            raise self.wrong("is not a database URL") from None  # the cause quotes it
        kind = parsed.drivername.partition("+")[0].lower()
        kind = _ALIASES.get(kind, kind)
        if kind not in _DRIVERS:
            raise self.wrong(f"{kind} is none of {', '.join(_DRIVERS)}")
        driver, package, arguments = _DRIVERS[kind]
        self.is_sqlite = kind == "sqlite"
        self._file = parsed.database or "" if self.is_sqlite else ""
        if self._file.startswith((":memory:", "file:")):
            self._file = ""
        if not self.is_sqlite and "@" in f"{parsed.host}{parsed.database}":
            raise self.wrong("has a password whose special characters are not percent-encoded")
        self.name = _shown(kind, parsed)
        self._secrets = _secrets(parsed)
        try:
            self._engine: Engine = create_engine(
                parsed.set(drivername=driver),
                connect_args=arguments,
                hide_parameters=True,
                pool_pre_ping=True,
            )
        except ImportError:
            raise self.wrong(f"{self.name} needs the package {package}") from None
        except (SQLAlchemyError, ValueError, TypeError):
            raise self.wrong("is not a database URL") from None
        if self.is_sqlite:
            event.listen(self._engine, "connect", _keep_odd_octets)

    def ask(
        self,
        work: Callable[[Connection], T],
        then: Callable[[T], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Run ``work`` with a connection in a thread, in one transaction.

        Calls:
            then, or failed: with StoreUnavailable for any trouble with the database, with
            what ``work`` raised of ours, or with OwnMistake for anything else.
        """

        def connected() -> T:
            self._keep_private()
            with self._told(), self._engine.begin() as connection:
                return work(connection)

        def refused(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, UacproxyError):
                mistake = OwnMistake(f"{self.name}: {type(error).__name__}")
                mistake.__cause__ = error
                error = mistake
            failed(error)

        self._run_in_thread(connected).addCallbacks(then, refused)

    def connect_apart(self) -> Any:
        """Return a connection of the driver's own that is nobody else's; blocks.

        Raises:
            StoreUnavailable: there is none to be had.
        """
        with self._told():
            pooled = self._engine.raw_connection()
            pooled.detach()
            return pooled.dbapi_connection

    @property
    def driver_error(self) -> type[Exception]:
        """Return what the driver raises."""
        error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        return error

    def close(self) -> Deferred[None]:
        """Close what is connected."""
        return self._run_in_thread(self._engine.dispose)

    def wrong(self, why: str) -> ConfigError:
        """Return an error for the operator at the key the URL stands at."""
        return ConfigError(why, section=self._section, key=self._key)

    def checked_table(self, name: str, key: str) -> str:
        """Return ``name`` when it is a plain table name, or raise ConfigError for ``key``."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!a} is no plain table name", section=self._section, key=key)
        return name

    def _keep_private(self) -> None:
        """Make an SQLite file that is not there yet for our user alone: it will hold passwords."""
        if self._file and not os.path.exists(self._file):
            with suppress(OSError):  # SQLite says it in the next moment
                os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            # the driver's own words alone: SQLAlchemy adds the statement
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            for secret in self._secrets:
                reason = reason.replace(secret, "***")
            raise StoreUnavailable(f"{self.name}: {reason}") from None


def is_storable(text: str) -> bool:
    """Tell whether a database could hold ``text``: UTF-8, no NUL, of a sane length.

    What comes from the network may be none of these, and is then in no row.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return len(text) <= MAX_TEXT and "\0" not in text


def _escaped(url: str) -> str:
    """Return ``url`` with every ``@`` of its password encoded, as nobody does for Kamailio."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return f"{scheme}{mark}{user.replace('@', '%40')}{at}{host}{slash}{path}"


def _shown(kind: str, url: URL) -> str:
    """Return the URL without user, password and options, as a log may show it."""
    host = f"[{url.host}]" if url.host and ":" in url.host else url.host or ""
    port = f":{url.port}" if url.port else ""
    return f"{kind}://{host}{port}/{url.database or ''}"


def _secrets(url: URL) -> list[str]:
    found = [str(url.password)] if url.password else []
    for name, value in url.query.items():
        if "pass" in name.lower():
            found += [value] if isinstance(value, str) else value
    return [secret for secret in found if secret]


def _keep_odd_octets(connection: sqlite3.Connection, _record: object) -> None:
    """Let one row with text that is not UTF-8 be that row's fault, not the whole table's."""
    connection.text_factory = _lenient


def _lenient(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
