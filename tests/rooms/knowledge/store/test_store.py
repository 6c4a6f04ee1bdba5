"""Documents and versions on SQLite and on PostgreSQL."""

import asyncio

import msgspec
import pytest
from sqlalchemy import text

from holdfast.rooms.knowledge.rules.store_problems import VersionGone
from holdfast.rooms.knowledge.rules.stored import FAILED, RETIRED, SERVING, Filter, Hit, Piece
from holdfast.rooms.knowledge.store.store import BLOCK
from holdfast.rooms.knowledge.store.sweeping import Sweeper
from holdfast.rooms.knowledge.store.vectors import Stored, VectorStore
from tests.rooms.knowledge.databases import ACME, NOW, pending, serving, upload
from tests.rooms.knowledge.databases import sql as sql
from tests.rooms.knowledge.databases import store as store

# All but the counters, which number versions for ever.
TABLES = [
    "ranks",
    "documents",
    "tags",
    "versions",
    "uploads",
    "texts",
    "chunks",
    "vectors",
    "revisions",
    "postings",
]


async def ask(store, *terms, where=ACME, most=10):
    found = await store.index.candidates(where, [(term, 1.0) for term in terms], most)
    return [candidate.chunk for candidate in found]


async def swept(sql, store, now_ms=0):
    sweeper = Sweeper(sql, store.index)
    while await sweeper.sweep(now_ms=now_ms):
        pass
    return sweeper


async def rows_left(sql):
    return {
        name: count
        for name in TABLES
        if (count := (await sql.fetch(text(f"SELECT count(*) FROM knowledge_{name}")))[0][0])
    }


async def test_a_version_is_found_once_it_serves_and_the_one_before_no_more(sql, store):
    first = await serving(store, "farm", ["딸기 농장은 겨울에 연다", "bees"])
    assert await ask(store, "=딸기") == [first.no << 20]
    second = await pending(store, "farm", ["딸기 값이 올랐다"])
    assert (second.document_id, second.n) == (first.document_id, 2)
    assert await ask(store, "=딸기") == [first.no << 20]
    before = await store.revision("acme")
    assert await store.swap(second, NOW + 5)
    assert await store.revision("acme") != before
    assert await ask(store, "=딸기") == [second.no << 20]
    assert [v.state for v in await store.versions(first.document_id)] == [RETIRED, SERVING]
    await swept(sql, store)
    assert [v.no for v in await store.versions(first.document_id)] == [second.no]
    assert await store.index.counts("acme", ["=딸기", "=bee"]) == {"=딸기": 1}
    assert await store.totals("acme") == (1, 1, second_length(await store.version(second.no)))


def second_length(version):
    assert version.length > 0
    return version.length


async def test_a_version_that_comes_late_does_not_replace_a_newer_one(store):
    old = await pending(store, "a", ["one"])
    new = await pending(store, "a", ["two"])
    assert await store.swap(new, NOW)
    assert not await store.swap(old, NOW)
    assert await ask(store, "=two") == [new.no << 20]
    with pytest.raises(VersionGone):
        await store.put_text(old.no, "late")
    assert await store.swap(new, NOW)  # once more: a job that was stopped right after
    assert (await store.version(new.no)).state == SERVING


async def test_a_failed_version_leaves_the_old_one_and_its_reason(sql, store):
    good = await serving(store, "a", ["good"])
    bad = await pending(store, "a", ["bad"])
    assert await store.fail(bad.no, "knowledge-unreadable: broken", NOW)
    assert not await store.fail(bad.no, "again", NOW)
    await swept(sql, store, NOW + 90_000_000)
    kept = await store.version(bad.no)
    assert (kept.state, kept.reason, kept.chunks) == (FAILED, "knowledge-unreadable: broken", 0)
    assert await ask(store, "=good", "=bad") == [good.no << 20]
    assert await store.text(bad.no) == ""


async def test_tenants_and_tags_are_part_of_the_query(store):
    mine = await serving(store, "a", ["shared words"], tags=("x", "y"))
    other = await serving(store, "b", ["shared words"], tags=("x",))
    theirs = await serving(store, "a", ["shared words"], tenant="evil")
    assert await ask(store, "=shar") == [mine.no << 20, other.no << 20]
    assert await ask(store, "=shar", where=Filter("acme", ("x", "y"))) == [mine.no << 20]
    assert await ask(store, "=shar", where=Filter("acme", (), (other.document_id,))) == [other.no << 20]
    assert await ask(store, "=shar", where=Filter("acme", ("y",), (other.document_id,))) == []
    assert await ask(store, "=shar", where=Filter("evil")) == [theirs.no << 20]
    assert await ask(store, "=shar", where=Filter("")) == []
    assert await ask(store) == []
    assert await store.describe("acme", other.document_id, "B", ("y",), NOW)
    assert await ask(store, "=shar", where=Filter("acme", ("y",))) == [mine.no << 20, other.no << 20]
    assert not await store.describe("evil", other.document_id, "B", (), NOW)
    assert [d.name for d in await store.documents("acme", tag="x")] == ["a"]
    assert await store.found("evil", [Hit(mine.no << 20, 1.0)]) == []


@pytest.mark.parametrize("nasty", ['a"b', "NEAR(x)", "col:x", "*", "' OR 1=1", "-x", "~", "\\", "한 글"])
async def test_terms_are_never_syntax(store, nasty):
    await serving(store, "a", ["plain text"])
    assert await ask(store, nasty) == []
    assert await store.index.counts("acme", [nasty]) == {}


async def test_text_comes_back_by_characters(store):
    whole = ("가나다라 e\u0301 😀 " * 4000)[: 2 * BLOCK + 7]
    version = await store.add_version(upload("long"), NOW)
    await store.put_text(version.no, whole)
    assert await store.text(version.no) == whole
    for start, end in ((0, 1), (BLOCK - 1, BLOCK + 1), (BLOCK, 2 * BLOCK), (5, len(whole)), (9, 9)):
        assert await store.text(version.no, start, end) == whole[start:end]
    pieces = [Piece(BLOCK - 5, BLOCK + 5, whole[BLOCK - 5 : BLOCK + 5], ("머리", "둘"))]
    await store.put_chunks(version.no, "acme", pieces)
    await store.put_chunks(version.no, "acme", pieces)
    await store.swap(version, NOW)
    [found] = await store.found("acme", [Hit(version.no << 20, 2.0)])
    assert (found.text, found.path, found.score, found.name) == (pieces[0].text, ("머리", "둘"), 2.0, "long")
    assert (await store.version(version.no)).chunks == 1


async def test_an_upload_is_kept_as_it_came(store):
    version = await store.add_version(upload("a"), NOW)
    await store.put_upload(version.no, 0, b"\0\xff" * 10)
    await store.put_upload(version.no, 1, b"end")
    assert await store.upload(version.no) == b"\0\xff" * 10 + b"end"
    noted = msgspec.structs.replace(version, facts={"pages": 3}, job_id="j", embedder="e")
    await store.note(noted)
    assert await store.version(version.no) == noted
    await store.spend(version.no, 7, 0.25)
    await store.spend(version.no, 3, 0.25)
    spent = await store.version(version.no)
    assert (spent.tokens, spent.cost) == (10, 0.5)


async def test_eight_uploads_at_once_are_eight_versions(store):
    versions = await asyncio.gather(*(store.add_version(upload("same"), NOW) for _ in range(8)))
    assert sorted(version.n for version in versions) == list(range(1, 9))
    assert len({version.no for version in versions}) == 8
    await asyncio.gather(*(store.swap(version, NOW) for version in versions))
    document = await store.document_named("acme", "same")
    assert document.serving == max(versions, key=lambda version: version.n).no


async def test_a_deleted_document_is_gone_at_once_and_its_name_free(sql, store):
    version = await serving(store, "a", ["words"])
    working = await pending(store, "a", ["more words"])
    sweeper = Sweeper(sql, store.index)
    assert not await sweeper.delete("evil", version.document_id, NOW)
    assert await sweeper.delete("acme", version.document_id, NOW)
    assert await ask(store, "=word") == []
    with pytest.raises(VersionGone):
        await store.put_chunks(working.no, "acme", [Piece(0, 1, "x")], first=1)
    assert not await store.swap(working, NOW)
    again = await serving(store, "a", ["words"], document_id="another")
    await swept(sql, store)
    assert await ask(store, "=word") == [again.no << 20]
    assert await store.document("acme", version.document_id) is None


async def test_erasing_a_tenant_leaves_nothing_of_it(sql, store):
    vectors = VectorStore(sql)
    for tenant in ("acme", "evil"):
        version = await pending(store, "a", ["same text"] * 3, tenant=tenant, tags=("t",))
        await store.put_upload(version.no, 0, b"x")
        missing = await vectors.missing(version.no, "e")
        await vectors.put(version.no, "e", [Stored(missing[0][3], 1, b"\0\0")], NOW)
        assert await vectors.missing(version.no, "e") == []  # the three share one vector, tenants do not
        await store.swap(version, NOW)
    assert (await rows_left(sql))["vectors"] == 2
    sweeper = Sweeper(sql, store.index)
    assert await sweeper.erase("acme", NOW) == 1
    left = await rows_left(sql)
    assert left == {**dict.fromkeys(TABLES, 1), "chunks": 3, "ranks": 3, "postings": left["postings"]}
    assert await sweeper.erase("evil", NOW) == 1
    assert await rows_left(sql) == {}


async def test_of_what_failed_a_day_ago_few_rows_stay(sql, store):
    sweeper = Sweeper(sql, store.index)
    versions = []
    for at in range(5):
        version = await pending(store, "a", ["same text"])
        await store.put_upload(version.no, 0, b"x")
        await store.fail(version.no, f"reason {at}", NOW)
        versions.append(version)
    assert await sweeper.sweep(now_ms=NOW + 86_400_000) == 0
    assert (await rows_left(sql))["uploads"] == 5
    await swept(sql, store, NOW + 86_400_001)
    left = await store.versions(versions[0].document_id)
    assert [one.reason for one in left] == ["reason 2", "reason 3", "reason 4"]
    assert {name: count for name, count in (await rows_left(sql)).items() if count} == {
        "documents": 1,
        "versions": 3,
    }


async def test_a_vector_outlives_its_version_while_another_has_the_text(sql, store):
    vectors = VectorStore(sql)
    first = await pending(store, "a", ["same", "old"])
    made = [Stored(row[3], 1, b"\0\0") for row in await vectors.missing(first.no, "e")]
    await vectors.put(first.no, "e", made, NOW)
    await store.swap(first, NOW)
    second = await pending(store, "a", ["same", "new"])
    assert len(await vectors.missing(second.no, "e")) == 1
    await store.swap(second, NOW)
    await swept(sql, store)
    assert [row[0] for row in await vectors.of_version(second.no, "e")] == [second.no << 20]
    assert (await rows_left(sql))["vectors"] == 1
    with pytest.raises(VersionGone):
        await vectors.put(second.no, "e", made, NOW)
