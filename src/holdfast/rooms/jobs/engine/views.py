"""Jobs as they are shown: to their owner, and to an administrator."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.kernel.codec import decode_json
from holdfast.ports.jobs import JobView
from holdfast.rooms.jobs.rules.fairness import priority_of
from holdfast.rooms.jobs.rules.states import status_of
from holdfast.rooms.jobs.store.reading import Stored
from holdfast.rooms.jobs.store.rows import Attempt, Worker
from holdfast.rooms.jobs.store.tables import NEVER_MS


class Whole(msgspec.Struct, frozen=True):
    """A job with everything that its row and its attempts hold."""

    job: JobView
    payload: Any
    version: int
    crashes: int
    worker: str
    unique_key: str | None
    deadline_ms: int | None
    cancel_reason: str
    waits_for: str
    """The job or the batch that has to end first; empty for none."""
    trace: str
    attempts: tuple[Attempt, ...]
    """Those that have ended, each with its error and its traceback."""


class Listing(msgspec.Struct, frozen=True):
    """Jobs, the newest first, and where the list goes on."""

    jobs: tuple[JobView, ...]
    next_before: str | None = None
    """Send it as `before` to get the rest; null when there is none."""


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, as it told of itself with its last heartbeat."""

    id: str
    engine: str
    host: str
    pid: int
    queues: tuple[str, ...]
    started_ms: int
    heartbeat_age_s: float
    alive: bool
    """Whether its lease holds. One whose lease is over may be cut off; its jobs are given away."""
    stopping: bool
    facts: Mapping[str, Any] = {}
    """Jobs at hand, jobs done, their rate, memory."""


def view_of(row: Stored) -> JobView:
    """The job as everyone may see it."""
    return JobView(
        id=row.id,
        name=row.name,
        queue=row.queue,
        state=row.state,
        status=status_of(row.state),
        tenant=row.tenant,
        user=row.owner,
        priority=priority_of(row.lane),
        progress=row.progress,
        message=row.message,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        cancel_requested=row.cancel_ms is not None or row.ending == "cancelled",
        error_kind=row.error_kind,
        error=row.error,
        result=None if row.result is None else decode_json(row.result),
        created_ms=row.created_ms,
        run_at_ms=0 if row.run_at_ms == NEVER_MS else row.run_at_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        batch=row.batch,
    )


def whole_of(row: Stored, attempts: Sequence[Attempt]) -> Whole:
    """The job as an administrator sees it."""
    return Whole(
        job=view_of(row),
        payload=payload_of(row.payload),
        version=row.version,
        crashes=row.crashes,
        worker=row.worker,
        unique_key=row.unique_key,
        deadline_ms=row.deadline_ms,
        cancel_reason=row.cancel_reason,
        waits_for=row.after_job or row.after_batch,
        trace=row.trace,
        attempts=tuple(attempts),
    )


def payload_of(raw: str) -> Any:
    """A payload for people; one that is no JSON is shown as the text that it is."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def listing(rows: Sequence[Stored], most: int) -> Listing:
    """Up to `most` of these; one more than that says that there are more."""
    part = rows[:most]
    return Listing(tuple(map(view_of, part)), part[-1].id if len(rows) > most else None)


def worker_of(row: Worker, now_ms: int) -> WorkerView:
    """The worker, seen at `now_ms`."""
    facts = payload_of(row.facts)
    return WorkerView(
        id=row.id,
        engine=row.engine,
        host=row.host,
        pid=row.pid,
        queues=tuple(filter(None, row.queues.split(","))),
        started_ms=row.started_ms,
        heartbeat_age_s=max(0.0, (now_ms - row.beat_ms) / 1000),
        alive=row.lease_until_ms >= now_ms,
        stopping=bool(row.stopping),
        facts=facts if isinstance(facts, dict) else {},
    )
