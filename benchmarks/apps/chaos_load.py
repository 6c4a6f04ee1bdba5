"""What the jobs of the kill test do, and the app that enqueues them without end.

    python -m benchmarks.apps.chaos_ENGINE prepare|work|app|left

`work` runs jobs; `app` enqueues `JOBS_RATE` a second from number `JOBS_FIRST` on, writes down each that was
acknowledged and tries again what was not; `left` prints how many jobs the engine has that have not ended.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.apps.jobs_trace import ACKNOWLEDGED, FINISHED, LONG_EVERY, STARTED, Trace, told

TOLD = told()
TRACE = Trace(TOLD.trace)
AGAIN_S = 0.1


def work_s(job: int) -> float:
    """How long job number `job` takes: 20 to 220 ms, one in LONG_EVERY ten times the lease."""
    if job % LONG_EVERY == LONG_EVERY // 2:
        return float(os.environ["JOBS_LONG_S"])
    return 0.02 + job * 7919 % 100 / 500


def begin(run: str, job: int, token: str) -> None:
    TRACE.write(STARTED, run, job, token)


def finish(run: str, job: int, token: str) -> None:
    """The effect that must not happen twice: appended by the job itself, whatever the ledger says."""
    TRACE.write(FINISHED, run, job, token)


def act(run: str, job: int, token: str) -> None:
    """The whole of a job, in a thread."""
    begin(run, job, token)
    time.sleep(work_s(job))
    finish(run, job, token)


async def act_async(run: str, job: int, token: str) -> None:
    """The whole of a job, on a loop."""
    begin(run, job, token)
    await asyncio.sleep(work_s(job))
    finish(run, job, token)


async def enqueue_endlessly(enqueue: Callable[[int], Any]) -> None:
    """Enqueue at the told rate until killed; what fails is tried again, as a client with a key would."""
    rate, job, started_at = float(os.environ["JOBS_RATE"]), int(os.environ["JOBS_FIRST"]), time.monotonic()
    for turn in range(sys.maxsize):
        await asyncio.sleep(max(0.0, started_at + turn / rate - time.monotonic()))
        await _until_taken(enqueue, job + turn)
        TRACE.write(ACKNOWLEDGED, TOLD.run, job + turn)


async def _until_taken(enqueue: Callable[[int], Any], job: int) -> None:
    while True:
        try:
            taken = enqueue(job)
            if isinstance(taken, Awaitable):
                await taken
            return
        except Exception as error:
            print(f"job {job} is not taken: {error!r}", file=sys.stderr, flush=True)
            await asyncio.sleep(AGAIN_S)


def tell_left(count: int) -> None:
    print(json.dumps({"left": count}), flush=True)


def play(**roles: Callable[[], Any]) -> None:
    """Play the role that the command line names; coroutines get a loop of their own."""
    result = roles[sys.argv[1]]()
    if asyncio.iscoroutine(result):
        asyncio.run(result)
