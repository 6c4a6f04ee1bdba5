"""Documents are read in processes of their own, and nothing in a document reaches the server."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from holdfast.kernel.errors import Problem
from holdfast.rooms.knowledge.engine.parsing import Parsers, _cut, _parsed
from holdfast.rooms.knowledge.parsing.wire import Asked, Head, Told, told_bytes
from holdfast.rooms.knowledge.rules.chunks import Chunk, Chunking, chunks
from holdfast.rooms.knowledge.rules.parsed import MEDIA_TYPES, Limits, Parsed, Section, why_not_sound
from holdfast.rooms.knowledge.rules.parsing_problems import (
    BY_CODE,
    DocumentTooLarge,
    Encrypted,
    HostileMarkup,
    NoText,
    ParserUnavailable,
    TooMuchMemory,
    TooMuchUnpacked,
    TooSlow,
    Unreadable,
    UnsupportedType,
)
from tests.rooms.knowledge.documents import ENDLESS, docx_of, p, pdf_of, zip_of
from tests.rooms.knowledge.parsing.test_docx import BILLION
from tests.rooms.knowledge.parsing.test_pdf import locked
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "<h1>제목</h1><p>안녕하세요. 문서입니다.</p>".encode("cp949")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parsers():
    pool = Parsers(2)
    yield pool
    await pool.stop()


@pytest.fixture
def put(tmp_path):
    def write(raw, name="document"):
        path = tmp_path / name
        path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return path

    return write


def pids(pool):
    return sorted(process.running.pid for process in pool._all)


async def gone(pid):
    """Wait until no process of this group is left."""

    def is_gone():
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        return False

    await until(is_gone)


async def test_each_kind_of_document_is_read(parsers, put):
    for raw, name, text in (
        (pdf_of(["한국어 글"]), "a.pdf", "한국어 글"),
        (docx_of(p("한국어 글")), "a.docx", "한국어 글"),
        (PAGE, "a.html", "제목\n\n안녕하세요. 문서입니다."),
        ("# 제목\n\n글 **하나**", "a.md", "제목\n\n글 하나"),
        ("글\r\n하나".encode("utf-16"), "a.txt", "글\n하나"),
    ):
        parsed = await parsers.parse(put(raw, name), name=name)
        assert (parsed.text, parsed.language) == (text, "ko")


async def test_processes_are_kept_and_documents_are_read_side_by_side(parsers, put):
    paths = [put(f"document {number}", f"{number}.txt") for number in range(12)]
    found = await asyncio.gather(*(parsers.parse(path, name=path.name) for path in paths))
    assert [parsed.text for parsed in found] == [f"document {number}" for number in range(12)]
    before = pids(parsers)
    assert len(before) == 2
    await parsers.parse(paths[0], name="0.txt")
    assert pids(parsers) == before


@pytest.mark.parametrize(
    ("raw", "name", "kind"),
    [
        (zip_of({"word/document.xml": BILLION}), "a.docx", HostileMarkup),
        (zip_of({"word/document.xml": "x", "word/media/a": b"\0" * 2_000_000}), "a.docx", TooMuchUnpacked),
        (locked(pdf_of(["글"]), user="secret"), "a.pdf", Encrypted),
        (pdf_of([]), "scan.pdf", NoText),
        (b"  \n", "a.txt", NoText),
        (b"\x89PNG\r\n\x1a\n", "a.pdf", UnsupportedType),
        (b"%PDF-1.4 nothing", "a.pdf", Unreadable),
    ],
)
async def test_what_cannot_be_read_says_what_to_do_and_costs_no_process(parsers, put, raw, name, kind):
    before = pids(parsers)
    with pytest.raises(kind) as caught:
        await parsers.parse(put(raw), name=name)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert set(before) <= set(pids(parsers))


async def test_an_upload_that_is_too_large_is_refused_unread(parsers, put):
    path = put(b"")
    os.truncate(path, 500_000_000)
    with pytest.raises(DocumentTooLarge, match="500000000 bytes"):
        await parsers.parse(path, name="a.pdf")
    with pytest.raises(Unreadable):
        await parsers.parse(path.parent, name="a.pdf")
    with pytest.raises(Unreadable):
        await parsers.parse(path.parent / "nothing", name="a.pdf")


@pytest.mark.parametrize(
    ("limits", "kind", "said"),
    [
        (Limits(wall_s=0.2), TooSlow, "0.2 s of wall-clock"),
        (Limits(cpu_s=1), TooSlow, "1 s of processor"),
    ],
)
async def test_what_takes_for_ever_is_ended_by_the_kernel(parsers, put, limits, kind, said):
    before = pids(parsers)
    with pytest.raises(kind, match=said):
        await parsers.parse(put(ENDLESS), name="a.md", limits=limits)
    assert set(before) <= set(pids(parsers)), "only the document's own process ends"


async def test_what_takes_too_much_memory_says_so(parsers, put):
    with pytest.raises(TooMuchMemory):
        await parsers.parse(put("가나 " * 6_000_000), name="a.txt", limits=Limits(memory_bytes=100_000_000))


async def test_a_long_text_is_cut_elsewhere_into_the_same_chunks(parsers):
    for text in ("글이 하나 있다. " * 100, "글이 하나 있다. 또 하나.\n\n" * 3_000):
        sections = (Section(0, "처음"), Section(40, "다음", 2))
        assert await parsers.cut(text, sections) == chunks(text, sections)
    with pytest.raises(TooSlow):
        await parsers.cut("1. " * 1_500_000, limits=Limits(cpu_s=1, wall_s=1))


@pytest.mark.parametrize(
    "found", [None, (Chunk(0, 9),), (Chunk(1, 3), Chunk(0, 4)), (Chunk(0, 2),), (Chunk(-1, 1),)]
)
async def test_chunks_that_cannot_be_are_not_taken(found):
    asked = Asked("", "", "", Limits(), "a bcd", (), Chunking(longest=4))
    with pytest.raises(Unreadable):
        _cut(Head(0, 0, 0, 0), told_bytes(Told(chunks=found)), asked)


async def test_a_process_that_does_not_answer_is_killed_and_replaced(put):
    pool = Parsers(1)
    path = put("words")
    await pool.parse(path, name="a.txt")
    pool._start_s = 0.2  # only now: a busy machine may take longer to start it
    [pid] = pids(pool)
    os.killpg(pid, signal.SIGSTOP)
    with pytest.raises(TooSlow):
        await pool.parse(path, name="a.txt", limits=Limits(wall_s=0.1))
    await gone(pid)
    assert pids(pool) == []
    await pool.stop()


async def test_a_process_that_died_while_idle_is_replaced(parsers, put):
    path = put("words")
    await parsers.parse(path, name="a.txt")
    for pid in pids(parsers):
        os.killpg(pid, signal.SIGKILL)
    assert (await parsers.parse(path, name="a.txt")).text == "words"


async def test_cancelling_ends_the_process_and_what_it_started(parsers, put):
    reading = asyncio.ensure_future(parsers.parse(put(ENDLESS), name="a.md"))
    busy = await until(lambda: [pid for pid in pids(parsers) if _children(pid)])
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await gone(busy[0])
    assert busy[0] not in pids(parsers)
    assert (await parsers.parse(put("words"), name="a.txt")).text == "words"


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_a_process_knows_nothing_of_the_server(parsers, put, monkeypatch):
    monkeypatch.setenv("HOLDFAST_SECRET", "hidden")
    pool = Parsers(1)
    await pool.parse(put("words"), name="a.txt")
    [pid] = pids(pool)
    assert Path(f"/proc/{pid}/environ").read_bytes() == b"LC_ALL=C.UTF-8\0"
    await pool.stop()
    await gone(pid)


@pytest.mark.parametrize(
    ("head", "raw", "kind"),
    [
        (Head(0, 0, 0, 0), b"", Unreadable),
        (Head(0, 0, 0, 0), b'{"parsed": {"text": 5}}', Unreadable),
        (Head(0, 0, 0, 0), told_bytes(Told(parsed=Parsed(text="a\x1b[2J"))), Unreadable),
        (Head(0, 0, 0, 0), told_bytes(Told(parsed=Parsed(text="a", pages=(9,)))), Unreadable),
        (Head(0, 0, 0, 0), told_bytes(Told(code="no-such-code")), Unreadable),
        (Head(0, 0, 0, 0), told_bytes(Told(code="knowledge-encrypted")), Encrypted),
        (Head(1, 0, 0, 0), b"", Unreadable),
        (Head(-signal.SIGSEGV, 0, 0, 0), b"", Unreadable),
        (Head(-signal.SIGABRT, 0, Limits().memory_bytes, 0), b"", TooMuchMemory),
        (Head(-signal.SIGKILL, 0, 0, 0), b"", TooMuchMemory),
        (Head(-signal.SIGKILL, Limits().cpu_s, 0, 0), b"", TooSlow),
        (Head(-signal.SIGXCPU, 0, 0, 0), b"", TooSlow),
        (Head(-signal.SIGALRM, 0, 0, 0), b"", TooSlow),
    ],
)
async def test_an_answer_that_is_none_is_a_problem_of_the_document(head, raw, kind):
    with pytest.raises(kind) as caught:
        _parsed(head, raw, Limits())
    assert type(caught.value) is kind


async def test_a_process_that_cannot_start_is_no_fault_of_the_document(put, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(ParserUnavailable) as caught:
        await Parsers(1).parse(put("words"), name="a.txt")
    assert caught.value.retryable


async def test_whatever_the_bytes_are_there_is_a_text_or_a_problem(parsers, put):
    rng = random.Random(5)
    seeds = [
        (pdf_of(["한국어 글", "Second line"], ["다음 쪽"]), "a.pdf"),
        (docx_of(p("한국어 글") + f"<w:tbl><w:tr><w:tc>{p('a')}</w:tc></w:tr></w:tbl>"), "a.docx"),
        (PAGE * 3, "a.html"),
        (b"---\ntitle: a\n---\n# b\n- c\n```\nd", "a.md"),
        (rng.randbytes(400), "a.txt"),
    ]

    async def check(number):
        raw, name = seeds[number % len(seeds)]
        path = put(_mutated(bytearray(raw), rng), f"{number}")
        try:
            found = await parsers.parse(path, name=name, limits=Limits(wall_s=20, cpu_s=5))
        except Problem as problem:
            found = problem
        if isinstance(found, Problem):
            assert found.code in BY_CODE
            assert found.hint
        else:
            assert found.media_type in MEDIA_TYPES
            assert why_not_sound(found, Limits()) == ""

    await asyncio.gather(*map(check, range(100)))


def _mutated(raw, rng):
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(raw))
        kind = rng.randrange(4)
        if kind == 0:
            raw[at] = rng.randrange(256)
        elif kind == 1:
            del raw[at : at + rng.randint(1, 30)]
        elif kind == 2:
            raw[at:at] = rng.randbytes(rng.randint(1, 20))
        else:
            raw[at:at] = raw[at : at + rng.randint(1, 60)]
        raw = raw or bytearray(b"x")
    return bytes(raw)
