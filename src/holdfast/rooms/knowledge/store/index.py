"""The lexical index: which chunks hold which terms.

SQLite keeps it in FTS5 (`unicode61` over terms that are made before, no positions, contentless: a chunk's own
row says what they are) and it is read through `fts5vocab`, term by term: FTS5's own ranking reads every
chunk that any of the words is in, ours the chunks of the rarest only. PostgreSQL keeps the same postings in a
table; statements, ranking and results are the same on both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import TextClause, bindparam, literal_column, select, text

from holdfast.kernel.codec import encode_json
from holdfast.ports.storage import Sql, Transaction
from holdfast.rooms.knowledge.rules.stored import CHUNK_BITS, MAX_CHUNKS, SERVING, Filter
from holdfast.rooms.knowledge.rules.words import mark
from holdfast.rooms.knowledge.store import tables

SLICE = 512
"""Chunks that are indexed, or forgotten, in one transaction."""

_SQLITE_TABLES = (
    "CREATE VIRTUAL TABLE knowledge_lexical USING fts5(terms, content='', detail=none,"
    " tokenize=\"unicode61 remove_diacritics 0 tokenchars '=#~.:''-'\")",
    "INSERT INTO knowledge_lexical (knowledge_lexical, rank) VALUES ('usermerge', 2)",
    "CREATE VIRTUAL TABLE knowledge_postings USING fts5vocab(knowledge_lexical, instance)",
    "CREATE VIRTUAL TABLE knowledge_term_counts USING fts5vocab(knowledge_lexical, row)",
)
_POSTGRES_TABLES = (
    'CREATE TABLE knowledge_postings (term text COLLATE "C" NOT NULL, doc bigint NOT NULL,'
    " PRIMARY KEY (term, doc))",
)
MERGED = 16
"""Pages of FTS5's segments that are merged for each chunk added. Every segment is another look-up a term, and
FTS5's own merging, which counts pages written, leaves dozens where documents come one by one."""
_MERGE = text("INSERT INTO knowledge_lexical (knowledge_lexical, rank) VALUES ('merge', :pages)")


class Candidate(NamedTuple):
    """A chunk that holds some of the rarest terms, with what ranking it takes."""

    chunk: int
    document_id: str
    counts: bytes
    """The signatures of its terms (32 bits each, ascending), then how often each occurs (8 bits each)."""
    length: int
    revision: int
    """The tenant's, at the moment of the look-up."""


class Serving(NamedTuple):
    """A version that serves."""

    version: int
    document_id: str
    chunks: int


class Packed(NamedTuple):
    """A chunk as it is ranked: its packed terms, as in Candidate, and how many they are."""

    chunk: int
    counts: bytes
    length: int


def create(bind: Any) -> None:
    """Make what the index stands in, for the database at hand."""
    for statement in _SQLITE_TABLES if bind.dialect.name == "sqlite" else _POSTGRES_TABLES:
        bind.exec_driver_sql(statement)


_v, _k = tables.versions.c, tables.ranks.c
_SERVING = (
    select(_v.no, _v.document_id, _v.chunks)
    .where(_v.tenant == bindparam("tenant"), _v.state == SERVING)
    .order_by(_v.no)
    .limit(bindparam("most"))
)
_first = _v.no.op("<<")(literal_column(str(CHUNK_BITS)))
_PACKED = (
    select(_k.id, _k.counts, _k.length)
    .select_from(
        tables.versions.join(
            tables.ranks, _k.id.between(_first, _first + literal_column(str(MAX_CHUNKS - 1)))
        )
    )
    .where(_v.no.in_(bindparam("versions", expanding=True)))
    .order_by(_k.id)
)

_Filtered = Mapping[tuple[bool, bool], TextClause]


class _Words(NamedTuple):
    """The statements of one database."""

    add: TextClause
    drop: TextClause
    held: TextClause
    holders: _Filtered
    candidates: _Filtered


class Index:
    """The lexical index in the database. Raises Unavailable."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._is_fts = sql.state()["driver"] == "sqlite"
        self._words = _SQLITE if self._is_fts else _POSTGRES

    async def add(self, tx: Transaction, tenant: str, low: int, high: int) -> None:
        """Index the stored chunks numbered `low` to `high`, which must not be indexed yet."""
        await tx.run(self._words.add, {"mark": mark(tenant), "low": low, "high": high})
        if self._is_fts:
            await tx.run(_MERGE, {"pages": MERGED * (high - low + 4)})

    async def drop(self, tx: Transaction, tenant: str, low: int, high: int) -> None:
        """Forget the chunks numbered `low` to `high`; before their rows go, which say what to forget."""
        await tx.run(self._words.drop, {"mark": mark(tenant), "low": low, "high": high})

    async def counts(self, tenant: str, terms: Sequence[str]) -> dict[str, int]:
        """How many chunks hold each term; those that none holds are left out."""
        if not terms:
            return {}
        sign = mark(tenant)
        asked = encode_json([sign + term for term in terms]).decode()
        rows = await self._sql.fetch(self._words.held, {"terms": asked})
        return {term[len(sign) :]: int(held) for term, held in rows}

    async def serving(self, tenant: str, most: int) -> list[Serving]:
        """What serves for the tenant, at most `most` versions, in their order."""
        rows = await self._sql.fetch(_SERVING, {"tenant": tenant, "most": most})
        return [Serving(*row) for row in rows]

    async def packed(self, versions: Sequence[int]) -> list[Packed]:
        """All chunks of these versions, in their order."""
        return [Packed(*row) for row in await self._sql.fetch(_PACKED, {"versions": list(versions)})]

    async def holders(self, where: Filter, terms: Sequence[str], most: int) -> list[Candidate]:
        """All chunks that serve, pass the filter and have any of these terms; but never more than `most`."""
        if not terms:
            return []
        signed = [mark(where.tenant) + term for term in terms]
        match = " OR ".join(map(_quoted, signed)) if self._is_fts else encode_json(signed).decode()
        return await self._fetch(self._words.holders, where, {"match": match, "most": most})

    async def candidates(
        self, where: Filter, weights: Sequence[tuple[str, float]], most: int
    ) -> list[Candidate]:
        """The `most` chunks that serve, pass the filter and have most weight of these terms, best first."""
        if not weights:
            return []
        sign = mark(where.tenant)
        given = [(sign + term, round(weight, 4)) for term, weight in weights]
        return await self._fetch(
            self._words.candidates, where, {"weights": encode_json(given).decode(), "most": most}
        )

    async def _fetch(self, statements: _Filtered, where: Filter, values: dict[str, Any]) -> list[Candidate]:
        values["tenant"] = where.tenant
        if where.tags:
            wanted = sorted(set(where.tags))
            values |= {"tags": encode_json(wanted).decode(), "tag_count": len(wanted)}
        if where.documents:
            values["documents"] = encode_json(list(where.documents)).decode()
        statement = statements[bool(where.tags), bool(where.documents)]
        return [Candidate(*row) for row in await self._sql.fetch(statement, values)]


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def slices(version: int, chunks: int) -> list[tuple[int, int]]:
    """The ranges of chunk numbers, both ends in, in which a version is written and swept."""
    low = version << CHUNK_BITS
    if chunks > MAX_CHUNKS:
        raise ValueError(f"{chunks} chunks in one version, at most {MAX_CHUNKS}")
    return [(low + at, low + min(at + SLICE, chunks) - 1) for at in range(0, chunks, SLICE)]


def _statements(found: str, listed: str) -> dict[tuple[bool, bool], TextClause]:
    """The statement for each set of filters, over `found`: a query for (id, score) of the chunks with a term.

    `{}` in `listed` is the name of a parameter that holds a JSON array.
    """
    tags = (
        " AND (SELECT count(*) FROM knowledge_tags g WHERE g.document_id = v.document_id"  # noqa: S608 - ours
        f" AND g.tag IN ({listed.format('tags')})) = :tag_count"
    )
    documents = f" AND v.document_id IN ({listed.format('documents')})"
    return {
        (tagged, named): text(
            "SELECT t.id, t.document_id, c.counts, c.length,"  # noqa: S608 - our own text
            " (SELECT revision FROM knowledge_revisions WHERE tenant = :tenant)"
            f" FROM (SELECT m.id, m.score, v.document_id FROM ({found}) m"
            f" CROSS JOIN knowledge_versions v WHERE v.no = m.id >> {CHUNK_BITS} AND v.tenant = :tenant"
            f" AND v.state = 'serving'{tags if tagged else ''}{documents if named else ''}"
            " ORDER BY m.score DESC, m.id LIMIT :most) t CROSS JOIN knowledge_ranks c WHERE c.id = t.id"
            " ORDER BY t.score DESC, t.id"
        )
        for tagged in (False, True)
        for named in (False, True)
    }


_SQLITE = _Words(
    add=text(
        "INSERT INTO knowledge_lexical (rowid, terms)"
        " SELECT id, :mark || replace(terms, ' ', ' ' || :mark) FROM knowledge_chunks"
        " WHERE id BETWEEN :low AND :high AND terms <> ''"
    ),
    drop=text(
        "INSERT INTO knowledge_lexical (knowledge_lexical, rowid, terms)"
        " SELECT 'delete', id, :mark || replace(terms, ' ', ' ' || :mark) FROM knowledge_chunks"
        " WHERE id BETWEEN :low AND :high AND terms <> ''"
    ),
    held=text(
        "SELECT term, doc FROM knowledge_term_counts WHERE term IN (SELECT value FROM json_each(:terms))"
    ),
    holders=_statements(
        "SELECT rowid AS id, 0 AS score FROM knowledge_lexical WHERE knowledge_lexical MATCH :match",
        "SELECT value FROM json_each(:{})",
    ),
    candidates=_statements(
        "SELECT p.doc AS id, sum(q.weight) AS score FROM (SELECT json_extract(value, '$[0]') AS term,"
        " json_extract(value, '$[1]') AS weight FROM json_each(:weights)) q"
        " CROSS JOIN knowledge_postings p WHERE p.term = q.term GROUP BY p.doc",
        "SELECT value FROM json_each(:{})",
    ),
)
_POSTGRES = _Words(
    add=text(
        "INSERT INTO knowledge_postings (term, doc) SELECT CAST(:mark AS text) || t, c.id"
        " FROM knowledge_chunks c CROSS JOIN LATERAL unnest(string_to_array(c.terms, ' ')) t"
        " WHERE c.id BETWEEN :low AND :high AND c.terms <> '' ON CONFLICT DO NOTHING"
    ),
    drop=text(
        "DELETE FROM knowledge_postings p USING knowledge_chunks c"
        " CROSS JOIN LATERAL unnest(string_to_array(c.terms, ' ')) t"
        " WHERE c.id BETWEEN :low AND :high AND p.term = CAST(:mark AS text) || t AND p.doc = c.id"
    ),
    held=text(
        "SELECT term, count(*) FROM knowledge_postings"
        " WHERE term = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:terms AS jsonb)))) GROUP BY term"
    ),
    holders=_statements(
        "SELECT DISTINCT doc AS id, 0 AS score FROM knowledge_postings"
        " WHERE term = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:match AS jsonb))))",
        "SELECT jsonb_array_elements_text(CAST(:{} AS jsonb))",
    ),
    candidates=_statements(
        # The look-up is not to be flattened: one a term, whatever the planner thinks of their number.
        "SELECT p.doc AS id, sum(q.weight) AS score FROM (SELECT value->>0 AS term,"
        " CAST(value->>1 AS float8) AS weight FROM jsonb_array_elements(CAST(:weights AS jsonb))) q"
        " CROSS JOIN LATERAL (SELECT doc FROM knowledge_postings WHERE term = q.term OFFSET 0) p"
        " GROUP BY p.doc",
        "SELECT jsonb_array_elements_text(CAST(:{} AS jsonb))",
    ),
)
