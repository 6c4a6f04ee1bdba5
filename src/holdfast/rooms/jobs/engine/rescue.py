"""Jobs of workers that died go back: a query that is repeated, never a list."""

import logging
from collections.abc import Callable, Sequence

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.ports.presence import Presence
from holdfast.rooms.jobs.engine.catalogue import Catalogue
from holdfast.rooms.jobs.engine.completer import lost_row
from holdfast.rooms.jobs.engine.figures import Figures
from holdfast.rooms.jobs.rules import liveness
from holdfast.rooms.jobs.rules.kinds import Kinds
from holdfast.rooms.jobs.store.rows import Claimed, Worker
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.upkeep import Upkeep

logger = logging.getLogger("holdfast.jobs")

LOOK_S = 0.2
_STRAYS_EVERY = 25
"""Looks between two for jobs under workers that have no row: somebody removed it by hand."""
_TIMEOUT_S = 600.0
"""Of a job that this process does not know."""
_PART = 200


class Rescue:
    """Looks after the others."""

    def __init__(
        self,
        own: str,
        host: str,
        *,
        store: Store,
        upkeep: Upkeep,
        presence: Presence,
        catalogue: Catalogue,
        table: Kinds,
        clock: Clock,
        figures: Figures,
        lease_s: float,
        max_crashes: int,
        ring: Callable[[str], None],
        settle: Callable[[], None],
        buried: Callable[[], None],
    ) -> None:
        self.alive: list[Worker] = []
        """Workers that were alive at the last look, this process's own included."""
        self._own = own
        self._host = host
        self._store = store
        self._upkeep = upkeep
        self._presence = presence
        self._catalogue = catalogue
        self._table = table
        self._clock = clock
        self._figures = figures
        self._lease_s = lease_s
        self._max_crashes = max_crashes
        self._ring = ring
        self._settle = settle
        self._buried = buried
        self._heard: dict[str, tuple[int, float]] = {}
        """Of each worker: its last beat, and when it was first seen here: by no clock of another host."""
        self._looks = 0

    async def look(self) -> int:
        """Give back what the dead have left; how many jobs."""
        workers = await self._upkeep.workers()
        others = [worker for worker in workers if worker.id != self._own]
        free = set(await self._presence.free([worker.id for worker in others])) if others else set()
        rescued = 0
        dead: set[str] = set()
        for worker in others:
            found = self._verdict(worker, worker.id in free)
            if found == liveness.DEAD:
                dead.add(worker.id)
                rescued += await self._bury(worker)
            elif found == liveness.SILENT:
                rescued += await self._take(await self._overdue(worker))
        self._heard = {worker.id: self._heard[worker.id] for worker in others if worker.id in self._heard}
        self.alive = [worker for worker in workers if worker.id not in dead]
        if dead:
            self._buried()
        if self._looks % _STRAYS_EVERY == 0:
            rescued += await self._take_strays(frozenset(worker.id for worker in workers))
        self._looks += 1
        return rescued

    def _verdict(self, worker: Worker, lock_is_free: bool) -> str:
        now = self._clock.monotonic()
        beat, since = self._heard.get(worker.id, (-1, now))
        if beat != worker.beat_ms:
            since = now
            self._heard[worker.id] = (worker.beat_ms, now)
        return liveness.verdict(
            lock_is_free=lock_is_free,
            silent_s=now - since,
            lease_s=self._lease_s,
            same_host=worker.host == self._host,
        )

    async def _bury(self, worker: Worker) -> int:
        """Give back all that the worker held; its row goes only when nothing is left under it."""
        count, after, whole = 0, "", True
        while jobs := await self._upkeep.left_by(worker.id, after, _PART):
            after = jobs[-1].id
            taken = await self._take(jobs)
            whole = whole and taken == len(jobs)
            count += taken
        if whole or not await self._upkeep.left_by(worker.id):
            await self._upkeep.remove_worker(worker.id)
        logger.warning(
            "worker %s (%s, pid %d) is dead: %d jobs were given back",
            worker.id,
            worker.host,
            worker.pid,
            count,
        )
        return count

    async def _overdue(self, worker: Worker) -> list[Claimed]:
        now_ms = int(self._clock.wall() * 1000)
        return [
            job
            for job in await self._upkeep.left_by(worker.id)
            if liveness.is_overdue(job.started_ms, self._timeout_of(job), now_ms, self._lease_s)
        ]

    def _timeout_of(self, job: Claimed) -> float:
        declared = self._catalogue.get(job.name)
        return _TIMEOUT_S if declared is None else declared.spec.timeout_s

    async def _take_strays(self, known: frozenset[str]) -> int:
        jobs = [job for job in await self._upkeep.strays() if job.worker not in known]
        return await self._take(jobs)

    async def _take(self, jobs: Sequence[Claimed]) -> int:
        """Give these back; one whose row makes trouble is left for the next look, and holds up no other."""
        if not jobs:
            return 0
        now_ms = int(self._clock.wall() * 1000)
        rows = [lost_row(job, self._table, now_ms, self._max_crashes) for job in jobs]
        try:
            good = await self._store.follow([], rows)
        except Problem:
            if len(jobs) == 1:
                logger.exception("job %s could not be given back; it is tried again", jobs[0].id)
                return 0
            half = len(jobs) // 2
            return await self._take(jobs[:half]) + await self._take(jobs[half:])
        for queue in {job.queue for job, row in zip(jobs, rows, strict=True) if row.state == "available"}:
            self._ring(queue)
        if any(job.batch for job in jobs):
            self._settle()
        self._figures.rescued(len(good))
        return len(good)
