"""Embedding a version's chunks: in batches, at a pace that all processes share, stored as it goes.

What was embedded once is kept under its text, so that another attempt, or another version with the same
paragraph, goes on where the last one was. A batch that the embedder refuses is asked again in halves until
the one text that it chokes on is alone; that one is marked, and the rest goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import decode_json
from holdfast.kernel.errors import Problem
from holdfast.ports.model import Embedded
from holdfast.rooms.knowledge.engine.embedders import Embedder
from holdfast.rooms.knowledge.engine.vectors import packed, units
from holdfast.rooms.knowledge.rules.embedding import (
    ALL_REFUSED,
    BYTES_PER_TOKEN,
    HALVES_ATTEMPTS,
    Batching,
    EmbedderRefuses,
    Input,
    OtherLength,
    UnfitVector,
    Way,
    batches,
    halves,
    pause_s,
    shortened,
    tokens_of,
    way_on,
)
from holdfast.rooms.knowledge.rules.stored import Version, embedded_text
from holdfast.rooms.knowledge.store.paces import Paces
from holdfast.rooms.knowledge.store.store import Store
from holdfast.rooms.knowledge.store.vectors import Stored, VectorStore

Sleep = Callable[[float], Awaitable[Any]]


class Report(msgspec.Struct):
    """What embedding a version took."""

    embedded: int = 0
    """Texts that were embedded now; those that had a vector are not among them."""
    poisoned: int = 0
    requests: int = 0
    tokens: int = 0
    cost: float = 0.0
    asking_s: float = 0.0
    """Seconds of all requests together, which overlap."""


class Embedding:
    """Embeds chunks with one embedder. Raises Problem: what it has done until then is kept."""

    def __init__(
        self,
        embedder: Embedder,
        store: Store,
        vectors: VectorStore,
        pace: Paces,
        clock: Clock,
        how: Batching | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.embedder = embedder
        self._store = store
        self._vectors = vectors
        self._pace = pace
        self._clock = clock
        self._how = how or Batching()
        self._sleep = sleep
        self._bytes_per_token = BYTES_PER_TOKEN

    async def version(
        self,
        version: Version,
        told: Callable[[int], None] = lambda done: None,
        check: Callable[[], None] | None = None,
    ) -> Report:
        """Give every chunk of a pending version a vector, or a mark that it has none.

        `told(n)` is called after each batch with how many texts are done; `check()` may raise to stop.
        Raises VersionGone when the version was called off meanwhile.
        """
        report = Report()
        dims = await self._vectors.dims(self.embedder.id)
        run = _Run(self, version, report, dims, told, check or (lambda: None))
        after = 0
        while missing := await self._vectors.missing(
            version.no, self.embedder.id, after=after, most=self._how.size * self._how.concurrency * 4
        ):
            after = missing[-1][0]
            await run.all(self._inputs(missing))
        await run.end()
        return report

    def _inputs(self, missing: Sequence[tuple[int, str, str, str]]) -> list[Input]:
        """The texts of these chunks, each once."""
        longest = self._how.longest_tokens
        made = {
            key: Input(key, shortened(embedded_text(decode_json(path), text), longest))
            for _, path, text, key in missing
        }
        return list(made.values())

    async def ask(
        self, texts: Sequence[str], tenant: str, report: Report, most_wait_s: float | None = None
    ) -> Embedded:
        """The vectors of these texts, at the pace, and how many tokens they took; nothing is tried again.

        Raises Unavailable where the pace would have it wait longer than `most_wait_s`; None: it waits.
        """
        expected = sum(tokens_of(text, self._bytes_per_token) for text in texts)
        wait_s = await self._pace.reserve(expected, self._clock.wall() * 1_000, most_wait_s)
        if wait_s > 0:
            await self._sleep(wait_s)
        begun = self._clock.monotonic()
        report.requests += 1
        try:
            given = await self.embedder.embed(texts, tenant)
        except Problem as problem:
            if problem.status == 429 and problem.retry_after_s is not None:
                await self._pace.hold_back(problem.retry_after_s, self._clock.wall() * 1_000)
            raise
        finally:
            report.asking_s += self._clock.monotonic() - begun
        used = given.usage.input_tokens
        if used:
            await self._pace.correct(expected, used)
            size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
            self._bytes_per_token += 0.2 * (min(8.0, max(1.0, size / used)) - self._bytes_per_token)
        else:
            usage = msgspec.structs.replace(given.usage, input_tokens=expected, estimated=True)
            given = msgspec.structs.replace(given, usage=usage)
        report.tokens += given.usage.input_tokens
        report.cost += given.usage.cost
        return given


class _Run:
    """One version's way through the embedder."""

    def __init__(
        self,
        embedding: Embedding,
        version: Version,
        report: Report,
        dims: int | None,
        told: Callable[[int], None],
        check: Callable[[], None],
    ) -> None:
        self._of = embedding
        self._version = version
        self._report = report
        self._dims = dims
        self._told = told
        self._check = check
        self._refused: list[Stored] = []

    async def all(self, inputs: list[Input]) -> None:
        """As many batches at once as are allowed; a failure that stands stops the others."""
        waiting = batches(inputs, self._of._how)

        async def work() -> None:
            for batch in waiting:
                await self._batch(batch, self._of._how.attempts)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._of._how.concurrency):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise _first(failures) from failures

    async def end(self) -> None:
        """Mark what was refused while nothing had been taken yet."""
        await self._keep(self._refused)
        self._refused = []

    async def _batch(self, batch: list[Input], attempts: int) -> None:
        tries = 0
        while True:
            self._check()
            tries += 1
            try:
                given = await self._of.ask([each.text for each in batch], self._version.tenant, self._report)
                rows = units(given.vectors, self._dims)
            except Problem as problem:
                way = way_on(problem, len(batch), tries, attempts)
                if way is Way.AGAIN:
                    await self._of._sleep(pause_s(problem, tries))
                    continue
                await self._otherwise(way, batch, problem)
                return
            self._dims = rows.shape[1]
            made = [
                Stored(each.text_hash, self._dims, packed(row)) for each, row in zip(batch, rows, strict=True)
            ]
            await self._keep(made)
            await self._of._store.spend(self._version.no, given.usage.input_tokens, given.usage.cost)
            self._report.embedded += len(batch)
            self._told(self._report.embedded + self._report.poisoned)
            return

    async def _otherwise(self, way: Way, batch: list[Input], problem: Problem) -> None:
        if way is Way.HALVES:
            for half in halves(batch):
                await self._batch(half, HALVES_ATTEMPTS)
        elif way is Way.POISON:
            self._report.poisoned += 1
            self._refused.append(Stored(batch[0].text_hash, 0, b"", problem.line()[:500]))
            if await self._is_embedder_at_fault(problem):
                raise EmbedderRefuses(
                    f"nothing that {self._of.embedder.id} gives can be used: {problem.detail}",
                    hint=problem.hint or "see what the endpoint serves; nothing was stored",
                ) from problem
            if self._report.embedded:
                await self.end()
        else:
            raise problem

    async def _is_embedder_at_fault(self, problem: Problem) -> bool:
        """Whether a text that was refused alone is no worse than the others would be."""
        if isinstance(problem, OtherLength):
            return True
        if isinstance(problem, UnfitVector) and not self._report.embedded:
            # An earlier attempt, or another version, may have had good vectors for the other texts.
            return not await self._of._vectors.of_version(self._version.no, self._of.embedder.id)
        return not self._report.embedded and self._report.poisoned >= ALL_REFUSED

    async def _keep(self, made: Sequence[Stored]) -> None:
        now_ms = int(self._of._clock.wall() * 1_000)
        await self._of._vectors.put(self._version.no, self._of.embedder.id, made, now_ms)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
