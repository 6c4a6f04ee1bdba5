"""What becomes of a job when an attempt at it ends, however it ends."""

from collections.abc import Mapping

import msgspec

from holdfast.rooms.jobs.rules import kinds, states
from holdfast.rooms.jobs.rules.failures import Failure
from holdfast.rooms.jobs.rules.kinds import Kinds, Policy
from holdfast.rooms.jobs.rules.retrying import Dead, decide


class Succeeded(msgspec.Struct, frozen=True):
    """The function returned."""


class Failed(msgspec.Struct, frozen=True):
    """The function raised, or its attempt ran out of time."""

    failure: Failure


class Stopped(msgspec.Struct, frozen=True):
    """It left because it was asked to: JobCancelled, or ended by force."""


class GivenBack(msgspec.Struct, frozen=True):
    """Its worker stops: the attempt was interrupted and is no fault of the job's."""


class Lost(msgspec.Struct, frozen=True):
    """Its worker died. The attempt was counted when it was claimed, so it counts."""


HowEnded = Succeeded | Failed | Stopped | GivenBack | Lost


class Facts(msgspec.Struct, frozen=True):
    """What of a job decides what becomes of it."""

    left: int
    """Attempts that it still has: `max_attempts - attempts` of its row."""
    declared: int
    """Attempts that its kind declares. Which retry is next follows from both, also after a replay."""
    crashes: int = 0
    """Workers that died of it, this one included."""
    cancel_requested: bool = False
    deadline_ms: int | None = None
    undo: bool = False
    """Whether an attempt has left something to roll back."""
    run_at_ms: int = 0
    """When it was due: its place in its lane, which an interruption does not cost it."""

    @property
    def used(self) -> int:
        """The number of the attempt that has ended, counted since it was enqueued or replayed."""
        return max(1, self.declared - self.left)


class Outcome(msgspec.Struct, frozen=True):
    """What is written down: the job's next state and the attempt's end."""

    state: str
    """succeeded, retrying, failed, cancelled or available."""
    outcome: str
    """Of the attempt, a word of `states.ATTEMPT_ENDS`."""
    run_at_ms: int | None = None
    """Not before; only of `retrying` and `available`."""
    error_kind: str = ""
    error: str = ""
    why: str = ""
    """Why a job that failed is not tried again."""
    counts: bool = True
    """False: the attempt is not charged."""
    crashed: bool = False
    ending: str = ""
    """The job is made available to roll back; this is the state it ends in then."""


def outcome(
    ended: HowEnded,
    facts: Facts,
    table: Kinds,
    *,
    now_ms: int,
    draw: float,
    own: Mapping[str, Policy] | None = None,
    max_crashes: int = 3,
) -> Outcome:
    """Decide. `own` are the job's own retries by kind; `draw` a random number in [0, 1).

    Work that is done stays done, whatever was asked meanwhile; otherwise a request to cancel wins over every
    retry. A worker's death is retried at once, until `max_crashes` of them: then the job is a dead letter of
    kind `unknown`, for a process that was killed cannot say whether memory, a signal or a power cut did it.
    """
    if isinstance(ended, Succeeded):
        return Outcome(states.SUCCEEDED, "succeeded")
    if facts.cancel_requested or isinstance(ended, Stopped):
        return _cancelled(ended, facts, now_ms)
    if isinstance(ended, GivenBack):
        return Outcome(states.AVAILABLE, "returned", run_at_ms=facts.run_at_ms, counts=False)
    if isinstance(ended, Lost):
        return _lost(facts, now_ms, max_crashes)
    failure = ended.failure
    decided = decide(
        table.policy(failure.kind, own),
        used=facts.used,
        attempts=facts.used + max(0, facts.left),
        now_ms=now_ms,
        draw=draw,
        retry_after_s=failure.retry_after_s,
        deadline_ms=facts.deadline_ms,
    )
    if isinstance(decided, Dead):
        return _over(states.FAILED, failure.kind, failure.error, facts, now_ms, why=decided.why)
    return Outcome(
        states.RETRYING,
        "retrying",
        run_at_ms=decided.run_at_ms,
        error_kind=failure.kind,
        error=failure.error,
    )


def rolled_back(
    ended: HowEnded,
    ending: str,
    error_kind: str,
    error: str,
    *,
    crashes: int,
    now_ms: int,
    max_crashes: int = 3,
) -> Outcome:
    """What becomes of a job whose rollback run has ended: the state that it was to end in.

    A rollback that a stop or a death of the worker interrupted goes on elsewhere, what is undone stays
    undone. `crashes` counts all workers that died of the job, this one included; rolling back may cost as
    many as running.
    """
    lost = isinstance(ended, Lost)
    if isinstance(ended, GivenBack) or (lost and crashes < 2 * max_crashes):
        return Outcome(
            states.AVAILABLE,
            "lost" if lost else "returned",
            run_at_ms=now_ms,
            error_kind=error_kind,
            error=error,
            counts=lost,
            crashed=lost,
            ending=ending,
        )
    return Outcome(ending, ending, error_kind=error_kind, error=error, crashed=lost)


def overdue(now_ms: int, deadline_ms: int | None) -> Outcome | None:
    """What becomes of a job that is not begun because its deadline has passed; None while it may begin."""
    if deadline_ms is None or now_ms <= deadline_ms:
        return None
    return Outcome(
        states.FAILED,
        "failed",
        error_kind=kinds.DEADLINE,
        error="its deadline passed before it could begin",
    )


def _cancelled(ended: HowEnded, facts: Facts, now_ms: int) -> Outcome:
    kind, error = kinds.CANCELLED, ""
    if isinstance(ended, Failed):
        kind, error = ended.failure.kind, ended.failure.error
    elif isinstance(ended, Lost):
        kind, error = kinds.UNKNOWN, "its worker died"
    return _over(states.CANCELLED, kind, error, facts, now_ms, crashed=isinstance(ended, Lost))


def _lost(facts: Facts, now_ms: int, max_crashes: int) -> Outcome:
    if facts.crashes >= max_crashes:
        times = "once" if facts.crashes == 1 else f"{facts.crashes} times"
        return _over(states.FAILED, kinds.UNKNOWN, f"its worker died {times}", facts, now_ms, crashed=True)
    why = ""
    if facts.left <= 0:
        why = "it was its last attempt"
    elif facts.deadline_ms is not None and now_ms > facts.deadline_ms:
        why = "its deadline has passed"
    if why:
        return _over(
            states.FAILED, kinds.UNKNOWN, f"its worker died; {why}", facts, now_ms, why=why, crashed=True
        )
    return Outcome(
        states.AVAILABLE,
        "lost",
        run_at_ms=facts.run_at_ms,
        error_kind=kinds.UNKNOWN,
        error="its worker died",
        crashed=True,
    )


def _over(
    state: str, kind: str, error: str, facts: Facts, now_ms: int, *, why: str = "", crashed: bool = False
) -> Outcome:
    """The job's end, by way of a rollback where there is something to undo."""
    if facts.undo:
        return Outcome(
            states.AVAILABLE,
            "undoing",
            run_at_ms=now_ms,
            error_kind=kind,
            error=error,
            why=why,
            crashed=crashed,
            ending=state,
        )
    return Outcome(state, state, error_kind=kind, error=error, why=why, crashed=crashed)
