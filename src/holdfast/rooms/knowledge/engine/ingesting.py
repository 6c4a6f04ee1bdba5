"""Taking a document in, as a job: parse, cut, index, embed, and then swap it in at once.

Whatever is written is written for a pending version, under the lock of its row: a deleted document, an
erased tenant or a newer version ends the job at its next step, and leaves nothing. Every step may be
done again: what an earlier attempt has stored is there, and counts.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.ports.jobs import JobFailed, JobSpec, Run
from holdfast.rooms.knowledge.engine.figures import Figures
from holdfast.rooms.knowledge.engine.parsing import Parsers
from holdfast.rooms.knowledge.rules.chunks import Chunk, Chunking
from holdfast.rooms.knowledge.rules.parsed import PARSER_VERSION, Limits, Parsed, Section
from holdfast.rooms.knowledge.rules.store_problems import VersionGone
from holdfast.rooms.knowledge.rules.stored import FAILED, MAX_CHUNKS, PENDING, SERVING, Piece, Version
from holdfast.rooms.knowledge.rules.words import WORDS_VERSION
from holdfast.rooms.knowledge.store.store import Store

INGEST, ABANDON = "knowledge.ingest", "knowledge.abandon"
QUEUE = "rag"
AT_ONCE = 32
"""Chunks that are indexed in one transaction: their terms take the loop about a millisecond each."""
PARSED, INDEXED, EMBEDDED = 0.2, 0.5, 0.95
"""How far a document is when a step of its ends."""


TITLE_BEFORE = "title_before"
"""The fact that keeps the title which a version's own takes the place of; without it, it takes no place."""
TOLD = "told_media_type"
"""The fact that keeps what the caller said it is: a version's own media type is what it turned out to be."""


def told_media_type(version: Version) -> str:
    """What the upload was said to be."""
    return str(version.facts.get(TOLD, version.media_type))


class Ingest(msgspec.Struct, frozen=True):
    """The payload: which version of which tenant's is to be made."""

    version: int
    tenant: str = ""
    name: str = ""


class Embeds(Protocol):
    """What gives chunks vectors. `key` names the embedder; empty: there is none."""

    key: str

    async def embed(self, version: Version, chunks: int, told: Callable[[float], None]) -> Mapping[str, Any]:
        """Give each of its chunks a vector; what is worth knowing of that. `told` may raise to stop."""
        ...

    async def served(self, tenant: str) -> None:
        """A version of the tenant's serves now."""
        ...


class NoEmbedder:
    """No dense leg: the words alone."""

    key = ""

    async def embed(self, version: Version, chunks: int, told: Callable[[float], None]) -> Mapping[str, Any]:
        return {}

    async def served(self, tenant: str) -> None:
        return None


class Ingesting:
    """The jobs that make versions."""

    def __init__(
        self,
        store: Store,
        parsers: Parsers,
        embedder: Embeds,
        *,
        limits: Limits,
        chunking: Chunking,
        clock: Clock,
        figures: Figures,
        timeout_s: float,
    ) -> None:
        self._store = store
        self._parsers = parsers
        self._embedder = embedder
        self._limits = limits
        self._chunking = chunking
        self._clock = clock
        self._figures = figures
        self._timeout_s = timeout_s

    @property
    def chunker(self) -> str:
        """What texts of the same bytes are told apart by: how they are read, cut and made into terms."""
        return f"{PARSER_VERSION}.{WORDS_VERSION}.{self._chunking.key}"

    @property
    def embedder(self) -> str:
        return self._embedder.key

    def specs(self) -> tuple[JobSpec, JobSpec]:
        return (
            JobSpec(
                name=INGEST,
                run=self.run,
                payload=Ingest,
                queue=QUEUE,
                unique="version:{version}",
                timeout_s=self._timeout_s,
            ),
            JobSpec(name=ABANDON, run=self.abandon, payload=Ingest, queue=QUEUE),
        )

    async def run(self, run: Run, payload: Ingest) -> dict[str, Any]:
        """One attempt. What the version came to is its result: `serving`, `superseded` or `gone`."""
        started = self._clock.monotonic()
        version = await self._store.version(payload.version)
        if version is not None and version.state == FAILED and await self._store.reopen(version.no):
            version = await self._store.version(version.no)  # its job is replayed
        if version is not None and version.state == SERVING:
            # An attempt before this one ended right after it had swapped it in.
            await self._named(version)
            return {"outcome": "serving", "document_id": version.document_id, "version": version.n}
        if version is None or version.state != PENDING:
            return {"outcome": "gone"}
        await run.compensate(ABANDON, payload)
        try:
            outcome = await self._made(run, version, payload)
        except VersionGone:
            outcome = "gone"
        except Problem as problem:
            raise await self._failed(version, problem) from problem
        self._figures.documents.labels(outcome).add()
        self._figures.ingest.observe(self._clock.monotonic() - started)
        return {"outcome": outcome, "document_id": version.document_id, "version": version.n}

    async def abandon(self, run: Run, payload: Ingest) -> None:
        """The job was cancelled, or has failed for good: so has the version, if it is still pending."""
        version = await self._store.version(payload.version)
        if version is None:
            return
        reason = str(version.facts.get("error") or "cancelled: the job was stopped")
        if await self._store.fail(version.no, reason, self._now_ms()):
            self._figures.documents.labels("failed").add()

    async def _made(self, run: Run, version: Version, payload: Ingest) -> str:
        version = msgspec.structs.replace(
            version, job_id=run.id, chunker=self.chunker, embedder=self._embedder.key
        )
        run.progress(0.01, "reading")
        await run.step("parse", lambda: self._parse(run, version, payload.name))
        found = await self._store.version(version.no)
        if found is None:
            raise VersionGone()
        run.progress(PARSED, "indexing")
        count = await run.step("index", lambda: self._index(run, found), int)
        run.progress(INDEXED, "embedding" if self._embedder.key else "serving")
        if self._embedder.key:
            await run.step("embed", lambda: self._embed(run, found, count))
        run.progress(EMBEDDED, "serving")
        run.check()
        ready = await self._with_title_before(version.no)
        serves = await self._store.swap(ready, self._now_ms())
        if serves:
            await self._named(ready)
        run.progress(1.0, f"{count} chunks")
        return "serving" if serves else "superseded"

    async def _parse(self, run: Run, version: Version, name: str) -> int:
        """The text of what was uploaded, stored beside what is known of it; how many characters."""
        path = run.folder() / "upload"
        await asyncio.to_thread(path.write_bytes, await self._store.upload(version.no))
        parsed = await self._parsers.parse(
            path, name=name, media_type=version.media_type, limits=self._limits
        )
        await asyncio.to_thread(Path.unlink, path)
        await self._store.put_text(version.no, parsed.text)
        await self._store.note(
            msgspec.structs.replace(
                version,
                media_type=parsed.media_type,
                facts={**version.facts, **_facts(parsed), TOLD: told_media_type(version)},
            )
        )
        return len(parsed.text)

    async def _index(self, run: Run, version: Version) -> int:
        """Cut the text and index the chunks, a few at a time; how many there are."""
        text = await self._store.text(version.no)
        sections = msgspec.convert(version.facts.get("sections", ()), tuple[Section, ...])
        cut = await self._parsers.cut(text, sections, self._chunking, limits=self._limits)
        if len(cut) > MAX_CHUNKS:
            raise JobFailed("too_large", f"{len(cut)} chunks, at most {MAX_CHUNKS} are kept of a document")
        for first in range(0, len(cut), AT_ONCE):
            run.check()
            pieces = [_piece(text, chunk) for chunk in cut[first : first + AT_ONCE]]
            await self._store.put_chunks(version.no, version.tenant, pieces, first)
            run.progress(PARSED + (INDEXED - PARSED) * (first + len(pieces)) / len(cut), "indexing")
            await asyncio.sleep(0)
        return len(cut)

    async def _with_title_before(self, no: int) -> Version:
        """The version, which has written down the document's title where nobody gave it that one."""
        version = await self._store.version(no)
        if version is None:
            raise VersionGone()
        document = await self._store.document(version.tenant, version.document_id)
        if document is None:
            raise VersionGone()
        serving = await self._store.version(document.serving) if document.serving else None
        if document.title in ("", _title(serving)):
            facts = {**version.facts, TITLE_BEFORE: document.title}
            version = msgspec.structs.replace(version, facts=facts)
            await self._store.note(version)
        return version

    async def _named(self, version: Version) -> None:
        """What is left to do for a version that serves; it may be done again."""
        await self._name(version)
        await self._embedder.served(version.tenant)

    async def _name(self, version: Version) -> None:
        """A document that nobody gave a title is called what the version that serves calls itself."""
        before, title = version.facts.get(TITLE_BEFORE), _title(version)
        document = await self._store.document(version.tenant, version.document_id)
        if document is None or document.serving != version.no or document.title != before:
            return
        if title != before:
            await self._store.describe(document.tenant, document.id, title, document.tags, self._now_ms())

    async def _embed(self, run: Run, version: Version, count: int) -> Mapping[str, Any]:
        def told(share: float) -> None:
            run.check()
            run.progress(INDEXED + (EMBEDDED - INDEXED) * share, "embedding")

        told_of = await self._embedder.embed(version, count, told)
        await self._store.note(msgspec.structs.replace(version, facts={**version.facts, **told_of}))
        return told_of

    async def _failed(self, version: Version, problem: Problem) -> JobFailed:
        """What to raise: an error that may pass is tried again, any other ends the version here."""
        kind = str(getattr(problem, "kind", "temporary" if problem.retryable else "validation"))
        reason = f"{problem.code}: {problem.line()}"
        if problem.retryable:
            await self._note_error(version.no, reason)
        elif await self._store.fail(version.no, reason, self._now_ms()):
            self._figures.documents.labels("failed").add()
        return JobFailed(kind, problem.line(), retry_after_s=problem.retry_after_s)

    async def _note_error(self, no: int, reason: str) -> None:
        """For whoever has to say why, should no attempt succeed."""
        version = await self._store.version(no)
        if version is not None:
            told = msgspec.structs.replace(version, facts={**version.facts, "error": reason})
            with contextlib.suppress(VersionGone):  # then nobody asks why
                await self._store.note(told)

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)


def _facts(parsed: Parsed) -> dict[str, Any]:
    """What is known of a document beside its text."""
    return {
        "title": parsed.title,
        "language": parsed.language,
        "pages": list(parsed.pages),
        "sections": msgspec.to_builtins(parsed.sections),
        "warnings": list(parsed.warnings),
    }


def _title(version: Version | None) -> str:
    """What the document calls itself in this version."""
    return str(version.facts.get("title") or "") if version is not None else ""


def _piece(text: str, chunk: Chunk) -> Piece:
    return Piece(chunk.start, chunk.end, text[chunk.start : chunk.end], chunk.path)
