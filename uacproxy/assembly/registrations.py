"""Our accounts: their database, the table of registrations, and how instances share them out."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred

from uacproxy.accounts.editor import AccountEditor
from uacproxy.accounts.sql import SqlAccountSource
from uacproxy.config.schema import Config
from uacproxy.counters import RegistrationCounters
from uacproxy.ports import ChangeFeed, Clock, Log, Random, Store
from uacproxy.sip.grammar import octets_of, text
from uacproxy.store.fixed_leases import FixedLeases
from uacproxy.store.redis import RedisStore
from uacproxy.store.redis_changes import RedisChanges
from uacproxy.store.redis_leases import RedisLeases
from uacproxy.transport.place import WORKER, WorkerPlace
from uacproxy.uac.registration_event import RegistrationEvent
from uacproxy.uac.registration_shards import SPACES, RegistrationShards
from uacproxy.uac.registrations import RegistrationTable
from uacproxy.uac.send import RequestSender
from uacproxy.uac.shard_set import ShardSet
from uacproxy.uac.written_request import WrittenSender

REGISTRATIONS: Final = "registrations"  # the group of those that share them
FOLLOW_EVERY: Final = 1.0  # s, between two looks at what other instances have registered

InThread = Callable[[Callable[[], Any]], Deferred[Any]]


class Registrations(NamedTuple):
    """What there is for our accounts."""

    table: RegistrationTable
    editor: AccountEditor | None  # of the accounts, where reg_db_url is set
    shards: ShardSet | None  # where the accounts are shared with others
    with_instances: bool  # and these are other instances, on a Redis


def make_registrations(
    config: Config,
    *,
    sender: RequestSender,
    clock: Clock,
    reactor: Any,
    random: Random,
    counters: RegistrationCounters,
    log: Log,
    store: Store,
    heard: Callable[[RegistrationEvent], None],
    in_thread: InThread,
    to_close: list[Callable[[], Deferred[None]]],
    medium: Store,
    place: WorkerPlace | None = None,
    told: ChangeFeed | None = None,
) -> Registrations:
    """Make them; nothing is read or sent yet.

    Args:
        config: resolved.
        sender: of REGISTER requests.
        clock: of deadlines.
        reactor: of the leases, which do not wait for the transactions' beat.
        random: of delays, Call-IDs and tags.
        counters: added to.
        log: hears of each transition.
        store: of what outlives a restart, and what instances share where it is Redis.
        heard: hears of each transition.
        in_thread: runs what asks the database.
        to_close: gets what closes that.
        medium: ``store`` without what stands before it.
        place: among several workers, which share the accounts out.
        told: what the other workers tell of their writes.
    """
    uac = config.uac
    source = None
    editor = None
    if uac.reg_db_url:
        source = SqlAccountSource(
            uac.reg_db_url, uac.reg_db_table, run_in_thread=in_thread, log=log
        )
        to_close.append(source.close)
        editor = AccountEditor(uac.reg_db_url, uac.reg_db_table, run_in_thread=in_thread)
        to_close.append(editor.close)
    shared = medium if isinstance(medium, RedisStore) and source is not None else None
    if not config.instances.share_registrations:
        shared = None
    sharing = None
    if shared is not None:
        for space in SPACES:
            shared.follow(space)
        feed = RedisChanges(shared.ask, config.store.redis_prefix)
        sharing = _make_sharing(config, shared, feed, clock)
    elif place is not None and told is not None and source is not None:
        sharing = _make_sharing(config, store, told, clock)
    table = RegistrationTable(
        settings=uac,
        source=source,
        sender=sender,
        clock=clock,
        now_utc=time.time,
        random=random,
        counters=counters,
        log=log,
        is_quiet=config.log.level in ("warn", "error"),
        user_agent=octets_of(config.sip.server_name),
        store=store,
        heard=heard,
        shards=sharing,
        written=WrittenSender(sender, clock.seconds),
        gathers=not isinstance(medium, RedisStore),
    )
    shards = None
    if shared is not None and sharing is not None:
        shards = _make_shards(config, shared, sharing, random, reactor, log, place)
    elif place is not None and sharing is not None:
        shards = _make_fixed_shards(config, place, sharing, reactor, log)
    if sharing is not None and shards is not None:
        sharing.share(table, shards)
    return Registrations(table, editor, shards, shared is not None)


def _make_sharing(
    config: Config, store: Store, feed: ChangeFeed, clock: Clock
) -> RegistrationShards:
    return RegistrationShards(
        shards=config.instances.shards,
        store=store,
        feed=feed,
        seconds=clock.seconds,
        now_utc=time.time,
        follow_every=FOLLOW_EVERY,
    )


def _make_shards(
    config: Config,
    store: RedisStore,
    sharing: RegistrationShards,
    random: Random,
    reactor: Any,
    log: Log,
    place: WorkerPlace | None,
) -> ShardSet:
    settings = config.instances
    instance = settings.name or f"{socket.gethostname()}/{config.sip.listen[0]}"
    name = instance if place is None else f"{instance}/{place.name}"
    member = f"{name}#{text(random.token()[:8])}"
    leases = RedisLeases(
        store.ask,
        prefix=config.store.redis_prefix,
        group=REGISTRATIONS,
        member=member,
        shards=settings.shards,
        lease_time=float(settings.lease_time),
        clock=reactor,
        log=log,
    )
    shards = ShardSet(
        member=member,
        shards=settings.shards,
        lease_time=float(settings.lease_time),
        leases=leases,
        user=sharing,
        seconds=_lease_seconds,
        log=log,
    )
    if place is not None:
        shards.siblings = f"{instance}/{WORKER} "
    return shards


def _make_fixed_shards(
    config: Config, place: WorkerPlace, sharing: RegistrationShards, reactor: Any, log: Log
) -> ShardSet:
    """Return the shards of one of several workers that share no Redis with other instances."""
    settings = config.instances
    members = [f"{WORKER} {number + 1}#0" for number in range(place.workers)]
    member = members[place.number]
    lease_time = float(settings.lease_time)
    shards = ShardSet(
        member=member,
        shards=settings.shards,
        lease_time=lease_time,
        leases=FixedLeases(member, members, settings.shards, lease_time, reactor),
        user=sharing,
        seconds=_lease_seconds,
        log=log,
    )
    shards.siblings = f"{WORKER} "
    return shards


def _lease_seconds() -> float:
    """Return s on a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
