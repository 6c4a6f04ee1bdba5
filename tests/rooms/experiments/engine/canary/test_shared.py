"""A release over a real Redis: told at once, and no worse when it dies."""

import asyncio

from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config
from tests.rooms.experiments.engine.canary.lives import NAME, Process, Site, broken, healthy, release


async def test_redis_dies_in_mid_stage_and_nothing_is_lost(sqlite_database, own_redis):
    drivers = [RedisShared(own_redis.url, Config(budget_ms=10_000, connect_timeout_s=20)) for _ in range(2)]
    for driver in drivers:
        await driver.start()
    try:
        processes = [
            await Process(sqlite_database, shared=driver, seed=n).start() for n, driver in enumerate(drivers)
        ]
        site = Site(*processes)
        await processes[0].releases.operating.define(release())
        await processes[0].releases.start(NAME)
        while NAME not in processes[1].changes.rulebook.ruleset.flags:  # told, without a look
            await asyncio.sleep(0)
        for _ in range(3):
            await site.step(healthy)
        own_redis.kill()
        for _ in range(2):
            await site.step(healthy)
        await site.until("rolled_back", broken)
        for process in processes:
            assert await process.share() == 0
    finally:
        for driver in drivers:
            await driver.stop()
