"""Who watches jobs: one look at the database for all that are watched, however many listen."""

import asyncio
from collections.abc import AsyncGenerator

from holdfast.ports.jobs import JobEvent
from holdfast.rooms.jobs.engine.views import snapshots
from holdfast.rooms.jobs.rules.problems import unknown_job
from holdfast.rooms.jobs.store.reading import Reading

LOOK_S = 0.1
"""Least pause between two looks; progress is kept no more often."""
POLL_S = 1.0
_PART = 200


class Watcher:
    """One who listens to one job."""

    __slots__ = ("after", "events", "gone", "id", "poked")

    def __init__(self, job_id: str, after: int) -> None:
        self.id = job_id
        self.after = after
        self.events: list[JobEvent] = []
        self.gone = False
        self.poked = asyncio.Event()


class Watching:
    """Reads what happened to the jobs that somebody watches."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._watchers: set[Watcher] = set()
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def stir(self) -> None:
        """Something was written."""
        if self._watchers:
            self._stirred.set()

    async def follow(self, job_id: str, after: int) -> AsyncGenerator[JobEvent, None]:
        """Events after `after` until the last; raises UnknownJob, and ends where the job is removed."""
        watcher = Watcher(job_id, after)
        found = await snapshots(self._reading, {job_id: after})
        if job_id not in found:
            raise unknown_job()
        self._give(watcher, found[job_id].events(after))
        self._watchers.add(watcher)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="holdfast:jobs watching")
        try:
            while True:
                events, watcher.events = watcher.events, []
                for event in events:
                    yield event
                    if event.is_last:
                        return
                if watcher.gone:
                    return
                if not watcher.events:
                    watcher.poked.clear()
                    await watcher.poked.wait()
        finally:
            self._watchers.discard(watcher)

    async def close(self) -> None:
        """End all watching."""
        for watcher in self._watchers:
            watcher.gone = True
            watcher.poked.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _look(self) -> None:
        while self._watchers:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._stirred.wait()
            except TimeoutError:
                pass
            self._stirred.clear()
            try:
                await self._read()
            except Exception:  # noqa: BLE001 - the database may be away for a while; who watches waits on
                self._stirred.set()
            await asyncio.sleep(LOOK_S)

    async def _read(self) -> None:
        watchers = list(self._watchers)
        wanted: dict[str, int] = {}
        for watcher in watchers:
            wanted[watcher.id] = min(watcher.after, wanted.get(watcher.id, watcher.after))
        ids = list(wanted)
        for start in range(0, len(ids), _PART):
            part = {job: wanted[job] for job in ids[start : start + _PART]}
            found = await snapshots(self._reading, part)
            for watcher in watchers:
                if watcher.id in found:
                    self._give(watcher, found[watcher.id].events(watcher.after))
                elif watcher.id in part and await self._reading.one(watcher.id) is None:
                    watcher.gone = True
                    watcher.poked.set()

    def _give(self, watcher: Watcher, events: list[JobEvent]) -> None:
        if events:
            watcher.after = events[-1].seq
            watcher.events += events
            watcher.poked.set()
