"""Answers and jobs as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import Problem
from holdfast.ports.jobs import JobEvent
from holdfast.rooms.knowledge.engine.answering import Again, Answer, Said

MEDIA_TYPE = "text/event-stream; charset=utf-8"
HEARTBEAT = b": still here\n\n"


def event(name: str, data: Any, at: str = "") -> bytes:
    """One event as it goes out. JSON has no line breaks, so one `data:` line holds it."""
    head = f"id: {at}\nevent: {name}\ndata: " if at else f"event: {name}\ndata: "
    return head.encode() + encode_json(data) + b"\n\n"


class EventStream:
    """What a generator yields, as events; comments when it is silent. Close it when nobody reads.

    A class and no generator, because a generator that was never begun cannot be told that it is over.
    """

    def __init__(
        self, source: AsyncGenerator[Any, None], shown: Callable[[Any], bytes], heartbeat_s: float
    ) -> None:
        self._source = source
        self._shown = shown
        self._heartbeat_s = heartbeat_s
        self._next: asyncio.Task[Any] | None = None
        self._is_over = False

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._source, None))
        done, _ = await asyncio.wait([self._next], timeout=self._heartbeat_s)
        if not done:
            return HEARTBEAT
        ended, self._next = self._next, None
        try:
            found = ended.result()
        except Problem as problem:
            self._is_over = True
            return event("error", told(problem))
        if found is None:
            self._is_over = True
            raise StopAsyncIteration
        return self._shown(found)

    async def aclose(self) -> None:
        """Idempotent; the model is stopped where it was still speaking."""
        self._is_over = True
        waiting, self._next = self._next, None
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait([waiting])
        await self._source.aclose()


def said(shown: Callable[[Answer], Any]) -> Callable[[Said], bytes]:
    """A part of an answer as an event: `token`, `restart` (forget the tokens), `done` with all, checked."""

    def one(part: Said) -> bytes:
        if isinstance(part, Answer):
            return event("done", shown(part))
        if isinstance(part, Again):
            return event("restart", {"reason": "the documents have changed"})
        return event("token", {"text": part})

    return one


def job_event(one: JobEvent) -> bytes:
    """An event of a job, under its number."""
    return event(one.kind, {"at_ms": one.at_ms, **one.data}, str(one.seq))


def told(problem: Problem) -> dict[str, Any]:
    """A problem as the data of an event."""
    return {
        "code": problem.code,
        "title": problem.title(),
        "detail": problem.detail,
        "hint": problem.hint,
        "status": problem.status,
        "retryable": problem.retryable,
    }
