"""The cache across nodes: one load for all, invalidation heard everywhere, and what a hit in L2 costs.

Starts a server of its own. Peers: cashews with `lock=True`, aiocache with its RedLock; both run the very same
scenario. Times are of this run on this machine; only ratios mean anything elsewhere.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.shared_servers import ValkeyServer

from benchmarks.apps.cache_node import holdfast_node
from benchmarks.harness import Row, at_least, at_most, main, median, percentile, shown
from holdfast.rooms.cache.rules.settings import Config

LIBRARIES = ("holdfast", "cashews", "aiocache")
PROCESSES = 4
VALUE = {"farm": 7, "items": [{"id": i, "score": 0.5 + i / 100, "name": f"농장 {i}"} for i in range(16)]}


class Child:
    """One process of `apps/cache_node.py`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, library: str, url: str, name: str, callers: int) -> "Child":
        command = (sys.executable, "-m", "benchmarks.apps.cache_node", library, url, name, str(callers))
        pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nowhere))

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def hear(self) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        if not line:
            raise RuntimeError("a process of the benchmark has ended without a word")
        return line

    async def figures(self) -> dict[str, Any]:
        self.tell("end")
        while not (line := await self.hear()).startswith("{"):
            pass
        found: dict[str, Any] = json.loads(line)
        return found

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


@asynccontextmanager
async def children(library: str, url: str, callers: int):
    found = await asyncio.gather(*(Child.start(library, url, f"node{i}", callers) for i in range(PROCESSES)))
    try:
        for child in found:
            await child.hear()
        yield found
    finally:
        for child in found:
            child.kill()


async def first_loading(found: list[Child]) -> None:
    """Return when any of them calls the factory."""
    hearing = [asyncio.create_task(child.hear()) for child in found]
    _, rest = await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def crowd(library: str, callers: int, server: ValkeyServer, *, bad_day: bool) -> dict[str, int]:
    """Everyone asks at once; on a bad day half leave and the server is killed and started in the middle."""
    server.ask("FLUSHALL")
    async with children(library, server.url, callers) as found:
        for child in found:
            child.tell("go")
        if bad_day:
            await first_loading(found)
            for child in found:
                child.tell("leave")
            await asyncio.sleep(0.2)
            server.kill()
            await asyncio.sleep(0.4)
            server.start()
        told = await asyncio.gather(*(child.figures() for child in found))
    total = {name: sum(each[name] for each in told) for name in told[0]}
    return {**total, "most": max(each["calls"] for each in told)}


async def crowds(server: ValkeyServer) -> list[Row]:
    calm = {name: await crowd(name, 250, server, bad_day=False) for name in LIBRARIES}
    storm = {name: await crowd(name, 100, server, bad_day=True) for name in LIBRARIES}

    def told(each: dict[str, int]) -> str:
        return f"{each['answered']} of {each['asked']}, {each['foreign']} foreign, {each['calls']} calls"

    peers = {name: told(storm[name]) for name in LIBRARIES[1:]}
    ours, bad = calm["holdfast"], storm["holdfast"]
    return [
        at_most(
            "1,000 concurrent misses of one key on 4 processes: factory calls",
            *(ours["calls"] if ours["answered"] == 1000 else float("inf"),) * 2,
            *(1, 1),
            **{name: calm[name]["calls"] for name in LIBRARIES[1:]},
        ),
        at_least(
            "4 processes x 100, half cancelled, Redis killed: survivors answered",
            *(told(bad), bad["answered"] / bad["asked"], 1.0, 1.0),
            **peers,
        ),
        at_most("the same: factory calls of one process", bad["most"], bad["most"], 1, 1),
        at_most("the same: cancellations of who was not cancelled", bad["foreign"], bad["foreign"], 0, 0),
    ]


async def staleness(server: ValkeyServer, rounds: int) -> Row:
    """From the call of `invalidate` here to the first read there that finds memory empty."""
    waits_ms: list[float] = []
    child = await Child.start("watch", server.url, "watch", 0)
    try:
        await child.hear()
        async with holdfast_node(server.url, "sayer") as (engine, _):
            for i in range(rounds):
                key = f"stale:{i}"
                await engine.set(key, VALUE, tags=(f"tag:{i}",))
                child.tell(key)
                await child.hear()
                began = time.perf_counter()
                await engine.invalidate(**({"tags": [f"tag:{i}"]} if i % 2 else {"keys": [key]}))
                waits_ms.append((float(await child.hear()) - began) * 1e3)
        child.tell("end")
    finally:
        child.kill()
    p99 = percentile(waits_ms, 0.99)
    return at_most(
        "other node's stale L1 read after invalidation, p99 ms",
        *(f"{p99:.2f} (p50 {median(waits_ms):.2f})", p99, 50.0, 10.0),
    )


async def timed(ask: Callable[[str], Awaitable[Any]], keys: list[str]) -> list[float]:
    found = []
    for key in keys:
        began = time.perf_counter()
        await ask(key)
        found.append(time.perf_counter() - began)
    return found


async def all_at_once(ask: Callable[[str], Awaitable[Any]], keys: list[str], width: int) -> float:
    """Seconds a request, `width` at a time."""
    began = time.perf_counter()
    for start in range(0, len(keys), width):
        await asyncio.gather(*(ask(key) for key in keys[start : start + width]))
    return (time.perf_counter() - began) / len(keys)


async def hits(server: ValkeyServer, rounds: int) -> list[Row]:
    """Hits that memory does not have: it holds 16 entries of 2,000, asked for in turn."""
    import redis.asyncio as redis_py
    from cashews import Cache

    client = redis_py.Redis.from_url(server.url)
    cashews = Cache()
    cashews.setup(server.url)
    keys = [f"hit:{i}" for i in range(2_000)]

    @cashews(ttl="600s", lock=True, key="cashews:{key}")
    async def decorated(key: str) -> Any:
        return VALUE

    async def never() -> Any:
        raise RuntimeError("this is a hit")

    async with holdfast_node(server.url, "hits", Config(max_entries=16)) as (engine, tier):
        await engine.set_many(dict.fromkeys(keys, VALUE))
        body = json.dumps(VALUE, ensure_ascii=False).encode()
        for key in keys:
            await client.set(f"bare:{key}", body)
            await decorated(key)
        contenders: dict[str, Callable[[str], Awaitable[Any]]] = {
            "bare": lambda key: client.get(f"bare:{key}"),
            "ours": lambda key: engine.get(key),
            "loading": lambda key: engine.get_or_set(key, never),
            "tier": lambda key: tier.claim(key),
            "cashews": lambda key: cashews.get(f"cashews:{key}"),
            "decorated": decorated,
        }
        one: dict[str, list[float]] = {name: [] for name in contenders}
        many: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(rounds):
            some = [keys[(turn * 200 + i) % len(keys)] for i in range(200)]
            for name, ask in contenders.items():
                one[name] += await timed(ask, some)
                many[name].append(await all_at_once(ask, some, 50))
    await client.aclose()
    await cashews.close()
    p50 = {name: median(values) for name, values in one.items()}
    wide = {name: median(values) for name, values in many.items()}
    us = {name: f"{value * 1e6:.0f} us" for name, value in p50.items()}

    def over(values: dict[str, float], name: str) -> float:
        return values[name] / values["bare"]

    return [
        at_most(
            "L2 hit (get) against a bare redis-py GET, p50, one at a time",
            *(f"{us['ours']} / {us['bare']}", over(p50, "ours"), 1.3, 1.1),
            cashews=round(over(p50, "cashews"), 3),
        ),
        at_most(
            "L2 hit (get_or_set), the same",
            *(f"{us['loading']} / {us['bare']}", over(p50, "loading"), 1.3, 1.1),
            cashews=round(over(p50, "decorated"), 3),
        ),
        shown(
            "get, 50 at a time",
            *(f"{wide['ours'] * 1e6:.0f} us", over(wide, "ours")),
            cashews=round(over(wide, "cashews"), 3),
        ),
        shown(
            "get_or_set, 50 at a time",
            *(f"{wide['loading'] * 1e6:.0f} us", over(wide, "loading")),
            cashews=round(over(wide, "decorated"), 3),
        ),
        shown("the second tier alone (claim), one at a time", us["tier"], over(p50, "tier")),
    ]


async def run(quick: bool) -> list[Row]:
    server = ValkeyServer()
    try:
        server.start()
        rows = await crowds(server)
        rows.append(await staleness(server, 100 if quick else 500))
        rows += await hits(server, 5 if quick else 30)
    finally:
        server.stop()
    return rows


if __name__ == "__main__":
    main(run, "cache across nodes")
