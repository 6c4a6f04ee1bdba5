"""Taking documents in: swapped at once, done again, called off; and what goes wrong on the way."""

import asyncio
import hashlib

import pytest
from sqlalchemy import select

from holdfast.kernel.errors import Unavailable
from holdfast.ports.jobs import Enqueued
from holdfast.rooms.knowledge.engine.ingesting import NoEmbedder
from holdfast.rooms.knowledge.rules.problems import BadUpload, UnknownDocument, UploadTooLarge
from holdfast.rooms.knowledge.rules.stored import Filter, Upload
from holdfast.rooms.knowledge.store import tables
from tests.waiting import until

OLD = "서울의 인구는 940만 명이다. 서울은 수도이다."
NEW = "서울의 인구는 933만 명이다. 서울은 수도이다."


class Stepping(NoEmbedder):
    """An embedder that stops in mid-work until it is let go, or fails."""

    key = "test-1"

    def __init__(self, *errors):
        self.errors = list(errors)
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.calls = 0

    async def embed(self, version, chunks, told):
        self.calls += 1
        self.begun.set()
        if self.errors:
            raise self.errors.pop(0)
        await self.go.wait()
        told(1.0)
        return {"embedded": chunks}


async def quotes(world, question="서울의 인구는?", **where):
    return [one.text for one in await world.knowledge.search(question, **where)]


async def test_an_upload_becomes_a_document_that_is_found(make_on):
    world = make_on()
    taken = await world.add("서울.txt", OLD, title="서울", tags=["city", "kr"])
    assert world.ended == "succeeded"
    document, versions = await world.knowledge.documents.show("", taken.document_id)
    assert (document.name, document.title, document.tags, document.state) == (
        "서울.txt", "서울", ("city", "kr"), "serving",
    )  # fmt: skip
    assert [(one.n, one.state, one.characters) for one in versions] == [(1, "serving", len(OLD))]
    assert await quotes(world, tags=["kr"]) == [OLD]
    assert await quotes(world, tags=["us"]) == []
    assert await quotes(world, tenant="other") == []


async def test_the_same_content_again_is_not_done_again(make_on):
    world = make_on()
    first = await world.add("a.txt", OLD)
    again = await world.add("a.txt", OLD, tags=["new"])
    assert (again.document_id, again.version, again.unchanged) == (first.document_id, 1, True)
    document, versions = await world.knowledge.documents.show("", first.document_id)
    assert (len(versions), document.tags) == (1, ("new",))
    other = await world.add("b.txt", OLD)
    assert not other.unchanged


async def test_another_chunker_makes_it_another_version(make):
    await make().add("a.txt", OLD)
    world = make(chunk_characters=400)
    again = await world.add("a.txt", OLD)
    assert (again.version, again.unchanged) == (2, False)


async def test_the_old_version_serves_until_the_new_one_does(make_on):
    embedder = Stepping()
    embedder.go.set()
    world = make_on(embedder=embedder)
    await world.add("a.txt", OLD)
    embedder.go.clear()
    embedder.begun.clear()
    taken = await world.knowledge.add("a.txt", NEW)
    await embedder.begun.wait()
    assert await quotes(world) == [OLD]
    embedder.go.set()
    assert await world.knowledge.wait(taken) == "succeeded"
    assert await quotes(world) == [NEW]
    await world.knowledge.sweep()
    _, versions = await world.knowledge.documents.show("", taken.document_id)
    assert [one.n for one in versions] == [2]


async def test_a_failure_leaves_the_old_version_and_says_why(make_on):
    world = make_on()
    taken = await world.add("a.txt", OLD)
    bad = await world.add("a.txt", b"%PDF-1.7 broken", media_type="application/pdf")
    assert (world.ended, bad.version) == ("failed", 2)
    await world.knowledge.sweep()
    document, versions = await world.knowledge.documents.show("", taken.document_id)
    assert [(one.n, one.state) for one in versions] == [(1, "serving"), (2, "failed")]
    assert versions[1].reason.startswith("knowledge-")
    assert (document.state, await quotes(world)) == ("serving", [OLD])
    view = await world.jobs.find(bad.job_id)
    assert view.error_kind == "corrupt_input"


async def test_what_may_pass_is_kept_pending_until_the_job_gives_up(make):
    embedder = Stepping(Unavailable("the endpoint answers 429", retry_after_s=7.0))
    world = make(embedder=embedder)
    taken = await world.add("a.txt", OLD)
    assert world.ended == "failed"
    _, [version] = await world.knowledge.documents.show("", taken.document_id)
    assert (version.state, version.reason) == ("failed", "unavailable: the endpoint answers 429")
    embedder.go.set()
    again = await world.add("a.txt", OLD)
    assert (again.version, world.ended) == (2, "succeeded")


async def test_a_cancelled_job_leaves_a_version_that_says_so(make):
    embedder = Stepping()
    world = make(embedder=embedder)
    taken = await world.knowledge.add("a.txt", OLD)
    await embedder.begun.wait()
    assert await world.jobs.cancel(taken.job_id, "not wanted")
    assert await world.knowledge.wait(taken) == "cancelled"
    _, [version] = await world.knowledge.documents.show("", taken.document_id)
    assert (version.state, version.reason) == ("failed", "cancelled: the job was stopped")
    assert await quotes(world) == []


@pytest.mark.parametrize("how", ["delete", "erase"])
async def test_deleting_while_the_job_runs_ends_it_and_leaves_nothing(make_on, how):
    embedder = Stepping()
    world = make_on(embedder=embedder)
    taken = await world.knowledge.add("a.txt", OLD, tenant="acme")
    await embedder.begun.wait()
    if how == "delete":
        await world.knowledge.documents.delete("acme", taken.document_id)
    else:
        assert await world.knowledge.erase("acme") == 1
        assert await world.jobs.find(taken.job_id) is None

    async def idle():
        return not world.jobs.running

    await until(idle)
    embedder.go.set()
    await world.knowledge.sweep()
    found = await world.rows()
    found.pop("knowledge_revisions", None)
    assert found == {}
    with pytest.raises(UnknownDocument):
        await world.knowledge.documents.show("acme", taken.document_id)


async def test_erasing_one_tenant_leaves_the_others(make_on):
    world = make_on()
    await world.add("a.txt", OLD, tenant="acme")
    await world.add("a.txt", NEW, tenant="beta")
    assert await world.knowledge.erase("acme") == 1
    assert (await quotes(world, tenant="acme"), await quotes(world, tenant="beta")) == ([], [NEW])


class Forgetful:
    """Jobs that lose what is enqueued, as a process does that dies before it has enqueued."""

    def __init__(self, jobs):
        self.jobs = jobs
        self.lost = 0

    def __getattr__(self, name):
        return getattr(self.jobs, name)

    async def enqueue(self, name, payload, how=None):
        self.lost += 1
        return Enqueued("")


async def test_an_upload_that_has_no_job_gets_one(make_on):
    world = make_on()
    documents = world.knowledge.documents
    documents._jobs = Forgetful(world.jobs)
    taken = await world.knowledge.add("a.txt", OLD)
    documents._jobs = world.jobs
    await world.knowledge.sweep()  # it may be on its way still
    assert world.jobs.running == 0
    world.clock.advance(5.0)
    await world.knowledge.sweep()

    async def serves():
        return (await documents.show("", taken.document_id))[0].state == "serving"

    await until(serves)
    assert await quotes(world) == [OLD]


async def test_an_upload_that_broke_off_fails_in_time(make):
    world = make()
    upload = Upload(tenant="", name="a", document_id="d", content_hash="h", size_bytes=10)
    version = await world.store.add_version(upload, world.knowledge.documents.now_ms())
    await world.store.put_upload(version.no, 0, b"12345")
    world.clock.advance(60.0)
    await world.knowledge.sweep()
    assert (await world.store.version(version.no)).state == "pending"
    world.clock.advance(3600.0)
    await world.knowledge.sweep()
    failed = await world.store.version(version.no)
    assert (failed.state, failed.reason) == ("failed", "the upload broke off")


@pytest.mark.parametrize("written", ["half", "whole"])
async def test_a_retry_of_an_upload_that_broke_off_is_not_lost(make_on, written):
    world = make_on()
    documents, content = world.knowledge.documents, OLD.encode()
    taken = await world.add("a.txt", NEW)
    upload = Upload(
        tenant="",
        name="a.txt",
        document_id="d",
        content_hash=hashlib.sha256(content).hexdigest(),
        chunker=documents._ingesting.chunker,
        media_type="text/plain; charset=utf-8",
        size_bytes=len(content),
    )
    broken = await world.store.add_version(upload, documents.now_ms())
    if written == "whole":
        await world.store.put_upload(broken.no, 0, content)
    else:
        await world.store.put_upload(broken.no, 0, content[:9])
    again = await world.add("a.txt", OLD)
    assert world.ended == "succeeded"
    assert (again.document_id, again.unchanged) == (taken.document_id, written == "whole")
    assert await quotes(world) == [OLD]


async def test_the_same_bytes_of_another_type_are_another_version(make):
    world = make()
    await world.add("a", "<p>서울</p>", media_type="text/plain")
    again = await world.add("a", "<p>서울</p>", media_type="text/html")
    assert (again.version, again.unchanged) == (2, False)
    assert (await world.add("a", "<p>서울</p>", media_type="text/html")).unchanged


async def test_a_found_title_follows_the_version_that_serves_and_a_given_one_stays(make):
    world = make()

    async def title(name, content, **how):
        taken = await world.add(name, content, media_type="text/markdown", **how)
        return (await world.knowledge.documents.show("", taken.document_id))[0].title

    assert await title("a.md", "# 옛 제목\n\n서울은 수도이다.") == "옛 제목"
    assert await title("a.md", "# 새 제목\n\n서울은 수도이다.") == "새 제목"
    assert await title("a.md", "# 셋째\n\n서울은 수도이다.", title="받은 제목") == "받은 제목"
    assert await title("a.md", "# 넷째\n\n서울은 수도이다.") == "받은 제목"


async def test_what_was_killed_after_the_swap_is_named_all_the_same(make):
    world = make()
    describe = world.store.describe

    async def killed(*given):
        world.store.describe = describe
        raise MemoryError

    world.store.describe = killed
    taken = await world.add("a.md", "# 제목\n\n서울은 수도이다.", media_type="text/markdown")
    assert world.ended == "failed"
    document, [version] = await world.knowledge.documents.show("", taken.document_id)
    assert (document.title, version.state) == ("", "serving")
    again = await world.jobs.enqueue("knowledge.ingest", {"version": version.no})
    assert (await ended(world, again.id)).result["outcome"] == "serving"
    document, _ = await world.knowledge.documents.show("", taken.document_id)
    assert document.title == "제목"


async def test_a_replayed_job_takes_its_version_up_again(make_on):
    embedder = Stepping(Unavailable("the endpoint answers 429"))
    embedder.go.set()
    world = make_on(embedder=embedder)
    await world.add("a.txt", OLD)
    assert world.ended == "failed"
    [(no,)] = await world.sql.fetch(select(tables.versions.c.no))
    await world.knowledge.sweep()
    again = await world.jobs.enqueue("knowledge.ingest", {"version": no})
    assert (await ended(world, again.id)).result["outcome"] == "serving"
    assert await quotes(world) == [OLD]


async def ended(world, job_id):
    async for _ in world.jobs.events(job_id):
        pass
    return await world.jobs.find(job_id)


async def test_a_large_upload_is_refused_at_the_limit_and_not_held(make):
    world = make(max_upload_bytes=1_000_000)
    read = 0

    async def endless():
        nonlocal read
        while True:
            read += 65_536
            yield b"x" * 65_536

    with pytest.raises(UploadTooLarge):
        await world.knowledge.add("big.txt", endless())
    assert read <= 1_000_000 + 2 * 65_536
    assert await world.rows() == {}


@pytest.mark.parametrize(("name", "content"), [("a.txt", ""), ("", "x"), ("a\x00b", "x"), ("n" * 600, "x")])
async def test_what_cannot_be_taken_is_refused(make, name, content):
    world = make()
    with pytest.raises(BadUpload):
        await world.knowledge.add(name, content)
    assert await world.rows() == {}


async def test_an_upload_of_several_parts_comes_back_whole(make):
    world = make()
    text = "\n".join(f"{'─' * 700}\n문장 {number}이 여기 있다." for number in range(520))
    taken = await world.add("long.txt", text)
    assert world.ended == "succeeded"
    _, [version] = await world.knowledge.documents.show("", taken.document_id)
    assert version.size_bytes == len(text.encode()) > 1 << 20
    found = await world.store.text(version.no)
    assert found.split() == text.split()
    [hit] = await world.knowledge.answering.search("문장 519", Filter(""), 1)
    assert found[hit.start : hit.end] == hit.text
