"""One process of several that share a breaker: `python -m tests.rooms.resilience.child <url> <lease>`.

Reads a command a line and answers each with a line. The dependency that it calls counts in Redis who has
reached it and answers when the key `go` is there.
"""

import asyncio
import sys

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.guard import CircuitOpen
from holdfast.rooms.resilience.rules.settings import Config, Dependency
from holdfast.stores.open import open_shared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.rooms.resilience.world import gone, room_of

PAY = Dependency(failures=2, open_s=0.3, lease_s=float(sys.argv[2]), shared=True)


class Child:
    def __init__(self, shared):
        self.shared = shared
        self.room = room_of(
            Config(dependencies={"pay": PAY}, share_budget_s=10, share_every_s=0.05),
            clock=SystemClock(),
            shared=shared,
        )
        self.breaker = self.room.guards.guard("pay").breaker

    async def dependency(self):
        await self.shared.call("INCR", "reached")
        while not await self.shared.call("EXISTS", "go"):
            await asyncio.sleep(0)
        return "passed"

    async def call(self):
        try:
            return await self.room.guards.guard("pay").call(self.dependency)
        except CircuitOpen:
            await self.shared.call("INCR", "refused")
            return "refused"

    async def open(self):
        """See it fail twice."""
        for _ in range(2):
            try:
                await self.room.guards.guard("pay").call(gone)
            except OSError:
                continue
        await self.room.guards.known("pay").sharing.told()
        return "open"

    async def burst(self):
        """Twenty callers at once, as soon as the breaker would let one through."""
        while not self.breaker.state or self.breaker.next_s(SystemClock.monotonic()):
            await asyncio.sleep(0)
        ended = await asyncio.gather(*(self.call() for _ in range(20)))
        return f"{ended.count('passed')} {ended.count('refused')}"

    async def persist(self):
        """Call until one call passes, beginning once it is known to be open; how many did not."""
        while not self.breaker.state:
            await asyncio.sleep(0)
        refused = 0
        while await self.call() == "refused":
            refused += 1
        return str(refused)


async def main():
    shared = open_shared(sys.argv[1], SystemClock(), SharedConfig(budget_ms=10_000))
    await shared.start()
    child = Child(shared)
    await child.room.start()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        print(await getattr(child, command)(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
