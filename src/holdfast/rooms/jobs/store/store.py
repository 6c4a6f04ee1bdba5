"""The life of jobs in the database: one method a step, each one trip."""

from collections.abc import Sequence

import msgspec

from holdfast.kernel.errors import Conflict
from holdfast.ports.storage import Ledger, Parameters, Row, Step, Transaction
from holdfast.rooms.jobs.store import statements as say
from holdfast.rooms.jobs.store.rows import Claimed, Compensation, Ended, NewJob, Progress

FIRST, LAST = "", "x"
"""Every lane lies between these: a lane begins with three digits."""
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
_LANES = 256
"""Lanes looked at in one claim; with more tenants waiting, the next claim goes on behind the last."""
_PART = 500


class Store:
    """Adds, claims, follows and ends jobs."""

    def __init__(self, sql: Ledger) -> None:
        self.sql = sql

    # -- adding -----------------------------------------------------------------------------------

    async def add(self, job: NewJob) -> bool:
        """False when a job has its unique key, or its repeat key: `holder` tells which."""
        return bool(await self.sql.fetch(say.ADD, added(job)))

    async def add_all(self, jobs: Sequence[NewJob], within: Transaction | None = None) -> set[str]:
        """The ids of those that were added, all in one transaction, or `within` the caller's."""
        if within is None:
            found = await self.sql.together([(say.ADD, [added(job) for job in jobs])])
            return {str(row[0]) for row in found[0]}
        rows = [row for job in jobs for row in await within.fetch(say.ADD, added(job))]
        return {str(row[0]) for row in rows}

    async def holder(
        self, unique_key: str | None, repeat_key: str | None, within: Transaction | None = None
    ) -> tuple[str, str, str | None] | None:
        """Id, digest and repeat key of the job that has one of these keys."""
        rows = await (within or self.sql).fetch(
            say.HOLDER, {"unique_key": unique_key, "repeat_key": repeat_key}
        )
        return (str(rows[0][0]), str(rows[0][1]), rows[0][2]) if rows else None

    async def drop_repeat_keys(self, before_ms: int) -> int:
        """Idempotency keys of jobs enqueued before that are free again."""
        return await self.sql.run(say.DROP_REPEAT_KEYS, {"before_ms": before_ms})

    # -- claiming ---------------------------------------------------------------------------------

    async def lanes(self, queue: str, after: str = FIRST, below: str = LAST) -> list[str]:
        """Lanes of the queue with work ready, in order; read without a lock, so a claim may find less."""
        rows = await self.sql.fetch(
            say.LANES, {"queue": queue, "after": after, "below": below, "most": _LANES}
        )
        return [str(row[0]) for row in rows]

    async def claim_one(self, job_id: str, worker: str, now_ms: int) -> Claimed | None:
        """This job, if it is ready and its queue is not paused."""
        found = _claimed(
            await self.sql.fetch(say.CLAIM_ONE, {"which": job_id, "by": worker, "now_ms": now_ms})
        )
        return found[0] if found else None

    async def promote(self, now_ms: int) -> set[str]:
        """Make what is due available, a part at a time; the queues that have more work now."""
        rows = await self.sql.fetch(say.PROMOTE, {"now_ms": now_ms, "most": _PART})
        return {str(row[0]) for row in rows}

    async def next_due_ms(self) -> int | None:
        """When the next scheduled or retrying job is due; None when there is none."""
        due = (await self.sql.fetch(say.NEXT_DUE))[0][0]
        return None if due is None else int(due)

    # -- running ----------------------------------------------------------------------------------

    async def follow(self, progress: Sequence[Progress], ends: Sequence[Ended]) -> set[str]:
        """Write progress and then ends, all in one transaction; the ids whose fence was still good.

        Ends may be written again after a failure that left it open whether they were: then none of them is
        good, and nothing is written twice.
        """
        plan = _following(progress, ends)
        return _good(await self.sql.together(plan), progress, ends) if plan else set()

    async def turn(
        self,
        progress: Sequence[Progress],
        ends: Sequence[Ended],
        shares: Sequence[tuple[str, str, int]],
        worker: str,
        now_ms: int,
    ) -> tuple[set[str], list[Claimed]]:
        """`follow`, and claims for the price of one transaction.

        Of each queue and lane up to so many jobs, the oldest first; none of a paused queue.
        """
        plan = _following(progress, ends)
        if shares:
            rows = [
                {"queue": queue, "lane": lane, "most": most, "by": worker, "now_ms": now_ms}
                for queue, lane, most in shares
            ]
            plan.append((say.CLAIM, rows))
        if not plan:
            return set(), []
        found = await self.sql.together(plan)
        return _good(found, progress, ends), _claimed(found[-1]) if shares else []

    async def add_step(self, job_id: str, fence: int, name: str, result: str, at_ms: int) -> bool:
        """A finished step's result, for later attempts; False when the job is not this worker's any more."""
        row = {"which": job_id, "under": fence, "named": name, "gave": result, "at_ms": at_ms}
        try:
            return await self.sql.run(say.ADD_STEP, row) == 1
        except Conflict:
            return True

    async def steps(self, job_id: str) -> dict[str, str]:
        """Name and result of the steps that finished."""
        return {str(name): str(gave) for name, gave in await self.sql.fetch(say.STEPS, {"job_id": job_id})}

    async def add_compensation(self, job_id: str, fence: int, name: str, payload: str) -> bool:
        """What is to be undone if the job does not succeed; False when it is not this worker's any more."""
        mine = {"which": job_id, "under": fence}
        found = await self.sql.together(
            [
                (say.ADD_COMPENSATION, [{**mine, "undone_by": name, "given": payload}]),
                (say.HAS_UNDO, [mine]),
            ]
        )
        return bool(found[1])

    async def compensations(self, job_id: str) -> list[Compensation]:
        """In the order in which they are to run: the last first."""
        rows = await self.sql.fetch(say.COMPENSATIONS, {"job_id": job_id})
        return [Compensation(*row) for row in rows]

    async def compensated(self, job_id: str, fence: int, ordinal: int, outcome: str, error: str) -> bool:
        """What became of one of them."""
        row = {"which": job_id, "under": fence, "number": ordinal, "became": outcome, "said": error}
        return await self.sql.run(say.COMPENSATED, row) == 1

    # -- what waits for others --------------------------------------------------------------------

    async def settle_followers(self, now_ms: int) -> set[str]:
        """Release what waited for a job that succeeded or a batch that ended, fail what waited in vain.

        Asked after an end that others wait for, and from time to time: it is a query, not a message that
        could be lost. The queues that have more work now.
        """
        now = {"now_ms": now_ms}
        while await self.sql.fetch(say.FAIL_NEXT, now):
            pass
        found = await self.sql.together([(say.RELEASE_NEXT, [now]), (say.RELEASE_BATCHES, [now])])
        return {str(row[0]) for rows in found for row in rows}

    async def batch(self, batch: str) -> dict[str, int]:
        """How many jobs of a batch are in which state."""
        return {str(state): int(n) for state, n in await self.sql.fetch(say.BATCH, {"batch": batch})}

    # -- decisions --------------------------------------------------------------------------------

    async def cancel(self, job_id: str, why: str, now_ms: int) -> str:
        """ "cancelled" when it waited, "rolling back" when it waited with something to undo, "asked" when it
        runs, "" when it had ended."""
        row = {"which": job_id, "why": why, "now_ms": now_ms}
        found = await self.sql.together(
            [(say.CANCEL_WAITING, [row]), (say.UNDO_WAITING, [row]), (say.CANCEL_RUNNING, [row])]
        )
        words = ("cancelled", "rolling back", "asked")
        return next((word for word, rows in zip(words, found, strict=True) if rows), "")

    async def retry_now(self, job_id: str, now_ms: int) -> str:
        """Let a job that waits for its time run at once; its queue, "" when it does not wait so."""
        rows = await self.sql.fetch(say.RETRY_NOW, {"which": job_id, "now_ms": now_ms})
        return str(rows[0][0]) if rows else ""

    async def tell(
        self, job_id: str, *, attempts: int, running: bool, floor: int, kind: str, at_ms: int, data: str
    ) -> bool:
        """An event of a decision, numbered `floor` or higher; False when the job has gone on meanwhile."""
        row = {
            "which": job_id,
            "seen_attempts": attempts,
            "seen_running": int(running),
            "floor": floor,
            "kind": kind,
            "at_ms": at_ms,
            "data": data,
        }
        return bool(await self.sql.fetch(say.TELL, row))


def added(job: NewJob) -> Parameters:
    """The row that ADD takes; a caller's own connection inserts the same."""
    return msgspec.structs.asdict(job)


def _following(progress: Sequence[Progress], ends: Sequence[Ended]) -> list[Step]:
    plan: list[Step] = []
    if progress:
        plan.append((say.TELL_RUNNING, [_told(each) for each in progress]))
        plan.append((say.SHOW_PROGRESS, [_shown(each) for each in progress]))
    if ends:
        # What a shutdown gave back was no attempt: its number comes again.
        plan.append((say.ADD_ATTEMPT, [_attempt(each) for each in ends]))
        plan.append((say.END, [_end(each) for each in ends]))
    return plan


def _good(found: Sequence[Sequence[Row]], progress: Sequence[Progress], ends: Sequence[Ended]) -> set[str]:
    """The ids of those whose fence was still good, of what `_following` planned."""
    good = {str(row[0]) for row in found[1]} if progress else set()
    if ends:
        good |= {str(row[0]) for row in found[3 if progress else 1]}
    return good


def _claimed(rows: Sequence[Row]) -> list[Claimed]:
    found = [Claimed(*row) for row in rows]
    if len(found) > 1:
        found.sort(key=_turn)
    return found


def _turn(job: Claimed) -> tuple[str, int, str]:
    return job.lane[:3], job.run_at_ms, job.id


def _told(each: Progress) -> Parameters:
    return {
        "which": each.id,
        "under": each.fence,
        "floor": each.floor,
        "kind": each.kind,
        "at_ms": each.at_ms,
        "data": each.data,
    }


def _shown(each: Progress) -> Parameters:
    return {"which": each.id, "under": each.fence, "share": each.share, "said": each.message}


def _attempt(each: Ended) -> Parameters:
    return {
        "which": each.id,
        "under": each.fence,
        "attempt": each.attempt,
        "by": each.worker,
        "begun_ms": each.started_ms,
        "now_ms": each.now_ms,
        "outcome": each.outcome,
        "kind": each.error_kind,
        "said": each.error,
        "trace_back": each.traceback,
    }


def _end(each: Ended) -> Parameters:
    return {
        "which": each.id,
        "under": each.fence,
        "becomes": each.state,
        "next_ms": each.run_at_ms,
        "over": int(each.state in TERMINAL),
        "now_ms": each.now_ms,
        "uncounted": int(not each.counts),
        "crashed": int(each.crashed),
        "kind": each.error_kind,
        "said": each.error,
        "ending": each.ending,
        "gave": each.result,
        "until_ms": each.result_until_ms,
    }
