"""A stream as its caller gets it: what is known of the answer, and its chunks."""

from collections.abc import Iterator
from typing import Protocol

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

    __slots__ = ("_chunks", "answered")

    def __init__(self, answered: Answered, chunks: Chunks) -> None:
        self.answered = answered
        """Its last fields are filled in at the end."""
        self._chunks = chunks

    def __aiter__(self) -> "Streamed":
        return self

    async def __anext__(self) -> Body:
        return await self._chunks.__anext__()

    async def aclose(self) -> None:
        await self._chunks.aclose()
