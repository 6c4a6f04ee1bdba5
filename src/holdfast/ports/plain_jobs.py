"""Jobs without the jobs room: they run in this process, once, and are forgotten when it ends.

The null object of the port Jobs that still works, so that a room which needs background work runs alone.
What it does not do, it says: nothing survives the process, nothing is tried again, schedules do not run.
"""

import asyncio
import inspect
import logging
import string
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from functools import partial
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import BadInput, Conflict, Misconfigured, NotFound, Problem, Unavailable
from holdfast.kernel.ids import IdSource
from holdfast.ports.jobs import (
    AS_DECLARED,
    ENDS,
    Enqueue,
    Enqueued,
    JobCancelled,
    JobEvent,
    JobFailed,
    JobSpec,
    JobView,
)
from holdfast.ports.plain_run import PlainRun

logger = logging.getLogger("holdfast.jobs")

COMPENSATION_S = 60.0
"""The window for all compensations of one job."""
_STATUS = {"succeeded": "SUCCESS", "failed": "FAILURE", "cancelled": "FAILURE", "running": "PROGRESS"}


class PlainJobs:
    """Jobs as asyncio tasks of this process: `at_once` run, `waiting` wait, `kept` ended ones are remembered.

    Raises Unavailable (503) when as many wait as may. A job gets one attempt; isolated ones run in a thread
    like every plain function, since there is no process of their own to give.
    """

    def __init__(
        self,
        clock: Clock,
        ids: IdSource | None = None,
        *,
        at_once: int = 4,
        waiting: int = 10_000,
        kept: int = 1_000,
    ) -> None:
        self._clock = clock
        self._ids = ids or IdSource()
        self._at_once = at_once
        self._waiting = waiting
        self._kept = kept
        self._specs: dict[str, JobSpec] = {}
        self._going: dict[str, PlainRun] = {}
        self._ended: OrderedDict[str, PlainRun] = OrderedDict()
        self._by_key: dict[tuple[str, str, str], PlainRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: asyncio.Semaphore | None = None

    # -- the port ------------------------------------------------------------------------------

    def declare(self, spec: JobSpec) -> None:
        if spec.name in self._specs:
            raise Misconfigured(
                f"the job {spec.name} is declared twice", hint="give one of them another name"
            )
        self._specs[spec.name] = spec

    def every(self, schedule: str, cron: str, name: str, payload: Any, *, zone: str = "UTC") -> None:
        logger.warning("the schedule %s (%s %s) does not run: it needs the room `jobs`", schedule, cron, zone)

    async def enqueue(self, name: str, payload: Any, how: Enqueue = AS_DECLARED) -> Enqueued:
        """Known to this process when this returns, and to nobody else."""
        spec = self._spec(name)
        given = _checked(spec, payload)
        keys = _keys(spec, given, how)
        for key in keys:
            known = self._by_key.get(key)
            if known is not None:
                if key[0] == "key" and known.payload != given:
                    raise Conflict(
                        "this idempotency key came with another payload",
                        hint="send a new key with a new payload",
                    )
                return Enqueued(known.id, is_new=False)
        if len(self._going) >= self._waiting:
            raise Unavailable(
                f"{self._waiting} jobs wait in this process",
                hint="leave `jobs` in the setting `rooms`",
                retry_after_s=5.0,
            )
        run = PlainRun(self._ids.sortable(self._clock.wall()), spec, given, how, self._clock)
        run.keys = keys
        self._going[run.id] = run
        self._by_key.update(dict.fromkeys(keys, run))
        run.task = asyncio.get_running_loop().create_task(
            self._carry_out(run), name=f"job:{name}", context=Context()
        )  # a context of its own: a job outlives the request that asked for it
        self._tasks.add(run.task)
        run.task.add_done_callback(self._tasks.discard)
        return Enqueued(run.id)

    async def find(self, job_id: str) -> JobView | None:
        run = self._known(job_id)
        return None if run is None else _view(run)

    async def cancel(self, job_id: str, reason: str = "") -> bool:
        run = self._going.get(job_id)
        if run is None:
            return False
        run.cancel(reason or "cancelled")
        return True

    async def erase(self, tenant: str) -> int:
        """Whatever a function of the tenant's gives from now on is kept nowhere."""
        runs = [run for run in (*self._going.values(), *self._ended.values()) if run.tenant == tenant]
        found = [run for run in runs if tenant and not run.forgotten]
        for run in found:
            run.forgotten = True
            run.cancel("the tenant was erased")
            self._ended.pop(run.id, None)
            self._drop_keys(run)
        return len(found)

    async def events(self, job_id: str, after: int = 0) -> AsyncGenerator[JobEvent, None]:
        run = self._known(job_id)
        if run is None:
            raise NotFound(f"there is no job {job_id[:40]!r}", hint="jobs of a process are forgotten with it")
        while True:
            # Taken before the events are read: one that comes in between wakes the wait below.
            news = run.news
            for event in [one for one in run.events if one.seq > after]:
                after = event.seq
                yield event
                if event.kind in ENDS:
                    return
            if run.state in ENDS:
                return
            await news.wait()

    # -- running -------------------------------------------------------------------------------

    async def stop(self, grace_s: float = 5.0) -> None:
        """End every job of this process, and wait until each has; idempotent."""
        for run in list(self._going.values()):
            run.cancel("the process stops")
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace_s)

    @property
    def running(self) -> int:
        """Jobs that have not ended."""
        return len(self._going)

    async def _carry_out(self, run: PlainRun) -> None:
        """From the first wait to the last event; raises only when the loop itself ends it."""
        run.may_be_cancelled = True
        state, result, kind, error = "succeeded", None, "", ""
        try:
            result = await self._attempt(run)
        except (JobCancelled, asyncio.CancelledError) as stopped:
            state, kind, error = "cancelled", "cancelled", run.cancelled or str(stopped) or "cancelled"
        except Exception as problem:
            if not isinstance(problem, JobFailed | Problem | TimeoutError):
                logger.exception("the job %s %s failed", run.spec.name, run.id)
            state, kind, error = "failed", _kind(problem), _said(problem)
        run.may_be_cancelled = False  # how it ended stands: what is left is to tidy up
        try:
            if state != "succeeded":
                await self._compensate(run)
            await self._tidy(run)
        finally:
            run.end(state, result=result, error_kind=kind, error=error)
            self._retire(run)

    async def _attempt(self, run: PlainRun) -> Any:
        run.check()
        await self._when_due(run)
        if self._places is None:
            self._places = asyncio.Semaphore(self._at_once)
        async with self._places:
            run.check()
            run.begin()
            async with asyncio.timeout(run.spec.timeout_s):
                return msgspec.to_builtins(await _called(run))

    async def _when_due(self, run: PlainRun) -> None:
        pause_s = run.run_at_ms / 1000 - self._clock.wall()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        deadline_ms = run.how.deadline_ms
        if deadline_ms is not None and self._clock.wall() * 1000 > deadline_ms:
            raise JobFailed("deadline", "its deadline passed before it began")

    async def _compensate(self, run: PlainRun) -> None:
        """What the job left to be undone, the last first."""
        try:
            async with asyncio.timeout(COMPENSATION_S):
                for name, payload in reversed(run.compensations):
                    spec = self._spec(name)
                    undoing = PlainRun(f"{run.id}-undo", spec, _checked(spec, payload), run.how, self._clock)
                    await _called(undoing)
        except Exception:
            logger.exception("the compensation of job %s did not end well", run.id)

    async def _tidy(self, run: PlainRun) -> None:
        try:
            if run.has_folder:
                await asyncio.to_thread(run.remove_folder)
        except OSError:
            logger.exception("the folder of job %s could not be removed", run.id)

    def _retire(self, run: PlainRun) -> None:
        self._going.pop(run.id, None)
        for key in run.keys:
            if key[0] == "unique" and self._by_key.get(key) is run:
                del self._by_key[key]
        if not run.forgotten:
            self._ended[run.id] = run
        while len(self._ended) > self._kept:
            _, oldest = self._ended.popitem(last=False)
            self._drop_keys(oldest)

    def _drop_keys(self, run: PlainRun) -> None:
        for key in run.keys:
            if self._by_key.get(key) is run:
                del self._by_key[key]

    def _known(self, job_id: str) -> PlainRun | None:
        run = self._going.get(job_id) or self._ended.get(job_id)
        return None if run is None or run.forgotten else run

    def _spec(self, name: str) -> JobSpec:
        spec = self._specs.get(name)
        if spec is None:
            raise BadInput(f"there is no job {name!r}", hint="declare it before the start")
        return spec


async def _called(run: PlainRun) -> Any:
    """What the job's function gives: on the loop, or in a thread where it is a plain one."""
    work: Callable[[Any, Any], Any] = run.spec.run
    if inspect.iscoroutinefunction(work):
        return await work(run, run.payload)
    run.may_be_cancelled = False
    try:
        found = await asyncio.to_thread(partial(work, run, run.payload))
    except asyncio.CancelledError:
        run.cancelled = run.cancelled or "out of time"  # the thread hears it at its next check
        raise
    finally:
        run.may_be_cancelled = True
    return await found if inspect.isawaitable(found) else found


def _checked(spec: JobSpec, payload: Any) -> Any:
    """The payload as the job's type, as if it had been stored and read; raises BadInput."""
    try:
        return msgspec.convert(msgspec.to_builtins(payload), spec.payload)
    except (msgspec.ValidationError, TypeError) as error:
        raise BadInput(f"the payload of {spec.name}: {error}", hint="send what the job declares") from None


def _keys(spec: JobSpec, payload: Any, how: Enqueue) -> tuple[tuple[str, str, str], ...]:
    """Under what the job is found again: while it waits or runs, and as long as it is remembered."""
    found = []
    if spec.unique:
        fields = msgspec.to_builtins(payload)
        names = {name for _, name, _, _ in string.Formatter().parse(spec.unique) if name}
        found.append(("unique", spec.name, spec.unique.format_map({name: fields[name] for name in names})))
    if how.key:
        found.append(("key", f"{spec.name} {how.tenant}", how.key))
    return tuple(found)


def _kind(error: BaseException) -> str:
    if isinstance(error, JobFailed):
        return error.kind
    if isinstance(error, TimeoutError):
        return "timeout"
    return "temporary" if isinstance(error, Problem) and error.retryable else "unknown"


def _said(error: BaseException) -> str:
    """What a client may read of it."""
    if isinstance(error, Problem):
        return error.line()
    return str(error) or type(error).__name__


def _view(run: PlainRun) -> JobView:
    return JobView(
        id=run.id,
        name=run.spec.name,
        queue=run.how.queue or run.spec.queue,
        state=run.state,
        status=_STATUS.get(run.state, "PENDING"),
        tenant=run.tenant,
        user=run.user,
        priority=run.how.priority,
        progress=run.share,
        message=run.message,
        attempts=run.attempt if run.started_ms is not None else 0,
        max_attempts=1,
        cancel_requested=bool(run.cancelled),
        error_kind=run.error_kind,
        error=run.error,
        result=run.result,
        created_ms=run.created_ms,
        run_at_ms=run.run_at_ms,
        started_ms=run.started_ms,
        ended_ms=run.ended_ms,
    )
