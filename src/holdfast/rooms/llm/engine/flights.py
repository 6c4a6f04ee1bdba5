"""One upstream call for all who ask the same thing at the same time, whole or as a stream."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from holdfast.kernel.errors import Unavailable, unavailable

A = TypeVar("A")
P = TypeVar("P")


class Flight(Generic[A, P]):
    """A detached producer with its listeners: parts as they come, and at last the answer or the error.

    It runs without anybody's context, so that no caller's deadline, trace or identity leaks into it. A
    listener that leaves cancels nobody; when the last one has left, the producer is cancelled.
    """

    __slots__ = ("_done", "_listeners", "_on_end", "_turn", "about", "parts", "task")

    def __init__(self, produce: "Callable[[Flight[A, P]], Awaitable[A]]", on_end: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.parts: list[P] = []
        self.about: Any = None
        """What whoever opened it wants those who join to know."""
        self._listeners = 0
        self._turn: asyncio.Future[None] = loop.create_future()
        self._done: asyncio.Future[A] = loop.create_future()
        self._done.add_done_callback(_seen)
        self._on_end = on_end
        self.task = loop.create_task(self._run(produce), context=contextvars.Context())
        # One that is cancelled before its first step never gets to say so itself.
        self.task.add_done_callback(self._never_began)

    async def _run(self, produce: "Callable[[Flight[A, P]], Awaitable[A]]") -> None:
        try:
            answer = await produce(self)
        except asyncio.CancelledError:
            self._end(error=_stopped())
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who listen
            self._end(error=error)
        else:
            self._end(answer)

    def _end(self, answer: A | None = None, error: BaseException | None = None) -> None:
        self._on_end()
        if not self._done.done():
            if error is not None:
                self._done.set_exception(error)
            else:
                self._done.set_result(answer)  # type: ignore[arg-type] # None only where A may be None
        self._wake()

    def _never_began(self, task: "asyncio.Task[None]") -> None:
        if not self._done.done():
            self._end(error=_stopped())

    def emit(self, part: P) -> None:
        """One more part for everyone, those who join later included."""
        self.parts.append(part)
        self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, asyncio.get_running_loop().create_future()
        turn.set_result(None)

    @property
    def listeners(self) -> int:
        return self._listeners

    def pin(self) -> None:
        """Let it go on to its end, whoever listens."""
        self._listeners += 1

    async def answer(self) -> A:
        """The answer, waited for as one more listener."""
        self._listeners += 1
        try:
            return await asyncio.shield(self._done)
        finally:
            self.leave()

    async def begun(self) -> "Listening[P]":
        """One more listener, as soon as there is a first part or it has ended; raises its error."""
        self._listeners += 1
        try:
            while not self.parts and not self._done.done():
                await asyncio.shield(self._turn)
            if not self.parts:
                self._done.result()
        except BaseException:
            self.leave()
            raise
        return Listening(self)

    async def part(self, at: int) -> P:
        """The part number `at`; raises StopAsyncIteration behind the last, or the error that it ends with."""
        while at >= len(self.parts):
            if self._done.done():
                self._done.result()
                raise StopAsyncIteration
            await asyncio.shield(self._turn)
        return self.parts[at]

    def leave(self) -> None:
        """One listener less; without any the producer is stopped."""
        self._listeners -= 1
        if not self._listeners and not self.task.done():
            self._on_end()
            self.task.cancel()


def _stopped() -> Unavailable:
    return unavailable("the call was stopped", 1.0, hint="ask again")


def _seen(future: "asyncio.Future[Any]") -> None:
    """An error that nobody listened to is no news for the loop's log."""
    if not future.cancelled():
        future.exception()


class Listening(Generic[P]):
    """One listener: an iterator over the parts from the first on. Must be closed."""

    __slots__ = ("_at", "_flight")

    def __init__(self, flight: "Flight[Any, P]") -> None:
        self._flight: Flight[Any, P] | None = flight
        self._at = 0

    def __aiter__(self) -> "Listening[P]":
        return self

    async def __anext__(self) -> P:
        if self._flight is None:
            raise StopAsyncIteration
        part = await self._flight.part(self._at)
        self._at += 1
        return part

    async def aclose(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.leave()


class Flights(Generic[A, P]):
    """The flights under way, by what they answer."""

    def __init__(self) -> None:
        self._under_way: dict[str, Flight[A, P]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """Producers that have not ended, those that nobody can join any more included."""
        self.joined = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._under_way)

    def join(self, key: str, produce: Callable[[Flight[A, P]], Awaitable[A]]) -> tuple[Flight[A, P], bool]:
        """The flight of this key, and whether it was under way before."""
        if self._closed:
            raise _stopped()
        found = self._under_way.get(key)
        if found is not None:
            self.joined += 1
            return found, True

        def forget() -> None:
            if self._under_way.get(key) is flight:
                del self._under_way[key]

        flight = self._under_way[key] = Flight(produce, forget)
        self._tasks.add(flight.task)
        flight.task.add_done_callback(self._tasks.discard)
        return flight, False

    async def close(self) -> None:
        """Stop every producer, whoever listens, for good; returns when each has closed its accounts."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
