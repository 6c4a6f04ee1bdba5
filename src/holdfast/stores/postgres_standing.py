"""A connection to PostgreSQL that stands for as long as a process lives: what its session holds is held.

It goes to the server itself: behind a pooler that shares sessions (pgbouncer's transaction mode) neither
session locks nor LISTEN mean anything.
"""

import asyncio
import os
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from holdfast.kernel.errors import Problem, unavailable
from holdfast.stores.postgres_errors import as_problem, is_lost

T = TypeVar("T")
Restore = Callable[[Any], Awaitable[None]]

PING_S = 5.0
ANSWER_S = 3.0
"""Longest wait for any answer; then the connection counts as broken."""
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

# The server notices within 5 + 3 * 3 = 14 s that a host is gone; a process that dies it notices at once.
# PostgreSQL manual, 19.3.2; on a Unix socket they mean nothing and are ignored.
_KEEPALIVES = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "3", "tcp_keepalives_count": "3"}
_WITHOUT_DISK = {"synchronous_commit": "off"}
"""Nothing is kept over this connection: a NOTIFY that waited for the disk would only be heard later."""

_all: "weakref.WeakSet[Standing]" = weakref.WeakSet()


class Standing:
    """One connection, opened when it is first needed and again after every loss; one call at a time."""

    def __init__(self, url: str, name: str = "holdfast") -> None:
        self._url = url
        self._name = name
        self._restores: list[Restore] = []
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._tried = asyncio.Event()
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        _all.add(self)

    @property
    def is_up(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    def join(self, restore: Restore) -> None:
        """`restore(connection)` after every opening, before anything else is asked of it."""
        self._restores.append(restore)

    def open(self) -> None:
        """Begin to connect, in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._stand(), name="holdfast:standing connection")

    async def ask(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """The result of `work(connection)`; raises Unavailable without one, or when it does not answer."""
        self.open()
        if not self.is_up:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    await self._tried.wait()
        async with self._turn:
            connection = self._connection
            if connection is None:
                raise unavailable("the database cannot be reached", 1.0) from self._failure
            return await self._mapped(connection, work)

    async def leave(self, restore: Restore) -> None:
        """Close when the last of those who joined has left; idempotent."""
        if restore in self._restores:
            self._restores.remove(restore)
        if self._restores:
            return
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _mapped(self, connection: Any, work: Callable[[Any], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await work(connection)
        except Exception as error:
            if is_lost(error) or isinstance(error, TimeoutError):
                connection.terminate()
            problem = as_problem(error)
            if problem is None:
                raise
            raise problem from error

    async def _stand(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            lost = asyncio.Event()
            try:
                connection = await self._connect(lost)
            except (Problem, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._failure = error
                self._tried.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            try:
                self._connection = connection
                self._tried.set()
                await self._watch(lost)
            finally:
                self._connection = None
                self._tried.clear()
                connection.terminate()

    async def _connect(self, lost: asyncio.Event) -> Any:
        settings = {**_KEEPALIVES, **_WITHOUT_DISK, "application_name": self._name}
        connection = await asyncpg.connect(self._url, timeout=ANSWER_S, server_settings=settings)
        try:
            connection.add_termination_listener(lambda _: lost.set())
            for restore in self._restores:
                await self._mapped(connection, restore)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _watch(self, lost: asyncio.Event) -> None:
        while not lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await lost.wait()
                    return
            with suppress(Problem):  # it was terminated if it did not answer
                await self.ask(_ping)

    def forget(self) -> None:
        """In a fork: let go of the copy of the socket, which would keep the session alive after its owner.

        The number stays taken, by the null device: the transport that has it may close it once more.
        """
        if self._connection is None:
            return
        with suppress(OSError, AttributeError):
            number = self._connection._transport.get_extra_info("socket").fileno()
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(null, number, inheritable=False)
            os.close(null)


async def _ping(connection: Any) -> None:
    await connection.execute("SELECT 1")


def _forget_in_fork() -> None:
    for standing in list(_all):
        standing.forget()


os.register_at_fork(after_in_child=_forget_in_fork)
