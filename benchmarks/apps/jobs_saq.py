"""SAQ on Redis with its default of 10 jobs at once; a batch is as many enqueues at once as it allows."""

import asyncio
from collections.abc import Sequence
from typing import Any

from saq import Queue, Worker

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started


async def noop(_context: Any, *, run: str, job: int) -> None:
    started(run, job)


async def work() -> None:
    await Worker(Queue.from_url(TOLD.url), [("noop", noop)]).start()


async def enqueue() -> None:
    queue = Queue.from_url(TOLD.url)
    await queue.connect()

    def one(job: int) -> Any:
        return queue.enqueue("noop", run=TOLD.run, job=job)

    async def batch(jobs: Sequence[int]) -> None:
        await asyncio.gather(*(one(job) for job in jobs))

    await serve_enqueuer(one, batch)


if __name__ == "__main__":
    play(lambda: None, work, enqueue)
