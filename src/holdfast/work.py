"""`holdfast worker`: the jobs of an app worked off apart from its requests, until a signal says stop."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from holdfast.app import Holdfast
from holdfast.compose import PROCESS_ENV, room_is_here
from holdfast.kernel.errors import Misconfigured, Problem
from holdfast.serve import collect_less, load_app, loop_factory

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LOOK_S = 0.1


def work(target: str, *, kind: str = "worker", processes: int = 1) -> int:
    """Work until SIGTERM or SIGINT; 0 after an orderly end."""
    if not room_is_here("jobs"):
        raise Misconfigured("the room jobs is not part of this installation")
    os.environ[PROCESS_ENV] = kind
    if processes > 1:
        return _many(processes)
    found = load_app(target) if target else Holdfast()
    hold = found if isinstance(found, Holdfast) else getattr(found, "holdfast", None)
    if hold is None:
        found = hold = Holdfast(found)
    _ = hold.jobs  # says why, where the room is off
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_one(found, hold))


async def _one(app: Any, hold: Holdfast) -> int:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    collect_less()
    life = AppLife(app)
    try:
        await life.start()
    except BaseException:
        if isinstance(hold.failure, Problem):
            raise hold.failure from None
        raise
    print(f"holdfast works as {hold.ground.jobs_kind}, pid {os.getpid()}", file=sys.stderr, flush=True)
    await told.wait()
    await life.stop()
    return 0


class AppLife:
    """An ASGI app's lifespan without a server: what the app opens at its start is there for its jobs too."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises RuntimeError with what the app says when it cannot start."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._task = asyncio.ensure_future(self._app(scope, self._told.get, self._said.put))
        self._told.put_nowait({"type": "lifespan.startup"})
        message = await self._next()
        if message["type"] != "lifespan.startup.complete":
            raise RuntimeError(message.get("message") or "the app did not start")

    async def stop(self) -> None:
        self._told.put_nowait({"type": "lifespan.shutdown"})
        await self._next()
        if self._task is not None:
            await self._task

    async def _next(self) -> dict[str, Any]:
        """What the app says next; its exception, if it dies instead."""
        assert self._task is not None
        saying = asyncio.ensure_future(self._said.get())
        await asyncio.wait((saying, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not saying.done():
            if self._said.empty():
                saying.cancel()
                self._task.result()
                return {"type": "lifespan.shutdown.complete"}
            return await saying
        return saying.result()


def _many(processes: int) -> int:
    """So many workers, each a process of its own: one that dies is started again, with growing pauses."""
    command = _without_processes(sys.argv)
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, frame: stop.append(got))
    children: list[subprocess.Popen[bytes] | None] = [None] * processes
    pauses, due = [_FIRST_PAUSE_S] * processes, [0.0] * processes
    while not stop:
        now = time.monotonic()
        for place, child in enumerate(children):
            if child is not None and child.poll() is None:
                continue
            if child is not None:
                print(f"holdfast: a worker ended with {child.returncode}", file=sys.stderr, flush=True)
                children[place], due[place] = None, now + pauses[place]
                pauses[place] = min(pauses[place] * 2, _LONGEST_PAUSE_S)
            elif now >= due[place]:
                children[place] = subprocess.Popen(command)  # noqa: S603 - our own command line
        time.sleep(_LOOK_S)
    living = [child for child in children if child is not None]
    for child in living:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
    return max((child.wait() for child in living), default=0)


def _without_processes(argv: Sequence[str]) -> list[str]:
    """The command of this process, for one worker."""
    words = list(argv[1:])
    for at, word in enumerate(words):
        if word == "--processes":
            del words[at : at + 2]
            break
        if word.startswith("--processes="):
            del words[at]
            break
    return [sys.executable, "-m", "holdfast.cli", *words]
