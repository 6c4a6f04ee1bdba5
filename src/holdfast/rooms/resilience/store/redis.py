"""Shared breaker states in Redis or Valkey: one hash a dependency, one script for every move.

Times are the server's own, so nodes need no common clock. A state nobody has touched for a week is gone.
"""

import asyncio
from collections.abc import Sequence

from holdfast.ports.shared import Script, Shared
from holdfast.rooms.resilience.rules.standing import LOOK, Move, Standing

CHANNEL = "holdfast:resilience"
"""Says the name of a dependency whose state has changed."""

MOVE = Script(
    "resilience move",
    """
-- What is no number (a poisoned value) counts as nothing.
local function number(value) return tonumber(value or 0) or 0 end
local kind, known, token = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local open_ms, opens, lease_ms, early = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local row = redis.call('HMGET', KEYS[1],
  'generation', 'open_ms', 'until', 'opens', 'lease', 'lease_ms', 'lease_until')
local generation = number(row[1])
local was_open_ms, until_ms = number(row[2]), number(row[3])
local was_opens, lease = number(row[4]), row[5] or ''
local was_lease_ms, lease_until = number(row[6]), number(row[7])
local is_open = was_open_ms > 0
-- A server whose clock stepped back must not hold anything for longer than was asked.
until_ms = math.min(until_ms, now + was_open_ms)
lease_until = math.min(lease_until, now + was_lease_ms)
if lease_until <= now then lease = '' end

local granted, changed = 0, false
if kind == 'open' and not is_open and known == generation then
  granted, changed, is_open = 1, true, true
elseif kind == 'lease' and is_open and lease == '' and (early == '1' or now >= until_ms) then
  granted, lease, was_lease_ms, lease_until = 1, token, lease_ms, now + lease_ms
elseif kind == 'fail' and is_open and lease == token then
  granted, changed = 1, true
elseif kind == 'close' and is_open and lease == token then
  granted, changed, is_open = 1, true, false
elseif kind == 'free' and lease == token then
  granted, lease = 1, ''
elseif kind == 'reset' and (known < 0 or known == generation) then
  granted, changed, is_open = 1, is_open, false
end

if changed then
  generation, lease = generation + 1, ''
  if is_open then
    was_open_ms, until_ms, was_opens = open_ms, now + open_ms, opens
  else
    was_open_ms, until_ms, was_opens = 0, 0, 0
  end
end
if granted == 1 then
  if lease == '' then was_lease_ms, lease_until = 0, 0 end
  redis.call('HSET', KEYS[1], 'generation', generation, 'open_ms', was_open_ms, 'until', until_ms,
    'opens', was_opens, 'lease', lease, 'lease_ms', was_lease_ms, 'lease_until', lease_until)
  redis.call('PEXPIRE', KEYS[1], 604800000)
  if changed then redis.call('PUBLISH', ARGV[8], ARGV[9]) end
end
return {granted, generation, is_open and 1 or 0, math.max(0, until_ms - now), was_opens,
  lease == '' and 0 or math.max(0, lease_until - now)}
""",
)


class RedisStates:
    """The States of engine/sharing.py over the shared store."""

    pushes = True
    """Whether changes of others are told on a channel."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def look(self, names: Sequence[str]) -> dict[str, Standing]:
        """The standing of each; unknown names are closed at generation 0."""
        found = await asyncio.gather(*(self.move(name, Move(LOOK)) for name in names))
        return dict(zip(names, found, strict=True))

    async def move(self, name: str, move: Move) -> Standing:
        """Try the move; what stands afterwards. Raises SharedDown, SharedRefused."""
        reply = await self._shared.script(
            MOVE,
            [f"holdfast:resilience:{{{name}}}"],
            [
                move.kind,
                move.generation,
                move.token,
                _ms(move.open_s),
                move.opens,
                _ms(move.lease_s),
                int(move.early),
                CHANNEL,
                name,
            ],
        )
        granted, generation, is_open, left_ms, opens, leased_ms = (int(part) for part in reply)
        return Standing(generation, bool(is_open), left_ms / 1000, opens, leased_ms / 1000, bool(granted))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
