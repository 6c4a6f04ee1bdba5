"""One node in a process of its own: asked over stdin, it charges one limit in a burst and says what passed.

    python -m benchmarks.apps.limits_node KIND URL QUOTA NODE

Says `ready`; each line `IDENTITY COUNT` on stdin is answered with `ADMITTED FAILED`. KIND is `ours`,
`limits` (limits.aio, sliding-window counter) or `get_set` (read, decide, write back: what litestar's limiter
does). FAILED counts exceptions, which a service answers with 500 or lets through.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from holdfast.kernel.clock import SystemClock
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.shared import SharedLedger
from holdfast.rooms.limits.rules.charge import Charge, Limit
from holdfast.rooms.limits.rules.leasing import Sharing
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config

CONCURRENT = 32
BEAT_S = 0.2
HOUR_S = 3_600.0

Decide = Callable[[str], Awaitable[bool]]


async def ours(url: str, quota: int, node: str) -> Decide:
    # All nodes and the server share a few cores: a server that waits for one is not away.
    shared = RedisShared(url, Config(budget_ms=5_000))
    await shared.start()
    clock = SystemClock()
    ledger = SharedLedger(
        shared,
        clock=clock,
        local=LocalLedger(clock.monotonic),
        config=Sharing(beat_s=60.0),
        rng=random.Random(node),
        node_id=node,
    )
    limit = Limit("burst", quota, HOUR_S)

    async def beats() -> None:
        while True:
            await ledger.beat()
            await asyncio.sleep(BEAT_S)

    asyncio.get_running_loop().node_beats = asyncio.create_task(beats())  # type: ignore[attr-defined] # kept

    async def decide(identity: str) -> bool:
        verdict = ledger.charge((Charge(limit, identity),))
        return (verdict if hasattr(verdict, "allowed") else await verdict).allowed

    return decide


async def by_limits(url: str, quota: int, node: str) -> Decide:
    # Peers are imported where they are used: the tests run our node where no peer is installed.
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import SlidingWindowCounterRateLimiter

    from limits import RateLimitItemPerHour

    limiter = SlidingWindowCounterRateLimiter(RedisStorage(f"async+{url}", implementation="redispy"))
    item = RateLimitItemPerHour(quota)

    async def decide(identity: str) -> bool:
        return bool(await limiter.hit(item, identity))

    return decide


async def by_get_set(url: str, quota: int, node: str) -> Decide:
    from redis.asyncio import BlockingConnectionPool, Redis

    redis = Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=CONCURRENT))

    async def decide(identity: str) -> bool:
        now = time.time()
        held = await redis.get(f"litestar:{identity}")
        history = list(json.loads(held)) if held else []
        if len(history) >= quota:
            return False
        await redis.set(f"litestar:{identity}", json.dumps([now, *history]), ex=int(HOUR_S))
        return True

    return decide


KINDS = {"ours": ours, "limits": by_limits, "get_set": by_get_set}


async def burst(decide: Decide, identity: str, count: int) -> tuple[int, int]:
    """`count` charges, CONCURRENT at a time: (admitted, failed)."""
    admitted = failed = 0
    left = count

    async def caller() -> None:
        nonlocal admitted, failed, left
        while left > 0:
            left -= 1
            try:
                passed = await decide(identity)
            except Exception:
                failed += 1
            else:
                admitted += passed

    await asyncio.gather(*(caller() for _ in range(CONCURRENT)))
    return admitted, failed


async def main() -> None:
    kind, url, quota, node = sys.argv[1:5]
    decide = await KINDS[kind](url, int(quota), node)
    with suppress(Exception):
        await decide("warm-up")
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        identity, count = line.split()
        print(*await burst(decide, identity, int(count)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
