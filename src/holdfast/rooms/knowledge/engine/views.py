"""What the engine knows, as what callers are shown."""

from collections.abc import Sequence

import msgspec

from holdfast.ports.jobs import JobView
from holdfast.rooms.knowledge.engine.answering import Answer
from holdfast.rooms.knowledge.engine.documents import Taken
from holdfast.rooms.knowledge.engine.places import Places
from holdfast.rooms.knowledge.rules.answers import (
    Accepted,
    AnswerShown,
    CitationShown,
    DocumentShown,
    JobShown,
    PassageShown,
    UsageShown,
    VersionShown,
    Watch,
)
from holdfast.rooms.knowledge.rules.citations import Cited
from holdfast.rooms.knowledge.rules.refusing import refusal
from holdfast.rooms.knowledge.rules.stored import Document, Found, Version

PATH = "/api/v2/knowledge"
CLOSEST = 3
"""Passages that a refusal names."""


def accepted(taken: Taken) -> Accepted:
    """What became of an upload, and where to watch it."""
    job = f"{PATH}/jobs/{taken.job_id}" if taken.job_id else ""
    return Accepted(
        taken.document_id,
        taken.version,
        taken.job_id,
        taken.unchanged,
        Watch(f"{PATH}/documents/{taken.document_id}", job, f"{job}/events" if job else ""),
    )


def document_shown(
    document: Document, versions: Sequence[Version] = (), jobs: Sequence[JobView | None] = ()
) -> DocumentShown:
    """A document, with its versions where they are given, each beside its job."""
    serving = next((one.n for one in versions if one.no == document.serving), 0)
    return DocumentShown(
        document_id=document.id,
        name=document.name,
        title=document.title,
        tags=document.tags,
        state=document.state,
        version=serving,
        created_ms=document.created_ms,
        updated_ms=document.updated_ms,
        versions=tuple(version_shown(one, job) for one, job in zip(versions, jobs, strict=True)),
    )


def version_shown(version: Version, job: JobView | None) -> VersionShown:
    """One version, with how far its job is where one works on it."""
    facts = version.facts
    return VersionShown(
        version=version.n,
        state=version.state,
        content_hash=version.content_hash,
        media_type=version.media_type,
        size_bytes=version.size_bytes,
        characters=version.characters,
        chunks=version.chunks,
        embedder=version.embedder,
        tokens=version.tokens,
        cost=version.cost,
        reason=version.reason,
        warnings=tuple(facts.get("warnings") or ()),
        pages=len(facts.get("pages") or ()),
        language=str(facts.get("language") or ""),
        created_ms=version.created_ms,
        ended_ms=version.ended_ms,
        job_id=version.job_id,
        progress=job.progress if job is not None else float(version.state != "pending"),
        message=job.message if job is not None else "",
    )


def passage_shown(one: Found, places: Places, *, with_text: bool = True) -> PassageShown:
    """A passage at its place; `places` must know its version."""
    return PassageShown(
        document_id=one.document_id,
        version=one.n,
        name=one.name,
        title=one.title or one.name,
        page=places.page(one.version, one.start),
        section=one.path,
        score=round(one.score, 4),
        start=one.start,
        end=one.end,
        text=one.text if with_text else "",
    )


def cite(number: int, one: Cited, found: Sequence[Found], places: Places) -> CitationShown:
    """A quote of a passage, at its place in the document."""
    passage = found[one.source]
    start = passage.start + one.start
    return CitationShown(
        number=number,
        document_id=passage.document_id,
        version=passage.n,
        name=passage.name,
        title=passage.title or passage.name,
        page=places.page(passage.version, start),
        section=passage.path,
        start=start,
        end=start + len(one.quote),
        quote=one.quote,
    )


def answer_shown(answer: Answer, places: Places) -> AnswerShown:
    """An answer with its citations, or a refusal with what came closest."""
    closest = answer.found[:CLOSEST] if answer.refused else ()
    reply = answer.reply
    titles = [one.title or one.name for one in closest]
    return AnswerShown(
        question=answer.question,
        answer=refusal(answer.question, titles) if answer.refused else answer.resolved.text(),
        refused=answer.refused,
        confidence=answer.confidence,
        citations=tuple(
            cite(number, one, answer.found, places) for number, one in enumerate(answer.resolved.cited, 1)
        ),
        closest=tuple(passage_shown(one, places, with_text=False) for one in closest),
        generated_by=reply.generated_by if reply is not None else "",
        model=reply.model if reply is not None else "",
        removed_claims=answer.resolved.removed,
        usage=msgspec.convert(reply.usage, UsageShown, from_attributes=True) if reply else UsageShown(),
    )


def job_shown(view: JobView) -> JobShown:
    """A job as this room shows it."""
    return JobShown(
        job_id=view.id,
        name=view.name,
        state=view.state,
        status=view.status,
        progress=view.progress,
        message=view.message,
        error=view.error,
        result=view.result,
    )
