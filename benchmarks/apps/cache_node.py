"""One process of `benchmarks/cache_nodes.py`: callers of one cold key through a library, or a listener.

Lines in: `go` starts the callers, `leave` cancels a random half, `end` waits for the rest and reports.
Lines out: `ready`, `loading` for each call of the factory, one line of JSON. A `watch` process answers each
key it is given with `has`, and then with the moment at which its memory no longer serves it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from holdfast.kernel.clock import SystemClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.shared import SharedTier
from holdfast.rooms.cache.rules.entry import HybridClock
from holdfast.rooms.cache.rules.settings import Config
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config as SharedConfig

LOAD_S = 1.0
PATIENCE_S = 15.0
Ask = Callable[[Callable[[], Awaitable[str]]], Awaitable[str]]


@asynccontextmanager
async def holdfast_node(url: str, name: str, config: Config | None = None):
    """An engine with its second tier, joined, and the tier itself."""
    clock, order = SystemClock(), HybridClock()
    shared = RedisShared(url, SharedConfig(budget_ms=500.0), clock)
    engine = CacheEngine(
        *(config or Config(),),
        clock=clock,
        meter=NoMeter(),
        rng=Random(name),
        order=order,
        now_us=shared.clock_us,
    )
    tier = SharedTier(shared, hears=engine, clock=clock, rng=Random(name), node_id=name, stamps=order)
    engine.connect(tier)
    await shared.start()
    await tier.start()
    while engine.keeper.is_cut_off:
        await asyncio.sleep(0.001)
    try:
        yield engine, tier
    finally:
        await engine.stop()
        await tier.stop()
        await shared.stop()


@asynccontextmanager
async def asking(library: str, url: str, name: str):
    """How one caller asks for the one cold key."""
    if library == "holdfast":
        async with holdfast_node(url, name) as (engine, _):
            yield lambda load: engine.get_or_set("cold", load)
    elif library == "cashews":
        from cashews import Cache

        cache = Cache()
        cache.setup(url)

        async def ask(load: Callable[[], Awaitable[str]]) -> str:
            return await locked(load)

        @cache(ttl="60s", lock=True, key="cold")
        async def locked(load: Callable[[], Awaitable[str]]) -> str:
            return await load()

        yield ask
        await cache.close()
    else:
        from aiocache import Cache as Aiocache
        from aiocache.lock import RedLock
        from aiocache.serializers import JsonSerializer

        port = int(url.rsplit(":", 1)[1].split("/")[0])
        store = Aiocache(Aiocache.REDIS, endpoint="127.0.0.1", port=port, serializer=JsonSerializer())

        async def ask_locked(load: Callable[[], Awaitable[str]]) -> str:
            if (found := await store.get("cold")) is not None:
                return str(found)
            async with RedLock(store, "cold", lease=30):
                if (found := await store.get("cold")) is None:
                    found = await load()
                    await store.set("cold", found, ttl=60)
                return str(found)

        yield ask_locked


async def lines():
    """What the parent says."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().rstrip("\n"):
        yield line


def tell(what: str) -> None:
    print(what, flush=True)


async def crowd(ask: Ask, name: str, callers: int) -> dict[str, Any]:
    """Callers of the cold key, told by the parent."""
    calls, rng = 0, Random(name)

    async def load() -> str:
        nonlocal calls
        calls += 1
        tell("loading")
        await asyncio.sleep(LOAD_S)
        return "v"

    tasks: list[asyncio.Task[str]] = []
    gone: set[asyncio.Task[str]] = set()
    tell("ready")
    async for line in lines():
        if line == "go":
            tasks = [asyncio.create_task(ask(load)) for _ in range(callers)]
        elif line == "leave":
            gone = set(rng.sample(tasks, callers // 2))
            for task in gone:
                task.cancel()
        else:
            break
    await asyncio.wait(tasks, timeout=PATIENCE_S)
    rest = [task for task in tasks if task not in gone]
    foreign = sum(task.cancelled() for task in rest)
    ended = [task for task in rest if task.done() and not task.cancelled()]
    return {
        "calls": calls,
        "asked": len(rest),
        "answered": sum(task.exception() is None for task in ended),
        "foreign": foreign,
    }


async def watch(url: str) -> None:
    """For each key: have it in memory, say so, and say when memory does not serve it any more."""
    async with holdfast_node(url, "watcher") as (engine, _):
        tell("ready")
        async for key in lines():
            if key == "end":
                break
            if await engine.get(key) is None:
                raise RuntimeError(f"{key} is not there")
            tell("has")
            while engine.fresh(key) is not None:
                await asyncio.sleep(0)
            tell(repr(time.perf_counter()))


async def main(library: str, url: str, name: str, callers: int) -> None:
    if library == "watch":
        await watch(url)
        return
    async with asking(library, url, name) as ask:
        tell(json.dumps(await crowd(ask, name, callers)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
