"""The tables of documents, and every statement on them but those of the index.

A version's number is drawn once and never again (`knowledge_counters`), and a chunk's number holds its
version's, so that everything of a version is a range. What is written for a version is written while it is
pending: `HOLD` fails once it has ended.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from holdfast.ports.upsert import incoming, insert_ignore, upsert
from holdfast.rooms.knowledge.rules.stored import CHUNK_BITS, DELETING, FAILED, PENDING, RETIRED, SERVING

META = MetaData()

counters = Table(
    "knowledge_counters",
    META,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
revisions = Table(
    "knowledge_revisions",
    META,
    Column("tenant", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
documents = Table(
    "knowledge_documents",
    META,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("serving", BigInteger, nullable=False),
    Column("serving_n", BigInteger, nullable=False),
    Column("newest", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("knowledge_documents_by_name", "tenant", "name", unique=True),
)
tags = Table(
    "knowledge_tags",
    META,
    Column("document_id", Text, primary_key=True),
    Column("tag", Text, primary_key=True),
    sqlite_with_rowid=False,
)
versions = Table(
    "knowledge_versions",
    META,
    Column("no", BigInteger, primary_key=True, autoincrement=False),
    Column("document_id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("chunker", Text, nullable=False),
    Column("embedder", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("characters", BigInteger, nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
    Index("knowledge_versions_by_document", "document_id", "n", unique=True),
    Index("knowledge_versions_by_state", "tenant", "state"),
)
uploads = Table(
    "knowledge_uploads",
    META,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("part", BigInteger, primary_key=True, autoincrement=False),
    Column("bytes", LargeBinary, nullable=False),
)
texts = Table(
    "knowledge_texts",
    META,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
)
chunks = Table(
    "knowledge_chunks",
    META,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_hash", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Index("knowledge_chunks_by_hash", "text_hash"),
)
# Apart from the chunks, which are larger than a page: a hundred of these are read for a question.
ranks = Table(
    "knowledge_ranks",
    META,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("counts", LargeBinary, nullable=False),
    Column("length", BigInteger, nullable=False),
)

_d, _v, _c = documents.c, versions.c, chunks.c
_range = _c.id.between(bindparam("low"), bindparam("high"))

NEXT = upsert(counters, ("name",), {"value": counters.c.value + 1}, returning=("value",))
TOUCH = upsert(
    revisions,
    ("tenant",),
    {
        "revision": case(
            (incoming(revisions).revision > revisions.c.revision, incoming(revisions).revision),
            else_=revisions.c.revision + 1,
        )
    },
)
"""The tenant's index has changed. A number past the clock: a tenant that was erased and is there again never
has an old one."""
REVISION = select(revisions.c.revision).where(revisions.c.tenant == bindparam("tenant"))
FORGET_TENANT = delete(revisions).where(revisions.c.tenant == bindparam("of_tenant"))

ADD_DOCUMENT = insert_ignore(documents)
"""Whichever key of it is taken: of two at once PostgreSQL may meet the id before the name."""
NUMBER_VERSION = (
    update(documents)
    .where(_d.tenant == bindparam("of_tenant"), _d.name == bindparam("of_name"), _d.state != DELETING)
    .values(newest=_d.newest + 1, updated_ms=bindparam("now_ms"))
    .returning(_d.id, _d.newest)
)
ADD_VERSION = insert(versions)
HOLD = (
    update(versions)
    .where(_v.no == bindparam("of_version"), _v.state == PENDING)
    .values(created_ms=_v.created_ms)
)
"""Takes the row's lock and says whether it is still pending: 1 or 0."""
MEASURED = (
    update(versions)
    .where(_v.no == bindparam("of_version"), _v.state == PENDING)
    .values(
        chunks=_v.chunks + bindparam("more_chunks"),
        length=_v.length + bindparam("more_length"),
        tokens=_v.tokens + bindparam("more_tokens"),
        cost=_v.cost + bindparam("more_cost"),
    )
)
FACTS = (
    update(versions)
    .where(_v.no == bindparam("of_version"), _v.state == PENDING)
    .values(
        facts=bindparam("new_facts"),
        media_type=bindparam("new_media_type"),
        chunker=bindparam("new_chunker"),
        embedder=bindparam("new_embedder"),
        job_id=bindparam("new_job_id"),
    )
)
LENGTH = (
    update(versions).where(_v.no == bindparam("of_version")).values(characters=bindparam("new_characters"))
)
FAIL = (
    update(versions)
    .where(_v.no == bindparam("of_version"), _v.state == PENDING)
    .values(state=FAILED, reason=bindparam("why"), ended_ms=bindparam("now_ms"))
    .returning(_v.document_id)
)
REOPEN = (
    update(versions)
    .where(
        _v.no == bindparam("of_version"),
        _v.state == FAILED,
        select(uploads.c.version).where(uploads.c.version == _v.no).exists(),
    )
    .values(state=PENDING, reason="", ended_ms=0)
)
SERVE = (
    update(versions)
    .where(_v.no == bindparam("of_version"), _v.state == PENDING)
    .values(state=SERVING, ended_ms=bindparam("now_ms"))
    .returning(_v.document_id, _v.tenant, _v.n)
)
RETIRE = update(versions).where(_v.no == bindparam("of_version"), _v.state == PENDING).values(state=RETIRED)
RETIRE_OLDER = (
    update(versions)
    .where(
        _v.document_id == bindparam("of_document"),
        _v.n < bindparam("than_n"),
        _v.state.in_((SERVING, PENDING)),
    )
    .values(state=RETIRED)
)
POINT = (
    update(documents)
    .where(_d.id == bindparam("of_document"), _d.serving_n < bindparam("new_n"), _d.state != DELETING)
    .values(
        serving=bindparam("new_version"),
        serving_n=bindparam("new_n"),
        state=SERVING,
        updated_ms=bindparam("now_ms"),
    )
)
CALL_OFF = (
    update(documents)
    .where(_d.id == bindparam("of_document"), _d.tenant == bindparam("of_tenant"))
    .values(state=DELETING, serving=0, name=literal(" ") + _d.id, updated_ms=bindparam("now_ms"))
)
"""Nothing of it is found any more, and its name is free at once; its rows are swept away after."""
CALL_OFF_ALL = (
    update(documents)
    .where(_d.tenant == bindparam("of_tenant"))
    .values(state=DELETING, serving=0, name=literal(" ") + _d.id, updated_ms=bindparam("now_ms"))
)
RETIRE_DOCUMENT = (
    update(versions)
    .where(_v.document_id == bindparam("of_document"), _v.state != RETIRED)
    .values(state=RETIRED)
)
RETIRE_TENANT = (
    update(versions).where(_v.tenant == bindparam("of_tenant"), _v.state != RETIRED).values(state=RETIRED)
)
TITLE = (
    update(documents)
    .where(_d.id == bindparam("of_document"), _d.tenant == bindparam("of_tenant"))
    .values(title=bindparam("new_title"), tags=bindparam("new_tags"), updated_ms=bindparam("now_ms"))
)
DROP_TAGS = delete(tags).where(tags.c.document_id == bindparam("of_document"))
ADD_TAG = insert_ignore(tags, ("document_id", "tag"))
DROP_DOCUMENT = delete(documents).where(_d.id == bindparam("of_document"), _d.state == DELETING)
"""Only after its versions."""

DOCUMENT = select(*_d).where(_d.id == bindparam("id"), _d.tenant == bindparam("tenant"))
DOCUMENT_NAMED = select(*_d).where(_d.tenant == bindparam("tenant"), _d.name == bindparam("name"))
DOCUMENTS = (
    select(*_d)
    .where(_d.tenant == bindparam("tenant"), _d.name > bindparam("after"), _d.state != DELETING)
    .order_by(_d.name)
    .limit(bindparam("most"))
)
DOCUMENTS_TAGGED = (
    select(*_d)
    .select_from(documents.join(tags, and_(tags.c.document_id == _d.id, tags.c.tag == bindparam("tag"))))
    .where(_d.tenant == bindparam("tenant"), _d.name > bindparam("after"), _d.state != DELETING)
    .order_by(_d.name)
    .limit(bindparam("most"))
)
VERSION = select(*_v).where(_v.no == bindparam("no"))
VERSIONS = select(*_v).where(_v.document_id == bindparam("document_id")).order_by(_v.n)
KEPT_FAILED = 3
"""Failed versions of a document whose rows stay, to say why."""
_newer = versions.alias("newer")
_is_told = (
    select(func.count())
    .where(
        _newer.c.document_id == _v.document_id,
        _newer.c.state == FAILED,
        _newer.c.n > _v.n,
    )
    .scalar_subquery()
    < KEPT_FAILED
)
_has_rest = or_(
    _v.chunks > 0, _v.characters > 0, select(uploads.c.version).where(uploads.c.version == _v.no).exists()
)
DOOMED = (
    select(
        _v.no, _v.tenant, _v.chunks, case((and_(_v.state == FAILED, _is_told), 1), else_=0).label("is_kept")
    )
    .where(
        or_(
            _v.state == RETIRED,
            and_(_v.state == FAILED, _v.ended_ms < bindparam("failed_before_ms"), or_(_has_rest, ~_is_told)),
        )
    )
    .order_by(_v.no)
    .limit(bindparam("most"))
)
"""What is retired, and what failed so long ago that nobody will try again; of those few keep their row."""
DOOMED_OF = DOOMED.where(_v.tenant == bindparam("tenant"))
EMPTY_DOCUMENTS = (
    select(_d.id)
    .where(
        _d.state == DELETING,
        ~select(_v.no).where(_v.document_id == _d.id).exists(),
    )
    .limit(bindparam("most"))
)
DROP_VERSION = delete(versions).where(_v.no == bindparam("of_version"))
EMPTIED = update(versions).where(_v.no == bindparam("of_version")).values(chunks=0, length=0, characters=0)
TOTALS = select(
    func.count(), func.coalesce(func.sum(_v.chunks), 0), func.coalesce(func.sum(_v.length), 0)
).where(_v.tenant == bindparam("tenant"), _v.state == SERVING)
STATES = select(_v.state, func.count(), func.sum(_v.chunks)).group_by(_v.state)

ADD_PART = insert_ignore(uploads, ("version", "part"))
PART = select(uploads.c.bytes).where(
    uploads.c.version == bindparam("version"), uploads.c.part == bindparam("part")
)
DROP_UPLOAD = delete(uploads).where(uploads.c.version == bindparam("of_version"))
ADD_BLOCK = insert_ignore(texts, ("version", "block"))
BLOCKS = (
    select(texts.c.block, texts.c.text)
    .where(
        texts.c.version == bindparam("version"),
        texts.c.block.between(bindparam("first"), bindparam("last")),
    )
    .order_by(texts.c.block)
)
DROP_TEXT = delete(texts).where(texts.c.version == bindparam("of_version"))

ADD_CHUNK = insert_ignore(chunks, ("id",))
CHUNKS = (
    select(_c.id, _c.start, _c.end, _c.path, _c.text_hash)
    .where(_range)
    .order_by(_c.id)
    .limit(bindparam("most"))
)
DROP_CHUNKS = delete(chunks).where(_range)
ADD_RANK = insert_ignore(ranks, ("id",))
DROP_RANKS = delete(ranks).where(ranks.c.id.between(bindparam("low"), bindparam("high")))
FOUND = (
    select(
        _c.id,
        _d.id.label("document_id"),
        _v.no,
        _v.n,
        _d.name,
        _d.title,
        _d.tags,
        _c.start,
        _c.end,
        _c.path,
        _c.text,
        ranks.c.counts,
    )
    .select_from(
        chunks.join(versions, _v.no == _c.id.op(">>")(literal_column(str(CHUNK_BITS))))
        .join(documents, _d.id == _v.document_id)
        .join(ranks, ranks.c.id == _c.id)
    )
    .where(_c.id.in_(bindparam("ids", expanding=True)), _v.tenant == bindparam("tenant"), _v.state == SERVING)
)


def create(bind: Any) -> None:
    """Make the tables, portable ones."""
    META.create_all(bind)
