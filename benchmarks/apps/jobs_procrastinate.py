"""Procrastinate on PostgreSQL: woken by LISTEN/NOTIFY, 30 jobs at once; a batch is `batch_defer`."""

from collections.abc import Sequence

import procrastinate

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=TOLD.url))


@app.task(name="noop")
async def noop(run: str, job: int) -> None:
    started(run, job)


async def prepare() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def work() -> None:
    async with app.open_async():
        await app.run_worker_async(concurrency=30)


async def one(job: int) -> None:
    await noop.defer_async(run=TOLD.run, job=job)


async def batch(jobs: Sequence[int]) -> None:
    await noop.batch_defer_async(*({"run": TOLD.run, "job": job} for job in jobs))


async def enqueue() -> None:
    async with app.open_async():
        await serve_enqueuer(one, batch)


if __name__ == "__main__":
    play(prepare, work, enqueue)
