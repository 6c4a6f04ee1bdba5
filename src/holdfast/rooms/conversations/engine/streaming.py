"""A run as one HTTP answer: whole, or as server-sent events from any place on."""

from typing import Any

from holdfast.kernel.context import Ctx
from holdfast.kernel.errors import Problem
from holdfast.rooms.conversations.engine.engine import Conversations
from holdfast.rooms.conversations.engine.runs import Listener, Run
from holdfast.rooms.conversations.rules.answers import answered
from holdfast.rooms.conversations.rules.events import HEARTBEAT, Place, event, id_at, id_of_end
from holdfast.rooms.conversations.rules.problems import AnswerStopped, why_not_whole
from holdfast.rooms.conversations.rules.turns import (
    FAILED,
    INTERRUPTED,
    PENDING,
    TIMEOUT,
    Message,
    message_id,
)

SHUTDOWN = "shutdown"
"""What the edge writes on the record of a stream that the server's stop ends."""


async def whole(run: Run, ctx: Ctx | None) -> Message:
    """The row of the answer when it has ended. Whoever is cancelled or has left listens no longer."""
    listener = Listener(run, ctx.gone if ctx is not None else None)
    try:
        run.begin()
        while run.ended is None:
            if listener.is_gone:
                raise AnswerStopped("the client has left", hint="the turn is kept")
            await listener.more()
        return run.ended
    finally:
        listener.leave()


class EventStream:
    """`start`, `token`s, perhaps `error`, `done`; comments when it is silent. Close it when nobody reads.

    A class and no generator, because a generator that was never begun cannot be told that it is over.
    """

    def __init__(self, run: Run, engine: Conversations, place: Place, ctx: Ctx | None) -> None:
        self._run = run
        self._engine = engine
        self._ctx = ctx
        self._offset = place.offset
        self._is_live = run.ended is None
        self._has_started = False
        self._is_over = False
        self._listener: Listener | None = Listener(run, ctx.gone if ctx is not None else None)
        self._waiting: list[bytes] = []
        engine.figures.streams.add(1)

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._next()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Idempotent; when it was the last listener, the model is stopped as the settings say."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._engine.figures.streams.add(-1)
            listener.leave()

    async def _next(self) -> bytes:
        if self._listener is None:
            raise StopAsyncIteration
        if not self._has_started:
            # Out before the model is called: the client has headers and a first event whatever comes.
            self._has_started = True
            return self._start()
        self._run.begin()
        while not self._is_over:
            if self._run.length > self._offset:
                return self._token()
            if self._run.ended is not None:
                self._is_over = True
                return self._end(self._run.ended)
            if self._listener.is_gone:
                self._is_over = True
                return self._gone()
            if not await self._listener.more(self._engine.config.heartbeat_s):
                return HEARTBEAT
        raise StopAsyncIteration

    def _start(self) -> bytes:
        ended = self._run.ended
        data = {
            "conversation_id": self._run.conversation_id,
            "message_id": message_id(self._run.seq),
            "persona": self._run.persona,
            "status": PENDING if ended is None else ended.status,
            "replayed": self._run.replayed,
        }
        return event("start", data, id_at(self._offset))

    def _token(self) -> bytes:
        text = self._run.text(self._offset)
        self._offset += len(text)
        return event("token", {"text": text}, id_at(self._offset))

    def _end(self, message: Message) -> bytes:
        data = answered(self._run.conversation_id, message, replayed=self._run.replayed)
        done = event("done", data, id_of_end(self._run.length))
        problem = why_not_whole(message)
        if problem is None:
            return done
        if self._ctx is not None and message.status in (TIMEOUT, FAILED) and self._is_live:
            # Its headers said 200 long ago: who counts errors by the record must see this one.
            self._ctx.event.error_type = type(problem).__name__
            self._ctx.event.error_message = problem.line()
        return event("error", _told(problem)) + done

    def _gone(self) -> bytes:
        """Nobody reads this when the client left; when the server stops, it says how to go on."""
        if self._ctx is None or self._ctx.event.ended != SHUTDOWN:
            return b""
        self._engine.answering.stop(self._run, INTERRUPTED)
        problem = AnswerStopped(
            "the server is stopping",
            hint=f"reconnect with Last-Event-ID {self._offset} to GET the events of this message",
            message_id=message_id(self._run.seq),
        )
        return event("error", _told(problem), id_at(self._offset))


def _told(problem: Problem) -> dict[str, Any]:
    members = {name: value for name, value in problem.members.items() if name != "text"}
    return {
        "code": problem.code,
        "title": problem.title(),
        "detail": problem.detail,
        "hint": problem.hint,
        "status": problem.status,
        "retryable": problem.retryable,
        **members,
    }
