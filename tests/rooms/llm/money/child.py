"""One process of several that share budgets: `python -m tests.rooms.llm.money.child <url> <folder>`.

Reads a command a line and answers each with a line.
"""

import asyncio
import sys
from datetime import UTC
from pathlib import Path

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.budgets import Budgets
from holdfast.rooms.llm.engine.shared_counts import SharedCounts
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Declared
from holdfast.rooms.llm.rules.denials import BudgetExceeded
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.store.budgets_redis import RedisBudgets
from holdfast.rooms.llm.store.budgets_sql import SqlBudgets
from holdfast.stores.config import Config as DatabaseConfig
from holdfast.stores.open import open_shared, open_sql
from holdfast.stores.redis.config import Config as SharedConfig

KIM = Payer(user="김철수")


class Child:
    def __init__(self, store):
        counts = SharedCounts(store, SystemClock(), UTC, IdSource().span_id)
        self.counts = counts
        self.budgets = Budgets(Declared((BudgetSetting("user", "month", tokens=100),)), counts, NoMeter())

    async def take(self, tokens, lease_s):
        try:
            await self.budgets.reserve(KIM, tokens=int(tokens), lease_s=float(lease_s))
        except BudgetExceeded:
            return "refused"
        return "passed"

    async def burst(self, tokens, lease_s):
        """Eight at once."""
        found = await asyncio.gather(*(self.take(tokens, lease_s) for _ in range(8)))
        return str(found.count("passed"))

    async def persist(self, tokens, lease_s):
        """Until one passes."""
        while await self.take(tokens, lease_s) == "refused":
            await asyncio.sleep(0)
        return "passed"


async def opened(url):
    if url.startswith("redis"):
        shared = open_shared(url, SystemClock(), SharedConfig(budget_ms=10_000))
        await shared.start()
        return RedisBudgets(shared, IdSource().span_id())
    config = DatabaseConfig(deadline_s=30.0, busy_timeout_s=30.0)
    database = open_sql(url, Path(sys.argv[2]), SystemClock(), config)
    await database.start()
    return SqlBudgets(database, SystemClock.wall, patience_s=30.0)


async def main():
    child = Child(await opened(sys.argv[1]))
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        name, *arguments = command.split()
        print(await getattr(child, name)(*arguments), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
