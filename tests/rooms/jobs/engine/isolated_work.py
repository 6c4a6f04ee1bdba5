"""Functions that isolated jobs run, in a module that another process can import."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from holdfast.ports.jobs import JobFailed


class Parcel(msgspec.Struct):
    text: str
    times: int = 1


def repeat(run, payload: Parcel):
    run.progress(0.5, "절반")
    return {"text": payload.text * payload.times, "attempt": run.attempt, "pid": os.getpid()}


async def in_steps(run, payload):
    first = await run.step("first", lambda: give("one"))
    second = await run.step("second", lambda: give("two"))
    await run.compensate("undo", {"of": first})
    (run.folder() / "scratch.txt").write_text("잠깐")
    return [first, second]


async def give(value):
    return value


def by_fields(run, text: str, times: int = 2):
    return f"{run.tenant}:{text * times}"


def fail(run, payload):
    print("before it fails")
    raise JobFailed("quota", "no pages left", retry_after_s=7.0)


def refuse(run, payload):
    raise ValueError("this is not a document")


def die(run, payload):
    os._exit(3)


def gorge(run, payload):
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def hang(run, payload):
    """Tells where it and a child of its own are, then holds the processor."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(payload["file"]).write_text(f"{os.getpid()} {child.pid}")
    re.match(r"(a+)+$", "a" * 64 + "b")


def chatter(run, payload):
    for number in range(20_000):
        print(f"line {number:06d}")
    return "done"


def blot(run, payload):
    raise ValueError("bad \0 text")


def environment(run, payload):
    return dict(os.environ)
