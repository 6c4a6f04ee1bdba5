"""A message has come: claim its job, run it like any other, and say how it ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.rooms.jobs.engine.worker import Worker
from holdfast.rooms.jobs.rules import states
from holdfast.rooms.jobs.store.rows import Claimed, Ended
from holdfast.rooms.jobs.store.store import Store

logger = logging.getLogger("holdfast.jobs")

DROPPED = "dropped"
"""Nobody's business any more: claimed, ended, unknown, not due, lost since, or its queue is paused."""
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0, 5.0)
"""While the ledger does not answer, the message is kept: else a queue would drain into nothing."""


class Took(msgspec.Struct, frozen=True):
    """What became of a message: the state that its job went into, or `dropped`."""

    state: str
    error_kind: str = ""
    error: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in states.ENDED


class Taker:
    """Gives the jobs of messages to a worker that claims nothing by itself. In the worker's loop."""

    def __init__(
        self, worker: Worker, store: Store, clock: Clock, stop: Callable[[], Awaitable[None]]
    ) -> None:
        self._worker = worker
        self._store = store
        self._clock = clock
        self._stop = stop
        self._stopping = False

    async def take(self, job_id: str) -> Took:
        """Claim this job and run one attempt; its end stands in the ledger when this returns."""
        ended: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()
        with self._worker.unanswered.asking():
            job = await self._claim(job_id)
            if job is None:
                return Took(DROPPED)
            self._worker.begin(job, _settle(ended))
        row = await ended
        return Took(DROPPED) if row is None else Took(row.state, row.error_kind, row.error)

    async def drain(self) -> None:
        """Take no more; what runs has the grace to end, then it is given back as if it had not been begun."""
        self._stopping = True
        await self._stop()

    async def _claim(self, job_id: str) -> Claimed | None:
        for pause_s in (*_PAUSES_S, 0.0):
            if self._has_stopped():
                return None
            try:
                job = await self._store.claim_one(job_id, self._worker.id, int(self._clock.wall() * 1000))
            except Problem as problem:
                logger.warning("job %s is not claimed yet: %s", job_id, problem.line())
                await asyncio.sleep(pause_s)
                continue
            if job is not None and self._has_stopped():
                self._worker.give_back(job)
                return None
            return job
        return None

    def _has_stopped(self) -> bool:
        return self._stopping


def _settle(ended: "asyncio.Future[Ended | None]") -> Callable[[Ended | None], None]:
    def told(row: Ended | None) -> None:
        if not ended.done():
            ended.set_result(row)

    return told
