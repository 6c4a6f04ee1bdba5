"""The shared store's driver against redis-py with hiredis: one call at a time, and 64 at once.

Ours and redis-py take turns on one server of our own in the same process; ratios only.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio as redis_py
from tests.shared_servers import ValkeyServer

from benchmarks.harness import Row, at_least, at_most, main, median, percentile, shown
from holdfast.ports.shared import Script
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config

CONCURRENT = 64
GCRA = Script(
    "gcra",
    """
local now, gap, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
if full_at < now then full_at = now end
local next_at = full_at + gap
if next_at - now > room then return {0, next_at - now - room} end
redis.call('SET', KEYS[1], next_at, 'PX', math.ceil((next_at - now) / 1000) + 1)
return {1, room - (next_at - now)}
""",
)
"""The generic cell rate algorithm over one key; times in microseconds."""

Call = Callable[[int], Awaitable[Any]]


async def one_by_one(call: Call, calls: int) -> list[float]:
    """Seconds of each call."""
    took = []
    for i in range(calls):
        start = time.perf_counter()
        await call(i)
        took.append(time.perf_counter() - start)
    return took


async def at_once(call: Call, calls: int) -> tuple[float, float]:
    """Wall and CPU seconds per call, `CONCURRENT` callers at a time."""

    async def caller(number: int) -> None:
        for i in range(number, calls, CONCURRENT):
            await call(i)

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(number) for number in range(CONCURRENT)))
    return (time.perf_counter() - start) / calls, (time.process_time() - cpu) / calls


async def in_turns(
    measure: Callable[[Call, int], Awaitable[Any]], ways: Sequence[Call], calls: int, rounds: int
) -> list[list[Any]]:
    """`rounds` results of each way, taken in turns; the first round only warms up."""
    found: list[list[Any]] = [[] for _ in ways]
    for turn in range(rounds + 1):
        for i, way in enumerate(ways):
            result = await measure(way, calls)
            if turn:
                found[i].append(result)
    return found


def ways_of(ours: RedisShared, theirs: Any) -> dict[str, tuple[Call, Call]]:
    script = theirs.register_script(GCRA.text)
    now = time.time_ns() // 1000
    arguments = (now, 1_000_000, 60_000_000)

    async def get(i: int) -> Any:
        return await theirs.get(f"key{i % 100}")

    async def decide(i: int) -> Any:
        return await script(keys=[f"{{user:{i % 1000}}}api"], args=arguments)

    def our_get(i: int) -> Awaitable[Any]:
        return ours.call("GET", f"key{i % 100}")

    def our_decide(i: int) -> Awaitable[Any]:
        return ours.script(GCRA, [f"{{user:{i % 1000}}}api"], arguments)

    return {"GET": (our_get, get), "GCRA by Lua": (our_decide, decide)}


async def measured(url: str, quick: bool) -> list[Row]:
    calls, rounds = (4_000, 3) if quick else (20_000, 7)
    ours = RedisShared(url, Config(budget_ms=5_000.0))
    await ours.start()
    theirs = redis_py.Redis.from_url(url)
    await ours.many([("SET", f"key{i}", "x" * 100) for i in range(100)])
    rows: list[Row] = []
    try:
        for name, ways in ways_of(ours, theirs).items():
            mine, peer = await in_turns(one_by_one, ways, calls // 4, rounds)
            p50 = [median([percentile(took, 0.5) for took in each]) * 1e6 for each in (mine, peer)]
            figure = f"{name}, one by one, p50 us against redis-py"
            rows.append(at_most(figure, p50[0], p50[0] / p50[1], 1.0, 0.7, redis_py=p50[1]))
            mine, peer = await in_turns(at_once, ways, calls, rounds)
            wall = [median([took[0] for took in each]) * 1e6 for each in (mine, peer)]
            cpu = [median([took[1] for took in each]) * 1e6 for each in (mine, peer)]
            figure = f"{name}, {CONCURRENT} at once, times cheaper than redis-py (us each)"
            rows.append(at_least(figure, wall[0], wall[1] / wall[0], 3.0, 8.0, redis_py=wall[1]))
            figure = f"{name}, {CONCURRENT} at once, our CPU us each"
            rows.append(shown(figure, cpu[0], cpu[1] / cpu[0], redis_py=cpu[1]))
    finally:
        await theirs.aclose()
        await ours.stop()
    return rows


def run(quick: bool) -> Sequence[Row]:
    server = ValkeyServer()
    try:
        server.start()
        return asyncio.run(measured(server.url, quick))
    finally:
        server.stop()


if __name__ == "__main__":
    main(run, "The shared store: our driver and redis-py")
