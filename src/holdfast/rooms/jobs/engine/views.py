"""Jobs as they are shown, and what happened to them, from the rows."""

from typing import Any

from holdfast.kernel.codec import decode_json
from holdfast.ports.jobs import JobEvent, JobView
from holdfast.rooms.jobs.rules import states
from holdfast.rooms.jobs.rules.fairness import priority_of
from holdfast.rooms.jobs.rules.states import AttemptFacts, EventFacts, JobFacts
from holdfast.rooms.jobs.store.reading import Reading, Stored
from holdfast.rooms.jobs.store.rows import Attempt, Told
from holdfast.rooms.jobs.store.tables import NEVER_MS

_TRIES = 5


def view_of(row: Stored) -> JobView:
    """The job as everyone may see it."""
    return JobView(
        id=row.id,
        name=row.name,
        queue=row.queue,
        state=row.state,
        status=states.status_of(row.state),
        tenant=row.tenant,
        user=row.owner,
        priority=priority_of(row.lane),
        progress=row.progress,
        message=row.message,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        cancel_requested=row.cancel_ms is not None,
        error_kind=row.error_kind,
        error=row.error,
        result=None if row.result is None else decode_json(row.result),
        created_ms=row.created_ms,
        run_at_ms=0 if row.run_at_ms == NEVER_MS else row.run_at_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        batch=row.batch,
    )


class Snapshot:
    """A job with its attempts and stored events, as one moment saw them."""

    __slots__ = ("attempts", "row", "told")

    def __init__(self, row: Stored, attempts: list[Attempt], told: list[Told]) -> None:
        self.row = row
        self.attempts = attempts
        self.told = told

    def events(self, after: int) -> list[JobEvent]:
        """What happened after event `after`, in order."""
        row = self.row
        job = JobFacts(
            row.created_ms,
            row.state,
            row.attempts,
            row.started_ms,
            row.ended_ms,
            _said(row.error_kind, row.error),
        )
        ended = [
            AttemptFacts(
                one.attempt, one.started_ms, one.ended_ms, one.outcome, _said(one.error_kind, one.error)
            )
            for one in self.attempts
        ]
        stored = [EventFacts(one.seq, one.kind, one.at_ms, decode_json(one.data)) for one in self.told]
        found = states.events_of(job, ended, stored, after)
        return [JobEvent(each.seq, each.kind, each.at_ms, each.data) for each in found]


async def snapshots(reading: Reading, wanted: dict[str, int]) -> dict[str, Snapshot]:
    """The jobs of `wanted` (id to the event after which is asked), those that there are.

    Three tables are read one after the other; a job that went on meanwhile is read again.
    """
    found: dict[str, Snapshot] = {}
    left = dict(wanted)
    for _ in range(_TRIES):
        if not left:
            break
        ids = list(left)
        before = await reading.some(ids)
        attempts = await reading.attempts(ids)
        least = (
            min(
                states.needed_after(after, before[job].attempts)
                for job, after in left.items()
                if job in before
            )
            if before
            else 0
        )
        told = await reading.events(ids, least)
        now = await reading.some(ids)
        for job in ids:
            row, again = before.get(job), now.get(job)
            if again is None:
                del left[job]
            elif row is not None and _place(row) == _place(again):
                found[job] = Snapshot(again, attempts.get(job, []), told.get(job, []))
                del left[job]
    return found


def _place(row: Stored) -> tuple[Any, ...]:
    return row.fence, row.state, row.attempts, row.ended_ms


def _said(kind: str, error: str) -> dict[str, Any]:
    return {"error_kind": kind, "error": error} if kind else {}
