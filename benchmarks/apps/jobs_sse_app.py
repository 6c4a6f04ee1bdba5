"""A FastAPI app inside Holdfast with one kind of job: so many steps, each an event, and progress between.

python -m benchmarks.apps.jobs_sse_app PORT FOLDER
"""

import asyncio
import sys

import msgspec
from fastapi import FastAPI

from benchmarks.apps.serving import serve_ours
from holdfast import Holdfast
from holdfast.ports.jobs import JobSpec, Run

NAME = "sse.steps"


class Steps(msgspec.Struct):
    steps: int
    pause_ms: int


async def walk(run: Run, payload: Steps) -> int:
    async def nothing() -> None:
        await asyncio.sleep(payload.pause_ms / 1000)

    for number in range(payload.steps):
        await run.step(f"step {number}", nothing)
        run.progress((number + 1) / payload.steps, f"{number + 1} of {payload.steps}")
    return payload.steps


def make(folder: str) -> FastAPI:
    app = FastAPI()
    hold = Holdfast(app, data_dir=folder, rooms=["telemetry", "jobs", "health"])
    hold.jobs.declare(JobSpec(name=NAME, run=walk, payload=Steps, queue="ai"))

    @app.post("/begin")
    async def begin(steps: dict[str, int]) -> dict[str, str]:
        return {"id": (await hold.jobs.enqueue(NAME, Steps(**steps))).id}

    return app


if __name__ == "__main__":
    serve_ours(make(sys.argv[2]), int(sys.argv[1]))
