"""Jobs that are enqueued while others are being written go into the next transaction, together.

One after the other each would wait for the disk by itself, behind all before it.
"""

import asyncio
from contextvars import Context

import msgspec

from holdfast.rooms.jobs.engine.apart import passes
from holdfast.rooms.jobs.store.rows import NewJob
from holdfast.rooms.jobs.store.store import Store

_PART = 500
"""Jobs in one transaction."""


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A job that is to be added, and whether it was, for whoever waits."""

    job: NewJob
    added: "asyncio.Future[bool]"


class Joining:
    """Adds jobs that have no key: in one transaction, keys would make strangers wait for each other."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Waiting] = []
        self._writing = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, job: NewJob) -> bool:
        """Durable when it returns: at once where a writer is free, else with all who wait as well."""
        if self._writing >= self._store.sql.writers:
            waiting = Waiting(job, asyncio.get_running_loop().create_future())
            self._waiting.append(waiting)
            return await waiting.added
        self._writing += 1
        try:
            return await self._store.add(job)
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """A writer is free: those who wait get it, in a task of nobody's request."""
        waiting = [each for each in self._waiting if not each.added.done()]  # the others were cancelled
        part, self._waiting = waiting[:_PART], waiting[_PART:]
        if not part:
            self._writing -= 1
            return
        task = asyncio.get_running_loop().create_task(self._write(part), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, part: list[Waiting]) -> None:
        try:
            if not await self._together(part):
                for each in part:  # one of them is refused, and only its caller is to hear of it
                    await self._together([each])
        finally:
            self._pass_on()

    async def _together(self, part: list[Waiting]) -> bool:
        """Whether everybody was told what became of his job; false where one of several is refused."""
        try:
            added = await self._store.add_all([each.job for each in part])
        except Exception as error:  # noqa: BLE001 - raised where its caller waits
            if len(part) > 1 and not passes(error):
                return False
            for each in part:
                if not each.added.done():
                    each.added.set_exception(error)
        else:
            for each in part:
                if not each.added.done():
                    each.added.set_result(each.job.id in added)
        return True
