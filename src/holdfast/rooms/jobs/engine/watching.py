"""Watches jobs for everybody who listens in this process: one query over all of them, woken by the bell."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from holdfast.kernel.errors import Problem
from holdfast.ports.jobs import JobEvent
from holdfast.rooms.jobs.rules.problems import unknown_job
from holdfast.rooms.jobs.rules.states import EventFacts
from holdfast.rooms.jobs.store.history import Followed, History, Mark

logger = logging.getLogger("holdfast.jobs")

LEAST_PAUSE_S = 0.05
"""Between two looks, however often the bell rings: progress comes many times a second."""
_TAIL = 256
"""Events of a job kept for its listeners; who is further behind reads for itself."""
_GONE = Mark("", -1, -1)


class Watched:
    """One job that somebody listens to."""

    __slots__ = ("is_closed", "is_gone", "is_over", "listeners", "mark", "read_to", "since", "tail")

    def __init__(self, after: int) -> None:
        self.listeners: set[asyncio.Event] = set()
        """Set to wake them."""
        self.mark: Mark | None = None
        """As it was when it was read last; None before the first time."""
        self.since = after
        """The tail holds everything behind this event, up to `read_to`."""
        self.read_to = after
        self.tail: deque[EventFacts] = deque()
        self.is_over = False
        self.is_gone = False
        self.is_closed = False

    def behind(self, after: int) -> list[EventFacts] | None:
        """The events behind `after`; None when the tail does not go back so far."""
        if after < self.since:
            return None
        return [event for event in self.tail if event.seq > after]

    def take(self, found: Followed | None, mark: Mark) -> None:
        """What was read since; wakes whoever listens."""
        self.mark = mark
        if found is None:
            self.is_gone = True
        else:
            for event in found.events(self.read_to):
                self.tail.append(event)
                self.read_to = event.seq
            self.is_over = found.is_over
        while len(self.tail) > _TAIL:
            self.since = self.tail.popleft().seq
        self.wake()

    def wake(self) -> None:
        """Let whoever listens look."""
        for listener in self.listeners:
            listener.set()


class Watching:
    """The one poller of a process. It looks only while somebody listens."""

    def __init__(self, history: History, poll_s: float = 1.0) -> None:
        """`poll_s`: seconds between looks that no bell asked for."""
        self._history = history
        self._poll_s = poll_s
        self._jobs: dict[str, Watched] = {}
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.looks = 0

    @property
    def watched(self) -> int:
        """Jobs that somebody listens to."""
        return len(self._jobs)

    async def close(self) -> None:
        """End every stream where it is; idempotent. Whoever listens afterwards is served again."""
        for watched in self._jobs.values():
            watched.is_closed = True
            watched.wake()
        self._jobs.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=1.0)

    def stir(self, topic: str = "") -> None:
        """Something may have happened to a job; called when the bell rings and when this process wrote."""
        if self._jobs:
            self._rung.set()

    async def follow(self, job_id: str, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        """What happened behind event `after`, then what happens, until the job has ended; the port's."""
        async with aclosing(self.parts(job_id, after, silence_s=3600.0)) as parts:
            async for part in parts:
                for event in part:
                    yield JobEvent(event.seq, event.kind, event.at_ms, event.data)

    async def parts(
        self, job_id: str, after: int, *, silence_s: float, gone: asyncio.Event | None = None
    ) -> AsyncGenerator[list[EventFacts], None]:
        """The same in parts as they come, until `gone` is set; an empty one after each `silence_s`
        seconds."""
        wake = asyncio.Event()
        watched = self._join(job_id, after, wake)
        leaving = _wakes(gone, wake)
        try:
            while not (watched.is_closed or (gone is not None and gone.is_set())):
                wake.clear()  # before the look, so that nothing falls between
                found, is_over = await self._behind(watched, job_id, after)
                if found:
                    after = found[-1].seq
                    yield found
                if is_over:
                    return
                if not found and not await _wait(wake, silence_s):
                    yield []
        finally:
            if leaving is not None:
                leaving.cancel()
            self._leave(job_id, watched, wake)

    async def _behind(self, watched: Watched, job_id: str, after: int) -> tuple[list[EventFacts], bool]:
        if watched.is_gone:
            raise unknown_job()
        found = watched.behind(after) if watched.mark is not None else None
        if found is not None:
            return found, watched.is_over
        read = await self._history.follow(job_id, after)
        if read is None:
            raise unknown_job()
        return read.events(after), read.is_over

    def _join(self, job_id: str, after: int, wake: asyncio.Event) -> Watched:
        watched = self._jobs.get(job_id)
        if watched is None:
            watched = self._jobs[job_id] = Watched(after)
        watched.listeners.add(wake)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch(), name="holdfast:jobs watching")
        self._rung.set()
        return watched

    def _leave(self, job_id: str, watched: Watched, wake: asyncio.Event) -> None:
        watched.listeners.discard(wake)
        if not watched.listeners and self._jobs.get(job_id) is watched:
            del self._jobs[job_id]

    async def _watch(self) -> None:
        """Look, wait for the bell or the poll, look again; ends when nobody listens."""
        while self._jobs:
            self._rung.clear()
            try:
                await self.look()
            except Problem as problem:
                logger.warning("jobs cannot be watched just now: %s", problem.line())
            except Exception:
                logger.exception("a look at watched jobs failed; the next one is in %.3g s", self._poll_s)
            await asyncio.sleep(LEAST_PAUSE_S)
            await _wait(self._rung, self._poll_s)

    async def look(self) -> None:
        """One query over all that is watched; then the events of those that have moved."""
        self.looks += 1
        asked = dict(self._jobs)
        marks = await self._history.marks(list(asked))
        for job_id, watched in asked.items():
            mark = marks.get(job_id, _GONE)
            if mark != watched.mark:
                found = await self._history.follow(job_id, watched.read_to) if mark is not _GONE else None
                watched.take(found, mark)


def _wakes(gone: asyncio.Event | None, wake: asyncio.Event) -> "asyncio.Task[bool] | None":
    """Let `gone` set `wake` as well."""
    if gone is None:
        return None
    task = asyncio.get_running_loop().create_task(gone.wait())
    task.add_done_callback(lambda _: wake.set())
    return task


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Whether it was set within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
