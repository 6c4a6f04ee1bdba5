"""One attempt, from its claim to how it ended: called, timed, stopped, undone."""

import asyncio
import contextvars
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from holdfast.kernel import context
from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Event
from holdfast.kernel.tasks import is_cancelled
from holdfast.ports.jobs import JobCancelled, JobFailed
from holdfast.rooms.jobs.engine.attempt import CANCELLED, LOST, STOPPING, TIMEOUT, Attempt
from holdfast.rooms.jobs.engine.catalogue import Declared
from holdfast.rooms.jobs.engine.folders import Folders
from holdfast.rooms.jobs.engine.isolation import ChildFailed
from holdfast.rooms.jobs.engine.threads import Threads
from holdfast.rooms.jobs.rules import kinds, outcomes
from holdfast.rooms.jobs.rules.failures import Failure, judge, storable
from holdfast.rooms.jobs.rules.outcomes import Failed, GivenBack, Stopped, Succeeded

LONGEST_RESULT = 1 << 20
LONGEST_TRACEBACK = 8_000
SUCCEEDED = Succeeded()
_TRACEPARENT = 55


class End(msgspec.Struct, frozen=True):
    """How an attempt ended; `overdue` is one that was not begun."""

    how: outcomes.HowEnded
    result: str | None = None
    traceback: str = ""
    overdue: outcomes.Outcome | None = None
    undone: str | None = None
    """Of a rollback: what could not be undone, or empty."""


class Previous(Protocol):
    """Where the result of what a job waited for is read."""

    async def __call__(self, attempt: Attempt) -> Any: ...


class Runner:
    """Runs attempts in the loop, in threads and in processes."""

    def __init__(
        self,
        *,
        clock: Clock,
        sources: context.Sources,
        threads: Threads,
        folders: Folders,
        previous: Previous,
    ) -> None:
        self._clock = clock
        self._sources = sources
        self._threads = threads
        self._folders = folders
        self._previous = previous
        self.errors: Mapping[type[BaseException], str] = {}
        """Kinds of the app's own exceptions."""

    async def run(self, attempt: Attempt, declared: Declared | None) -> End | None:
        """How it ended; None when nothing is to be written of it. Call it in a task of its own."""
        job = attempt.job
        late = outcomes.overdue(int(self._clock.wall() * 1000), job.deadline_ms)
        if late is not None:
            return End(SUCCEEDED, overdue=late)
        if job.cancel_ms is not None:
            return End(Stopped())
        try:
            if declared is None:
                raise JobFailed(kinds.TEMPORARY, f"no job {job.name!r} is known to this worker")
            payload = declared.decode(job)
            if job.after_job or job.after_batch:
                attempt.previous = await self._previous(attempt)
            value = await self._call(declared, attempt, payload)
            result = _result(value)
        except asyncio.CancelledError as error:
            return self._cancelled(attempt, error)
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is how it failed
            return self._failed(attempt, error)
        return None if attempt.stop == LOST else End(SUCCEEDED, result)

    async def _call(self, declared: Declared, attempt: Attempt, payload: Any) -> Any:
        self._enter(attempt)
        if declared.isolated is not None:
            await attempt.load()
            folder = self._folders.path(attempt.id, attempt.attempt)
            return await declared.isolated.run(msgspec.to_builtins(payload), attempt, folder)
        if declared.is_async:
            return await declared.call(attempt, payload)
        call: Callable[[], Any] = partial(self._in_thread, declared, attempt, payload)
        found = await self._threads.run(contextvars.copy_context(), call)
        return await found if hasattr(found, "__await__") else found

    def _in_thread(self, declared: Declared, attempt: Attempt, payload: Any) -> Any:
        try:
            return declared.call(attempt, payload)
        finally:
            if attempt.is_over and attempt.has_folder:  # nobody waits for it any more
                self._folders.clear(attempt.id, attempt.attempt)

    def _enter(self, attempt: Attempt) -> None:
        """A context of its own: spans, notes and calls of models inside the job are tied to it."""
        job, sources = attempt.job, self._sources
        event = Event(method="JOB", route=job.name, user_id=job.owner, span_id=sources.ids.span_id())
        if len(job.trace) == _TRACEPARENT:
            event.trace_id, event.parent_id = job.trace[3:35], job.trace[36:52]
        else:
            event.trace_id = sources.ids.trace_id()
        attempt.ctx = ctx = context.Ctx(event, sources)
        ctx.tenant = job.tenant
        ctx.deadline = attempt.ends_at
        context.enter(ctx)

    def _failed(self, attempt: Attempt, error: BaseException) -> End | None:
        if attempt.stop:
            return stopped(attempt)
        if isinstance(error, ChildFailed):
            if error.cancelled:
                return End(Stopped())
            return End(Failed(error.failure), traceback=error.traceback)
        if isinstance(error, JobCancelled):
            return End(Stopped())
        if isinstance(error, SystemExit | KeyboardInterrupt):
            error = JobFailed(kinds.UNKNOWN, f"it raised {type(error).__name__}")
        return End(Failed(judge(error, self.errors)), traceback=traceback_of(error))

    def _cancelled(self, attempt: Attempt, error: BaseException) -> End | None:
        if attempt.stop:
            return stopped(attempt)
        if is_cancelled():
            return End(GivenBack())  # the loop is being closed around us
        return End(Failed(judge(error, self.errors)), traceback=traceback_of(error))

    async def undo(
        self, attempt: Attempt, find: Callable[[str], Declared | None], window_s: float, store: Any
    ) -> End | None:
        """Run what is left to compensate, the last first, within one window; each is tried once."""
        failures: list[str] = []
        try:
            async with asyncio.timeout(window_s):
                for each in await store.compensations(attempt.id):
                    if each.outcome:
                        continue
                    said = await self._undo_one(attempt, find(each.name), each.name, each.payload)
                    became = "failed" if said else "done"
                    if not await store.compensated(attempt.id, attempt.fence, each.ordinal, became, said):
                        return None
                    if said:
                        failures.append(f"{each.name}: {said}")
        except TimeoutError:
            failures.append(f"the rollback did not end within {window_s:g} s")
        except asyncio.CancelledError:
            return None if attempt.stop == LOST else End(GivenBack(), undone="")
        return End(SUCCEEDED, undone="; ".join(failures)[:2000])

    async def _undo_one(self, attempt: Attempt, declared: Declared | None, name: str, raw: str) -> str:
        """Empty when it was undone, else what went wrong."""
        try:
            if declared is None:
                raise JobFailed(kinds.UNSUPPORTED, f"no job {name!r} is known to this worker")
            await self._call(declared, attempt, declared.decode_raw(raw))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - one that fails must not keep the others from running
            failure = error.failure if isinstance(error, ChildFailed) else judge(error, self.errors)
            return storable(failure.error or failure.kind)
        return ""


def stopped(attempt: Attempt) -> End | None:
    """How an attempt ended that was told to stop."""
    if attempt.stop == LOST:
        return None
    if attempt.stop == TIMEOUT:
        seconds = attempt.ends_at - attempt.started
        return End(Failed(Failure(kinds.TIMEOUT, f"its attempt took longer than {seconds:g} s")))
    if attempt.stop == STOPPING:
        return End(GivenBack())
    assert attempt.stop == CANCELLED
    return End(Stopped())


def traceback_of(error: BaseException) -> str:
    """The last of it, as text that a row can hold."""
    text = "".join(traceback.format_exception(error))
    return storable(text[-LONGEST_TRACEBACK:])


def _result(value: Any) -> str | None:
    """A result as its row holds it."""
    if value is None:
        return None
    try:
        raw = encode_json(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise JobFailed(kinds.UNSUPPORTED, f"its result is no JSON: {str(error)[:200]}") from error
    if len(raw) > LONGEST_RESULT:
        raise JobFailed(kinds.TOO_LARGE, f"its result has {len(raw)} bytes; keep it elsewhere, return its id")
    return raw.decode()
