"""The room over HTTP: parse, ask the engine, answer as JSON or as a stream of events."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.kernel.context import current_ctx
from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.conversations.engine.engine import Conversations
from holdfast.rooms.conversations.engine.streaming import EventStream, whole
from holdfast.rooms.conversations.engine.views import listing, shown, started, transcript
from holdfast.rooms.conversations.rules.answers import (
    Answered,
    Conversation,
    Erased,
    Listing,
    Rated,
    Shown,
    Started,
    answered,
    iso,
)
from holdfast.rooms.conversations.rules.events import MEDIA_TYPE, place_of
from holdfast.rooms.conversations.rules.problems import NotYours, NoUser, check_key, why_not_whole
from holdfast.rooms.conversations.rules.turns import seq_of

PATH = "/api/v2/conversations"
_STREAM_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
_PRIVATE = (("cache-control", "no-store"),)


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the conversation is to be."""

    persona: str = ""
    """A name from the settings or a built-in one: assistant, tutor, concise."""
    language: Literal["", "en", "ko"] = ""
    """Left out: each answer in the language of its message."""


class MessageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the user says."""

    message: str
    stream: bool = False
    """Or the header `Accept: text/event-stream`."""
    idempotency_key: str = ""
    """Or the header Idempotency-Key, which wins."""


class FeedbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the user thought of an answer."""

    score: int
    """-1 or 1; 1 to 5 where `conversations.feedback_scale` is `stars`."""
    text: str = ""


class LogQuery(msgspec.Struct, frozen=True):
    """Which messages: those after this one, so many at most."""

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class ContextQuery(msgspec.Struct, frozen=True):
    """The message whose context is asked for; left out: what is there before any."""

    message: str = ""


class UserQuery(msgspec.Struct, frozen=True):
    """Whose conversations; left out: the caller's."""

    user_id: str = ""


class ListQuery(msgspec.Struct, frozen=True):
    """Whose conversations, and which part of the list."""

    user_id: str = ""
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class ConversationsHttp:
    """The handlers. `engine` is asked for at each call: it is there once the room has started."""

    def __init__(self, engine: Callable[[], Conversations | None]) -> None:
        self._engine = engine

    async def start(self, call: Call) -> Answer:
        engine, body = self._ready(), call.body or StartBody()
        kept = await engine.start(call.user_id, body.persona, body.language)
        return Answer(started(kept, engine.config), 201, headers=_PRIVATE)

    async def say(self, call: Call) -> Answer:
        """JSON, or a stream of events when asked for one, from Last-Event-ID on."""
        engine, body = self._ready(), call.body
        place = place_of(call.header("last-event-id"))
        key = check_key(call.header("idempotency-key") or body.idempotency_key)
        wants_stream = body.stream or "text/event-stream" in call.header("accept")
        ctx = current_ctx()
        run = await engine.say(call.user_id, call.params["id"], body.message, key)
        if wants_stream:
            return _stream(EventStream(run, engine, place, ctx))
        message = await whole(run, ctx)
        problem = why_not_whole(message)
        if problem is not None:
            problem.members["conversation_id"] = run.conversation_id
            raise problem
        return Answer(answered(run.conversation_id, message, replayed=run.replayed), headers=_PRIVATE)

    async def events(self, call: Call) -> Answer:
        """The events of an answer, from Last-Event-ID on: those to come, or what is stored."""
        engine = self._ready()
        place = place_of(call.header("last-event-id"))
        run = await engine.listen(call.user_id, call.params["id"], call.params["message_id"])
        return _stream(EventStream(run, engine, place, current_ctx()))

    async def show(self, call: Call) -> Answer:
        engine, query = self._ready(), call.query or LogQuery()
        after = seq_of(query.after)
        if query.after and not after:
            raise BadInput(f"`after` is {query.after[:40]!r}", hint="send a message_id, or nothing")
        kept, messages = await engine.log(call.user_id, call.params["id"], after, query.limit + 1)
        return Answer(transcript(kept, messages, query.limit), headers=_PRIVATE)

    async def context(self, call: Call) -> Answer:
        engine, query = self._ready(), call.query or ContextQuery()
        kept, prepared = await engine.context(call.user_id, call.params["id"], query.message)
        return Answer(shown(kept, prepared, engine.config), headers=_PRIVATE)

    async def rate(self, call: Call) -> Answer:
        """The score as it is kept: 201 when it is new, 200 when it was there."""
        name = call.params["message_id"]
        rating, known = await self._ready().rate(
            call.user_id, call.params["id"], name, call.body.score, call.body.text
        )
        kept = Rated(call.params["id"], name, rating.score, rating.text, iso(rating.at_ms))
        return Answer(kept, 200 if known else 201, headers=_PRIVATE)

    async def erase(self, call: Call) -> Answer:
        await self._ready().erase(call.user_id, call.params["id"])
        return Answer(status=204)

    async def list_own(self, call: Call) -> Answer:
        engine, query = self._ready(), call.query or ListQuery()
        return Answer(
            await listing(engine, _own(call, query.user_id), query.after, query.limit), headers=_PRIVATE
        )

    async def erase_own(self, call: Call) -> Erased:
        query = call.query or UserQuery()
        return Erased(await self._ready().erase_user(_own(call, query.user_id)))

    async def list_of(self, call: Call) -> Answer:
        engine, query = self._ready(), call.query or ListQuery()
        return Answer(
            await listing(engine, _named(query.user_id), query.after, query.limit), headers=_PRIVATE
        )

    async def erase_of(self, call: Call) -> Erased:
        return Erased(await self._ready().erase_user(_named((call.query or UserQuery()).user_id)))

    def _ready(self) -> Conversations:
        engine = self._engine()
        if engine is None:
            raise Unavailable("conversations have not started yet", retry_after_s=1.0)
        return engine


def _stream(stream: EventStream) -> Answer:
    return Answer(media_type=MEDIA_TYPE, headers=_STREAM_HEADERS, stream=stream)


def _own(call: Call, named: str) -> str:
    """The caller, who may name itself and nobody else."""
    if not call.user_id:
        raise NoUser("nobody knows who asks", hint="identify the caller; admins use /admin/conversations")
    if named not in ("", call.user_id):
        raise NotYours("this caller may only ask for itself", hint="admins use /admin/conversations")
    return call.user_id


def _named(user_id: str) -> str:
    if not user_id:
        raise NoUser("no user_id was given", hint="add ?user_id=")
    return user_id


def routes(http: ConversationsHttp) -> Sequence[Route]:
    """The room's addresses."""
    return (*_public(http), *_of_admins(http))


def _public(http: ConversationsHttp) -> Sequence[Route]:
    one = f"{PATH}/{{id}}"
    return (
        Route(
            "POST",
            f"{PATH}/start",
            http.start,
            "Start a conversation",
            body=StartBody,
            answer=Started,
            status=201,
        ),
        Route(
            "POST",
            f"{one}/messages",
            http.say,
            "Say something; the answer as JSON, or as server-sent events",
            body=MessageBody,
            answer=Answered,
        ),
        Route(
            "GET",
            f"{one}/messages/{{message_id}}/events",
            http.events,
            "The events of an answer, from Last-Event-ID on",
        ),
        Route(
            "POST",
            f"{one}/messages/{{message_id}}/feedback",
            http.rate,
            "Say what an answer was worth, once",
            body=FeedbackBody,
            answer=Rated,
            status=201,
        ),
        Route("GET", one, http.show, "A conversation and its messages", query=LogQuery, answer=Conversation),
        Route(
            "GET",
            f"{one}/context",
            http.context,
            "What a model would be given, to the letter, and its sizes",
            query=ContextQuery,
            answer=Shown,
        ),
        Route("DELETE", one, http.erase, "Erase a conversation with everything in it", status=204),
        Route("GET", PATH, http.list_own, "The caller's conversations", query=ListQuery, answer=Listing),
        Route(
            "DELETE", PATH, http.erase_own, "Erase the caller's conversations", query=UserQuery, answer=Erased
        ),
    )


def _of_admins(http: ConversationsHttp) -> Sequence[Route]:
    return (
        Route(
            "GET",
            "/admin/conversations",
            http.list_of,
            "A user's conversations",
            query=ListQuery,
            answer=Listing,
            public=False,
        ),
        Route(
            "DELETE",
            "/admin/conversations",
            http.erase_of,
            "Erase a user's conversations",
            query=UserQuery,
            answer=Erased,
            public=False,
        ),
    )
