"""The scripts of the limits, and how their arguments and replies are laid out.

One script does everything that touches a count: it pays debts, checks any number of limits, charges them
all or none, and hands out leases. The time is the server's own, so nodes need not agree on any.
Whatever is written gets its end in the same step; a key that is gone is an untouched limit.
"""

import math

from holdfast.ports.shared import Part, Script
from holdfast.rooms.limits.rules.charge import GCRA, SLIDING_COUNTER, SLIDING_WINDOW, Limit

FORMS = {GCRA: "g", SLIDING_WINDOW: "w", SLIDING_COUNTER: "c"}
"""What the script calls the algorithms."""

CHARGE, PEEK = 1, 0
"""The mode: whether anything is written."""

_FINE_US = 1_000
"""Intervals from here on are rounded up to whole microseconds."""

HEAD = 3
"""Replies a request: see `GCRA_SCRIPT`."""

ANSWERS = 4
"""Replies a charge, after those: remaining, reset in us, units leased, their us."""

# KEYS: one a charge. ARGV: mode, divisor of leases; then for each request how many charges and how many
# copies it has, and five numbers a charge (`Numbers.gcra_fields`). Requests are decided one after the other,
# each all or nothing. Copies are equal requests of one turn: as many of them pass as find room, which is
# what they would have found one by one in the same microsecond.
# Reply, for each request: copies that passed, index of the deciding charge, us until the next copy would
# pass (-1: never); then four numbers a charge (ANSWERS).
# The key holds the microsecond at which the whole capacity is back. What is no number is no count, and one
# further away than the whole capacity is drawn in: the server's clock stepped back, or the limit shrank.
_GCRA = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local writes, divisor, floor = ARGV[1] == '1', tonumber(ARGV[2]), math.floor
local ats, wholes, paids, reply = {}, {}, {}, {}
local key, a, r = 0, 3, 0
while key < #KEYS do
  local n, copies = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  a = a + 2
  local m = copies
  for i = 1, n do
    local b = a + 5 * i - 5
    local whole, paid = tonumber(ARGV[b]), tonumber(ARGV[b + 1])
    local held = redis.pcall('GET', KEYS[key + i])
    local at = type(held) == 'string' and tonumber(held) or now
    if at < now then at = now elseif at > now + whole then at = now + whole end
    if ARGV[b + 3] ~= '0' then at = math.max(now, math.min(at + ARGV[b + 3], now + whole)) end
    ats[i], wholes[i], paids[i] = at, whole, paid
    if at + m * paid > now + whole then m = math.max(0, floor((now + whole - at) / paid)) end
  end
  local index, longest, least = 0, 0, nil
  for i = 1, n do
    local b, at, whole, paid = a + 5 * i - 5, ats[i], wholes[i], paids[i]
    local unit, units, us = ARGV[b + 2], 0, 0
    if m < copies then
      local wait = at + (m + 1) * paid - whole - now
      if paid > whole then wait = math.huge end
      if wait > longest then index, longest = i - 1, wait end
    end
    at = at + m * paid
    if m == copies and ARGV[b + 4] ~= '0' then
      units = math.min(tonumber(ARGV[b + 4]), floor((now + whole - at) / unit / divisor))
      if units >= 1 then us = math.ceil(units * unit) else units = 0 end
      at = at + us
    end
    if writes and (m > 0 or ARGV[b + 3] ~= '0') then
      if at <= now then redis.call('DEL', KEYS[key + i])
      else
        redis.call('SET', KEYS[key + i], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
      end
    end
    local left, s = math.max(0, floor((now + whole - at) / unit)), r + 4 * i
    reply[s], reply[s + 1], reply[s + 2], reply[s + 3] = left, at - now, units, us
    if m == copies and (least == nil or left + units < least) then least, index = left + units, i - 1 end
  end
  if longest == math.huge then longest = -1 end
  reply[r + 1], reply[r + 2], reply[r + 3] = m, index, longest
  key, a, r = key + n, a + 5 * n, r + 3 + 4 * n
end
return reply
"""

GCRA_SCRIPT = Script("limits-charge", _GCRA)


# KEYS: the set of nodes. ARGV: id, ms of silence after which a node is gone, '1' to stay or '0' to leave.
_BEAT = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return redis.call('ZCARD', KEYS[1])
"""

BEAT_SCRIPT = Script("limits-beat", _BEAT)


class Numbers:
    """A limit in the script's numbers: whole microseconds for GCRA, units for the other two.

    Up to 1,000 units a second a unit is a whole number of microseconds, rounded up (at most 0.1 % slower);
    above that each charge is rounded up by itself. Never down: the limit holds.
    """

    __slots__ = ("capacity", "form", "interval_us", "unit", "whole", "window_us")

    def __init__(self, limit: Limit) -> None:
        self.window_us = math.ceil(limit.window_s * 1_000_000)
        self.capacity = self.whole = limit.capacity
        self.form = FORMS[limit.algorithm]
        exact = self.window_us / limit.quota
        self.unit: float = math.ceil(round(exact, 3)) if exact >= _FINE_US else exact
        self.interval_us = max(1, math.ceil(self.unit))
        if self.form == "g":
            self.whole = int(self.capacity * self.unit)

    def paid(self, cost: int) -> int:
        """What `cost` units come to; below zero for a refund, which is rounded toward nothing."""
        return math.ceil(cost * self.unit) if self.form == "g" else cost

    def gcra_fields(self, cost: int, owed: int, want: int) -> tuple[Part, ...]:
        """The arguments of one charge to `GCRA_SCRIPT`; `owed` as `paid` gives it."""
        return (self.whole, self.paid(cost), self.unit, owed, want)

    def fields(self, cost: int, owed: int, want: int) -> tuple[Part, ...]:
        """The arguments of one charge to `MIXED_SCRIPT`; `owed` as `paid` gives it."""
        return (self.form, self.window_us, self.whole, self.paid(cost), cost, self.unit, owed, want)
