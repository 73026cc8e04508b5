"""Leases in Redis: every round is one Lua script, so all that it says happens at once.

All times are those of Redis. Keys, below ``PREFIX leases:GROUP``:

    :members  hash, MEMBER -> "ENDS ROUND SINCE", ms of the epoch; SINCE 0: takes no part
    :shards   hash, SHARD -> "ENDS TOKEN MEMBER"
    :farm     hash: shape, run, grace, fence

A Redis that was started anew may have forgotten the leases it gave last. It gives no new
ones (*grace*) until any of those has run out, but lets those who hold one keep it. Only one
that was started longer ago than a lease lasts, and knows nothing of the group, is believed
to be right about that. Needs Redis 5 or newer: the script asks for the time and then writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, final

from uacproxy.errors import StoreCorrupt, StoreUnavailable, UacproxyError
from uacproxy.ports import Clock, Lease, LeaseAnswer, LeaseWish, Log, Member

Ask = Callable[
    [list[tuple[Any, ...]], Callable[[list[Any]], None], Callable[[UacproxyError], None]], None
]

ROUND: Final = rb"""
local members, shards, farm = KEYS[1], KEYS[2], KEYS[3]
local wish = cjson.decode(ARGV[1])
local me, lease = wish.member, wish.lease
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + lease
local function whole(number) return string.format('%.0f', number) end

local alive, others, since = {}, false, 0
local rows = redis.call('HGETALL', members)
for i = 1, #rows, 2 do
  local name = rows[i]
  local until_, round, began = string.match(rows[i + 1], '^(%d+) (%d+) (%d+)$')
  if name == me then
    if tonumber(round) >= wish.number then return cjson.encode({late = true}) end
    if tonumber(until_) > now then since = tonumber(began) end
  elseif tonumber(until_) > now then
    others = true
    alive[name] = {until_ - now, tonumber(began) > 0 and until_ - lease - began + 1 or 0}
  else
    redis.call('HDEL', members, name)
  end
end

local shape = redis.call('HGET', farm, 'shape')
if shape ~= wish.shape then
  if others and shape then return cjson.encode({shape = shape}) end
  redis.call('DEL', shards)
  redis.call('HSET', farm, 'shape', wish.shape)
end

local info = redis.pcall('INFO', 'server')
if type(info) == 'string' then
  local run = string.match(info, 'run_id:(%w+)') or ''
  local known = redis.call('HGET', farm, 'run')
  if known ~= run then
    local grace = lease
    if not known then
      grace = lease - 1000 * tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or 0)
    end
    redis.call('HSET', farm, 'run', run, 'grace', whole(now + math.max(grace, 0)))
  end
end
local in_grace = now < tonumber(redis.call('HGET', farm, 'grace') or 0)

if tonumber(redis.call('HGET', farm, 'fence') or 0) < wish.floor then
  redis.call('HSET', farm, 'fence', whole(wish.floor))
end

local function found(shard)
  local value = redis.call('HGET', shards, shard)
  if not value then return 0, 0, nil end
  local until_, token, owner = string.match(value, '^(%d+) (%d+) (.+)$')
  return tonumber(until_), tonumber(token), owner
end
local function set(shard, token)
  redis.call('HSET', shards, shard, whole(ends) .. ' ' .. whole(token) .. ' ' .. me)
end

for _, kept in ipairs(wish.keep) do
  local shard, token = kept[1], kept[2]
  local until_, known, owner = found(shard)
  if (owner == me and known == token) or (in_grace and known < token) then
    set(shard, token)
  end
end
for _, given in ipairs(wish.give_up) do
  local _, known, owner = found(given[1])
  if owner == me and known == given[2] then redis.call('HDEL', shards, given[1]) end
end
for _, shard in ipairs(wish.ask) do
  local until_, _, owner = found(shard)
  if not in_grace and (until_ <= now or owner == me) then
    set(shard, redis.call('HINCRBY', farm, 'fence', 1))
  end
end

if wish.leaves then
  redis.call('HDEL', members, me)
else
  if not wish.takes_part then since = 0 elseif since == 0 then since = now end
  redis.call('HSET', members, me, whole(ends) .. ' ' .. whole(wish.number) .. ' ' .. whole(since))
  alive[me] = {lease, since > 0 and now - since + 1 or 0}
end

local leases = {}
rows = redis.call('HGETALL', shards)
for i = 1, #rows, 2 do
  local until_, token, owner = string.match(rows[i + 1], '^(%d+) (%d+) (.+)$')
  if tonumber(until_) > now then leases[#leases + 1] = {rows[i], tonumber(token), owner} end
end
return cjson.encode({members = alive, leases = leases})
"""


@final
class RedisLeases:
    """Fits ``ports.Leases``, over the connection of the store.

    Args:
        ask: the store's; it may fail at once.
        prefix: of all our keys.
        group: names what is shared; its members know no other group.
        member: ``NAME#START``.
        shards: how many there are.
        lease_time: s.
        clock: for answers in a later turn.
        log: hears of a group with another number of shards or another lease time.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        prefix: str,
        group: str,
        member: str,
        shards: int,
        lease_time: float,
        clock: Clock,
        log: Log,
    ) -> None:
        self._ask = ask
        start = f"{prefix}leases:{group}".encode()
        self._keys = (start + b":members", start + b":shards", start + b":farm")
        self._member = member
        self._lease = round(lease_time * 1000)  # ms
        self._shape = f"{shards} shards, leases of {self._lease} ms"
        self._clock = clock
        self._log = log
        self._is_told = False

    def round(
        self,
        wish: LeaseWish,
        then: Callable[[LeaseAnswer], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Run one round; see ``ports.Leases``."""

        def answered(answers: list[Any]) -> None:
            try:
                answer = self._read(answers[0])
            except UacproxyError as error:
                failed(error)
            else:
                then(answer)

        def refused(error: UacproxyError) -> None:
            self._clock.callLater(0, failed, error)

        self._ask([(b"EVAL", ROUND, 3, *self._keys, self._encode(wish))], answered, refused)

    def _encode(self, wish: LeaseWish) -> bytes:
        return json.dumps(
            {
                "member": self._member,
                "lease": self._lease,
                "shape": self._shape,
                "number": wish.number,
                "takes_part": wish.takes_part,
                "leaves": wish.leaves,
                "floor": wish.floor,
                "keep": list(wish.keep.items()),
                "give_up": list(wish.give_up.items()),
                "ask": wish.ask,
            }
        ).encode()

    def _read(self, octets: Any) -> LeaseAnswer:
        try:
            said = json.loads(octets)
            if "shape" in said:
                raise self._wrong_shape(said["shape"])
            if "late" in said:
                raise StoreUnavailable("the round came late")
            members = dict(said["members"] or ())
            return LeaseAnswer(
                {
                    name: Member(left / 1000, since / 1000)
                    for name, (left, since) in members.items()
                },
                {
                    int(shard): Lease(member, int(token))
                    for shard, token, member in said["leases"] or ()
                },
            )
        except (TypeError, ValueError, KeyError) as error:
            raise StoreCorrupt(f"the leases cannot be read: {type(error).__name__}") from error

    def _wrong_shape(self, shape: str) -> UacproxyError:
        why = f"the other instances have {shape}, this one has {self._shape}"
        if not self._is_told:
            self._is_told = True
            self._log.error("{why}: no account is registered here; make them equal", why=why)
        return StoreUnavailable(why)
