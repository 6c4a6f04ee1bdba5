"""Ours, as `holdfast worker` runs it: commits on the disk, attempts, results, unique keys, metrics, log.

The job is of the queue `ai` with its default of 16 at once; its payload is typed and checked at both ends.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started
from holdfast import Holdfast
from holdfast.compose import PROCESS_ENV
from holdfast.ports.jobs import JobSpec, Run

NAME = "bench.noop"


class Noop(msgspec.Struct):
    run: str
    job: int


async def noop(_run: Run, payload: Noop) -> dict[str, bool]:
    started(payload.run, payload.job)
    return {"done": True}


def make() -> Holdfast:
    """A server's Holdfast: it enqueues, and leaves the work to `holdfast worker`."""
    hold = Holdfast(
        data_dir=str(TOLD.folder / "data"),
        rooms=["telemetry", "jobs"],
        jobs={"url": TOLD.url, "workers": False},
    )
    hold.jobs.declare(JobSpec(name=NAME, run=noop, payload=Noop, queue="ai"))
    return hold


async def prepare() -> None:
    await make().migrate(dry_run=False)


async def work() -> None:
    os.environ[PROCESS_ENV] = "worker"
    await make().start()
    await asyncio.Event().wait()


async def enqueue() -> None:
    hold = make()
    await hold.start()

    def one(job: int) -> Any:
        return hold.jobs.enqueue(NAME, Noop(TOLD.run, job))

    def batch(jobs: Sequence[int]) -> Any:
        return hold.jobs.enqueue_many(NAME, [Noop(TOLD.run, job) for job in jobs])

    await serve_enqueuer(one, batch)
    await hold.stop()


if __name__ == "__main__":
    play(prepare, work, enqueue)
