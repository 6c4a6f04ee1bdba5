"""Limits on a shared store: what a decision costs, and whether the limit holds, on a real server.

python -m benchmarks.limits_shared [--quick] [--json FILE]
"""

import asyncio
import itertools
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from pyrate_limiter import Rate, RateItem, RedisBucket
from redis.asyncio import BlockingConnectionPool, Redis
from tests.shared_servers import ValkeyServer
from throttled.asyncio import RateLimiterType, RedisStore, Throttled
from throttled.asyncio.rate_limiter import per_min

from benchmarks.apps.limits_node import CONCURRENT, HOUR_S
from benchmarks.harness import Row, at_least, at_most, main, median, shown
from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.ports.shared import Script
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.shared import SharedLedger
from holdfast.rooms.limits.rules.charge import Charge, Limit
from holdfast.rooms.limits.rules.leasing import Sharing
from holdfast.rooms.limits.store.keys import limit_key
from holdfast.rooms.limits.store.scripts import GCRA_SCRIPT, Numbers
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config
from limits import RateLimitItemPerMinute

WORKERS = 64
KEYS = 1_024
HOT_KEYS = 64
QUOTA = 60_000
EXACT = Sharing(lease_share=0.0)

Decide = Callable[[int], Any]


def ledger_on(shared: Any, sharing: Sharing, clock: Any = None, seed: int = 1) -> SharedLedger:
    clock = clock or SystemClock()
    return SharedLedger(
        shared,
        clock=clock,
        local=LocalLedger(clock.monotonic),
        config=sharing,
        rng=random.Random(seed),
        node_id=str(seed),
    )


# -- what a decision costs ---------------------------------------------------------------------------


async def cost_us(decide: Decide, decisions: int) -> float:
    """Microseconds a decision: WORKERS at once, each over identities of its own, so that none coincide."""

    async def worker(number: int) -> None:
        for step in range(decisions // WORKERS):
            verdict = decide(number * (KEYS // WORKERS) + step % (KEYS // WORKERS))
            if isinstance(verdict, Awaitable):
                await verdict

    started = time.perf_counter()
    await asyncio.gather(*(worker(number) for number in range(WORKERS)))
    return (time.perf_counter() - started) / decisions * 1e6


async def deciders(url: str, shared: RedisShared) -> tuple[dict[str, Decide], SharedLedger]:
    limit = Limit("api_call", QUOTA, 60.0)
    charges = [(Charge(limit, f"user:{at}"),) for at in range(KEYS)]
    exact, leased = ledger_on(shared, EXACT), ledger_on(shared, Sharing(), seed=2)
    redis = Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=WORKERS, timeout=None))
    script, numbers = redis.register_script(GCRA_SCRIPT.text), Numbers(limit)
    keys = [limit_key(f"redis-py:{at}", limit) for at in range(KEYS)]
    by_limits = SlidingWindowCounterRateLimiter(
        RedisStorage(f"async+{url}", implementation="redispy", max_connections=4 * WORKERS)
    )
    item = RateLimitItemPerMinute(QUOTA)
    store = RedisStore(server=url, options={"MAX_CONNECTIONS": 4 * WORKERS})
    throttled = Throttled(using=RateLimiterType.GCRA.value, quota=per_min(QUOTA, burst=QUOTA), store=store)
    buckets = [await RedisBucket.init([Rate(QUOTA, 60_000)], redis, f"pyrate:{at}") for at in range(KEYS)]

    async def pyrate(at: int) -> Any:
        bucket = buckets[at]
        placed = bucket.put(RateItem("x", bucket.now()))
        return await placed if isinstance(placed, Awaitable) else placed

    return {
        "ours": lambda at: exact.charge(charges[at]),
        "leased": lambda at: leased.charge(charges[at % HOT_KEYS]),
        "redis-py": lambda at: script(keys=[keys[at]], args=[1, 4, 1, 1, *numbers.gcra_fields(1, 0, 0)]),
        "limits.aio": lambda at: by_limits.hit(item, f"user:{at}"),
        "throttled-py": lambda at: throttled.limit(f"user:{at}"),
        "pyrate-limiter": pyrate,
    }, leased


async def costs(url: str, quick: bool) -> list[Row]:
    shared = RedisShared(url, Config(budget_ms=2_000))
    await shared.start()
    ways, leased = await deciders(url, shared)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for decide in ways.values():
        await cost_us(decide, 20 * WORKERS)
    asked, trips = 0, leased.state()["round_trips"]
    for _ in range(3 if quick else 9):
        for name, decide in ways.items():
            count = (20 if quick else 60) * WORKERS * (4 if name in ("ours", "leased") else 1)
            asked += count if name == "leased" else 0
            spent[name].append(await cost_us(decide, count))
    per_decision = (leased.state()["round_trips"] - trips) / asked
    await shared.stop()
    ours, theirs = median(spent["ours"]), median(spent["redis-py"])
    peers = {name: round(median(each) / ours, 2) for name, each in spent.items() if name not in ("ours",)}
    peers = {f"{name} (x ours)": value for name, value in peers.items()}
    return [
        at_least(
            "decision on Redis at 64 concurrent: same script through redis-py, over ours",
            "1.0",
            theirs / ours,
            3.0,
            8.0,
            **peers,
        ),
        at_most("round trips a decision, leases on hot keys", round(per_decision, 4), per_decision, 0.2, 0.1),
        shown(
            "decision with leases on hot keys: redis-py's, over ours", "1.0", theirs / median(spent["leased"])
        ),
    ]


# -- whether the limit holds on four processes -------------------------------------------------------


class Fleet:
    """Processes of `benchmarks.apps.limits_node`."""

    def __init__(self, kind: str, url: str, quota: int, nodes: int) -> None:
        self._command = ["-m", "benchmarks.apps.limits_node", kind, url, str(quota)]
        self._nodes = nodes
        self._processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> "Fleet":
        pipe = asyncio.subprocess.PIPE
        self._processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, *self._command, f"node-{at}", stdin=pipe, stdout=pipe
            )
            for at in range(self._nodes)
        ]
        for process in self._processes:
            assert (await process.stdout.readline()).strip() == b"ready"  # type: ignore[union-attr] # a pipe
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            process.stdin.close()  # type: ignore[union-attr] # a pipe
            await process.wait()

    async def burst(self, identity: str, each: int) -> tuple[int, int]:
        """All processes at once, `each` charges: (admitted, failed) in total."""
        for process in self._processes:
            process.stdin.write(f"{identity} {each}\n".encode())  # type: ignore[union-attr] # a pipe
        admitted = failed = 0
        for process in self._processes:
            said = (await process.stdout.readline()).split()  # type: ignore[union-attr] # a pipe
            admitted, failed = admitted + int(said[0]), failed + int(said[1])
        return admitted, failed


async def held(kind: str, quota: int, nodes: int, bursts: int) -> tuple[int, int, float]:
    """(most admitted over the exact bound, least admitted, most admitted without a server over the limit)."""
    server = ValkeyServer()
    server.start()
    try:
        async with Fleet(kind, server.url, quota, nodes) as fleet:
            over, least = 0, quota
            if kind == "ours":
                await asyncio.to_thread(_until_known, server, nodes)
                await asyncio.sleep(0.5)  # a beat later each of them knows it too
            for at in range(bursts):
                started = time.perf_counter()
                admitted, _ = await fleet.burst(f"user:{at}", quota)
                bound = quota + int(quota * (time.perf_counter() - started) / HOUR_S)
                over, least = max(over, admitted - bound), min(least, admitted)
            server.kill()
            stopped = 0.0
            for at in range(bursts):
                admitted, failed = await fleet.burst(f"late:{at}", quota)
                stopped = max(stopped, (admitted + failed) / quota if kind != "ours" else admitted / quota)
            return over, least, stopped
    finally:
        server.stop()


def _until_known(server: ValkeyServer, nodes: int) -> None:
    while server.ask("ZCARD", "hfl:nodes") < nodes:
        time.sleep(0.02)


async def bursts(quick: bool) -> list[Row]:
    quota, times = 200, 3 if quick else 10
    found = {kind: await held(kind, quota, 4, times) for kind in ("ours", "limits", "get_set")}
    over, least, stopped = found["ours"]
    names = {"limits": "limits.aio", "get_set": "read-decide-write (litestar's way)"}
    return [
        at_most(
            f"4 processes x {CONCURRENT} concurrent, one limit of {quota}: admitted over the exact bound",
            over,
            over,
            0,
            0,
            **{name: found[kind][0] for kind, name in names.items()},
        ),
        shown("the same: least admitted, over the limit", least, least / quota),
        at_most(
            "the same with Redis stopped: admitted, over the limit (peers: or failed)",
            round(stopped, 3),
            stopped,
            1.0,
            1.0,
            **{name: round(found[kind][2], 2) for kind, name in names.items()},
        ),
    ]


# -- whether it decides what one place would ---------------------------------------------------------


class Timed:
    """The real store, told what time it is, so that an hour of arrivals takes a minute."""

    is_up = True

    def __init__(self, shared: RedisShared) -> None:
        self._shared = shared
        self._known: dict[str, Script] = {}
        self.now_us = 0

    def script(self, script: Script, keys: Sequence[Any], arguments: Sequence[Any] = ()) -> Awaitable[Any]:
        timed = self._known.get(script.name)
        if timed is None:
            text = script.text.replace("redis.call('TIME')", "{0, tonumber(ARGV[#ARGV])}")
            # Ends are real time, which may pass faster than the time it is told.
            timed = self._known[script.name] = Script(script.name, text.replace("/ 1000)", "* 1000)"))
        return self._shared.script(timed, keys, [*arguments, self.now_us])

    def state(self) -> dict[str, Any]:
        return self._shared.state()  # type: ignore[return-value] # a mapping


async def differing(url: str, sharing: Sharing, arrivals: int, nodes: int) -> tuple[float, float, float]:
    """Shares of `arrivals` that are decided unlike by one exact place, round trips, admitted."""
    shared = RedisShared(url, Config(budget_ms=5_000))
    await shared.start()
    await shared.call("FLUSHDB")
    clock, rng, limit = ManualClock(monotonic_s=1_000.0), random.Random(11), Limit("api_call", 600, 60.0, 100)
    timed, exact = Timed(shared), LocalLedger(clock.monotonic)
    fleet = [ledger_on(timed, sharing, clock, seed) for seed in range(nodes)]
    for ledger in fleet:
        ledger.nodes.known = nodes
    # 300 arrivals a second over 40 identities by Zipf: six of them over the limit, up to seven times.
    people = [(Charge(limit, f"user:{at}"),) for at in range(40)]
    weights = list(itertools.accumulate(1 / (at + 1) for at in range(40)))
    other = admitted = 0
    for _ in range(arrivals):
        clock.advance(rng.expovariate(300.0))
        timed.now_us = int(clock.monotonic() * 1e6)
        charges = rng.choices(people, cum_weights=weights)[0]
        verdict = rng.choice(fleet).charge(charges)
        got = verdict if hasattr(verdict, "allowed") else await verdict
        expected = exact.charge(charges)
        other += got.allowed is not expected.allowed
        admitted += expected.allowed
    trips = sum(ledger.state()["round_trips"] for ledger in fleet)
    await shared.stop()
    return other / arrivals, trips / arrivals, admitted / arrivals


async def accuracy(url: str, quick: bool) -> list[Row]:
    arrivals = 40_000 if quick else 1_000_000
    exact, exact_trips, admitted = await differing(url, EXACT, arrivals, 4)
    leased, leased_trips, _ = await differing(url, Sharing(), arrivals, 4)
    return [
        at_most(f"decisions unlike an exact reference's, of {arrivals:,}: exact", exact, exact, 0.0, 0.0),
        at_most("the same, leased, 4 nodes", round(leased, 5), leased, 0.01, 0.001),
        shown("the same: round trips a decision, exact and leased", f"{exact_trips:.3f} {leased_trips:.3f}"),
        shown("the same: share of the arrivals that is admitted", round(admitted, 3)),
    ]


async def run(quick: bool) -> list[Row]:
    server = ValkeyServer()
    server.start()
    try:
        return [*await costs(server.url, quick), *await bursts(quick), *await accuracy(server.url, quick)]
    finally:
        server.stop()


if __name__ == "__main__":
    main(run, "limits on a shared store")
