"""Vectors of chunks: one a text, tenant and embedder, so that what was embedded once is never paid again."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import structs
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
)

from holdfast.ports.storage import Sql, Transaction
from holdfast.ports.upsert import upsert
from holdfast.rooms.knowledge.rules.stored import CHUNK_BITS, SERVING, Filter
from holdfast.rooms.knowledge.rules.trial import Trial
from holdfast.rooms.knowledge.store import tables
from holdfast.rooms.knowledge.store.pending import hold

_meta = MetaData()

rows = Table(
    "knowledge_vectors",
    _meta,
    Column("text_hash", Text, primary_key=True),
    Column("embedder", Text, primary_key=True),
    Column("dims", BigInteger, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("poison", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("knowledge_vectors_by_embedder", "embedder", "poison"),
)


trials = Table(
    "knowledge_trials",
    _meta,
    Column("tenant", Text, primary_key=True),
    Column("embedder", Text, primary_key=True),
    Column("sample", BigInteger, nullable=False),
    Column("dense", Float, nullable=False),
    Column("lexical", Float, nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)


class Stored(NamedTuple):
    """A text's vector as it is kept: half floats, little end first; or why it has none."""

    text_hash: str
    dims: int
    vector: bytes
    poison: str = ""


def create(bind: Any) -> None:
    """Make the table."""
    _meta.create_all(bind)


_r, _c, _v, _d = rows.c, tables.chunks.c, tables.versions.c, tables.documents.c
_PUT = upsert(rows, ("text_hash", "embedder"), ("dims", "vector", "poison"))
_missing = (
    select(_c.id, _c.path, _c.text, _c.text_hash)
    .where(
        _c.id.between(bindparam("low"), bindparam("high")),
        ~select(_r.dims).where(_r.text_hash == _c.text_hash, _r.embedder == bindparam("embedder")).exists(),
    )
    .order_by(_c.id)
)
_MISSING = _missing.limit(bindparam("most"))
_DIMS = select(_r.dims).where(_r.embedder == bindparam("embedder"), _r.poison == "").limit(1)
_OF_VERSION = (
    select(_c.id, _r.dims, _r.vector)
    .select_from(tables.chunks.join(rows, _r.text_hash == _c.text_hash))
    .where(
        _c.id.between(bindparam("low"), bindparam("high")),
        _r.embedder == bindparam("embedder"),
        _r.poison == "",
    )
    .order_by(_c.id)
)
_t = trials.c
_TRIAL = select(_t.sample, _t.dense, _t.lexical, _t.chunks, _t.at_ms).where(
    _t.tenant == bindparam("tenant"), _t.embedder == bindparam("embedder")
)
_PUT_TRIAL = upsert(trials, ("tenant", "embedder"), ("sample", "dense", "lexical", "chunks", "at_ms"))
_DROP_TRIALS = delete(trials).where(_t.tenant == bindparam("of_tenant"))
_SERVING = (
    select(_v.no, _v.chunks, _v.embedder)
    .where(_v.tenant == bindparam("tenant"), _v.state == SERVING)
    .order_by(_v.no)
)
_g = tables.tags.c
_tagged = (
    select(func.count())
    .select_from(tables.tags)
    .where(_g.document_id == _v.document_id, _g.tag.in_(bindparam("tags", expanding=True)))
    .scalar_subquery()
)
_passing = select(_v.no).where(_v.tenant == bindparam("tenant"), _v.state == SERVING)
_TAGGED = _passing.where(_tagged == bindparam("tag_count"))
_NAMED = _passing.where(_v.document_id.in_(bindparam("documents", expanding=True)))
_BOTH = _TAGGED.where(_v.document_id.in_(bindparam("documents", expanding=True)))
_other = tables.chunks.alias("other")
ORPHANS = delete(rows).where(
    _r.text_hash.in_(select(_c.text_hash).where(_c.id.between(bindparam("low"), bindparam("high")))),
    ~select(_other.c.id)
    .where(
        _other.c.text_hash == _r.text_hash,
        ~_other.c.id.between(bindparam("low"), bindparam("high")),
    )
    .exists(),
)
"""The vectors that only chunks of this range have; before the chunks' rows go."""


class VectorStore:
    """Vectors in the database. Raises Unavailable."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def put(self, version: int, embedder: str, made: Sequence[Stored], now_ms: int) -> None:
        """Keep what was embedded for a pending version; raises VersionGone for another.

        A text that has a vector gets this one.
        """
        stored = [{**each._asdict(), "embedder": embedder, "created_ms": now_ms} for each in made]
        async with self._sql.transaction() as tx:
            await hold(tx, version)
            await tx.run_many(_PUT, stored)

    async def missing(
        self, version: int, embedder: str, *, after: int = 0, most: int = 256
    ) -> list[tuple[int, str, str, str]]:
        """(id, path, text, hash) of a version's chunks, numbered above `after`, that have no vector."""
        low, high = _span(version)
        values = {"low": max(low, after + 1), "high": high, "embedder": embedder, "most": most}
        return [(r[0], r[1], r[2], r[3]) for r in await self._sql.fetch(_MISSING, values)]

    async def dims(self, embedder: str) -> int | None:
        """How long this embedder's vectors are; None where there are none yet."""
        found = await self._sql.fetch(_DIMS, {"embedder": embedder})
        return found[0][0] if found else None

    async def serving(self, tenant: str) -> list[tuple[int, int, str]]:
        """(version, chunks, embedder) of what serves for the tenant."""
        return [(r[0], r[1], r[2]) for r in await self._sql.fetch(_SERVING, {"tenant": tenant})]

    async def of_version(self, version: int, embedder: str) -> list[tuple[int, int, bytes]]:
        """(chunk, dims, vector) of one version, in order."""
        low, high = _span(version)
        found = await self._sql.fetch(_OF_VERSION, {"low": low, "high": high, "embedder": embedder})
        return [(row[0], row[1], bytes(row[2])) for row in found]

    async def passing(self, where: Filter) -> list[int] | None:
        """The serving versions that pass the filter's tags and documents; None where it has neither."""
        if not where.tags and not where.documents:
            return None
        values: dict[str, Any] = {"tenant": where.tenant}
        if where.tags:
            values |= {"tags": sorted(set(where.tags)), "tag_count": len(set(where.tags))}
        if where.documents:
            values["documents"] = list(where.documents)
        statement = _BOTH if where.tags and where.documents else _TAGGED if where.tags else _NAMED
        return [row[0] for row in await self._sql.fetch(statement, values)]

    async def trial(self, tenant: str, embedder: str) -> Trial | None:
        """How the embedder did on this tenant's chunks, the last time that it was tried."""
        found = await self._sql.fetch(_TRIAL, {"tenant": tenant, "embedder": embedder})
        return Trial(*found[0]) if found else None

    async def put_trial(self, tenant: str, embedder: str, trial: Trial) -> None:
        """Keep how it did."""
        values = {"tenant": tenant, "embedder": embedder, **structs.asdict(trial)}
        await self._sql.run(_PUT_TRIAL, values)


async def drop_trials(tx: Transaction, tenant: str) -> None:
    """Forget how embedders did on a tenant's chunks."""
    await tx.run(_DROP_TRIALS, {"of_tenant": tenant})


async def drop_orphans(tx: Transaction, low: int, high: int) -> None:
    """Forget the vectors that no other chunk has than those numbered `low` to `high`."""
    await tx.run(ORPHANS, {"low": low, "high": high})


def _span(version: int) -> tuple[int, int]:
    return version << CHUNK_BITS, (version + 1 << CHUNK_BITS) - 1
