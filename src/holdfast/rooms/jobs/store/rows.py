"""What the store gives and takes, as values."""

import msgspec


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be added; columns that it leaves out begin at their default."""

    id: str
    name: str
    queue: str
    lane: str
    state: str
    payload: str
    created_ms: int
    run_at_ms: int
    max_attempts: int
    version: int = 1
    tenant: str = ""
    owner: str = ""
    deadline_ms: int | None = None
    unique_key: str | None = None
    repeat_key: str | None = None
    digest: str = ""
    batch: str = ""
    after_job: str = ""
    after_batch: str = ""
    trace: str = ""
    published_ms: int = -1


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """A job that this worker has just taken, in the order of `statements.TAKEN`."""

    id: str
    name: str
    queue: str
    lane: str
    version: int
    tenant: str
    owner: str
    payload: str
    created_ms: int
    run_at_ms: int
    deadline_ms: int | None
    started_ms: int
    attempts: int
    max_attempts: int
    crashes: int
    fence: int
    cancel_ms: int | None
    ending: str
    undo: int
    error_kind: str
    error: str
    batch: str
    after_job: str
    after_batch: str
    trace: str
    worker: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of an attempt: written only while the job runs under this fence."""

    id: str
    fence: int
    attempt: int
    worker: str
    started_ms: int
    now_ms: int
    outcome: str
    """As it stands with the attempt: a word of `rules.states.ATTEMPT_ENDS`."""
    state: str
    """The job's next: succeeded, failed, cancelled, retrying, available."""
    run_at_ms: int
    counts: bool = True
    """False gives the job one attempt more: a shutdown is nobody's failure. Its number is never given again,
    for the events of a job are numbered by it."""
    crashed: bool = False
    error_kind: str = ""
    error: str = ""
    traceback: str = ""
    result: str | None = None
    result_until_ms: int | None = None
    ending: str = ""
    """What the rollback that is to come ends in; the job is made available for it."""


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far a running job is, and what there is to tell of it."""

    id: str
    fence: int
    floor: int
    """The least number that the event may have."""
    kind: str
    at_ms: int
    data: str
    share: float | None = None
    message: str = ""


class Compensation(msgspec.Struct, frozen=True, gc=False):
    """One thing to undo: the job `name` on `payload`; `outcome` is empty until it was tried."""

    ordinal: int
    name: str
    payload: str
    outcome: str = ""
    error: str = ""


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as its row tells; `facts` is JSON."""

    id: str
    engine: str
    host: str
    pid: int
    queues: str
    started_ms: int
    beat_ms: int
    lease_until_ms: int
    facts: str = "{}"
    stopping: int = 0


class QueueRow(msgspec.Struct, frozen=True):
    """What was decided of a queue at run time; None: as the settings say."""

    name: str
    paused: int = 0
    concurrency: int | None = None
    rate: str | None = None
    tat_ms: float = 0.0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A job that recurs."""

    name: str
    job: str
    payload: str
    cron: str
    zone: str
    catch_up: str
    next_ms: int
    paused: int = 0
    last_ms: int | None = None
    last_job: str = ""


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """An attempt that has ended."""

    attempt: int
    worker: str
    started_ms: int
    ended_ms: int
    outcome: str
    error_kind: str
    error: str
    traceback: str


class Told(msgspec.Struct, frozen=True, gc=False):
    """A stored event; `data` is JSON."""

    seq: int
    kind: str
    at_ms: int
    data: str
