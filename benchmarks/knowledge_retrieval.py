"""Finding the paragraph on KorQuAD 1.0 dev: 964 paragraphs, 5,774 questions, through the real store.

Ours is `Lexical.search` on a database file, everything included: making the terms, the trip to the database's
thread for the revision of what serves, ranking the postings kept in memory. `From the database` is what a
tenant gets who has too many chunks for that: postings and what ranks them are read for each question. Peers
are given the bare minimum: FTS5 in memory, asked without a thread (`unicode61` for words between spaces,
`trigram`), and bm25s with its plain tokeniser; none of them looks whether anything has changed. All are asked
each question in turn, so that a busy machine is busy for all; ratios are of medians. There are no English
questions in the data folder.
"""

import re
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import bm25s
from sqlalchemy import text
from tests.servers import PostgresServer, running

from benchmarks.extractive import Asked, korquad
from benchmarks.harness import Row, at_least, at_most, main, median, shown
from holdfast.kernel.clock import SystemClock
from holdfast.rooms.knowledge.engine.keeper import Keeper
from holdfast.rooms.knowledge.engine.lexical import Lexical
from holdfast.rooms.knowledge.rules.stored import Filter, Piece, Upload
from holdfast.rooms.knowledge.store.store import MIGRATIONS, Store
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql

MOST = 10
WORDS = re.compile(r"\w+")
Ask = Callable[[str], Awaitable[list[int]]]


class Tally:
    """Where the right paragraph stood, and how long the answer took."""

    def __init__(self) -> None:
        self.ranks: list[float] = []
        self.seconds: list[float] = []
        self.processor_s: list[float] = []

    async def ask(self, how: Ask, one: Asked) -> None:
        start, worked = time.perf_counter(), time.process_time()
        found = await how(one.text)
        self.seconds.append(time.perf_counter() - start)
        self.processor_s.append(time.process_time() - worked)
        self.ranks.append(1 / (found.index(one.paragraph) + 1) if one.paragraph in found else 0.0)

    @property
    def first(self) -> float:
        return sum(rank == 1 for rank in self.ranks) / len(self.ranks)

    @property
    def mrr(self) -> float:
        return sum(self.ranks) / len(self.ranks)

    @property
    def ms(self) -> float:
        return 1_000 * median(self.seconds)

    @property
    def processor_ms(self) -> float:
        return 1_000 * median(self.processor_s)


def fts5(paragraphs: list[str], tokenizer: str, words: Callable[[str], list[str]]) -> Ask:
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, tokenize='{tokenizer}')")
    database.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", list(enumerate(paragraphs)))
    database.execute("INSERT INTO words (words) VALUES ('optimize')")

    async def ask(question: str) -> list[int]:
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(words(question)))
        found = database.execute(
            "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (match, MOST)
        )
        return [row[0] for row in found.fetchall()]

    return ask


def trigrams(text: str) -> list[str]:
    return [word[at : at + 3] for word in WORDS.findall(text) for at in range(len(word) - 2)] or ["   "]


def plain_bm25s(paragraphs: list[str]) -> Ask:
    index = bm25s.BM25()
    index.index(bm25s.tokenize(paragraphs, stopwords=None, show_progress=False), show_progress=False)

    async def ask(question: str) -> list[int]:
        tokens = bm25s.tokenize([question], stopwords=None, show_progress=False)
        found, _ = index.retrieve(tokens, k=MOST, show_progress=False)
        return [int(number) for number in found[0]]

    return ask


async def ingest(store: Store, paragraphs: list[str]) -> dict[int, int]:
    """Each paragraph a document; the paragraph of each version."""
    of: dict[int, int] = {}
    for number, paragraph in enumerate(paragraphs):
        upload = Upload(tenant="t", name=str(number), document_id=str(number), content_hash=str(number))
        version = await store.add_version(upload, number)
        await store.put_text(version.no, paragraph)
        await store.put_chunks(version.no, "t", [Piece(0, len(paragraph), paragraph)])
        await store.swap(version, number)
        of[version.no << 20] = number
    return of


class Ours(NamedTuple):
    """Our two ways to an answer, the database they stand on, and how long it took to fill."""

    kept: Ask
    from_database: Ask
    sql: Any
    seconds: float


async def ours(url: str, folder: Path, paragraphs: list[str]) -> Ours:
    clock = SystemClock()
    sql = open_sql(url, folder, clock)
    await sql.start()
    await migrate(sql, {"knowledge": MIGRATIONS}, clock.wall)
    store = Store(sql)
    start = time.perf_counter()
    of = await ingest(store, paragraphs)
    seconds = time.perf_counter() - start
    if url.startswith("postgresql"):
        await sql.run(text("ANALYZE"))  # what the server's autovacuum does within a minute

    def by(lexical: Lexical) -> Ask:
        async def ask(question: str) -> list[int]:
            return [of[hit.chunk] for hit in await lexical.search(Filter("t"), question, MOST)]

        return ask

    none_kept = Lexical(store, clock, Keeper(store, clock, chunks=0))
    return Ours(by(Lexical(store, clock)), by(none_kept), sql, seconds)


async def run(quick: bool) -> list[Row]:
    paragraphs, _, asked = korquad()
    if quick:
        asked = asked[::6]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running(PostgresServer()))
        file = await ours(f"sqlite:///{folder}/holdfast.db", folder, paragraphs)
        served = await ours(server.url, folder, paragraphs)
        ways = {
            "ours": file.kept,
            "ours, from the database": file.from_database,
            "ours on PostgreSQL": served.kept,
            "FTS5 unicode61": fts5(paragraphs, "unicode61", WORDS.findall),
            "FTS5 trigram": fts5(paragraphs, "trigram", trigrams),
            "bm25s": plain_bm25s(paragraphs),
        }
        tallies = {name: Tally() for name in ways}
        for one in asked:
            for name, how in ways.items():
                await tallies[name].ask(how, one)
        await file.sql.stop()
        await served.sql.stop()
    return rows(tallies, file.seconds, served.seconds, len(paragraphs))


def rows(tallies: dict[str, Tally], file_s: float, server_s: float, paragraphs: int) -> list[Row]:
    mine, served = tallies.pop("ours"), tallies.pop("ours on PostgreSQL")
    unkept = tallies.pop("ours, from the database")
    raw = tallies["FTS5 unicode61"]
    firsts = {name: tally.first for name, tally in tallies.items()}
    ranks = {name: tally.mrr for name, tally in tallies.items()}
    times = {name: tally.ms for name, tally in tallies.items()}
    over = "KorQuAD dev, 964 paragraphs"
    return [
        at_least(f"{over}: R@1", mine.first, mine.first, 0.90, 0.905, **firsts),
        at_least(f"{over}: MRR", mine.mrr, mine.mrr, 0.935, 0.94, **ranks),
        at_most(f"{over}: ms a query, over FTS5 unicode61", mine.ms, mine.ms / raw.ms, 3.0, 1.0, **times),
        shown(
            "the same in processor time, all threads",
            mine.processor_ms,
            mine.processor_ms / raw.processor_ms,
            **{name: tally.processor_ms for name, tally in tallies.items()},
        ),
        shown(f"{over}, from the database: R@1", unkept.first, MRR=unkept.mrr),
        shown(f"{over}, from the database: ms a query, over FTS5 unicode61", unkept.ms, unkept.ms / raw.ms),
        at_least(f"{over}, PostgreSQL: R@1", served.first, served.first, mine.first - 0.01, mine.first),
        shown(f"{over}, PostgreSQL: MRR", served.mrr),
        shown(f"{over}, PostgreSQL: ms a query, over FTS5 unicode61", served.ms, served.ms / raw.ms),
        shown(
            "storing and indexing, documents a second", paragraphs / file_s, PostgreSQL=paragraphs / server_s
        ),
    ]


if __name__ == "__main__":
    main(run, "Retrieval")
