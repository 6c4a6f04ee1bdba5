"""One upstream call for all who ask the same thing at the same time, whole or as a stream."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from holdfast.kernel.errors import Unavailable, unavailable

A = TypeVar("A")
P = TypeVar("P")


class Flight(Generic[A, P]):
    """A detached producer with its listeners: parts as they come, and at last the answer or the error.

    It runs without anybody's context, so that no caller's deadline, trace or identity leaks into it. A
    listener that leaves cancels nobody; when the last one has left, the producer is cancelled.
    """

    __slots__ = (
        "_answer",
        "_error",
        "_flights",
        "_is_over",
        "_listeners",
        "_trace",
        "_waiting",
        "about",
        "key",
        "parts",
        "task",
    )

    def __init__(
        self, key: str, flights: "Flights[A, P]", produce: "Callable[[Flight[A, P]], Awaitable[A]]"
    ) -> None:
        self.key = key
        self.parts: list[P] = []
        self.about: Any = None
        """What whoever opened it wants those who join to know."""
        self._flights = flights
        self._listeners = 0
        self._waiting: list[asyncio.Future[None]] = []
        """One a listener that waits: for the next part, or the end."""
        self._is_over = False
        self._answer: A | None = None
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None
        self.task = asyncio.get_running_loop().create_task(self._run(produce), context=contextvars.Context())

    async def _run(self, produce: "Callable[[Flight[A, P]], Awaitable[A]]") -> None:
        try:
            answer = await produce(self)
        except asyncio.CancelledError:
            self.end(error=_stopped())
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who listen
            self.end(error=error)
        else:
            self.end(answer)

    def end(self, answer: A | None = None, error: BaseException | None = None) -> None:
        """Nothing follows: the answer or the error goes to whoever listens. The first end counts."""
        if self._is_over:
            return
        self._is_over = True
        self._answer, self._error = answer, error
        self._trace = None if error is None else error.__traceback__
        self._flights.forget(self)
        self._wake()

    def emit(self, part: P) -> None:
        """One more part for everyone, those who join later included."""
        self.parts.append(part)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _news(self) -> "asyncio.Future[None]":
        """The next part, or the end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def _result(self) -> A:
        if self._error is not None:
            # Raised for each listener: none is to see where others have waited.
            raise self._error.with_traceback(self._trace)
        return self._answer  # type: ignore[return-value] # None only where A may be None

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
            while not self._is_over:
                await self._news()
            return self._result()
        finally:
            self.leave()

    async def begun(self) -> "Listening[P]":
        """One more listener, as soon as there is a first part or it has ended; raises its error."""
        self._listeners += 1
        try:
            while not self.parts and not self._is_over:
                await self._news()
            if not self.parts:
                self._result()
        except BaseException:
            self.leave()
            raise
        return Listening(self)

    async def part(self, at: int) -> P:
        """The part number `at`; raises StopAsyncIteration behind the last, or the error that it ends with."""
        while at >= len(self.parts):
            if self._is_over:
                self._result()
                raise StopAsyncIteration
            await self._news()
        return self.parts[at]

    def leave(self) -> None:
        """One listener less; without any the producer is stopped."""
        self._listeners -= 1
        if not self._listeners and not self.task.done():
            self._flights.forget(self)
            self.task.cancel()


def _stopped() -> Unavailable:
    return unavailable("the call was stopped", 1.0, hint="ask again")


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
        self._producing: dict[asyncio.Task[None], Flight[A, P]] = {}
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
        flight = self._under_way[key] = Flight(key, self, produce)
        self._producing[flight.task] = flight
        flight.task.add_done_callback(self._landed)
        return flight, False

    def forget(self, flight: Flight[A, P]) -> None:
        """Nobody joins it any more."""
        if self._under_way.get(flight.key) is flight:
            del self._under_way[flight.key]

    def _landed(self, task: "asyncio.Task[None]") -> None:
        flight = self._producing.pop(task)
        # A producer that was cancelled before its first step never got to say so itself.
        flight.end(error=_stopped())

    async def close(self) -> None:
        """Stop every producer, whoever listens, for good; returns when each has closed its accounts."""
        self._closed = True
        tasks = list(self._producing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
