"""A process with one node for the tests: engine and second tier, told line by line what to do.

Lines in: `go` starts the callers, `cancel` cancels a random half of them, `finish` lets the load end,
`end` ends. Lines out: `ready`, `loading` for each call of the factory, and at last one line of JSON.
"""

import asyncio
import json
import sys
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


def tell(what: str) -> None:
    print(what, flush=True)


class Crowd:
    """Many callers of one key, of whom some leave."""

    def __init__(self, engine: CacheEngine, name: str, callers: int) -> None:
        self._engine = engine
        self._name = name
        self._rng = Random(name)
        self._callers = callers
        self._tasks: list[asyncio.Task[Any]] = []
        self._left: set[asyncio.Task[Any]] = set()
        self.calls = 0
        self.may_finish = asyncio.Event()

    async def load(self) -> str:
        self.calls += 1
        tell("loading")
        await self.may_finish.wait()
        return f"of {self._name}"

    def go(self) -> None:
        ask = self._engine.get_or_set
        self._tasks = [asyncio.create_task(ask("cold", self.load)) for _ in range(self._callers)]

    def cancel(self) -> None:
        self._left = set(self._rng.sample(self._tasks, self._callers // 2))
        for task in self._left:
            task.cancel()

    async def figures(self) -> dict[str, Any]:
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        stayed = [out for task, out in zip(self._tasks, outcomes, strict=True) if task not in self._left]
        return {
            "calls": self.calls,
            "answered": sum(isinstance(out, str) for out in stayed),
            "stayed": len(stayed),
            "foreign": sum(isinstance(out, asyncio.CancelledError) for out in stayed),
            "values": sorted({out for out in stayed if isinstance(out, str)}),
            "errors": sorted({repr(out) for out in stayed if not isinstance(out, str)}),
        }


async def main(url: str, name: str, callers: int, lease_s: float) -> None:
    clock, order = SystemClock(), HybridClock()
    shared = RedisShared(url, SharedConfig(budget_ms=10_000.0, heartbeat_s=0.2), clock)
    engine = CacheEngine(
        Config(), clock=clock, meter=NoMeter(), rng=Random(name), order=order, now_us=shared.clock_us
    )
    tier = SharedTier(
        *(shared,), hears=engine, clock=clock, rng=Random(name), node_id=name, stamps=order, lease_s=lease_s
    )
    engine.connect(tier)
    await shared.start()
    await tier.start()
    while engine.keeper.is_cut_off:
        await asyncio.sleep(0)
    crowd = Crowd(engine, name, callers)
    tell("ready")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while (line := (await reader.readline()).decode().strip()) and line != "end":
        {"go": crowd.go, "cancel": crowd.cancel, "finish": crowd.may_finish.set}[line]()
    tell(json.dumps({**await crowd.figures(), "state": tier.state()}))
    await engine.stop()
    await tier.stop()
    await shared.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
