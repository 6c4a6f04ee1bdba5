"""The one attempt that a job of PlainJobs gets, and what is remembered of it."""

import asyncio
import os
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.ports.jobs import Enqueue, JobCancelled, JobEvent, JobSpec

T = TypeVar("T")

EVENTS = 256
"""Events remembered of one job; older ones make room."""
PROGRESS_S = 0.1
"""Seconds between two kept reports of progress."""


class PlainRun:
    """A Run in memory. `progress` may be called from the job's thread; everything else is the loop's."""

    def __init__(self, job_id: str, spec: JobSpec, payload: Any, how: Enqueue, clock: Clock) -> None:
        self.id = job_id
        self.spec = spec
        self.payload = payload
        self.how = how
        self.attempt = 1
        self.tenant = how.tenant
        self.user = how.user
        self.previous: Any = None
        self.keys: tuple[tuple[str, str, str], ...] = ()
        self.task: asyncio.Task[None] | None = None
        self.may_be_cancelled = False
        """Whether its task may be: one that has not begun would never end; a thread hears of it itself."""
        self.compensations: list[tuple[str, Any]] = []
        self.forgotten = False
        """Whether nobody may find it any more, though its function has not ended yet."""
        self.cancelled = ""
        """Why it is to stop; empty while it is not."""
        self.share = 0.0
        self.message = ""
        self.result: Any = None
        self.error_kind = self.error = ""
        self.events: deque[JobEvent] = deque(maxlen=EVENTS)
        self.news = asyncio.Event()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._steps: dict[str, Any] = {}
        self._folder: Path | None = None
        self._told_at = float("-inf")
        self._untold = False
        self._seq = 0
        self.created_ms = self._now_ms()
        self.run_at_ms = how.run_at_ms or self.created_ms + int(how.delay_s * 1000)
        self.started_ms: int | None = None
        self.ended_ms: int | None = None
        self.state = "scheduled" if self.run_at_ms > self.created_ms else "available"
        self._tell("queued")

    # -- what the job's function sees ----------------------------------------------------------

    def check(self) -> None:
        if self.cancelled:
            raise JobCancelled(self.cancelled)

    def progress(self, share: float, message: str = "") -> None:
        if threading.get_ident() != self._loop_thread:
            self._loop.call_soon_threadsafe(self.progress, share, message)
            return
        if self.state != "running":
            return
        self.share, self.message = min(1.0, max(0.0, share)), message
        now = self._clock.monotonic()
        self._untold = self.share < 1.0 and now - self._told_at < PROGRESS_S
        if not self._untold:
            self._told_at = now
            self._tell_progress()

    async def step(self, name: str, work: Callable[[], Awaitable[T]], kind: type[T] | None = None) -> T:
        if name not in self._steps:
            self.check()
            result = await work()
            self._steps[name] = msgspec.to_builtins(result)
            self._tell("step", name=name)
            return result
        found: T = msgspec.convert(self._steps[name], kind) if kind is not None else self._steps[name]
        return found

    def folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="holdfast-job-"))
        return self._folder

    async def compensate(self, name: str, payload: Any) -> None:
        self.compensations.append((name, payload))

    # -- what PlainJobs does with it -----------------------------------------------------------

    def begin(self) -> None:
        self.state = "running"
        self.started_ms = self._now_ms()
        self._tell("progress", share=0.0, message="")

    def cancel(self, reason: str) -> None:
        """Ask it to stop: an async function is cancelled where it waits, a plain one at its next `check`."""
        if self.cancelled:
            return
        self.cancelled = reason
        self._tell("cancelling", reason=reason)
        if self.task is not None and self.may_be_cancelled:
            self.task.cancel()

    def end(self, state: str, *, result: Any = None, error_kind: str = "", error: str = "") -> None:
        """The last event; what comes after it is not heard any more."""
        if self._untold:
            self._tell_progress()
        self.state = state
        self.ended_ms = self._now_ms()
        if state == "succeeded":
            self.result, self.share = result, 1.0
            self._tell(state, result=result)
        else:
            self.error_kind, self.error = error_kind, error
            self._tell(state, error_kind=error_kind, error=error)

    @property
    def has_folder(self) -> bool:
        return self._folder is not None

    def remove_folder(self) -> None:
        """Overwrite and remove the attempt's folder, where it made one."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("r+b") as file:
                    _overwrite(file.fileno(), path.stat().st_size)
        shutil.rmtree(folder, ignore_errors=True)

    def _tell_progress(self) -> None:
        self._untold = False
        self._tell("progress", share=self.share, message=self.message)

    def _tell(self, kind: str, **data: Any) -> None:
        self._seq += 1
        facts: Mapping[str, Any] = data
        self.events.append(JobEvent(self._seq, kind, self._now_ms(), facts))
        self.news.set()
        self.news = asyncio.Event()

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)


def _overwrite(file: int, size: int) -> None:
    zeros = bytes(1 << 16)
    while size > 0:
        size -= os.write(file, zeros[: min(size, len(zeros))])
