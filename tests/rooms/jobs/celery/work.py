"""The app whose jobs Celery's workers run in these tests; they and the test see each other through files."""

import asyncio
import os
import threading
from pathlib import Path

from holdfast import Holdfast
from holdfast.ports.jobs import JobFailed

FOLDER = Path(os.environ.get("JOBS_TEST_FOLDER", "."))
hold = Holdfast()


def say(name: str, line: str) -> None:
    """Append a line; short appends are whole."""
    with (FOLDER / name).open("a") as file:
        file.write(line + "\n")


@hold.jobs.job("bulk", name="note")
async def note(run, number: int):
    say("noted", f"{run.id} {run.attempt} {os.getpid()} {number}")
    return number


@hold.jobs.job("ai", name="note in a thread")
def note_in_thread(run, number: int):
    say("noted", f"{run.id} {run.attempt} {os.getpid()} {number}")
    return threading.current_thread().name


@hold.jobs.job("bulk", name="wait")
async def wait(run):
    """Until the file `go` is there."""
    say("waiting", f"{run.id} {run.attempt} {os.getpid()}")
    never = asyncio.Event()
    while not (FOLDER / "go").exists():
        run.check()
        try:
            await asyncio.wait_for(never.wait(), 0.02)
        except TimeoutError:
            continue
    say("noted", f"{run.id} {run.attempt} {os.getpid()} 0")


@hold.jobs.job("bulk", name="fail", attempts=1)
async def fail(run):
    raise JobFailed("validation", "글이 없습니다")
