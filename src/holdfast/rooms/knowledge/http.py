"""The room over HTTP: parse, ask the engine, answer as JSON or as a stream of events."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.kernel.context import current_ctx
from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.knowledge.engine import answering
from holdfast.rooms.knowledge.engine.answering import Question
from holdfast.rooms.knowledge.engine.generating import GENERATE
from holdfast.rooms.knowledge.engine.ingesting import INGEST
from holdfast.rooms.knowledge.engine.knowledge import Knowledge
from holdfast.rooms.knowledge.engine.receiving import FORM, JSON, Described, Text, named, receive, split_tags
from holdfast.rooms.knowledge.engine.streaming import MEDIA_TYPE, EventStream, job_event, said
from holdfast.rooms.knowledge.engine.views import (
    PATH,
    accepted,
    answer_shown,
    document_shown,
    job_shown,
    passage_shown,
)
from holdfast.rooms.knowledge.rules.answers import (
    Accepted,
    AnswerShown,
    DocumentShown,
    Erased,
    GenerateAccepted,
    JobShown,
    Listing,
    Results,
)
from holdfast.rooms.knowledge.rules.problems import check_question
from holdfast.rooms.knowledge.rules.stored import Filter
from holdfast.rooms.knowledge.rules.templates import SectionPlan

_STREAM_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
_PRIVATE = (("cache-control", "no-store"),)
JOBS = (INGEST, GENERATE)
_FILE = {"type": "string", "format": "binary", "description": "the document as it is"}
_FORM = {
    "type": "object",
    "properties": {
        "file": _FILE,
        "name": {"type": "string", "description": "left out: the file's own"},
        "title": {"type": "string"},
        "tags": {"type": "string", "description": "parted by commas, or one field each"},
    },
    "required": ["file"],
}


class UploadQuery(msgspec.Struct, frozen=True):
    """What the document is called, where the body does not say it."""

    name: str = ""
    """Or the header X-Document-Name, percent-encoded. Another upload of the name is another version."""
    title: str = ""
    tags: list[str] = []


class ListQuery(msgspec.Struct, frozen=True):
    """Which part of the list; `after` is a document's name."""

    tag: str = ""
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class TextQuery(msgspec.Struct, frozen=True):
    """Which part of which text, in characters; version 0 is the one that serves."""

    version: Annotated[int, Meta(ge=0)] = 0
    start: Annotated[int, Meta(ge=0)] = 0
    end: Annotated[int, Meta(ge=0)] | None = None


class SearchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for, and where: documents with all of `tags`, among `documents` if any are named."""

    query: str
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class AskBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question. As a stream with the header `Accept: text/event-stream`, or `stream`."""

    question: str
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    model: str = ""
    passages: Annotated[int, Meta(ge=0, le=50)] = 0
    stream: bool = False


class GenerateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be written: by `sections` of your own, else by the template `report` or `script`."""

    topic: str
    template: str = "report"
    sections: tuple[SectionPlan, ...] = ()
    title: Annotated[str, Meta(max_length=200)] = ""
    language: Annotated[str, Meta(pattern="^(|en|ko)$")] = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


class KnowledgeHttp:
    """The handlers. `engine` is asked for at each call: it is there once the room has started."""

    def __init__(self, engine: Callable[[], Knowledge | None]) -> None:
        self._engine = engine

    async def upload(self, call: Call) -> Answer:
        """Raw bytes with their type, a form, or JSON; nothing of it is held whole but JSON."""
        engine, query = self._ready(), call.query or UploadQuery()
        assert call.chunks is not None
        name = named(call.header, {"name": query.name})
        told = Described(name, "", query.title, split_tags(query.tags))
        async with engine.spool() as spool:
            found = await receive(
                call.chunks,
                call.header("content-type"),
                call.header("content-length"),
                told,
                spool,
                engine.config.max_upload_bytes,
            )
            taken = await engine.documents.add(_tenant(), call.user_id, found, spool)
        return Answer(accepted(taken), 200 if taken.unchanged else 202, headers=_PRIVATE)

    async def listed(self, call: Call) -> Answer:
        engine, query = self._ready(), call.query or ListQuery()
        found = await engine.documents.listed(_tenant(), query.tag, query.after, query.limit + 1)
        part = found[: query.limit]
        more = part[-1].name if len(found) > query.limit else None
        return Answer(Listing(tuple(document_shown(one) for one in part), more), headers=_PRIVATE)

    async def show(self, call: Call) -> Answer:
        engine = self._ready()
        document, versions = await engine.documents.show(_tenant(), call.params["id"])
        jobs = [await engine.documents.job_of(one) for one in versions]
        return Answer(document_shown(document, versions, jobs), headers=_PRIVATE)

    async def text(self, call: Call) -> Answer:
        engine, query = self._ready(), call.query or TextQuery()
        found = await engine.documents.text(
            _tenant(), call.params["id"], query.version, query.start, query.end
        )
        return Answer(found.encode(), media_type="text/plain; charset=utf-8", headers=_PRIVATE)

    async def delete(self, call: Call) -> Answer:
        await self._ready().documents.delete(_tenant(), call.params["id"])
        return Answer(status=204)

    async def search(self, call: Call) -> Answer:
        engine, body = self._ready(), call.body
        where = Filter(_tenant(), body.tags, body.documents)
        found = await engine.answering.search(body.query, where, body.limit)
        await engine.places.know(one.version for one in found)
        return Answer(Results(tuple(passage_shown(one, engine.places) for one in found)), headers=_PRIVATE)

    async def ask(self, call: Call) -> Answer:
        engine, body = self._ready(), call.body
        question = Question(
            text=check_question(body.question),  # before a stream has begun with 200
            where=Filter(_tenant(), body.tags, body.documents),
            user=call.user_id,
            model=body.model,
            passages=body.passages,
        )
        if not (body.stream or "text/event-stream" in call.header("accept")):
            return Answer(await engine.ask_as(question), headers=_PRIVATE)

        def shown(answer: answering.Answer) -> AnswerShown:
            return answer_shown(answer, engine.places)

        return _events(engine, engine.asked(question), said(shown))

    async def generate(self, call: Call) -> Answer:
        engine, body = self._ready(), call.body
        enqueued = await engine.generating.start(
            _tenant(),
            call.user_id,
            body.topic,
            template=body.template,
            sections=body.sections,
            title=body.title,
            language=body.language,
            model=body.model,
            tags=body.tags,
            documents=body.documents,
        )
        job = f"{PATH}/jobs/{enqueued.id}"
        return Answer(
            GenerateAccepted(enqueued.id, {"job": job, "events": f"{job}/events"}), 202, headers=_PRIVATE
        )

    async def job(self, call: Call) -> Answer:
        view = await self._ready().generating.find(_tenant(), call.params["id"], JOBS)
        return Answer(job_shown(view), headers=_PRIVATE)

    async def job_events(self, call: Call) -> Answer:
        """What happened to a job after Last-Event-ID, then what happens, until it ends."""
        engine = self._ready()
        view = await engine.generating.find(_tenant(), call.params["id"], JOBS)
        after = call.header("last-event-id") or "0"
        if not (after.isascii() and after.isdigit() and len(after) <= 18):
            raise BadInput(f"Last-Event-ID {after[:40]!r} is no id of this stream", hint="send the last one")
        return _events(engine, engine.jobs.events(view.id, int(after)), job_event)

    async def cancel(self, call: Call) -> Answer:
        engine = self._ready()
        view = await engine.generating.find(_tenant(), call.params["id"], JOBS)
        await engine.jobs.cancel(view.id, "cancelled by its owner")
        return Answer(status=202, content={"job_id": view.id}, headers=_PRIVATE)

    async def erase(self, call: Call) -> Erased:
        return Erased(await self._ready().erase(call.params["tenant"]))

    def _ready(self) -> Knowledge:
        engine = self._engine()
        if engine is None:
            raise Unavailable("the knowledge room has not started yet", retry_after_s=1.0)
        return engine


def _tenant() -> str:
    """The tenant that the caller's credential names; documents of the others do not exist for it."""
    ctx = current_ctx()
    return ctx.tenant if ctx is not None else ""


def _events(engine: Knowledge, source: Any, shown: Callable[[Any], bytes]) -> Answer:
    stream = EventStream(source, shown, engine.config.heartbeat_s)
    return Answer(media_type=MEDIA_TYPE, headers=_STREAM_HEADERS, stream=stream)


def routes(http: KnowledgeHttp) -> Sequence[Route]:
    """The room's addresses."""
    documents, one, job = f"{PATH}/documents", f"{PATH}/documents/{{id}}", f"{PATH}/jobs/{{id}}"
    return (
        Route(
            "POST",
            documents,
            http.upload,
            "Upload a document; a job takes it in",
            query=UploadQuery,
            answer=Accepted,
            status=202,
            reads={"application/octet-stream": _FILE, FORM: _FORM, JSON: Text},
        ),
        Route("GET", documents, http.listed, "Documents by name", query=ListQuery, answer=Listing),
        Route("GET", one, http.show, "A document and what its versions came to", answer=DocumentShown),
        Route("GET", f"{one}/text", http.text, "The text that citations refer to", query=TextQuery),
        Route("DELETE", one, http.delete, "Delete a document; its job ends", status=204),
        Route("POST", f"{PATH}/search", http.search, "Find passages", body=SearchBody, answer=Results),
        Route(
            "POST",
            f"{PATH}/ask",
            http.ask,
            "An answer with checked citations, as JSON or as server-sent events",
            body=AskBody,
            answer=AnswerShown,
            heeds=True,
        ),
        Route(
            "POST",
            f"{PATH}/generate",
            http.generate,
            "Write a report or a script with citations; a job does it",
            body=GenerateBody,
            answer=GenerateAccepted,
            status=202,
        ),
        Route("GET", job, http.job, "A job of this room, and its result", answer=JobShown),
        Route("GET", f"{job}/events", http.job_events, "Its events, from Last-Event-ID on"),
        Route("POST", f"{job}/cancel", http.cancel, "Ask it to stop", status=202),
        Route(
            "DELETE",
            "/admin/knowledge/tenants/{tenant:path}",
            http.erase,
            "Erase everything of a tenant",
            answer=Erased,
            public=False,
        ),
    )
