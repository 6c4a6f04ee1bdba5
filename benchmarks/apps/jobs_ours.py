"""Ours, as `holdfast worker` runs it: commits on the disk, attempts, results, unique keys, metrics, log.

The job is of the queue `ai` with its default of 16 at once; its payload is typed and checked at both ends.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.apps.jobs_peer import TOLD, play, serve_enqueuer, started
from holdfast import Holdfast
from holdfast.ports.jobs import JobSpec, Run

NAME = "bench.noop"


class Noop(msgspec.Struct):
    run: str
    job: int


async def noop(_run: Run, payload: Noop) -> dict[str, bool]:
    started(payload.run, payload.job)
    return {"done": True}


def make(*, workers: bool) -> Any:
    """A Holdfast whose jobs room alone is up beside the event log and metrics."""
    hold = Holdfast(
        data_dir=str(TOLD.folder / "data"),
        rooms=["telemetry", "jobs"],
        jobs={"url": TOLD.url, "workers": workers},
    )
    hold.jobs.declare(JobSpec(name=NAME, run=noop, payload=Noop, queue="ai"))
    return hold


async def prepare() -> None:
    hold = make(workers=False)
    await hold.start()
    await hold.stop()


async def work() -> None:
    hold = make(workers=True)
    await hold.start()
    await asyncio.Event().wait()


async def enqueue() -> None:
    hold = make(workers=False)
    await hold.start()

    def one(job: int) -> Any:
        return hold.jobs.enqueue(NAME, Noop(TOLD.run, job))

    def batch(jobs: Sequence[int]) -> Any:
        return hold.jobs.enqueue_many(NAME, [Noop(TOLD.run, job) for job in jobs])

    await serve_enqueuer(one, batch)
    await hold.stop()


if __name__ == "__main__":
    play(prepare, work, enqueue)
