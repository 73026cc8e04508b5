"""The registrar of our own users, and the table of subscribers it asks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from uacproxy.accounts.subscribers import SqlSubscribers
from uacproxy.config.schema import Config
from uacproxy.errors import UacproxyError
from uacproxy.ports import Log, Random
from uacproxy.registrar.bindings import BindingTable
from uacproxy.registrar.digest_server import DigestServer
from uacproxy.registrar.registrar import Registrar
from uacproxy.sip.grammar import octets_of, text

InThread = Callable[[Callable[[], Any]], Deferred[Any]]


def make_registrar(
    config: Config,
    *,
    bindings: BindingTable,
    is_our_domain: Callable[[bytes], bool],
    random: Random,
    log: Log,
    in_thread: InThread,
    to_close: list[Callable[[], Deferred[None]]],
) -> Registrar:
    """Make the registrar.

    Args:
        config: resolved.
        bindings: of our users.
        is_our_domain: tells whether a host is ours to register at.
        random: of what it answers.
        log: hears of a database that is away.
        in_thread: runs what asks it.
        to_close: gets what closes that.
    """
    settings = config.registrar
    domains = config.sip.domains
    realm = settings.realm or (domains[0] if domains else "uacproxy")
    ha1_of = None
    if settings.authenticate:
        subscribers = SqlSubscribers(
            settings.subscriber_db_url,
            settings.subscriber_table,
            run_in_thread=in_thread,
            seconds=time.monotonic,
        )
        to_close.append(subscribers.close)
        ha1_of = _ha1_of(subscribers, log)
    digest = DigestServer(octets_of(realm), os.urandom(32), time.time, settings.nonce_lifetime)
    return Registrar(
        settings=settings,
        bindings=bindings,
        is_our_domain=is_our_domain,
        digest=digest,
        ha1_of=ha1_of,
        now_utc=time.time,
        random=random,
    )


def _ha1_of(subscribers: SqlSubscribers, log: Log) -> Any:
    """Fit the subscriber table to the registrar: b"" says the database is away, and means 503."""

    def ask(username: bytes, realm: bytes, then: Callable[[str | None], None]) -> None:
        def failed(error: UacproxyError) -> None:
            log.warn("subscriber table: {why}", why=str(error))
            then("")

        subscribers.ha1_of(text(username), text(realm), then, failed)

    return ask
