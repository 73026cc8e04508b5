"""What was written in Redis, for instances that follow each other.

A space that is followed has a sorted set ``PREFIX changes:SPACE`` of its keys by when each
was last written, which is the time of Redis in ms, or one more than the last where that is
not later. A reader asks for what came after its cursor: nothing is missed, a key written
twice is told once, and there is never more than one entry for a key. Entries older than
``KEPT_FOR`` go; whoever was away longer reads everything. While nothing is written a cursor
stays half of that behind the time: it never grows too old, and a clock of Redis that is set
back by less hides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from uacproxy.errors import UacproxyError
from uacproxy.store.redis_leases import Ask

KEPT_FOR: Final = 3600.0  # s

NOTE: Final = rb"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] and tonumber(last[2]) >= now then now = tonumber(last[2]) + 1 end
local score = string.format('%.0f', now)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], score, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - ARGV[1]))
return 0
"""

SINCE: Final = rb"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local newest = math.max(last[2] and tonumber(last[2]) or 0, now - ARGV[2] / 2)
local cursor = tonumber(ARGV[1])
if cursor <= now - ARGV[2] or cursor > newest then
  return {string.format('%.0f', newest), 0}
end
local keys = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')
return {string.format('%.0f', newest), 1, keys}
"""


def note(prefix: bytes, space: str, keys: list[bytes]) -> tuple[Any, ...]:
    """Return the command that notes ``keys`` of ``space`` as written."""
    kept = b"%d" % (KEPT_FOR * 1000)
    return (b"EVAL", NOTE, 1, _name(prefix, space), kept, *keys)


@final
class RedisChanges:
    """Fits ``ports.ChangeFeed``, over the connection of the store.

    Args:
        ask: the store's.
        prefix: of all our keys.
    """

    def __init__(self, ask: Ask, prefix: str) -> None:
        self._ask = ask
        self._prefix = prefix.encode()

    def since(
        self, space: str, cursor: float, then: Callable[[float, list[bytes] | None], None]
    ) -> None:
        """Ask what was written after ``cursor``; see ``ports.ChangeFeed``."""

        def answered(answers: list[Any]) -> None:
            newest, is_told, *keys = answers[0]
            then(float(newest), [*keys[0]] if int(is_told) else None)

        def failed(_error: UacproxyError) -> None:
            then(cursor, [])

        oldest = b"%d" % (KEPT_FOR * 1000)
        name = _name(self._prefix, space)
        self._ask([(b"EVAL", SINCE, 1, name, b"%d" % cursor, oldest)], answered, failed)


def _name(prefix: bytes, space: str) -> bytes:
    return prefix + b"changes:" + space.encode()
