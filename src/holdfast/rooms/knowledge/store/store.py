"""Documents and their versions: written piece by piece while pending, then swapped in at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from holdfast.kernel.codec import decode_json, encode_json
from holdfast.kernel.room import Migration
from holdfast.ports.storage import Row, Sql, Transaction
from holdfast.rooms.knowledge.rules.store_problems import NameTaken, VersionGone
from holdfast.rooms.knowledge.rules.stored import (
    EMPTY,
    PENDING,
    SERVING,
    Document,
    Found,
    Hit,
    Piece,
    Upload,
    Version,
    chunk_id,
    ordinal_of,
    text_hash,
)
from holdfast.rooms.knowledge.rules.words import counted, packed
from holdfast.rooms.knowledge.store import index, paces, tables, vectors
from holdfast.rooms.knowledge.store.index import Index
from holdfast.rooms.knowledge.store.pending import hold

T = TypeVar("T")

BLOCK = 16_384
"""Characters of text in one row: a passage is read without its whole document."""
PART = 1 << 20
"""Bytes of an upload in one row."""


def _create(op: Any) -> None:
    tables.create(op.get_bind())
    vectors.create(op.get_bind())
    paces.create(op.get_bind())
    index.create(op.get_bind())


MIGRATIONS = (Migration(1, "documents, versions, chunks, index and vectors", _create),)


class Store:
    """Documents in the database. Raises Unavailable, and VersionGone for a version not pending."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self.index = Index(sql)

    async def add_version(self, upload: Upload, now_ms: int) -> Version:
        """Another version of the document of this name, or the first one; it is pending."""
        async with self._sql.transaction() as tx:
            row = {
                "id": upload.document_id,
                "tenant": upload.tenant,
                "name": upload.name,
                "title": upload.title,
                "tags": encode_json(upload.tags).decode(),
                "serving": 0,
                "serving_n": 0,
                "newest": 0,
                "state": EMPTY,
                "created_ms": now_ms,
                "updated_ms": now_ms,
            }
            if await tx.run(tables.ADD_DOCUMENT, row):
                await _retag(tx, upload.document_id, upload.tags)
            numbered = await tx.fetch(
                tables.NUMBER_VERSION,
                {"of_tenant": upload.tenant, "of_name": upload.name, "now_ms": now_ms},
            )
            if not numbered:
                raise NameTaken("the document is being deleted", hint="upload it again in a moment")
            document_id, n = numbered[0]
            [(no,)] = await tx.fetch(tables.NEXT, {"name": "version", "value": 1})
            version = {
                "no": no,
                "document_id": document_id,
                "tenant": upload.tenant,
                "n": n,
                "content_hash": upload.content_hash,
                "chunker": upload.chunker,
                "embedder": upload.embedder,
                "media_type": upload.media_type,
                "state": PENDING,
                "size_bytes": upload.size_bytes,
                "characters": 0,
                "chunks": 0,
                "length": 0,
                "tokens": 0,
                "cost": 0.0,
                "reason": "",
                "job_id": upload.job_id,
                "created_ms": now_ms,
                "ended_ms": 0,
                "facts": "{}",
            }
            await tx.run(tables.ADD_VERSION, version)
        return _version(tuple(version.values()))

    async def describe(
        self, tenant: str, document_id: str, title: str, tags: Sequence[str], now_ms: int
    ) -> bool:
        """Give a document another title and other tags, which count in the next search; False: not there."""
        async with self._sql.transaction() as tx:
            values = {
                "of_document": document_id,
                "of_tenant": tenant,
                "new_title": title,
                "new_tags": encode_json(list(tags)).decode(),
                "now_ms": now_ms,
            }
            if not await tx.run(tables.TITLE, values):
                return False
            await _retag(tx, document_id, tags)
        return True

    async def document(self, tenant: str, document_id: str) -> Document | None:
        """A tenant's document, also one that is being deleted."""
        return _first(
            _document, await self._sql.fetch(tables.DOCUMENT, {"tenant": tenant, "id": document_id})
        )

    async def document_named(self, tenant: str, name: str) -> Document | None:
        """The tenant's document of this name."""
        return _first(
            _document, await self._sql.fetch(tables.DOCUMENT_NAMED, {"tenant": tenant, "name": name})
        )

    async def documents(
        self, tenant: str, *, tag: str = "", after: str = "", most: int = 100
    ) -> list[Document]:
        """A tenant's documents by name, from the one after `after`."""
        values: dict[str, Any] = {"tenant": tenant, "after": after, "most": most}
        if tag:
            rows = await self._sql.fetch(tables.DOCUMENTS_TAGGED, {**values, "tag": tag})
        else:
            rows = await self._sql.fetch(tables.DOCUMENTS, values)
        return [_document(row) for row in rows]

    async def version(self, no: int) -> Version | None:
        """One version, whatever its state."""
        return _first(_version, await self._sql.fetch(tables.VERSION, {"no": no}))

    async def versions(self, document_id: str) -> list[Version]:
        """All versions of a document that are still there, oldest first."""
        return [_version(row) for row in await self._sql.fetch(tables.VERSIONS, {"document_id": document_id})]

    async def put_upload(self, no: int, part: int, data: bytes) -> None:
        """Keep part `part` (from 0, at most PART bytes each) of what was uploaded."""
        await self._held(no, tables.ADD_PART, [{"version": no, "part": part, "bytes": data}])

    async def upload(self, no: int) -> bytes:
        """What was uploaded, as it came; empty when it was let go."""
        parts: list[bytes] = []
        while rows := await self._sql.fetch(tables.PART, {"version": no, "part": len(parts)}):
            parts.append(rows[0][0])
        return b"".join(parts)

    async def put_text(self, no: int, text: str) -> None:
        """Keep the text that citations of this version refer to; once."""
        blocks = [
            {"version": no, "block": at // BLOCK, "text": text[at : at + BLOCK]}
            for at in range(0, len(text), BLOCK)
        ]
        async with self._sql.transaction() as tx:
            await hold(tx, no)
            await tx.run_many(tables.ADD_BLOCK, blocks)
            await tx.run(tables.LENGTH, {"of_version": no, "new_characters": len(text)})

    async def text(self, no: int, start: int = 0, end: int | None = None) -> str:
        """`[start:end]` of a version's text, in characters; by default all of it."""
        first = max(0, start) // BLOCK
        last = (1 << 40) if end is None else max(0, end - 1) // BLOCK
        rows = await self._sql.fetch(tables.BLOCKS, {"version": no, "first": first, "last": last})
        whole = "".join(text for _, text in rows)
        return whole[start - first * BLOCK : None if end is None else end - first * BLOCK]

    async def put_chunks(self, no: int, tenant: str, pieces: Sequence[Piece], first: int = 0) -> None:
        """Store and index a run of chunks, the first of them with this ordinal; once more changes nothing.

        Pass at most SLICE of them at a time: making their terms takes about a millisecond each.
        """
        made = [_chunk_rows(tenant, chunk_id(no, first + at), piece) for at, piece in enumerate(pieces)]
        rows, ranks = [row for row, _ in made], [rank for _, rank in made]
        if not rows:
            return
        async with self._sql.transaction() as tx:
            await hold(tx, no)
            low, high = rows[0]["id"], rows[-1]["id"]
            if await tx.fetch(tables.CHUNKS, {"low": low, "high": high, "most": 1}):
                return
            await tx.run_many(tables.ADD_CHUNK, rows)
            await tx.run_many(tables.ADD_RANK, ranks)
            await self.index.add(tx, tenant, low, high)
            await tx.run(tables.MEASURED, _more(no, len(rows), sum(rank["length"] for rank in ranks)))

    async def spend(self, no: int, tokens: int, cost: float) -> None:
        """Put down what embedding took."""
        await self._sql.run(tables.MEASURED, _more(no, tokens=tokens, cost=cost))

    async def note(self, version: Version) -> None:
        """Keep a pending version's facts, media type, chunker, embedder and job as they are here."""
        values = {
            "of_version": version.no,
            "new_facts": encode_json(version.facts).decode(),
            "new_media_type": version.media_type,
            "new_chunker": version.chunker,
            "new_embedder": version.embedder,
            "new_job_id": version.job_id,
        }
        if not await self._sql.run(tables.FACTS, values):
            raise VersionGone()

    async def fail(self, no: int, reason: str, now_ms: int) -> bool:
        """The version will not serve; what was there before goes on. False when it was not pending."""
        values = {"of_version": no, "why": reason, "now_ms": now_ms}
        return bool(await self._sql.run(tables.FAIL, values))

    async def reopen(self, no: int) -> bool:
        """Let a failed version be tried again, pending as before; False when its upload is gone."""
        return bool(await self._sql.run(tables.REOPEN, {"of_version": no}))

    async def swap(self, version: Version, now_ms: int) -> bool:
        """Let the version serve in place of the one before, in one transaction.

        False when a newer one serves already, or the document is gone: then this one is retired. True also
        when it serves already: whoever was stopped in between may do it again.
        """
        async with self._sql.transaction() as tx:
            # The document's row first, everywhere: two that wait for each other's rows would never end.
            values = {
                "of_document": version.document_id,
                "new_version": version.no,
                "new_n": version.n,
                "now_ms": now_ms,
            }
            pointed = await tx.run(tables.POINT, values)
            if not pointed:
                await tx.run(tables.RETIRE, {"of_version": version.no})
                now = await tx.fetch(tables.VERSION, {"no": version.no})
                return bool(now) and _version(now[0]).state == SERVING
            if not await tx.run(tables.SERVE, {"of_version": version.no, "now_ms": now_ms}):
                raise VersionGone()
            await tx.run(tables.RETIRE_OLDER, {"of_document": version.document_id, "than_n": version.n})
            await tx.run(tables.TOUCH, {"tenant": version.tenant, "revision": now_ms})
        return True

    async def revision(self, tenant: str) -> int:
        """Another number whenever what is found for the tenant has changed; 0 for nobody."""
        rows = await self._sql.fetch(tables.REVISION, {"tenant": tenant})
        return int(rows[0][0]) if rows else 0

    async def totals(self, tenant: str) -> tuple[int, int, int]:
        """(documents, chunks, terms) of a tenant that serve."""
        [row] = await self._sql.fetch(tables.TOTALS, {"tenant": tenant})
        return int(row[0]), int(row[1]), int(row[2])

    async def states(self) -> dict[str, tuple[int, int]]:
        """By state: how many versions, and how many chunks they have; of all tenants."""
        return {
            state: (int(count), int(chunks or 0))
            for state, count, chunks in await self._sql.fetch(tables.STATES)
        }

    async def found(self, tenant: str, hits: Sequence[Hit]) -> list[Found]:
        """The chunks of these hits with their text, in their order; those that serve no more are left out."""
        if not hits:
            return []
        ids = [hit.chunk for hit in hits]
        rows = {row[0]: row for row in await self._sql.fetch(tables.FOUND, {"ids": ids, "tenant": tenant})}
        found = []
        for hit in hits:
            if (row := rows.get(hit.chunk)) is not None:
                found.append(_found(row, hit))
        return found

    async def _held(self, no: int, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        async with self._sql.transaction() as tx:
            await hold(tx, no)
            await tx.run_many(statement, rows)


async def _retag(tx: Transaction, document_id: str, tags: Sequence[str]) -> None:
    await tx.run(tables.DROP_TAGS, {"of_document": document_id})
    await tx.run_many(tables.ADD_TAG, [{"document_id": document_id, "tag": tag} for tag in sorted(set(tags))])


def _more(no: int, chunks: int = 0, length: int = 0, tokens: int = 0, cost: float = 0.0) -> dict[str, Any]:
    return {
        "of_version": no,
        "more_chunks": chunks,
        "more_length": length,
        "more_tokens": tokens,
        "more_cost": cost,
    }


def _chunk_rows(tenant: str, id: int, piece: Piece) -> tuple[dict[str, Any], dict[str, Any]]:
    count = counted(piece.text, piece.path)
    terms, counts = packed(count)
    chunk = {
        "id": id,
        "start": piece.start,
        "end": piece.end,
        "path": encode_json(piece.path).decode(),
        "text": piece.text,
        "text_hash": text_hash(tenant, piece.path, piece.text),
        "terms": terms,
    }
    return chunk, {"id": id, "counts": counts, "length": count.total()}


def _first(make: Callable[[Row], T], rows: Sequence[Row]) -> T | None:
    return make(rows[0]) if rows else None


def _document(row: Row) -> Document:
    id, tenant, name, title, tags, serving, _, newest, state, created_ms, updated_ms = row
    return Document(
        id=id,
        tenant=tenant,
        name=name,
        title=title,
        tags=tuple(decode_json(tags)),
        serving=serving,
        newest=newest,
        state=state,
        created_ms=created_ms,
        updated_ms=updated_ms,
    )


def _version(row: Row) -> Version:
    values = dict(zip(tables.versions.c.keys(), row, strict=True))
    return Version(**{**values, "facts": decode_json(values["facts"])})


def _found(row: Row, hit: Hit) -> Found:
    id, document_id, no, n, name, title, tags, start, end, path, text, counts = row
    return Found(
        chunk=id,
        document_id=document_id,
        version=no,
        n=n,
        name=name,
        title=title,
        tags=tuple(decode_json(tags)),
        ordinal=ordinal_of(id),
        start=start,
        end=end,
        path=tuple(decode_json(path)),
        text=text,
        score=hit.score,
        held=hit.held,
        counts=bytes(counts),
    )
