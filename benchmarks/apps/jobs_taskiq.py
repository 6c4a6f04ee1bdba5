"""taskiq on a Redis stream, the broker of its that acknowledges; a batch is as many sends together."""

import asyncio
from collections.abc import Sequence

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started

broker = RedisStreamBroker(TOLD.url)


@broker.task("noop")
async def noop(run: str, job: int) -> None:
    started(run, job)


async def work() -> None:
    await run_receiver_task(broker, run_startup=True)


async def one(job: int) -> None:
    await noop.kiq(TOLD.run, job)


async def batch(jobs: Sequence[int]) -> None:
    await asyncio.gather(*(one(job) for job in jobs))


async def enqueue() -> None:
    await broker.startup()
    await serve_enqueuer(one, batch)
    await broker.shutdown()


if __name__ == "__main__":
    play(lambda: None, work, enqueue)
