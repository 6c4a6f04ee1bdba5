"""Jobs for real worker processes: each says in a file what it does, apart from all that is under test."""

import asyncio
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdfast.ports.jobs import JobFailed


def tell(*words: Any) -> None:
    """One line, whole, whoever else writes."""
    line = json.dumps([*words, os.getpid()]) + "\n"
    file = os.open(os.environ["JOBS_TOLD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


async def take(seconds: float) -> None:
    """Work that takes so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


def declare(jobs: Any) -> None:
    """All of them."""

    @jobs.job("bulk", name="work", attempts=40)
    async def work(run: Any, n: int, s: float) -> int:
        tell("start", n, run.attempt)
        await take(s)
        tell("end", n, run.attempt)
        return n

    @jobs.job("bulk", name="held", attempts=40)
    async def held(run: Any, n: int, until: str) -> int:
        """Work that lasts until there is a file of that name."""
        tell("start", n, run.attempt)
        while not Path(until).exists():
            await take(0.02)
        tell("end", n, run.attempt)
        return n

    @jobs.job("bulk", name="again", attempts=40)
    async def again(run: Any, n: int) -> int:
        tell("start", n, run.attempt)
        if run.attempt == 1:
            raise JobFailed("network", "the first time never works")
        await take(0.3)
        tell("end", n, run.attempt)
        return n

    @jobs.job("bulk", name="undo", attempts=40)
    async def undo(run: Any, n: int) -> None:
        await take(0.5)
        tell("undone", n, run.attempt)

    @jobs.job("bulk", name="undone", attempts=40)
    async def undone(run: Any, n: int) -> None:
        tell("start", n, run.attempt)
        await run.compensate("undo", {"n": n})
        raise JobFailed("validation", "this is rolled back")

    @jobs.job("bulk", name="poison", attempts=40)
    async def poison(run: Any) -> None:
        tell("poison", run.attempt)
        os._exit(1)

    @jobs.job("bulk", name="holds", attempts=1, timeout_s=120)
    def holds(run: Any, s: float) -> float:
        """Keep the interpreter's lock for longer than `s` within one call: a regular expression."""
        tell("start", 0, run.attempt)
        for length in range(18, 60):
            begun = time.monotonic()
            re.match(r"(a+)+$", "a" * length + "b")
            if (took := time.monotonic() - begun) > s:
                tell("end", 0, run.attempt)
                return took
        raise AssertionError("this machine is too fast")


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    from holdfast import Holdfast

    made = Holdfast()
    declare(made.jobs)
    return made


def told(file: Path) -> list[list[Any]]:
    """What was said so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
