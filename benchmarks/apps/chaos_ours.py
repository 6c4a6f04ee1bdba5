"""Ours in the kill test, on SQLite or PostgreSQL, with our own workers or Celery's (setting `celery`).

Nothing is tuned but the lease, so that a run need not last for minutes, and how many workers may die of one
job: here they die of our hand. Half of the jobs run on the loop, half in threads.
"""

import asyncio
import os
from typing import Any

import msgspec

from benchmarks.apps.chaos_load import TOLD, act, act_async, enqueue_endlessly, play, tell_left
from holdfast import Holdfast, celery
from holdfast.compose import PROCESS_ENV
from holdfast.ports.jobs import Enqueue, JobSpec

MANY = 100
NAMES = ("chaos.loop", "chaos.thread")


class Number(msgspec.Struct):
    run: str
    job: int


async def on_loop(run: Any, payload: Number) -> None:
    await act_async(payload.run, payload.job, str(run.fence))


def in_thread(run: Any, payload: Number) -> None:
    act(payload.run, payload.job, str(run.fence))


def make() -> Holdfast:
    """A server's Holdfast, or with PROCESS_ENV set a worker's."""
    engine = TOLD.setting or "embedded"
    hold = Holdfast(
        data_dir=str(TOLD.folder / "data"),
        rooms=["telemetry", "jobs"],
        jobs={
            "url": TOLD.url,
            "engine": engine,
            "workers": False,
            "broker_url": os.environ["JOBS_BROKER"],
            "lease_s": float(os.environ["JOBS_LEASE_S"]),
            "max_crashes": MANY,
        },
    )
    for name, function in zip(NAMES, (on_loop, in_thread), strict=True):
        spec = JobSpec(name=name, run=function, payload=Number, queue="ai", attempts=10 * MANY)
        hold.jobs.declare(spec)
    return hold


async def prepare() -> None:
    await make().migrate(dry_run=False)


async def embedded() -> None:
    await make().start()
    await asyncio.Event().wait()


def __getattr__(name: str) -> Any:
    """`hold`, by which Celery's worker finds our jobs."""
    if name != "hold":
        raise AttributeError(name)
    return make()


def work() -> Any:
    if TOLD.setting == "celery":
        celery.work("benchmarks.apps.chaos_ours:hold", celery.command(pool="threads"))
    os.environ[PROCESS_ENV] = "worker"
    return embedded()


async def load() -> None:
    hold = make()
    await hold.start()

    async def enqueue(job: int) -> None:
        key = Enqueue(key=f"{TOLD.run}-{job}")
        await hold.jobs.enqueue(NAMES[job % 2], Number(TOLD.run, job), key)

    await enqueue_endlessly(enqueue)


async def left() -> None:
    """Jobs that have not ended, and dead letters: those are not lost, and nobody runs them."""
    hold = make()
    await hold.start()
    upkeep = hold.jobs.upkeep
    count = sum(row[2] for row in await upkeep.lengths()) + await upkeep.dead()
    await hold.stop()
    tell_left(count)


if __name__ == "__main__":
    play(prepare=prepare, work=work, app=load, left=left)
