"""A stream as its caller gets it: what is known of the answer, and its chunks."""

from collections.abc import Iterator
from typing import Protocol

from holdfast.kernel.guard import TimedOut
from holdfast.rooms.llm.engine.attempts import Limits
from holdfast.rooms.llm.engine.telling import too_late
from holdfast.rooms.llm.rules.asking import Answered, Body
from holdfast.rooms.llm.rules.assembly import replay


class Chunks(Protocol):
    """Chunks as they come. To be closed."""

    async def __anext__(self) -> Body: ...

    async def aclose(self) -> None: ...


class Replay:
    """A whole answer as chunks: what was kept is told again, every field of it."""

    def __init__(self, answer: Body) -> None:
        self._chunks: Iterator[Body] = iter(replay(answer))

    async def __anext__(self) -> Body:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._chunks = iter(())


class Streamed:
    """A stream that has begun. Iterate it to its end, or close it: then whatever makes it is stopped."""

    __slots__ = ("_chunks", "_limits", "answered")

    def __init__(self, answered: Answered, chunks: Chunks, limits: Limits | None = None) -> None:
        self.answered = answered
        """Its last fields are filled in at the end."""
        self._chunks = chunks
        self._limits = limits
        """This caller's own time, where others may have more; raises ModelTimedOut when it is over."""

    def __aiter__(self) -> "Streamed":
        return self

    async def __anext__(self) -> Body:
        if self._limits is None:
            return await self._chunks.__anext__()
        try:
            with self._limits.patience():
                return await self._chunks.__anext__()
        except TimedOut as late:
            raise too_late(late) from late

    async def aclose(self) -> None:
        await self._chunks.aclose()
