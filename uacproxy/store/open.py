"""From ``[store] url`` to an open store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint

from uacproxy.errors import ConfigError, StoreUnavailable
from uacproxy.ports import Log, Store
from uacproxy.store.memory import MemoryStore
from uacproxy.store.redis import RedisStore
from uacproxy.store.sqlite import SqliteStore

FORMS = "memory:, sqlite:///FILE or redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]"


class OpenStore(Store, Protocol):
    """A store as the service owns it."""

    @property
    def is_connected(self) -> bool:
        """Tell whether the medium can be read, as far as we know."""

    @property
    def unwritten(self) -> int:
        """Return how many writes are not known to be on the medium."""

    def close(self) -> Deferred[None]:
        """Write what waits and let go; fires within a few seconds, whatever the medium does."""


def open_store(
    url: str,
    *,
    flush_interval_s: float,
    redis_prefix: str,
    now_utc: Callable[[], float],
    reactor: Any,
    log: Log,
    count: Callable[[str], None],
    replaced: Callable[[], None] = lambda: None,
) -> OpenStore:
    """Open the store ``url`` names; call it after the process has become a daemon.

    Args:
        url: ``memory:``; ``sqlite:///FILE`` (relative) or ``sqlite:////FILE``;
            ``redis://HOST:PORT/DB``, whose password is percent-encoded where need be.
        flush_interval_s: s, how far the medium may lag behind.
        redis_prefix: of all keys in Redis.
        now_utc: wall time, s of the epoch.
        reactor: IReactorTime, IReactorFromThreads and IReactorTCP in one.
        log: hears of trouble, each kind once.
        count: hears the code of every failure.
        replaced: hears that the medium may have lost what it had while it was away.

    Raises:
        ConfigError: the URL is none of these, or its file cannot be opened.
        StoreCorrupt: the file is not a state file of ours.
    """
    if url == "memory:":
        return MemoryStore(now_utc)
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest not in ("/", "//"):
        try:
            return SqliteStore(
                rest[1:],
                flush_interval_s=flush_interval_s,
                now_utc=now_utc,
                clock=reactor,
                call_from_thread=reactor.callFromThread,
                log=log,
                count=count,
            )
        except StoreUnavailable as error:
            raise _wrong(str(error)) from error
    if scheme == "redis":
        host, port, database, username, password = redis_parts(url)
        return RedisStore(
            HostnameEndpoint(reactor, host, port, timeout=5),
            f"redis://{host}:{port}/{database}",
            database=database,
            username=username,
            password=password,
            prefix=redis_prefix,
            flush_interval_s=flush_interval_s,
            now_utc=now_utc,
            clock=reactor,
            log=log,
            count=count,
            replaced=replaced,
        )
    raise _wrong(f"is not {FORMS}")


def redis_parts(url: str) -> tuple[str, int, int, str, str]:
    """Return host, port, database, username, password of ``redis://...``, or raise ConfigError."""
    try:
        parts = urlsplit(url)
        port = 6379 if parts.port is None else parts.port
    except ValueError:
        raise _wrong(f"is not {FORMS}") from None  # the cause may quote the password
    database = parts.path.strip("/") or "0"
    if not parts.hostname or parts.query or parts.fragment or not database.isdigit() or not port:
        raise _wrong(f"is not {FORMS}")
    return (
        parts.hostname,
        port,
        int(database),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _wrong(why: str) -> ConfigError:
    return ConfigError(why, section="store", key="url")
