"""Cited answers through the whole knowledge room: do citations hold, when does it refuse, what does it cost.

- Citations: questions while documents are uploaded again and deleted; every citation is held against the
  text that was uploaded as that version.
- KorQuAD 1.0 dev, each paragraph a document: the sentence that is quoted first, and any that is quoted, holds
  a gold answer. A refusal counts as wrong.
- Refusals: articles are split in two halves by a tag. A question asked of its own half is answerable; asked
  of the other half, where its whole article is missing, it is not (a few are, by repetition).
- Taking in documents with an OpenAI-compatible endpoint for vectors that takes 300 ms a request: the share of
  the wall time in which no request for vectors was under way.

The peer of the answers is the extractive model alone, on the one paragraph that FTS5's tokeniser finds best.
"""

import asyncio
import contextlib
import logging
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from benchmarks.apps.serving import free_port
from benchmarks.extractive import Asked, corpus_of, holds, korquad, share
from benchmarks.harness import Row, at_least, at_most, main, percentile, shown
from holdfast.app import Holdfast
from holdfast.kernel.errors import Conflict, NotFound
from holdfast.rooms.knowledge.engine.knowledge import Knowledge
from holdfast.rooms.knowledge.rules.answers import AnswerShown
from holdfast.rooms.knowledge.rules.refusing import SURE_ENOUGH
from holdfast.rooms.llm.rules.extract.questions import question

AT_ONCE = 4
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)
DELAY_MS = 300


@contextlib.asynccontextmanager
async def room(**settings: Any) -> AsyncIterator[Knowledge]:
    """The room as it is composed, on SQLite, with jobs where they are part of the installation."""
    with tempfile.TemporaryDirectory() as folder:
        logging.getLogger("holdfast").setLevel(logging.ERROR)
        hold = Holdfast(data_dir=folder, **settings)
        await hold.start()
        try:
            yield hold.knowledge
        finally:
            await hold.stop()


async def taken_in(knowledge: Knowledge, documents: list[tuple[str, str, list[str]]]) -> float:
    """Upload everything and wait until the last job has ended; seconds."""
    start = time.perf_counter()
    taken = [await knowledge.add(name, text, tags=tags) for name, text, tags in documents]
    ended = [await knowledge.wait(one) for one in taken]
    assert set(ended) <= {"succeeded", "unchanged"}, ended
    return time.perf_counter() - start


async def each(items: list[Any], work: Any) -> list[Any]:
    """`work(item)` of all, AT_ONCE at a time, in their order."""
    found: list[Any] = [None] * len(items)
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for at, item in waiting:
            found[at] = await work(item)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return found


# -- citations while documents come and go ---------------------------------------------------------


async def churn_rows(asks: int) -> list[Row]:
    rng = random.Random(1)
    paragraphs, _, asked = korquad()
    chosen = rng.sample(range(len(paragraphs)), 40)
    questions = [one.text for one in asked if one.paragraph in set(chosen)]
    texts: dict[tuple[str, int], str] = {}
    counts = {"uploads": 0, "deletes": 0}
    async with room(rooms=["llm", "jobs", "knowledge"]) as knowledge:
        latest: dict[int, str] = {}

        async def upload(number: int) -> None:
            sentences = paragraphs[number].split(". ")
            rng.shuffle(sentences)
            text = ". ".join(sentences)
            taken = await knowledge.add(f"{number}.txt", text)
            texts[taken.document_id, taken.version] = text
            latest[number] = taken.document_id
            counts["uploads"] += 1
            await knowledge.wait(taken)

        async def churn() -> None:
            while True:
                number = rng.choice(chosen)
                if rng.random() < 0.3 and number in latest:
                    with contextlib.suppress(NotFound):  # another churner was faster
                        await knowledge.documents.delete("", latest.pop(number))
                        counts["deletes"] += 1
                with contextlib.suppress(Conflict):  # it is being deleted
                    await upload(number)

        for number in chosen:
            await upload(number)
        churning = [asyncio.create_task(churn()) for _ in range(3)]
        answers: list[AnswerShown] = await each(
            [rng.choice(questions) for _ in range(asks)], lambda text: knowledge.ask(text)
        )
        for task in churning:
            task.cancel()
        await asyncio.wait(churning)
    cited = [one for answer in answers for one in answer.citations]
    good = sum(texts[one.document_id, one.version][one.start : one.end] == one.quote for one in cited)
    answered = share([not answer.refused for answer in answers])
    return [
        at_least(
            f"citations that hold, of {asks:,} asks while documents change",
            f"{good:,} of {len(cited):,}",
            good / max(1, len(cited)),
            1.0,
            1.0,
            uploads=counts["uploads"],
            deletes=counts["deletes"],
            answered=answered,
        )
    ]


# -- KorQuAD through the room ----------------------------------------------------------------------


async def korquad_rows(quick: bool) -> list[Row]:
    paragraphs, articles, asked = korquad()
    halves = [f"half-{article % 2}" for article in articles]
    documents = [(f"{at}.txt", text, [halves[at]]) for at, text in enumerate(paragraphs)]
    some = asked[:: 29 if quick else 1]
    fewer = asked[:: 97 if quick else 5]
    async with room(rooms=["llm", "knowledge"], knowledge={"refuse_below": 0.0}) as knowledge:
        took = await taken_in(knowledge, documents)
        seconds: list[float] = []

        async def ask(text: str, tags: list[str]) -> AnswerShown:
            start = time.perf_counter()
            answer = await knowledge.ask(text, tags=tags)
            seconds.append(time.perf_counter() - start)
            return answer

        answers = await each(some, lambda one: ask(one.text, []))
        own = await each(fewer, lambda one: ask(one.text, [halves[one.paragraph]]))
        other = await each(fewer, lambda one: ask(one.text, [_other(halves[one.paragraph])]))
    rows = _answer_rows(some, answers, paragraphs)
    rows.append(shown("asking, ms p50 / p95", f"{_ms(seconds, 0.5)} / {_ms(seconds, 0.95)}"))
    rows.append(shown(f"taking in {len(documents)} paragraphs, s", round(took, 1)))
    rows += [_refusal_row(limit, own, other) for limit in THRESHOLDS]
    return rows


def _answer_rows(asked: list[Asked], answers: list[AnswerShown], paragraphs: list[str]) -> list[Row]:
    first = [_holds(one, answer, 1) for one, answer in zip(asked, answers, strict=True)]
    third = [_holds(one, answer, 3) for one, answer in zip(asked, answers, strict=True)]
    gone = share([answer.refused or answer.confidence < SURE_ENOUGH for answer in answers])
    peer = share(list(fts5_then_extractive(paragraphs, asked)))
    label = f"KorQuAD, open, {len(asked):,} questions: "
    top1, top3 = share(first), share(third)
    return [
        at_least(
            f"{label}the first quote holds the answer", top1, top1, 0.76, 0.80, fts5_raw=peer, refused=gone
        ),
        at_least(f"{label}one of up to three quotes does", top3, top3, 0.82, 0.86),
    ]


def _holds(one: Asked, answer: AnswerShown, most: int) -> bool:
    if answer.confidence < SURE_ENOUGH:
        return False
    return any(gold in cited.quote for cited in answer.citations[:most] for gold in one.answers)


def fts5_then_extractive(paragraphs: list[str], asked: list[Asked]) -> Iterator[bool]:
    """The peer: SQLite's own tokeniser and ranking, then the best sentence of the one paragraph it finds."""
    base = sqlite3.connect(":memory:")
    base.execute("CREATE VIRTUAL TABLE p USING fts5(text)")
    base.executemany("INSERT INTO p(rowid, text) VALUES (?, ?)", enumerate(paragraphs))
    for one in asked:
        words = " OR ".join('"' + word.replace('"', "") + '"' for word in one.text.rstrip("?").split())
        row = base.execute("SELECT rowid FROM p WHERE p MATCH ? ORDER BY rank LIMIT 1", (words,)).fetchone()
        if row is None:
            yield False
            continue
        corpus = corpus_of([paragraphs[row[0]]])
        yield holds(corpus, corpus.best(question(one.text), 1), one.answers)


def _refusal_row(limit: float, own: list[AnswerShown], other: list[AnswerShown]) -> Row:
    lost = share([answer.refused or answer.confidence < limit for answer in own])
    caught = share([answer.refused or answer.confidence < limit for answer in other])
    gate = (
        share([answer.confidence < limit for answer in own]),
        share([answer.confidence < limit for answer in other]),
    )
    mark = " (the default)" if limit == SURE_ENOUGH else ""
    return shown(
        f"refuse_below {limit}{mark}: answerable / unanswerable refused",
        f"{lost:.1%} / {caught:.1%}",
        without_the_models_own=f"{gate[0]:.1%} / {gate[1]:.1%}",
    )


def _other(half: str) -> str:
    return "half-1" if half == "half-0" else "half-0"


def _ms(seconds: list[float], at: float) -> str:
    return f"{1_000 * percentile(seconds, at):.0f}"


# -- taking documents in ---------------------------------------------------------------------------


@contextlib.contextmanager
def endpoint() -> Iterator[str]:
    """The fake provider in a process of its own; each answer takes DELAY_MS and what its vectors take."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "holdfast.cli",
        "faults",
        "--port",
        str(port),
        "--delay-ms",
        str(DELAY_MS),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def ingest_rows(count: int) -> list[Row]:
    paragraphs, _, _ = korquad()
    documents: list[tuple[str, str, list[str]]] = [
        (
            f"{at}.txt",
            f"{at}\n\n" + "\n\n".join(paragraphs[(3 * at + k) % len(paragraphs)] for k in range(3)),
            [],
        )
        for at in range(count)
    ]
    with endpoint() as url:
        deployment = {"base_url": f"{url}/v1", "model": "ok", "serves": ["vectors"], "answers_as": ["*"]}
        async with room(
            rooms=["llm", "jobs", "knowledge"],
            llm={"deployments": {"vectors": deployment}},
            knowledge={"embeddings_model": "vectors", "embeddings_per_minute": 1e6},
        ) as knowledge:
            took = await taken_in(knowledge, documents)
            async with httpx.AsyncClient() as client:
                calls = (await client.get(f"{url}/_calls")).json()
    spans = list(_spans(calls))
    away = 1.0 - _union(spans) / took
    return [
        at_most(
            f"taking in {count:,} documents: time without a request for vectors",
            away,
            away,
            0.20,
            0.10,
            seconds=took,
            requests=len(spans),
            documents_a_second=count / took,
        )
    ]


def _spans(calls: Any) -> Iterator[tuple[float, float]]:
    """Begin and end of each call, in seconds."""
    for found in calls["models"].values():
        for call in found:
            if call["ended_s"] is not None:
                yield call["began_s"], call["ended_s"]


def _union(spans: list[tuple[float, float]]) -> float:
    """How long at least one of them was under way."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


async def run(quick: bool) -> list[Row]:
    rows = await churn_rows(500 if quick else 10_000)
    rows += await korquad_rows(quick)
    rows += await ingest_rows(100 if quick else 1_000)
    return rows


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0] if __doc__ else "")
