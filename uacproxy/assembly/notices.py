"""Who tells of changed accounts: ``reg_notify`` becomes what listens."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint

from uacproxy.accounts.database import RunInThread
from uacproxy.accounts.postgres_notices import PostgresNotices
from uacproxy.accounts.redis_notices import RedisNotices
from uacproxy.config.schema import Config
from uacproxy.ports import Clock, Log
from uacproxy.store.open import redis_parts
from uacproxy.uac.account_notices import AccountNotices, FollowedAccounts


class Notices(Protocol):
    """What listens."""

    def start(self) -> None:
        """Connect, and again whenever that fails or ends."""

    def close(self) -> Deferred[None]:
        """Hear nothing any more."""


def make_notices(
    config: Config,
    accounts: FollowedAccounts,
    *,
    clock: Clock,
    reactor: Any,
    run_in_thread: RunInThread,
    log: Log,
) -> Notices | None:
    """Return what listens for changes of ``accounts``; None where nobody tells of them."""
    notify = config.uac.reg_notify
    if notify is None:
        return None
    gathered = AccountNotices(accounts, clock)
    if notify.kind == "postgresql":
        return PostgresNotices(
            config.uac.reg_db_url,
            notify.channel,
            listening=gathered.listening,
            received=gathered.received,
            run_in_thread=run_in_thread,
            reactor=reactor,
            log=log,
        )
    host, port, database, username, password = redis_parts(config.store.url)
    return RedisNotices(
        HostnameEndpoint(reactor, host, port, timeout=5),
        f"redis://{host}:{port}/{database}",
        notify.channel,
        username=username,
        password=password,
        listening=gathered.listening,
        received=gathered.received,
        clock=reactor,
        log=log,
    )
