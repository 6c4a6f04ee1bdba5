"""The Lua scripts of the shared tier: each decides and acts in one step, on keys of one slot.

Stamps are microseconds since the epoch and exact in Lua's doubles until the year 2255. Leases read
`token|born`. Nothing is published before it is written, and a script that fails half-way (out of memory)
has only deleted. Keys: V value, L lease, D tombstone, as `Keys.trio` gives them.
"""

from holdfast.ports.shared import Script
from holdfast.rooms.cache.store.keys import SCHEMA

_GROUND = f"""
local function digits(stamp) return string.format('%016.0f', stamp) end
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end
local function number(key)
  local v = redis.pcall('GET', key)
  return type(v) == 'string' and tonumber(v) or 0
end
local function born_of(head)
  if type(head) ~= 'string' or #head < 18 or head:byte(1) ~= {SCHEMA} then return nil end
  return (struct.unpack('>I8', head, 3))
end
local function held(key)
  local v = redis.pcall('GET', key)
  if type(v) == 'table' then redis.call('DEL', key) return nil end
  return v or nil
end
local function is_mine(lease, token) return lease and lease:sub(1, #token + 1) == token .. '|' end
local function head(key) return redis.pcall('GETRANGE', key, 0, 17) end
"""


def _script(name: str, text: str) -> Script:
    return Script(f"cache_{name}", _GROUND + text)


CLAIM = _script(
    "claim",
    """
-- V L D; token, floor, lease_ms, skew_us, refresh -> value | busy for ms | {born, poisoned}
local at, poisoned, lies = now(), 0, nil
if ARGV[5] == '0' then
  local v = redis.pcall('GET', KEYS[1])
  if v then
    lies = born_of(v)
    if not lies then
      redis.call('DEL', KEYS[1])
      poisoned = 1
    elseif lies > tonumber(ARGV[2]) and at < struct.unpack('>I8', v, 11) then
      return v
    end
  end
else
  lies = born_of(head(KEYS[1]))
end
if held(KEYS[2]) then return math.max(1, redis.call('PTTL', KEYS[2])) end
-- Servers of a cluster agree to about a millisecond: a load is dated early rather than late, but after
-- what it finds here and is to replace.
local born = math.max(at - tonumber(ARGV[4]), number(KEYS[3]) + 1, math.min((lies or 0) + 1, at))
redis.call('SET', KEYS[2], ARGV[1] .. '|' .. digits(born), 'PX', ARGV[3])
return {digits(born), poisoned}
""",
)

STORE = _script(
    "store",
    """
-- V L D; token, value, px, born, channel, message -> 1 stored, 0 the lease has passed on, -1 overtaken
local lease, born = held(KEYS[2]), tonumber(ARGV[4])
local mine = ARGV[1] ~= '' and is_mine(lease, ARGV[1])
if ARGV[1] ~= '' and lease and not mine then return 0 end
if number(KEYS[3]) >= born or (born_of(head(KEYS[1])) or 0) > born then
  if mine then
    redis.call('DEL', KEYS[2])
    redis.call('PUBLISH', ARGV[5], 'G' .. digits(0) .. ARGV[6])
  end
  return -1
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if mine then redis.call('DEL', KEYS[2]) end
redis.call('PUBLISH', ARGV[5], 'S' .. digits(born) .. ARGV[6])
return 1
""",
)

GIVE_BACK = _script(
    "give_back",
    """
-- L; token, channel, message -> whether it was ours
if not is_mine(held(KEYS[1]), ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], 'G' .. digits(0) .. ARGV[3])
return 1
""",
)

RENEW = _script(
    "renew",
    """
-- V L D; token, lease_ms, born -> whether the load still holds it
local lease, born = held(KEYS[2]), tonumber(ARGV[3])
if lease then
  if not is_mine(lease, ARGV[1]) then return 0 end
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return 1
end
-- Lost with the server's memory: the load goes on, so the lease does, unless it has been overtaken.
if number(KEYS[3]) >= born or (born_of(head(KEYS[1])) or 0) > born then return 0 end
redis.call('SET', KEYS[2], ARGV[1] .. '|' .. digits(born), 'PX', ARGV[2])
return 1
""",
)

DISCARD = _script(
    "discard",
    """
-- V; SHA-1 of what was read -> whether it was still there
local v = redis.pcall('GET', KEYS[1])
if not v or (type(v) == 'string' and redis.sha1hex(v) ~= ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])
""",
)

MARK_KEY = _script(
    "mark_key",
    """
-- V L D; stamp, live, tomb_ms, channel, message -> the stamp that stands
local stamp = tonumber(ARGV[1])
if ARGV[2] == '1' then stamp = math.max(stamp, now()) end
if (born_of(head(KEYS[1])) or 0) <= stamp then redis.call('DEL', KEYS[1]) end
local lease = held(KEYS[2])
if lease and (tonumber(lease:match('|(%d+)$')) or 0) <= stamp then redis.call('DEL', KEYS[2]) end
local old = number(KEYS[3])
if old >= stamp then return digits(old) end
redis.call('SET', KEYS[3], digits(stamp), 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], 'M' .. digits(stamp) .. ARGV[5])
return digits(stamp)
""",
)

MARK_TAG = _script(
    "mark_tag",
    """
-- T; stamp, live, life_ms, channel, message -> the stamp that stands
local at, stamp = now(), tonumber(ARGV[1])
if ARGV[2] == '1' then stamp = math.max(stamp, at) end
local old, px = number(KEYS[1]), math.floor((stamp - at) / 1000) + tonumber(ARGV[3])
if old >= stamp or px <= 0 then return digits(math.max(old, stamp)) end
redis.call('SET', KEYS[1], digits(stamp), 'PX', string.format('%.0f', px))
redis.call('PUBLISH', ARGV[4], 'M' .. digits(stamp) .. ARGV[5])
return digits(stamp)
""",
)

MARK_WIDE = _script(
    "mark_wide",
    """
-- W; stamp, live, life_ms, channel, message, member, most -> the stamp that stands
local at, stamp = now(), tonumber(ARGV[1])
if ARGV[2] == '1' then stamp = math.max(stamp, at) end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', digits(at - tonumber(ARGV[3]) * 1000))
local old = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[6]) or 0)
local all = tonumber(redis.call('ZSCORE', KEYS[1], 'a') or 0)
old = math.max(old, all)
if old >= stamp then return digits(old) end
if ARGV[6] == 'a' then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', digits(stamp)) end
redis.call('ZADD', KEYS[1], digits(stamp), ARGV[6])
local count, most = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[7])
if count > most then
  -- Too many prefixes: everything up to the newest of the older half is dead instead.
  local middle = math.floor(count / 2) - 1
  local last = redis.call('ZRANGE', KEYS[1], middle, middle, 'WITHSCORES')
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', last[2])
  redis.call('ZADD', KEYS[1], last[2], 'a')
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], 'M' .. digits(stamp) .. ARGV[5])
return digits(stamp)
""",
)

READ_WIDE = _script(
    "read_wide",
    """
-- W -> {member, stamp, ...}
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' then return {} end
local found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #found, 2 do found[i] = digits(tonumber(found[i])) end
return found
""",
)
