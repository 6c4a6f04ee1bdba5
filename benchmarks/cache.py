"""The cache in one process: what a hit costs, whom a stampede hurts, how much of the optimum it hits.

`python -m benchmarks.cache [--quick] [--json FILE]`. Peers: cachebox, theine, aiocache, cashews, in the same
run, rounds interleaved. A hit is compared with `Baseline`: a few lines that do a dict, a time to live and a
detached, shielded single flight, and nothing else: no metrics, tags, bounds, kinds or encoding.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import cachebox
import theine
from aiocache import Cache as AioCache
from aiocache import cached_stampede
from cashews import Cache as Cashews

from benchmarks import cache_traces as traces
from benchmarks.harness import Row, at_least, at_most, main, median, shown
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.eviction import MAX_HITS, SiftedFifo
from holdfast.rooms.cache.rules.settings import Config
from holdfast.rooms.telemetry.engine.registry import Registry

KEYS = [f"farm:{number}" for number in range(1_000)]
CAPACITY = 1_000
Ask = Callable[[str], Awaitable[Any]]


class Baseline:
    """The least that a correct async `get_or_set` can do."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Any, float]] = {}
        self._loads: dict[str, asyncio.Task[Any]] = {}

    async def get_or_set(self, key: str, factory: Callable[[], Awaitable[Any]], ttl_s: float) -> Any:
        held = self._values.get(key)
        if held is not None and time.monotonic() < held[1]:
            return held[0]
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = asyncio.create_task(self._load(key, factory, ttl_s))
        return await asyncio.shield(load)

    async def _load(self, key: str, factory: Callable[[], Awaitable[Any]], ttl_s: float) -> Any:
        try:
            value = await factory()
            self._values[key] = (value, time.monotonic() + ttl_s)
            return value
        finally:
            del self._loads[key]


def make_engine() -> CacheEngine:
    return CacheEngine(Config(), clock=SystemClock(), meter=Registry(SystemClock()), rng=Random(1))


async def load() -> Any:
    return {"name": "농장", "area": 12.5}


def hits() -> dict[str, Ask]:
    """One call a library; all are asked for the same thousand keys."""
    baseline, engine = Baseline(), make_engine()
    cashews = Cashews()
    cashews.setup("mem://?size=10000")

    @cachebox.cached(cachebox.LRUCache(10_000))
    async def by_cachebox(key: str) -> Any:
        return await load()

    @theine.Memoize(10_000, None)
    async def by_theine(key: str) -> Any:
        return await load()

    @by_theine.key
    def _(key: str) -> str:
        return key

    @cached_stampede(cache=AioCache.MEMORY, ttl=600, key_builder=lambda f, key: key)
    async def by_aiocache(key: str) -> Any:
        return await load()

    @cashews(ttl=600, key="{key}", lock=True)
    async def by_cashews(key: str) -> Any:
        return await load()

    def ours(key: str) -> Awaitable[Any]:
        return engine.get_or_set(key, load, kind="farm_list", tags=("farm", "list"))

    def least(key: str) -> Awaitable[Any]:
        return baseline.get_or_set(key, load, 600)

    return {
        "baseline": least,
        "ours": ours,
        "cachebox": by_cachebox,
        "theine": by_theine,
        "aiocache": by_aiocache,
        "cashews": by_cashews,
    }


async def timed(ask: Ask, rounds: int) -> float:
    """Seconds of this thread's processor a call, hits only: what other processes take does not count."""
    started = time.thread_time()
    for _ in range(rounds):
        for key in KEYS:
            await ask(key)
    return (time.thread_time() - started) / rounds / len(KEYS)


async def hit_rows(quick: bool) -> list[Row]:
    asks = hits()
    for ask in asks.values():
        for key in KEYS:
            await ask(key)
    taken: dict[str, list[float]] = {name: [] for name in (*asks, "ours in a request")}
    gc.disable()
    for _ in range(15 if quick else 41):
        for name, ask in asks.items():
            taken[name].append(await timed(ask, 1 if name in ("aiocache", "cashews") else 5))
        token = enter(detached(Event()))
        taken["ours in a request"].append(await timed(asks["ours"], 5))
        leave(token)
    gc.enable()
    # Each round is a pair of neighbours: a slow spell of the machine counts for both.
    over = {
        name: median([one / least for one, least in zip(seconds, taken["baseline"], strict=True)])
        for name, seconds in taken.items()
    }
    ours, in_request = over.pop("ours"), over.pop("ours in a request")
    del over["baseline"]
    peers = {name: f"{value:.1f}x" for name, value in over.items()}
    return [
        at_most(
            "await get_or_set hit, metrics and tags on / baseline", f"{ours:.2f}x", ours, 2.0, 1.5, **peers
        ),
        shown("the same inside a request, noted on its record / baseline", f"{in_request:.2f}x", in_request),
    ]


async def stampede(make: Callable[[Callable[[], Awaitable[Any]]], Ask]) -> tuple[int, int]:
    """100 on one cold key, the first cancelled at half of the load: answered of 99, calls of the factory."""
    calls = 0
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        nonlocal calls
        calls += 1
        begun.set()
        await gate.wait()
        return 1

    ask = make(slow)
    waiters = [asyncio.ensure_future(ask("cold")) for _ in range(100)]
    await begun.wait()
    await asyncio.sleep(0.01)
    waiters[0].cancel()
    await asyncio.sleep(0.01)
    gate.set()
    found = await asyncio.gather(*waiters, return_exceptions=True)
    return sum(value == 1 for value in found[1:]), calls


def stampedes() -> dict[str, Callable[[Callable[[], Awaitable[Any]]], Ask]]:
    def ours(slow: Callable[[], Awaitable[Any]]) -> Ask:
        engine = make_engine()
        return lambda key: engine.get_or_set(key, slow, tags=("farm",))

    def least(slow: Callable[[], Awaitable[Any]]) -> Ask:
        baseline = Baseline()
        return lambda key: baseline.get_or_set(key, slow, 600)

    def by_cachebox(slow: Callable[[], Awaitable[Any]]) -> Ask:
        @cachebox.cached(cachebox.LRUCache(100))
        async def ask(key: str) -> Any:
            return await slow()

        return ask

    def by_theine(slow: Callable[[], Awaitable[Any]]) -> Ask:
        @theine.Memoize(100, None)
        async def ask(key: str) -> Any:
            return await slow()

        @ask.key
        def _(key: str) -> str:
            return key

        return ask

    def by_aiocache(slow: Callable[[], Awaitable[Any]]) -> Ask:
        @cached_stampede(cache=AioCache.MEMORY, ttl=600, key_builder=lambda f, key: "cold:" + key)
        async def ask(key: str) -> Any:
            return await slow()

        return ask

    def by_cashews(slow: Callable[[], Awaitable[Any]]) -> Ask:
        cashews = Cashews()
        cashews.setup("mem://")

        @cashews(ttl=600, key="cold:{key}", lock=True)
        async def ask(key: str) -> Any:
            return await slow()

        return ask

    return {
        "ours": ours,
        "baseline": least,
        "cachebox": by_cachebox,
        "theine": by_theine,
        "aiocache": by_aiocache,
        "cashews": by_cashews,
    }


async def stampede_rows() -> list[Row]:
    found = {name: await stampede(make) for name, make in stampedes().items()}
    answered, calls = found.pop("ours")
    return [
        at_least(
            "100 waiters on one cold key, the first cancelled: answered of 99",
            answered,
            answered,
            99,
            99,
            **{name: each[0] for name, each in found.items()},
        ),
        at_most(
            "the same: calls of the factory",
            calls,
            calls,
            1,
            1,
            **{name: each[1] for name, each in found.items()},
        ),
    ]


def sifted(trace: traces.Trace, capacity: int) -> float:
    """Our policy as the memory drives it."""
    policy = SiftedFifo(1 << 60, capacity)
    held: dict[int, Entry] = {}
    found = 0
    for key in trace:
        entry = held.get(key)
        if entry is not None:
            found += 1
            if entry.hits < MAX_HITS:
                entry.hits += 1
            continue
        held[key] = entry = Entry(str(key), key, "default", 0, 0.0, 0.0, size_bytes=1)
        policy.add(entry)
        while len(policy) > capacity:
            del held[policy.evict().value]
    return found / len(trace)


def by_theine(trace: traces.Trace, capacity: int) -> float:
    cache = theine.Cache(capacity)
    return traces.through(lambda key: cache.get(str(key))[0], lambda key: cache.set(str(key), 1), trace)


def by_cachebox(trace: traces.Trace, capacity: int) -> float:
    cache: Any = cachebox.LFUCache(capacity)
    return traces.through(cache.get, lambda key: cache.insert(key, 1), trace)


def rate_rows(quick: bool) -> list[Row]:
    requests = 300_000 if quick else 1_000_000
    trace = traces.scans(1, requests)
    best, worst, ours = traces.belady(trace, CAPACITY), traces.lru(trace, CAPACITY), sifted(trace, CAPACITY)
    peers = {
        "S3-FIFO": traces.s3_fifo(trace, CAPACITY),
        "theine": by_theine(trace, CAPACITY),
        "cachebox LFU": by_cachebox(trace, CAPACITY),
    }
    share = {"LRU": worst / best, **{name: rate / best for name, rate in peers.items()}}
    rows = [
        at_least(
            "hit rate, Zipf 0.9 with 20 % scans, 1 % capacity / LRU's",
            ours,
            ours / worst,
            1.15,
            None,
            **peers,
        ),
        at_least("the same / Belady's optimum", ours, ours / best, 0.85, 0.9, **share),
    ]
    for name, make in (("sweeps", traces.sweeps), ("shifts", traces.shifts), ("loops", traces.loops)):
        trace = make(2, requests)
        best = traces.belady(trace, CAPACITY)
        rows.append(
            shown(
                f"{name} / Belady's optimum",
                sifted(trace, CAPACITY),
                sifted(trace, CAPACITY) / best,
                **{
                    "LRU": traces.lru(trace, CAPACITY) / best,
                    "S3-FIFO": traces.s3_fifo(trace, CAPACITY) / best,
                },
                theine=by_theine(trace, CAPACITY) / best,
                **{"cachebox LFU": by_cachebox(trace, CAPACITY) / best},
            )
        )
    return rows


async def run(quick: bool) -> list[Row]:
    return [*await hit_rows(quick), *await stampede_rows(), *rate_rows(quick)]


if __name__ == "__main__":
    main(run, "The cache in one process")
