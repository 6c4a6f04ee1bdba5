"""The process of one isolated job: `python -m holdfast.rooms.jobs.engine.child DESCRIPTOR PARENT`.

It is given its function's address and payload over a socket, and gives back progress, steps, compensations
and its end. It imports as little as it can and dies with its parent.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from holdfast.kernel.codec import clean_text
from holdfast.ports.jobs import JobCancelled, JobFailed
from holdfast.rooms.jobs.engine import frames
from holdfast.rooms.jobs.engine.calling import Address, Plain, find
from holdfast.rooms.jobs.rules.failures import judge

T = TypeVar("T")
LONGEST_TRACEBACK = 8_000
_PROGRESS_S = 0.05
"""Least pause between two reports; the worker keeps one in 100 ms."""
_PR_SET_PDEATHSIG = 1


class Begin(msgspec.Struct):
    """The first message: what to run, and as whom."""

    function: Address
    plain: bool
    """Whether it is a function of ordinary parameters."""
    payload: Any
    kind: Address | None
    """The payload's type, where it is a class."""
    id: str
    attempt: int
    tenant: str
    user: str
    previous: Any
    folder: str
    path: list[str]
    memory_bytes: int


class ChildRun:
    """The port `Run` at the far end of a socket."""

    def __init__(self, begin: Begin, line: "Line") -> None:
        self.id = begin.id
        self.attempt = begin.attempt
        self.tenant = begin.tenant
        self.user = begin.user
        self.previous = begin.previous
        self._folder = Path(begin.folder)
        self._line = line
        self._told_at = 0.0
        self._untold: dict[str, Any] | None = None

    def check(self) -> None:
        if self._line.cancelled:
            raise JobCancelled("the job is to stop")

    def progress(self, share: float, message: str = "") -> None:
        self._untold = {"type": "progress", "share": share, "message": clean_text(message)}
        now = time.monotonic()
        if share >= 1.0 or now - self._told_at >= _PROGRESS_S:
            self._told_at = now
            self.flush()

    def flush(self) -> None:
        """Report what was held back."""
        untold, self._untold = self._untold, None
        if untold is not None:
            self._line.send(untold)

    async def step(self, name: str, work: Callable[[], Awaitable[T]], kind: type[T] | None = None) -> T:
        self.check()
        kept = await self._line.ask({"type": "kept", "name": name})
        value: Any = kept.get("value")
        if not kept["found"]:
            value = await work()
            self.check()
            await self._line.ask({"type": "keep", "name": name, "value": value})
            return value  # type: ignore[no-any-return] # as `work` gave it
        return value if kind is None else msgspec.convert(value, kind)

    def folder(self) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder

    async def compensate(self, name: str, payload: Any) -> None:
        await self._line.ask({"type": "compensate", "name": name, "payload": payload})


class Line:
    """The socket: sends from any thread; a thread of its own hears answers and the parent's end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._waiting: dict[int, Callable[[dict[str, Any]], None]] = {}
        self._asked = 0
        self.cancelled = False

    def send(self, message: dict[str, Any]) -> None:
        data = frames.pack(message)
        with self._sending:
            self._connection.sendall(data)

    def listen(self) -> None:
        threading.Thread(target=self._hear, name="holdfast-job-line", daemon=True).start()

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to the message; raises what the worker says instead."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._asked += 1
        number = self._asked
        self._waiting[number] = lambda answer: _from_thread(loop, answered, answer)
        self.send({**message, "number": number})
        answer = await answered
        if "error" in answer:
            raise JobFailed(answer.get("kind", "unknown"), answer["error"])
        return answer

    def _hear(self) -> None:
        try:
            while True:
                message = frames.receive(self._connection)
                if message.get("type") == "cancel":
                    self.cancelled = True
                    continue
                waiter = self._waiting.pop(message.get("number", 0), None)
                if waiter is not None:
                    waiter(message)
        except frames.Broken:
            os.killpg(0, signal.SIGKILL)  # the worker is gone: whatever this job started goes too


def _from_thread(loop: asyncio.AbstractEventLoop, answered: "asyncio.Future[Any]", answer: Any) -> None:
    def settle() -> None:
        if not answered.done():
            answered.set_result(answer)

    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
        loop.call_soon_threadsafe(settle)


def main(arguments: list[str]) -> int:
    """Run the one job; the exit code is 0 whenever its end was told."""
    _die_with(int(arguments[1]))
    line = Line(socket.socket(fileno=int(arguments[0])))
    begin = msgspec.convert(frames.receive(line._connection), Begin)
    line.listen()
    run = ChildRun(begin, line)
    try:
        _limit(begin.memory_bytes)
        sys.path[:] = begin.path
        end = {"type": "result", "value": _work(begin, run)}
        run.flush()
        message = frames.pack(end)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the worker is told and decides
        run.flush()
        message = frames.pack(_failure(error))
    with line._sending:
        line._connection.sendall(message)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the job left behind must not keep the process up


def _work(begin: Begin, run: ChildRun) -> Any:
    function = find(begin.function)
    call = Plain(function) if begin.plain else function
    kind: Any = call.payload if isinstance(call, Plain) else find(begin.kind) if begin.kind else None
    payload = begin.payload if kind is None else msgspec.convert(begin.payload, kind)
    found = call(run, payload)
    return asyncio.run(_awaited(found)) if hasattr(found, "__await__") else found


async def _awaited(found: Awaitable[T]) -> T:
    return await found


def _failure(error: BaseException) -> dict[str, Any]:
    judged = judge(error)
    return {
        "type": "failure",
        "cancelled": isinstance(error, JobCancelled),
        "kind": judged.kind,
        "error": judged.error,
        "retry_after_s": judged.retry_after_s,
        "traceback": clean_text("".join(traceback.format_exception(error)))[-LONGEST_TRACEBACK:],
    }


def _limit(memory_bytes: int) -> None:
    if memory_bytes and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _die_with(parent: int) -> None:
    """Ask the kernel to kill us with our parent; elsewhere than on Linux the end of the socket says it."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
