"""What rooms ask of background work: declare it, enqueue it, watch it, stop it.

A job is a row that outlives every process. The room `jobs` implements the port; whoever declares a job is
given a `Run` when it runs, as often as it takes, so what it does must bear being done again.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Run(Protocol):
    """One attempt at one job, as its function sees it."""

    id: str
    attempt: int
    """Counts from 1; a crash of the worker counts as one."""
    tenant: str
    user: str
    previous: Any
    """In a chain: the result of the job before this one."""

    def check(self) -> None:
        """Raises JobCancelled when the job is to stop: cancelled, out of time, or no longer this worker's."""
        ...

    def progress(self, share: float, message: str = "") -> None:
        """How far it is, 0 to 1. Never blocks; one in 100 ms is kept, the first and the last always."""
        ...

    async def step(self, name: str, work: Callable[[], Awaitable[T]], kind: type[T] | None = None) -> T:
        """The result of `work()`, or what it gave in an earlier attempt; it must encode as JSON."""
        ...

    def folder(self) -> Path:
        """A folder of this attempt's own. Overwritten and removed afterwards, also after a crash."""
        ...

    async def compensate(self, name: str, payload: Any) -> None:
        """Run the declared job `name` on `payload` if this one is cancelled or fails for good.

        Compensations run in reverse order within one window (60 s), also by another worker after a crash.
        """
        ...


JobFunction = Callable[[Run, Any], Any]
"""`async def work(run, payload)`, or a plain function, which gets a thread. What it returns is the result."""


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of job: what it is called, what it is given and how it is run."""

    name: str
    run: JobFunction
    payload: Any = dict[str, Any]
    """The payload's type; checked when it is enqueued and again when it runs."""
    queue: str = "bulk"
    attempts: int = 5
    """Tries in all, the first included."""
    timeout_s: float = 600.0
    """Longest one attempt may take."""
    unique: str = ""
    """`doc:{doc_id}`, of its fields: while one of this key waits or runs, enqueueing gives that one."""
    version: int = 1
    """Of the payload's shape."""
    upgrades: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
    """From version n to n + 1."""
    isolated: bool = False
    """Run in a process of its own that can be killed: for work that holds the processor or is not trusted."""
    memory_bytes: int = 0
    """Most memory of an isolated job's process; 0: no limit."""
    retries: Mapping[str, "Retry"] = {}
    """Other retries than the table's, by error kind."""
    result_ttl_s: float = 86_400.0


class Retry(msgspec.Struct, frozen=True):
    """What an error kind allows: `delays_s[n]` is the pause before retry n + 1; none: never again."""

    delays_s: tuple[float, ...] = ()
    heeds_retry_after: bool = True


class Enqueue(msgspec.Struct, frozen=True, kw_only=True):
    """How one job is enqueued, where it differs from its kind."""

    tenant: str = ""
    user: str = ""
    priority: int = 0
    """-100 to 100; a higher one goes first within its queue."""
    delay_s: float = 0.0
    run_at_ms: int | None = None
    """Not before; milliseconds since the epoch."""
    deadline_ms: int | None = None
    """After this it is not begun any more."""
    key: str = ""
    """An idempotency key: one payload under it a day; another one under the same key is a Conflict."""
    queue: str = ""


AS_DECLARED = Enqueue()


class Enqueued(msgspec.Struct, frozen=True):
    """What enqueueing gave: `is_new` is false when a job of this key was there."""

    id: str
    is_new: bool = True


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job as everyone may see it."""

    id: str
    name: str
    queue: str
    state: str
    """scheduled, available, running, retrying, succeeded, failed or cancelled."""
    status: str
    """The same for clients that know four: PENDING, PROGRESS, SUCCESS, FAILURE."""
    tenant: str = ""
    user: str = ""
    priority: int = 0
    progress: float = 0.0
    message: str = ""
    attempts: int = 0
    max_attempts: int = 0
    cancel_requested: bool = False
    error_kind: str = ""
    error: str = ""
    result: Any = None
    created_ms: int = 0
    run_at_ms: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    batch: str = ""


class JobEvent(msgspec.Struct, frozen=True):
    """Something that happened to a job; `seq` grows within it."""

    seq: int
    kind: str
    """queued, started, progress, step, retrying, cancelling, replayed, succeeded, failed or cancelled."""
    at_ms: int
    data: Mapping[str, Any] = {}

    @property
    def is_last(self) -> bool:
        return self.kind in ENDS


ENDS = frozenset({"succeeded", "failed", "cancelled"})


class JobCancelled(Exception):
    """The job is to stop. Let it pass."""


class JobFailed(Exception):
    """Raise it in a job to say what kind of failure it is: `raise JobFailed("quota", "no pages left")`."""

    def __init__(self, kind: str, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(detail or kind)
        self.kind = kind
        self.retry_after_s = retry_after_s


class Jobs(Protocol):
    """Background work that loses nothing. Implemented by the jobs room."""

    def declare(self, spec: JobSpec) -> None:
        """Make a kind of job known; the same name twice is Misconfigured. Before the start."""
        ...

    async def enqueue(self, name: str, payload: Any, how: Enqueue = AS_DECLARED) -> Enqueued:
        """Durable when this returns. Raises BadInput for a payload that is not of the job's type."""
        ...

    async def find(self, job_id: str) -> JobView | None: ...

    async def cancel(self, job_id: str, reason: str = "") -> bool:
        """Ask it to stop, running or not; False when it had ended or is not there."""
        ...

    def events(self, job_id: str, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        """What happened after event `after`, then what happens, until it ends; NotFound for no job."""
        ...

    async def erase(self, tenant: str) -> int:
        """Stop every job of a tenant, and forget it with all that it left; how many. "" is no tenant: 0."""
        ...


class Schedules(Protocol):
    """Jobs that begin by the clock. Implemented beside Jobs by whatever implements that."""

    def every(self, schedule: str, cron: str, name: str, payload: Any, *, zone: str = "UTC") -> None:
        """Enqueue `name` whenever `cron` (five fields) says, once over all processes. Before the start."""
        ...
