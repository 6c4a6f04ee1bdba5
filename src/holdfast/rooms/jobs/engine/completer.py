"""What ended, on its way into the database: all that ends while one write is under way goes into the next."""

from collections.abc import Callable, Sequence

import msgspec

from holdfast.kernel.event import JobRun
from holdfast.rooms.jobs.engine.attempt import CANCELLED, Attempt
from holdfast.rooms.jobs.engine.catalogue import Declared
from holdfast.rooms.jobs.engine.running import End
from holdfast.rooms.jobs.rules import outcomes, states
from holdfast.rooms.jobs.rules.failures import storable
from holdfast.rooms.jobs.rules.kinds import Kinds
from holdfast.rooms.jobs.rules.outcomes import Facts, Outcome
from holdfast.rooms.jobs.store.rows import Claimed, Ended, Progress

LONGEST_ERROR = 2_000


class Closing(msgspec.Struct, frozen=True, gc=False):
    """An end to be written, and what is told when it stands."""

    row: Ended
    job: Claimed
    record: JobRun | None
    told: Callable[[Ended | None], None] | None = None
    """Called when it is written, with None where it was not ours any more."""


class Unwritten:
    """What waits to be written, in order."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self.ends: list[Closing] = []

    def take(self) -> tuple[list[Progress], list[Closing]]:
        progress, self.progress = self.progress, []
        ends, self.ends = self.ends, []
        return progress, ends

    def put_back(self, progress: Sequence[Progress], ends: Sequence[Closing]) -> None:
        """What could not be written comes first the next time."""
        self.progress[:0] = progress
        self.ends[:0] = ends

    @property
    def is_empty(self) -> bool:
        return not (self.progress or self.ends)


class Deciding:
    """From how an attempt ended to what its row becomes."""

    def __init__(self, table: Kinds, *, worker: str, max_crashes: int, draw: Callable[[], float]) -> None:
        self._table = table
        self.worker = worker
        self._max_crashes = max_crashes
        self._draw = draw

    def of(self, attempt: Attempt, end: End, now_ms: int, declared: Declared | None) -> Ended:
        """The row of an attempt of this worker."""
        job = attempt.job
        if job.ending:
            return self._undone(job, end, now_ms)
        if end.overdue is None and isinstance(end.how, outcomes.Succeeded):
            ttl_s = declared.spec.result_ttl_s if declared is not None else 0.0
            return Ended(  # what nearly all attempts come to, without a detour
                id=job.id,
                fence=job.fence,
                attempt=job.attempts,
                worker=self.worker,
                started_ms=job.started_ms,
                now_ms=now_ms,
                outcome="succeeded",
                state=states.SUCCEEDED,
                run_at_ms=now_ms,
                result=end.result,
                result_until_ms=None if end.result is None else now_ms + int(ttl_s * 1000),
            )
        facts = facts_of(
            job,
            declared.spec.attempts if declared is not None else job.max_attempts,
            cancelled=attempt.stop == CANCELLED,
            undo=attempt.undo,
        )
        found = end.overdue or outcomes.outcome(
            end.how,
            facts,
            self._table,
            now_ms=now_ms,
            draw=self._draw(),
            own=declared.retries if declared is not None else None,
            max_crashes=self._max_crashes,
        )
        return row_of(job, found, now_ms, worker=self.worker, traceback=end.traceback)

    def _undone(self, job: Claimed, end: End, now_ms: int) -> Ended:
        """A rollback ends in what the job is to end in; what could not be undone is said beside its error."""
        said = f"{job.error}; not undone: {end.undone}" if end.undone else job.error
        found = outcomes.rolled_back(
            end.how,
            job.ending,
            job.error_kind,
            said[:LONGEST_ERROR],
            crashes=job.crashes,
            now_ms=now_ms,
            max_crashes=self._max_crashes,
        )
        return row_of(job, found, now_ms, worker=self.worker)


def facts_of(
    job: Claimed, declared: int, *, cancelled: bool = False, undo: bool = False, crashed: bool = False
) -> Facts:
    """What of the job's row decides what becomes of it; `declared` are the attempts of its kind."""
    return Facts(
        left=job.max_attempts - job.attempts,
        declared=declared,
        crashes=job.crashes + crashed,
        cancel_requested=cancelled or job.cancel_ms is not None,
        deadline_ms=job.deadline_ms,
        undo=undo,
        run_at_ms=job.run_at_ms,
    )


def row_of(job: Claimed, found: Outcome, now_ms: int, *, worker: str, traceback: str = "") -> Ended:
    """The row of an outcome. Its texts are made storable, whoever wrote them: a job, a library, a child."""
    error = f"{found.error} ({found.why})" if found.why and found.why not in found.error else found.error
    return Ended(
        id=job.id,
        fence=job.fence,
        attempt=job.attempts,
        worker=worker,
        started_ms=job.started_ms,
        now_ms=now_ms,
        outcome=found.outcome,
        state=found.state,
        run_at_ms=now_ms if found.run_at_ms is None else found.run_at_ms,
        counts=found.counts,
        crashed=found.crashed,
        error_kind=storable(found.error_kind),
        error=storable(error),
        traceback=storable(traceback),
        ending=found.ending,
    )


def lost_row(job: Claimed, table: Kinds, now_ms: int, max_crashes: int) -> Ended:
    """What becomes of a job whose worker died: given back, with the crash counted, or a dead letter."""
    if job.ending:
        found = outcomes.rolled_back(
            outcomes.Lost(),
            job.ending,
            job.error_kind,
            job.error,
            crashes=job.crashes + 1,
            now_ms=now_ms,
            max_crashes=max_crashes,
        )
    else:
        facts = facts_of(job, job.max_attempts, undo=bool(job.undo), crashed=True)
        found = outcomes.outcome(
            outcomes.Lost(), facts, table, now_ms=now_ms, draw=0.0, max_crashes=max_crashes
        )
    return row_of(job, found, now_ms, worker=job.worker)
