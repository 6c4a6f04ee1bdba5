"""Budgets in Redis or Valkey: one hash a count, one list a reservation, one sorted set of leases.

All keys share one hash tag, so that one script charges every limit of a call or none, on a cluster too: the
price is that budgets live on one master, which makes tens of thousands of decisions a second. Times are the
server's own. The decisions are those of `rules/counts.py`, said once more.
"""

from holdfast.ports.shared import Script

PREFIX = "hfm{m}"
LEASES = PREFIX + "leases"
"""Sorted set: reservation -> the server's milliseconds at which its lease is over."""
NODES = PREFIX + "nodes"
"""Sorted set: node -> the server's milliseconds at its last heartbeat."""

_SHARED = """
local EPS, ROLLING_MS = 0.000001, 60000
-- What is no number (a poisoned value) counts as nothing.
local function number(value) return tonumber(value or 0) or 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- A count as it stands at `mark`: rolling ones have drained, calendar ones begin anew with their period.
local function read(key, form, whole, mark, seed)
  if form == 'r' then
    local row = redis.call('HMGET', key, 'l', 't')
    local passed = math.max(0, now - number(row[2]))
    return {key = key, form = form, mark = mark, h = 0,
      u = math.max(0, number(row[1]) - passed * whole / ROLLING_MS)}
  end
  local row = redis.call('HMGET', key, 'w', 'u', 'h')
  if not row[1] then return {key = key, form = form, mark = mark, u = seed, h = 0} end
  if number(row[1]) < number(mark) then return {key = key, form = form, mark = mark, u = 0, h = 0} end
  return {key = key, form = form, mark = row[1], u = number(row[2]), h = number(row[3])}
end
local function write(c, ttl_ms)
  if c.form == 'r' then
    redis.call('HSET', c.key, 'l', c.u, 't', now)
  else
    redis.call('HSET', c.key, 'w', c.mark, 'u', c.u, 'h', c.h)
  end
  redis.call('PEXPIRE', c.key, ttl_ms)
end
"""

RESERVE = Script(
    "llm budget reserve",
    _SHARED
    + """
-- KEYS: leases, reservation, counts.
-- ARGV: prefix, id, lease_ms, then form, whole, amount, mark, ttl_ms, seed of each.
local leases, record, prefix, id = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local expired = 0
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 200)) do
  local list = prefix .. 'r:' .. dead
  if redis.call('TYPE', list).ok == 'list' then
    local parts = redis.call('LRANGE', list, 0, -1)
    for i = 1, #parts, 3 do
      local row = redis.call('HMGET', parts[i], 'w', 'h')
      if row[1] == parts[i + 1] then
        redis.call('HSET', parts[i], 'h', math.max(0, number(row[2]) - number(parts[i + 2])))
      end
    end
    redis.call('DEL', list)
    expired = expired + 1
  end
  redis.call('ZREM', leases, dead)
end

local counts, ok = {}, 1
local reply = {1, expired}
for i = 3, #KEYS do
  local a = 3 + (i - 3) * 6
  local whole, amount = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local c = read(KEYS[i], ARGV[a + 1], whole, ARGV[a + 4], tonumber(ARGV[a + 6]))
  local room = (amount == 0 or c.u + c.h + amount <= whole + EPS) and 1 or 0
  if room == 0 then ok = 0 end
  c.amount, c.ttl = amount, ARGV[a + 5]
  counts[#counts + 1] = c
  local r = #reply
  reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4] = room, math.ceil(c.u - EPS), c.h, c.mark
end
reply[1] = ok
-- Settled before it was made: its caller had left, and its refund overtook it on another connection.
if ok == 0 or redis.call('TYPE', record).ok == 'string' then return reply end
local parts, keep_ms = {}, tonumber(ARGV[3]) + 3600000
for _, c in ipairs(counts) do
  keep_ms = math.max(keep_ms, tonumber(c.ttl))
  if c.form == 'r' then
    c.u = c.u + c.amount
  else
    c.h = c.h + c.amount
    local p = #parts
    parts[p + 1], parts[p + 2], parts[p + 3] = c.key, c.mark, string.format('%.0f', c.amount)
  end
  write(c, c.ttl)
end
-- A reservation of rolling limits alone holds nothing that would have to be given back.
if #parts > 0 then
  redis.call('DEL', record)
  redis.call('RPUSH', record, unpack(parts))
  -- As long as what it holds: should nobody come by for hours, it is still given back then.
  redis.call('PEXPIRE', record, keep_ms)
  redis.call('ZADD', leases, now + ARGV[3], id)
end
return reply
""",
)

SETTLE = Script(
    "llm budget settle",
    _SHARED
    + """
-- KEYS: leases, reservation, counts.
-- ARGV: id, done_ms, then form, whole, mark, ttl_ms, reserved, actual, seed of each.
local leases, record, id = KEYS[1], KEYS[2], ARGV[1]
local kind = redis.call('TYPE', record).ok
if kind == 'string' then return 0 end
local live = kind == 'list'
for i = 3, #KEYS do
  local a = 2 + (i - 3) * 7
  local form, mark = ARGV[a + 1], ARGV[a + 3]
  local reserved, actual = tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  local c = read(KEYS[i], form, tonumber(ARGV[a + 2]), mark, tonumber(ARGV[a + 7]))
  if form == 'r' then
    c.u = math.max(0, c.u + actual - reserved)
    write(c, ARGV[a + 4])
  elseif number(c.mark) == number(mark) then
    if live then c.h = math.max(0, c.h - reserved) end
    c.u = c.u + actual
    write(c, ARGV[a + 4])
  end
end
-- Told twice, it counts once.
redis.call('DEL', record)
redis.call('SET', record, 'done', 'PX', ARGV[2])
redis.call('ZREM', leases, id)
return 1
""",
)

BEAT = Script(
    "llm budget beat",
    """
-- KEYS: nodes. ARGV: node, silent_ms, whether it stays. How many are there.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if ARGV[3] == '1' then redis.call('ZADD', KEYS[1], now, ARGV[1]) else redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], 86400000)
return redis.call('ZCARD', KEYS[1])
""",
)
