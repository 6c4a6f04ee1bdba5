"""The charge of limits of any algorithm together: what `scripts.GCRA_SCRIPT` does for GCRA alone.

One request a call. ARGV: copies, mode, divisor of leases, then eight numbers a charge (`Numbers.fields`);
the reply is that of one request there. It is a script of its own because most charges need a tenth of it,
and a server builds every function of a script each time it runs.
"""

from holdfast.ports.shared import Script

_MIXED = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local copies, writes, divisor = tonumber(ARGV[1]), ARGV[2] == '1', tonumber(ARGV[3])
local EPS = 1e-9
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

-- GCRA: the key holds the microsecond at which the whole capacity is back.
local function read_gcra(c)
  local at = tonumber(redis.call('GET', c.key) or '') or now  -- what is no number is no count
  if at < now then at = now end
  if at > now + c.whole then at = now + c.whole end  -- the server's clock stepped back, or the limit shrank
  if c.owed ~= 0 then at = max(now, min(at + c.owed, now + c.whole)); c.dirty = true end
  c.at = at
  c.room = c.paid == 0 and copies or floor((now + c.whole - at) / c.paid)
end
local function wait_gcra(c, m)
  if c.paid > c.whole then return -1 end
  return c.at + (m + 1) * c.paid - c.whole - now
end
local function pay_gcra(c, m)
  c.at = c.at + m * c.paid
  if c.want > 0 and m == copies then
    local units = min(c.want, floor((now + c.whole - c.at) / c.unit / divisor))
    if units >= 1 then
      c.leased, c.leased_us = units, ceil(units * c.unit)
      c.at = c.at + c.leased_us
    end
  end
end
local function keep_gcra(c)
  if c.at <= now then redis.call('DEL', c.key)
  else redis.call('SET', c.key, string.format('%.0f', c.at), 'PX', ceil((c.at - now) / 1000)) end
end
local function show_gcra(c)
  return max(0, floor((now + c.whole - c.at) / c.unit)), c.at - now
end

-- Sliding window: a list of pairs (stamp, units paid so far), led by the last pair that no longer counts.
local function read_window(c)
  local key, edge = c.key, now - c.window
  c.base, c.top, c.size = 0, 0, redis.call('LLEN', key)
  while c.size > 2 and tonumber(redis.call('LINDEX', key, 2)) <= edge do
    redis.call('LPOP', key, 2); c.size = c.size - 2
  end
  if c.size > 0 then
    c.base = tonumber(redis.call('LINDEX', key, 1))
    c.top = tonumber(redis.call('LINDEX', key, -1))
    c.newest = tonumber(redis.call('LINDEX', key, -2))
  end
  if c.owed > 0 then
    c.give, c.dirty = min(c.owed, max(0, c.whole - (c.top - c.base))), true
  elseif c.owed < 0 then
    c.give, c.dirty = max(c.owed, c.base - c.top), true
  end
  c.used = c.top - c.base + (c.give or 0)
  c.room = c.cost == 0 and copies or floor((c.whole - c.used) / c.cost)
end
local function wait_window(c, m)
  if c.cost > c.whole then return -1 end
  local excess = c.used + (m + 1) * c.cost - c.whole
  if excess > c.top - c.base then return c.window end
  local low, high = 1, c.size / 2 - 1
  while low < high do  -- the first pair with whose end `excess` units have gone
    local mid = floor((low + high) / 2)
    local upto = tonumber(redis.call('LINDEX', c.key, 2 * mid + 1)) - c.base
    if upto >= excess then high = mid else low = mid + 1 end
  end
  return tonumber(redis.call('LINDEX', c.key, 2 * low)) + c.window - now
end
local function pay_window(c, m)
  c.used, c.fresh = c.used + m * c.cost, m * c.cost
end
local function keep_window(c)
  if (c.give or 0) < 0 then
    local goal = c.top + c.give
    while c.size > 2 and tonumber(redis.call('LINDEX', c.key, -3)) >= goal do
      redis.call('RPOP', c.key, 2); c.size = c.size - 2
    end
    if c.size > 2 then redis.call('LSET', c.key, -1, string.format('%.0f', goal)) end
    c.top = goal
  end
  local fresh = (c.fresh or 0) + max(0, c.give or 0)
  if fresh > 0 then
    if c.size == 0 then redis.call('RPUSH', c.key, 0, 0) end
    redis.call('RPUSH', c.key, string.format('%.0f', now), string.format('%.0f', c.top + fresh))
    c.newest = now
  end
  redis.call('PEXPIRE', c.key, ceil(c.window / 1000))
end
local function show_window(c)
  local reset = 0
  if (c.fresh or 0) > 0 then reset = c.window
  elseif c.used > 0 and c.newest then reset = c.newest + c.window - now
  elseif c.cost > c.whole then reset = c.window end
  return max(0, c.whole - c.used), reset
end

-- Sliding counter: 'number of the window:units in the one before:units in this one'.
local function read_counter(c)
  local number = floor(now / c.window)
  c.number, c.passed, c.before, c.current = number, now - number * c.window, 0, 0
  local held = redis.call('GET', c.key)
  if held then
    local n, b, u = string.match(held, '^(%d+):(%d+):(%d+)$')
    n = tonumber(n)
    if n == number then c.before, c.current = tonumber(b), tonumber(u)
    elseif n == number - 1 then c.before = tonumber(u) end
  end
  if c.owed ~= 0 then
    c.current, c.dirty = c.current + min(c.owed, c.whole), true
    if c.current < 0 then c.before, c.current = max(0, c.before + c.current), 0 end
  end
  c.sum = c.before * (1 - c.passed / c.window) + c.current
  c.room = c.cost == 0 and copies or floor((c.whole - c.sum + EPS) / c.cost)
end
local function wait_counter(c, m)  -- a nanosecond less: what rounding adds is no wait
  local room, current = c.whole - c.cost, c.current + m * c.cost
  if room < 0 then return -1 end
  if current <= room then return ceil(c.window * (1 - (room - current) / c.before) - c.passed - 0.001) end
  return ceil(c.window * (2 - room / current) - c.passed - 0.001)
end
local function pay_counter(c, m)
  c.current, c.sum = c.current + m * c.cost, c.sum + m * c.cost
end
local function keep_counter(c)
  redis.call('SET', c.key, string.format('%.0f:%.0f:%.0f', c.number, c.before, c.current), 'PX',
    ceil((2 * c.window - c.passed) / 1000))
end
local function show_counter(c)
  local reset = 0
  if c.current > 0 then reset = 2 * c.window - c.passed
  elseif c.before > 0 then reset = c.window - c.passed end
  return max(0, floor(c.whole - c.sum + EPS)), reset
end

local read = {g = read_gcra, w = read_window, c = read_counter}
local wait = {g = wait_gcra, w = wait_window, c = wait_counter}
local pay = {g = pay_gcra, w = pay_window, c = pay_counter}
local keep = {g = keep_gcra, w = keep_window, c = keep_counter}
local show = {g = show_gcra, w = show_window, c = show_counter}

local charges, m = {}, copies
for i = 1, #KEYS do
  local a = 3 + (i - 1) * 8
  local c = {key = KEYS[i], form = ARGV[a + 1], window = tonumber(ARGV[a + 2]), whole = tonumber(ARGV[a + 3]),
    paid = tonumber(ARGV[a + 4]), cost = tonumber(ARGV[a + 5]), unit = tonumber(ARGV[a + 6]),
    owed = tonumber(ARGV[a + 7]), want = tonumber(ARGV[a + 8]), leased = 0, leased_us = 0}
  read[c.form](c)
  charges[i] = c
  m = max(0, min(m, c.room))
end
local index, longest = 0, 0
if m < copies then
  for i, c in ipairs(charges) do
    if c.room <= m then
      local us = wait[c.form](c, m)
      if longest >= 0 and (us < 0 or us > longest) then index, longest = i - 1, us end
    end
  end
end
local reply, least = {m, index, longest}, nil
for i, c in ipairs(charges) do
  if m > 0 then pay[c.form](c, m) end
  if writes and (m > 0 or c.dirty) then keep[c.form](c) end
  local left, reset = show[c.form](c)
  local r = 3 + (i - 1) * 4
  reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4] = left, reset, c.leased, c.leased_us
  left = left + c.leased
  if m == copies and (least == nil or left < least) then least, reply[2] = left, i - 1 end
end
return reply
"""

MIXED_SCRIPT = Script("limits-charge-mixed", _MIXED)
