"""What every engine under test shares: the roles of its processes and the loop of the one that enqueues.

    python -m benchmarks.apps.jobs_PEER prepare|work|enqueue

`prepare` makes tables and ends; `work` runs jobs until it is told to leave; `enqueue` answers lines of
JSON on stdin: `{"verb": "one" | "batch" | "paced", "first": 0, "count": 800, "size": 100, "rate": 20}`, with
how long it took and, paced, the stamp at which each enqueue began.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop

from benchmarks.apps.jobs_trace import STARTED, Trace, told

TOLD = told()
TRACE = Trace(TOLD.trace)

One = Callable[[int], Any]
Batch = Callable[[Sequence[int]], Any]


def started(run: str, job: int) -> None:
    """All that a no-op job does: say that it has begun."""
    TRACE.write(STARTED, run, job)


async def _done(result: Any) -> None:
    if isinstance(result, Awaitable):
        await result


async def _answer(question: dict[str, Any], one: One, batch: Batch) -> dict[str, Any]:
    numbers = range(question["first"], question["first"] + question["count"])
    begun: list[int] = []
    started_at = time.perf_counter()
    if question["verb"] == "one":
        for number in numbers:
            await _done(one(number))
    elif question["verb"] == "batch":
        size = question["size"]
        for at in range(0, len(numbers), size):
            await _done(batch(numbers[at : at + size]))
    else:
        for turn, number in enumerate(numbers):
            await asyncio.sleep(max(0.0, started_at + turn / question["rate"] - time.perf_counter()))
            begun.append(time.monotonic_ns())
            await _done(one(number))
    return {"seconds": time.perf_counter() - started_at, "begun_ns": begun}


async def serve_enqueuer(one: One, batch: Batch) -> None:
    """Answer until stdin is closed."""
    loop = asyncio.get_running_loop()
    print("{}", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await _answer(json.loads(line), one, batch)), flush=True)


def play(prepare: Callable[[], Any], work: Callable[[], Any], enqueue: Callable[[], Any]) -> None:
    """Play the role that the command line names; whoever is asynchronous gets uvloop, peers too."""
    role = {"prepare": prepare, "work": work, "enqueue": enqueue}[sys.argv[1]]
    result = role()
    if asyncio.iscoroutine(result):
        uvloop.run(result)
