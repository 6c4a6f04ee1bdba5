"""Jobs whose life a test leads by hand, on a real ledger."""

import itertools

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.jobs import JobSpec
from holdfast.ports.services import NoMeter
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.rules import states
from holdfast.rooms.jobs.rules.settings import Config
from holdfast.rooms.jobs.store.rows import Ended, NewJob, Progress

_numbers = itertools.count()


async def count(run, payload: dict) -> None: ...


class Lives:
    """A ledger, its parts, and a worker that does what it is told."""

    def __init__(self, ledger) -> None:
        self.clock = ManualClock()
        self.rung: list[str] = []
        self.jobs = JobsEngine(
            Config(),
            sql=ledger,
            clock=self.clock,
            ids=IdSource(7),
            figures=Figures(NoMeter()),
            ring=self.rung.append,
        )
        self.jobs.declare(JobSpec(name="count", run=count, payload=dict[str, int], attempts=5))
        self.store, self.upkeep = self.jobs.store, self.jobs.upkeep
        self.reading, self.history = self.jobs.reading, self.jobs.history
        self.decisions = self.jobs.decisions
        self._claimed = {}

    @property
    def now_ms(self) -> int:
        return int(self.clock.wall() * 1000)

    async def add(self, **more) -> str:
        known = {
            "id": f"job-{next(_numbers):08d}",
            "name": "count",
            "queue": "bulk",
            "lane": "100",
            "state": "available",
            "payload": '{"n":1}',
            "created_ms": self.now_ms,
            "run_at_ms": self.now_ms,
            "max_attempts": 5,
        }
        job = NewJob(**{**known, **more})
        assert await self.store.add(job)
        return job.id

    async def claim(self, job_id: str) -> bool:
        self.clock.advance(0.01)
        await self.store.promote(self.now_ms + 1_000_000)
        job = await self.store.claim_one(job_id, "w1", self.now_ms + 1_000_000)
        if job is not None:
            self._claimed[job_id] = job
        return job is not None

    async def progress(self, job_id: str, share: float = 0.5) -> None:
        job = self._claimed[job_id]
        self.clock.advance(0.01)
        floor = states.start_of(job.attempts) + 1
        told = Progress(
            job_id, job.fence, floor, "progress", self.now_ms, f'{{"progress":{share}}}', share, "on"
        )
        await self.store.follow([told], [])

    async def end(self, job_id: str, outcome: str = "succeeded", **more) -> None:
        job = self._claimed.pop(job_id)
        self.clock.advance(0.01)
        state = {"returned": "available", "lost": "available", "undoing": "available"}.get(outcome, outcome)
        known = {
            "id": job_id,
            "fence": job.fence,
            "attempt": job.attempts,
            "worker": "w1",
            "started_ms": job.started_ms,
            "now_ms": self.now_ms,
            "outcome": outcome,
            "state": state,
            "run_at_ms": self.now_ms,
            "counts": outcome != "returned",
            "crashed": outcome == "lost",
            "error_kind": "network" if outcome in ("retrying", "failed") else "",
            "error": "cut" if outcome in ("retrying", "failed") else "",
        }
        assert await self.store.follow([], [Ended(**{**known, **more})])

    async def dead(self, **more) -> str:
        job_id = await self.add(**more)
        assert await self.claim(job_id)
        await self.end(job_id, "failed", traceback="Traceback: 한글")
        return job_id

    async def kinds(self, job_id: str, after: int = 0) -> list[str]:
        return [event.kind for event in await self.events(job_id, after)]

    async def events(self, job_id: str, after: int = 0):
        found = await self.history.follow(job_id, after)
        return found.events(after)
