"""Sessions in the shared store: their keys, scripts and what these answer.

    <namespace>:session1:{S}:s:<digest>   one session, a hash      {S}: the shard, first letter of its id
    <namespace>:session1:{S}:u:<user>     a user's sessions, by the time at which each is over at the latest
    <namespace>:session1:{S}:live         the sessions of the shard, by the time at which each ends unused

All that belongs to one user lies in one slot, so each change is one script. Times are the server's own.
"""

from collections.abc import Sequence
from typing import Any

from holdfast.ports.shared import Command, Script, Shared
from holdfast.rooms.cache.rules.sessions import SHARDS, Record, user_digest

SCHEMA = 1
_FIELDS = 7
_AT_ONCE = 500
"""Sessions ended by one script: longer scripts make everyone else wait."""

_GROUND = """
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local function whole(n) return string.format('%.0f', n) end
local function read(key)
  local f = redis.call('HMGET', key, 'u', 'k', 'd', 'v', 'b', 't', 'a')
  if not f[1] or not f[7] then return nil end
  return f
end
local function slide(key, live, digest, f)
  -- A use within the first fiftieth of its time writes nothing.
  local ttl, left = math.min(tonumber(f[6]), tonumber(f[7]) - now), redis.call('PTTL', key)
  if ttl <= 0 then
    redis.call('DEL', key)
    redis.call('ZREM', live, digest)
    return -1
  end
  if left > ttl or left < ttl * 0.98 then
    redis.call('PEXPIRE', key, whole(ttl))
    redis.call('ZADD', live, whole(now + ttl), digest)
    left = ttl
  end
  return left
end
"""


def _script(name: str, text: str) -> Script:
    return Script(f"session_{name}", _GROUND + text)


_CREATE = _script(
    "create",
    """
-- S live user; digest, user_id, kind, data, version, born or 0, ttl, longest, end or 0 -> {born, end, left}
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local born, over = tonumber(ARGV[6]), tonumber(ARGV[9])
if born == 0 then born = now end
if over == 0 then over = now + tonumber(ARGV[8]) end
local ttl = math.min(tonumber(ARGV[7]), over - now)
if ttl <= 0 then return false end
redis.call('HSET', KEYS[1], 'u', ARGV[2], 'k', ARGV[3], 'd', ARGV[4], 'v', ARGV[5], 'b', whole(born),
  't', ARGV[7], 'a', whole(over))
redis.call('PEXPIRE', KEYS[1], whole(ttl))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now))
redis.call('ZADD', KEYS[2], whole(now + ttl), ARGV[1])
if ARGV[2] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', whole(now))
  redis.call('ZADD', KEYS[3], whole(over), ARGV[1])
  if redis.call('PTTL', KEYS[3]) < over - now then redis.call('PEXPIRE', KEYS[3], whole(over - now)) end
end
return {whole(born), whole(over), whole(ttl)}
""",
)

_READ = _script(
    "read",
    """
-- S live; digest, slide -> fields and the time left
local f = read(KEYS[1])
if not f then return false end
local left = redis.call('PTTL', KEYS[1])
if ARGV[2] == '1' then left = slide(KEYS[1], KEYS[2], ARGV[1], f) end
if left < 0 then return false end
f[8] = whole(left)
return f
""",
)

_WRITE = _script(
    "write",
    """
-- S live; digest, data, version or '' -> fields as they are then | the version in the way | nothing
local f = read(KEYS[1])
if not f then return false end
if ARGV[3] ~= '' and ARGV[3] ~= f[4] then return tonumber(f[4]) end
local left = slide(KEYS[1], KEYS[2], ARGV[1], f)
if left < 0 then return false end
f[3], f[4] = ARGV[2], whole(tonumber(f[4]) + 1)
redis.call('HSET', KEYS[1], 'd', f[3], 'v', f[4])
f[8] = whole(left)
return f
""",
)

_TAKE = _script(
    "take",
    """
-- S live; digest -> fields of what was there
local f = read(KEYS[1])
local left = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if not f then return false end
f[8] = whole(math.max(left, 0))
return f
""",
)

_END = _script(
    "end",
    """
-- live user S...; born at the latest or '', digest... -> how many were alive
local latest, count = tonumber(ARGV[1]), 0
for i = 3, #KEYS do
  local digest, born = ARGV[i - 1], redis.call('HGET', KEYS[i], 'b')
  if not born or not latest or tonumber(born) <= latest then
    count = count + redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[1], digest)
    redis.call('ZREM', KEYS[2], digest)
  end
end
return count
""",
)


class SessionStore:
    """Each call raises SharedDown or SharedRefused; None says that there is no such session."""

    def __init__(self, shared: Shared, namespace: str) -> None:
        self._shared = shared
        self._root = f"{namespace}:session{SCHEMA}:"

    def _key(self, shard: str, digest: str) -> str:
        return f"{self._root}{{{shard}}}:s:{digest}"

    def _live(self, shard: str) -> str:
        return f"{self._root}{{{shard}}}:live"

    def _user(self, shard: str, user_id: str) -> str:
        return f"{self._root}{{{shard}}}:u:{user_digest(user_id)}"

    async def create(self, shard: str, digest: str, record: Record, longest_ms: int) -> Record | None:
        """Keep it; 0 as `born_ms` and `end_ms` are filled in. None: it is there already, or over."""
        keys = (self._key(shard, digest), self._live(shard), self._user(shard, record.user_id))
        said = await self._shared.script(
            _CREATE,
            keys,
            (
                *(digest, record.user_id.encode("utf-8", "surrogatepass"), record.kind, record.data),
                *(record.version, record.born_ms, record.ttl_ms, longest_ms, record.end_ms),
            ),
        )
        if not said:
            return None
        record.born_ms, record.end_ms, record.left_ms = map(int, said)
        return record

    async def read(self, shard: str, digest: str, *, slide: bool) -> Record | None:
        keys = (self._key(shard, digest), self._live(shard))
        return _record(await self._shared.script(_READ, keys, (digest, int(slide))))

    async def write(self, shard: str, digest: str, data: bytes, version: int | None) -> Record | int | None:
        """The record as it is then, or the version that stands in the way."""
        keys = (self._key(shard, digest), self._live(shard))
        said = await self._shared.script(_WRITE, keys, (digest, data, "" if version is None else version))
        return said if isinstance(said, int) else _record(said)

    async def take(self, shard: str, digest: str) -> Record | None:
        """End it; what was there."""
        keys = (self._key(shard, digest), self._live(shard))
        return _record(await self._shared.script(_TAKE, keys, (digest,)))

    async def of_user(self, shard: str, user_id: str) -> list[str]:
        """The digests of the user's sessions; some may have ended by themselves."""
        found = await self._shared.call("ZRANGE", self._user(shard, user_id), 0, -1)
        return [digest.decode() for digest in found]

    async def are_alive(self, shard: str, digests: Sequence[str]) -> int:
        found = await self._shared.many([("EXISTS", self._key(shard, digest)) for digest in digests])
        return sum(reply for reply in found if isinstance(reply, int))

    async def end(self, shard: str, user_id: str, digests: Sequence[str], born_ms: int | None = None) -> int:
        """End these sessions of the user, as far as they began at or before `born_ms`; how many."""
        ended = 0
        for start in range(0, len(digests), _AT_ONCE):
            part = digests[start : start + _AT_ONCE]
            keys = [self._live(shard), self._user(shard, user_id)]
            keys += [self._key(shard, digest) for digest in part]
            ended += int(await self._shared.script(_END, keys, ("" if born_ms is None else born_ms, *part)))
        return ended

    async def count(self) -> int:
        """Sessions that live now, on any node."""
        now_ms = self.now_ms()
        commands: list[Command] = [("ZCOUNT", self._live(shard), f"({now_ms}", "+inf") for shard in SHARDS]
        found = await self._shared.many(commands)
        return sum(reply for reply in found if isinstance(reply, int))

    def now_ms(self, lean: int = 0) -> int:
        """By the server's clock; `lean` 1: the latest that it can be."""
        return self._shared.clock_us(lean) // 1000


def _record(said: Any) -> Record | None:
    if not said:
        return None
    user, kind, data, version, born, ttl, end, left = said[: _FIELDS + 1]
    return Record(
        user.decode("utf-8", "surrogatepass"),
        kind.decode(),
        data,
        *(int(version), int(born), int(ttl), int(float(end)), int(left)),
    )
