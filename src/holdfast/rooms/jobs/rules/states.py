"""The states of a job, which may follow which, and the events that a job's rows amount to.

Events are a view: queued, started and every attempt's end are derived from the job and its attempts;
progress, steps and decisions (cancelling, replayed, an end outside an attempt) are rows of their own. `seq`
is `attempt << 20 | n`: n = 0 is the start of an attempt, stored events of it follow, its end is n = 2^19, and
what is decided after that lies above. Before the first attempt, `queued` is 1. So what was seen once keeps
its number and nothing is ever put in before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

SCHEDULED = "scheduled"
AVAILABLE = "available"
RUNNING = "running"
RETRYING = "retrying"
SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELLED = "cancelled"

STATES = (SCHEDULED, AVAILABLE, RUNNING, RETRYING, SUCCEEDED, FAILED, CANCELLED)
WAITING = frozenset({SCHEDULED, AVAILABLE, RETRYING})
ENDED = frozenset({SUCCEEDED, FAILED, CANCELLED})

NEXT: dict[str, dict[str, str]] = {
    SCHEDULED: {
        AVAILABLE: "its time has come, what it waits for has ended, or somebody brings it forward",
        FAILED: "the job before it did not succeed",
        CANCELLED: "cancelled",
    },
    AVAILABLE: {RUNNING: "claimed", CANCELLED: "cancelled"},
    RUNNING: {
        SUCCEEDED: "it returned",
        RETRYING: "it failed and may be tried again",
        FAILED: "it failed for good, or its deadline had passed",
        CANCELLED: "cancelled, and rolled back",
        AVAILABLE: "given back at a stop, its worker died, or it is to be rolled back",
    },
    RETRYING: {
        AVAILABLE: "its time has come, or somebody brings it forward",
        CANCELLED: "cancelled",
    },
    FAILED: {AVAILABLE: "replayed", SCHEDULED: "replayed with others, at a rate", CANCELLED: "discarded"},
    CANCELLED: {AVAILABLE: "tried again"},
    SUCCEEDED: {},
}
"""The legal transitions, each with its reason."""

_STATUS = {
    SCHEDULED: "PENDING",
    AVAILABLE: "PENDING",
    RUNNING: "PROGRESS",
    RETRYING: "PROGRESS",
    SUCCEEDED: "SUCCESS",
    FAILED: "FAILURE",
    CANCELLED: "FAILURE",
}


def status_of(state: str) -> str:
    """The state for clients that know PENDING, PROGRESS, SUCCESS and FAILURE."""
    return _STATUS[state]


def may_become(state: str, after: str) -> bool:
    """Whether a job in `state` may be in `after` next."""
    return after in NEXT[state]


ATTEMPT_SHIFT = 20
END = 1 << (ATTEMPT_SHIFT - 1)
"""n of an attempt's end."""
MOST_STORED = END - 1
"""Stored events within one attempt; progress beyond them is not kept."""
QUEUED = 1


def start_of(attempt: int) -> int:
    """The seq of an attempt's start, and so the one that its stored events lie above."""
    return attempt << ATTEMPT_SHIFT


def end_of(attempt: int) -> int:
    """The seq of an attempt's end, and so the one that later decisions lie above."""
    return attempt << ATTEMPT_SHIFT | END


ATTEMPT_ENDS = {
    "succeeded": SUCCEEDED,
    "failed": FAILED,
    "cancelled": CANCELLED,
    "retrying": RETRYING,
    "undoing": RETRYING,
    "returned": RETRYING,
    "lost": RETRYING,
}
"""How an attempt ends, and the kind of the event that tells it. The first three ended the job. `retrying`: it
failed, `undoing`: it failed or was cancelled and is rolled back next, `returned`: its worker stopped, `lost`:
its worker died; in all of these the job goes on."""


class JobFacts(msgspec.Struct, frozen=True):
    """What of a job's row its events tell."""

    created_ms: int
    state: str
    attempt: int = 0
    """The newest attempt that was begun; 0: none."""
    started_ms: int | None = None
    """When that one began."""
    ended_ms: int | None = None
    ended: Mapping[str, Any] = {}
    """What the event of an end outside an attempt tells."""


class AttemptFacts(msgspec.Struct, frozen=True):
    """An attempt that has ended."""

    attempt: int
    started_ms: int
    ended_ms: int
    outcome: str
    data: Mapping[str, Any] = {}


class EventFacts(msgspec.Struct, frozen=True):
    """One event; those that are stored look like those that are derived."""

    seq: int
    kind: str
    at_ms: int
    data: Mapping[str, Any] = {}


def events_of(
    job: JobFacts, attempts: Sequence[AttemptFacts], stored: Iterable[EventFacts], after: int = 0
) -> list[EventFacts]:
    """The events of a job in order, those after seq `after`.

    All three are of one snapshot; `stored` may leave out events up to `needed_after`. What was given once is
    given again, the same and in the same place, as the job goes on: a later call only adds to the end. An end
    outside an attempt follows from the row, as the last event; whoever replays such a job stores it first.
    """
    kept = sorted(stored, key=lambda event: event.seq)
    told, is_whole = _told(job, {one.attempt: one for one in attempts}, kept)
    if is_whole and job.state in ENDED and told[-1].kind not in ENDED:
        seq = max(told[-1].seq, end_of(job.attempt)) + 1
        told.append(EventFacts(seq, job.state, job.ended_ms or told[-1].at_ms, job.ended))
    return [event for event in told if event.seq > after]


def needed_after(after: int, attempt: int) -> int:
    """The seq after which stored events are needed to tell those after `after`, at this newest attempt."""
    return min(after, end_of(attempt))


def _told(
    job: JobFacts, ended: Mapping[int, AttemptFacts], kept: Sequence[EventFacts]
) -> tuple[list[EventFacts], bool]:
    """What can be told, and whether it is everything up to the job's present state."""
    told = [EventFacts(QUEUED, "queued", job.created_ms)]
    told += _between(kept, QUEUED, start_of(1))
    for attempt in range(1, job.attempt + 1):
        end = ended.get(attempt)
        if end is None and attempt < job.attempt:
            return told, False
        begun_ms = end.started_ms if end else job.started_ms or job.created_ms
        told.append(EventFacts(start_of(attempt), "started", begun_ms, {"attempt": attempt}))
        told += _between(kept, start_of(attempt), end_of(attempt))
        if end is None:
            return told, False
        data = {"attempt": attempt, **end.data}
        told.append(EventFacts(end_of(attempt), ATTEMPT_ENDS.get(end.outcome, RETRYING), end.ended_ms, data))
        told += _between(kept, end_of(attempt), start_of(attempt + 1))
    return told, True


def _between(kept: Sequence[EventFacts], above: int, below: int) -> list[EventFacts]:
    return [event for event in kept if above < event.seq < below]
