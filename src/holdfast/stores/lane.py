"""One thread that owns one SQLite connection and does one job at a time.

SQLite drops the GIL while it works, so a lane never competes with the event loop for the
interpreter. A caller that is cancelled or too late interrupts its own job and waits until the
thread has put it down: afterwards the connection is free for certain.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

from holdfast.kernel.errors import Unavailable

T = TypeVar("T")

_NAG_S = 0.02
"""Pause between interrupts: one that falls between two statements of a job is lost."""


class Job(Generic[T]):
    """Work for a lane, and who waits for it."""

    __slots__ = ("abandoned", "error", "finished", "late", "value", "waiter", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], T], waiter: asyncio.Future[None]) -> None:
        self.work = work
        self.waiter = waiter
        self.value: T | None = None
        self.error: BaseException | None = None
        self.finished = False
        self.abandoned = False
        self.late = False

    def perform(self, connection: sqlite3.Connection) -> None:
        if self.abandoned:
            self.error = Unavailable("given up before it began", retry_after_s=1.0)
            return
        try:
            self.value = self.work(connection)
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's task, raised there
            self.error = error

    def settle(self) -> None:
        self.finished = True
        if not self.waiter.done():
            self.waiter.set_result(None)


class Lane:
    """A connection in a thread of its own. `call` from the event loop that called `start`."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self.name = name
        self._connect = connect
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._current: Job[Any] | None = None
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Start the thread and open the connection; raises what `connect` raised."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        opening = Job(lambda connection: None, self._loop.create_future())
        self._thread = threading.Thread(target=self._live, args=(opening,), name=self.name, daemon=True)
        self._thread.start()
        try:
            await self._outlast(opening)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the thread after the jobs it has, and close the connection; idempotent."""
        if self._thread is None or self._ended is None:
            return
        self._jobs.put(None)
        await asyncio.shield(self._ended)
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    async def call(self, work: Callable[[sqlite3.Connection], T], timeout_s: float) -> T:
        """The result of `work(connection)`; interrupted when cancelled or after `timeout_s`."""
        job = self._submit(work)
        timer = asyncio.get_running_loop().call_later(timeout_s, self._overrun, job)
        try:
            await job.waiter
        except asyncio.CancelledError:
            self._abandon(job)
            with suppress(BaseException):
                await self._outlast(job)
            raise
        finally:
            timer.cancel()
        return self._result(job)

    async def see_through(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work(connection)`, uninterrupted: a cancellation is raised when it is done."""
        return await self._outlast(self._submit(work))

    def given_up(self) -> bool:
        """Whether nobody waits for the job at hand any more; asked by jobs that wait by themselves."""
        return self._current is not None and self._current.abandoned

    def _submit(self, work: Callable[[sqlite3.Connection], T]) -> "Job[T]":
        # Once it has ended nobody takes what is put behind the last job, while the thread may still be alive.
        if self._thread is None or not self._thread.is_alive() or self._ended is None or self._ended.done():
            raise Unavailable("the database is closed", hint="start() it first", retry_after_s=1.0)
        job = Job(work, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        return job

    async def _outlast(self, job: "Job[T]") -> T:
        cancelled: asyncio.CancelledError | None = None
        while not job.finished:
            if job.waiter.done():
                job.waiter = asyncio.get_running_loop().create_future()
            try:
                await job.waiter
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return self._result(job)

    def _result(self, job: "Job[T]") -> T:
        if job.error is None:
            return cast(T, job.value)
        if job.late and isinstance(job.error, sqlite3.Error | Unavailable):
            raise Unavailable(
                "the database did not answer in time",
                hint="look for slow statements, or raise [database] deadline_s",
                retry_after_s=1.0,
            ) from job.error
        raise job.error

    def _overrun(self, job: "Job[Any]") -> None:
        job.late = True
        self._abandon(job)

    def _abandon(self, job: "Job[Any]") -> None:
        """Interrupt the job until it ends; one that has not begun will not."""
        job.abandoned = True
        if job.finished:
            return
        with self._guard:
            if self._current is job and self._connection is not None:
                self._connection.interrupt()
        asyncio.get_running_loop().call_later(_NAG_S, self._abandon, job)

    def _live(self, opening: "Job[None]") -> None:
        try:
            self._connection = connection = self._connect()
        except BaseException as error:  # noqa: BLE001 - raised in the task that called start()
            opening.error = error
            self._tell(opening.settle)
            self._tell(self._end)
            return
        self._tell(opening.settle)
        while (job := self._jobs.get()) is not None:
            with self._guard:
                self._current = job
            job.perform(connection)
            with self._guard:
                self._current = None
            self._tell(job.settle)
            del job  # or it would keep its rows until the next job comes
        with self._guard:
            self._connection = None
        connection.close()
        self._tell(self._end)

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                job.error = Unavailable("the database is closed", retry_after_s=1.0)
                job.settle()

    def _tell(self, call: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop was closed without a stop(): nobody waits
            self._loop.call_soon_threadsafe(call)
