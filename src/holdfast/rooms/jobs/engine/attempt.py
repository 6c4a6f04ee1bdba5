"""One attempt at one job, as its function sees it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import decode_json, encode_json
from holdfast.kernel.context import Ctx
from holdfast.ports.jobs import JobCancelled, JobFailed
from holdfast.rooms.jobs.engine.folders import Folders
from holdfast.rooms.jobs.rules import states
from holdfast.rooms.jobs.rules.failures import storable
from holdfast.rooms.jobs.store.rows import Claimed, Ended, Progress
from holdfast.rooms.jobs.store.store import Store

T = TypeVar("T")

PROGRESS_S = 0.1
"""Least pause between two reports that are kept."""
LONGEST_MESSAGE = 500
_MOST_REPORTS = states.MOST_STORED - 1_000
"""Reports of one attempt that are kept; the rest of its numbers is for steps and what others decide."""

CANCELLED = "cancelled"
TIMEOUT = "timeout"
LOST = "lost"
STOPPING = "stopping"
"""Why a run is to stop: somebody asked, its time is up, it is another worker's by now, the worker stops."""


class Desk(Protocol):
    """What an attempt needs of its worker."""

    store: Store
    folders: Folders
    clock: Clock
    loop: asyncio.AbstractEventLoop
    thread_id: int
    """Of the loop's thread."""

    def tell(self, progress: Progress) -> None:
        """Have it written with what is written next; only in the loop."""
        ...

    def payload_of(self, name: str, payload: Any) -> str:
        """A payload for the job `name`, as its row holds it; raises where it is not declared or not valid."""
        ...


class Attempt:
    """The port `Run`, in the worker's own process."""

    __slots__ = (
        "_desk",
        "_kept",
        "_latest",
        "_reported",
        "_reports",
        "_scheduled",
        "_told_at",
        "attempt",
        "ctx",
        "ends_at",
        "fence",
        "has_begun",
        "has_folder",
        "id",
        "is_over",
        "job",
        "previous",
        "serial",
        "started",
        "stop",
        "stopped_at",
        "task",
        "tenant",
        "told",
        "undo",
        "user",
    )

    def __init__(self, job: Claimed, desk: Desk, started: float, timeout_s: float, serial: int = 0) -> None:
        self.job = job
        self.id = job.id
        self.fence = job.fence
        self.attempt = job.attempts
        self.tenant = job.tenant
        self.user = job.owner
        self.previous: Any = None
        self.started = started
        """Monotonic seconds."""
        self.serial = serial
        """Its number among those that its worker has begun."""
        self.ends_at = started + timeout_s
        self.stop = ""
        """Why it is to stop; empty while it may go on."""
        self.stopped_at = 0.0
        self.task: asyncio.Task[None] | None = None
        self.undo = bool(job.undo)
        """Whether there is something to undo."""
        self.has_begun = False
        """Whether its task has had a turn: one that is cancelled before never runs, and says no end."""
        self.has_folder = False
        self.is_over = False
        """Whether its function has ended: there is nothing left to stop."""
        self.ctx: Ctx | None = None
        self.told: Callable[[Ended | None], None] | None = None
        """Who else is to know how it ended; None: it was lost."""
        self._desk = desk
        self._kept: dict[str, str] | None = None
        self._latest: tuple[float, str] | None = None
        self._reported: tuple[float, str] | None = None
        self._reports = 0
        self._scheduled = False
        self._told_at = -1.0

    # -- what its function calls ------------------------------------------------------------------

    def check(self) -> None:
        if self.stop:
            raise JobCancelled(f"the job is to stop: {self.stop}")
        if self._desk.clock.monotonic() >= self.ends_at:
            self.ask_to_stop(TIMEOUT)
            raise JobCancelled("the job is to stop: its time is up")

    def progress(self, share: float, message: str = "") -> None:
        if not 0.0 <= share <= 1.0:  # also what is no number at all
            share = 1.0 if share > 1.0 else 0.0
        self._latest = (share, storable(message)[:LONGEST_MESSAGE])
        if self._scheduled:
            return
        self._scheduled = True
        if threading.get_ident() == self._desk.thread_id:
            self._report()
        else:
            self._desk.loop.call_soon_threadsafe(self._report)

    async def step(self, name: str, work: Callable[[], Awaitable[T]], kind: type[T] | None = None) -> T:
        self.check()
        await self.load()
        found, raw = self._kept_raw(name)
        if found:
            kept: Any = msgspec.json.decode(raw, type=kind or Any)
            return kept  # type: ignore[no-any-return] # as it was kept
        value = await work()
        await self._keep_raw(name, encode_json(value).decode())
        return value

    def folder(self) -> Path:
        self.has_folder = True
        return self._desk.folders.make(self.id, self.attempt)

    async def compensate(self, name: str, payload: Any) -> None:
        self.check()
        raw = self._desk.payload_of(name, payload)
        if not await self._desk.store.add_compensation(self.id, self.fence, name, raw):
            self.lose()
        self.undo = True

    # -- what the process of an isolated one asks -------------------------------------------------

    async def load(self) -> None:
        """Read the steps that earlier attempts finished, once; the first attempt has none."""
        if self._kept is None:
            self._kept = await self._desk.store.steps(self.id) if self.fence > 1 else {}

    def kept(self, name: str) -> tuple[bool, Any]:
        """Whether the step was finished, and what it gave, as JSON has it."""
        found, raw = self._kept_raw(name)
        return found, decode_json(raw) if found else None

    async def keep(self, name: str, value: Any) -> None:
        """Keep the result of a finished step."""
        await self._keep_raw(name, encode_json(value).decode())

    # -- what its worker does ---------------------------------------------------------------------

    def ask_to_stop(self, why: str) -> None:
        """From now on `check` raises; the first reason stays, except that a lost job is lost."""
        if not self.stop or why == LOST:
            if not self.stop:
                self.stopped_at = self._desk.clock.monotonic()
            self.stop = why

    def lose(self) -> None:
        """It is not ours any more: leave, writing nothing."""
        self.ask_to_stop(LOST)
        raise JobCancelled("the job is another worker's by now")

    def flush(self) -> None:
        """Report the last progress, if it was held back."""
        if self._latest is not None and self._latest != self._reported:
            self._push()

    def _kept_raw(self, name: str) -> tuple[bool, str]:
        raw = (self._kept or {}).get(name)
        return raw is not None, raw or ""

    async def _keep_raw(self, name: str, raw: str) -> None:
        self.check()
        now_ms = int(self._desk.clock.wall() * 1000)
        if not await self._desk.store.add_step(self.id, self.fence, name, raw, now_ms):
            self.lose()
        if self._kept is None:
            self._kept = {}
        if name in self._kept:
            raise JobFailed("conflict", f"the step {name!r} was taken twice in one job")
        self._kept[name] = raw
        if self._reports < states.MOST_STORED:
            self._reports += 1
            self._desk.tell(self._event("step", now_ms, {"name": name}))

    def _report(self) -> None:
        wait_s = PROGRESS_S - (self._desk.clock.monotonic() - self._told_at)
        if self._told_at < 0.0 or wait_s <= 0.0:
            self._scheduled = False
            self._push()
        else:
            self._desk.loop.call_later(wait_s, self._report)

    def _push(self) -> None:
        latest = self._latest
        if latest is None or self.stop == LOST or self._reports >= _MOST_REPORTS:
            return
        self._reports += 1
        self._reported = latest
        self._told_at = self._desk.clock.monotonic()
        share, message = latest
        data = {"progress": share, "message": message}
        self._desk.tell(self._event("progress", int(self._desk.clock.wall() * 1000), data, share, message))

    def _event(
        self, kind: str, at_ms: int, data: dict[str, Any], share: float | None = None, message: str = ""
    ) -> Progress:
        floor = states.start_of(self.attempt) + 1
        text = encode_json(data).decode()
        return Progress(self.id, self.fence, floor, kind, at_ms, text, share, message)
