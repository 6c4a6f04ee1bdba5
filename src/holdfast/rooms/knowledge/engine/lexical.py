"""Search by terms. Of a tenant whose postings are in memory all chunks are ranked (`keeper.py`).

Else, and where a filter is set, the database gives the chunks that hold the rarest terms, and they are ranked
by all of them. Which terms are rare is known from the questions before. A term that is new is taken for rare:
then all chunks that have it come back, and how many those are is known with them. Only where it proves
common, or a filter hides how common it is, is the index asked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from holdfast.kernel.clock import Clock
from holdfast.rooms.knowledge.engine.keeper import Keeper
from holdfast.rooms.knowledge.engine.ranking import Matches, best, bm25, damping, matches
from holdfast.rooms.knowledge.rules.stored import Filter, Hit, version_of
from holdfast.rooms.knowledge.rules.words import asked, rarest, worth
from holdfast.rooms.knowledge.store.index import Candidate
from holdfast.rooms.knowledge.store.store import Store

FEWEST = 8
"""Rarest terms that a candidate must have some of; a third of them where a question has more than 24."""
FEW = 256
"""Chunks up to which all that have a term are ranked; beyond it, those that have most of the rare ones."""
MOST_READ = 20_000
"""Postings read for one question: common terms beyond it do not find, they only rank."""
SHORTLIST = 64
"""Of more than FEW chunks, how many are ranked by all terms, at least."""
INLINE = 64
"""Terms up to which the loop ranks by itself what is in memory; a pasted page of them takes milliseconds."""
_FRESH_S = 2.0
_MOST_TENANTS = 256
_MOST_KNOWN = 16_384


class _Corpus:
    """What is known of a tenant's chunks as of one revision: how many, how long, and how many hold a term."""

    __slots__ = ("chunks", "held", "revision", "since_s", "usual")

    def __init__(self, revision: int, chunks: int, length: int, since_s: float) -> None:
        self.chunks = chunks
        self.usual = max(1.0, length / chunks) if chunks else 1.0
        self.since_s = since_s
        self.revision = revision
        self.held: OrderedDict[str, int] = OrderedDict()

    def learn(self, held: Mapping[str, int]) -> None:
        """Terms that nobody holds are not remembered: somebody may, a moment later."""
        self.held.update({term: count for term, count in held.items() if count})
        while len(self.held) > _MOST_KNOWN:
            self.held.popitem(last=False)


class Lexical:
    """The lexical leg. What it remembers without asking decides weights only, never what is found.

    Raises Unavailable.
    """

    def __init__(self, store: Store, clock: Clock, keeper: Keeper | None = None) -> None:
        self._store = store
        self._clock = clock
        self._keeper = keeper or Keeper(store, clock)
        self._corpora: OrderedDict[str, _Corpus] = OrderedDict()

    async def search(self, where: Filter, text: str, most: int) -> list[Hit]:
        """The best `most` chunks for these words, best first."""
        return await self.by_terms(where, asked(text), most)

    async def by_terms(self, where: Filter, terms: Sequence[str], most: int) -> list[Hit]:
        """The same for terms that are made already, each once."""
        if not terms:
            return []
        if not where.tags and not where.documents:
            kept = await self._keeper.of(where.tenant)
            if kept is not None:
                if len(terms) <= INLINE:
                    return kept.best(terms, most)
                return await asyncio.to_thread(kept.best, terms, most)
        corpus = await self._corpus(where.tenant)
        held = {term: corpus.held[term] for term in terms if term in corpus.held}
        chunks = await self._guess(where, terms, held, corpus, most)
        if chunks is None:
            held = await self._ask(where.tenant, corpus, terms, held)
            chunks = await self._best(where, held, corpus, most)
        if not chunks:
            return []
        self._look(where.tenant, corpus, chunks[0].revision)
        found = matches(chunks, terms)
        if len(held) < len(terms):
            held |= _counted(found, [at for at, term in enumerate(terms) if term not in held], terms)
            corpus.learn(held)
        return _ranked(chunks, found, terms, held, corpus, most)

    async def _guess(
        self, where: Filter, terms: Sequence[str], held: Mapping[str, int], corpus: _Corpus, most: int
    ) -> list[Candidate] | None:
        """Everything that has a rare term, if the unknown ones are rare; None when that is not so."""
        unknown = [term for term in terms if term not in held]
        if unknown and (where.tags or where.documents):
            return None
        weights = {term: worth(term, count, corpus.chunks) for term, count in held.items()}
        # Most unknown terms are nobody's, and cost a look-up at most.
        wanted = unknown + list(rarest(weights, _size(len(terms))))
        if most > FEW // 2 or sum(held[term] for term in wanted if term in held) > FEW:
            return None if unknown else await self._best(where, held, corpus, most)
        found = await self._store.index.holders(where, wanted, 2 * FEW)
        return found if len(found) < 2 * FEW else None

    async def _best(
        self, where: Filter, held: Mapping[str, int], corpus: _Corpus, most: int
    ) -> list[Candidate]:
        """The chunks that have most of the rare terms."""
        weights = {term: worth(term, count, corpus.chunks) for term, count in held.items() if count}
        wanted = _within(rarest(weights, _size(len(weights))), held)
        return await self._store.index.candidates(
            where, [(term, weights[term]) for term in wanted], max(SHORTLIST, 2 * most)
        )

    async def _ask(
        self, tenant: str, corpus: _Corpus, terms: Sequence[str], held: dict[str, int]
    ) -> dict[str, int]:
        if unknown := [term for term in terms if term not in held]:
            counts = await self._store.index.counts(tenant, unknown)
            corpus.learn(counts)
            return {**held, **{term: counts.get(term, 0) for term in unknown}}
        return held

    async def _corpus(self, tenant: str) -> _Corpus:
        corpus = self._corpora.get(tenant)
        if corpus is None:
            revision = await self._store.revision(tenant)
            _, chunks, length = await self._store.totals(tenant)
            corpus = self._corpora[tenant] = _Corpus(revision, chunks, length, self._clock.monotonic())
            if len(self._corpora) > _MOST_TENANTS:
                self._corpora.popitem(last=False)
        return corpus

    def _look(self, tenant: str, corpus: _Corpus, revision: int) -> None:
        """Forget what was known of a corpus that has changed, at most every two seconds."""
        is_old = not corpus.chunks or self._clock.monotonic() - corpus.since_s >= _FRESH_S
        if corpus.revision != revision and is_old:
            self._corpora.pop(tenant, None)


def _size(terms: int) -> int:
    return min(64, max(FEWEST, terms // 3))


def _counted(found: Matches, unknown: Sequence[int], terms: Sequence[str]) -> dict[str, int]:
    """How many of the chunks have each of these terms, which is how many have it at all."""
    times = np.bincount(found.term, minlength=len(terms))
    return {terms[at]: int(times[at]) for at in unknown}


def _ranked(
    chunks: Sequence[Candidate],
    found: Matches,
    terms: Sequence[str],
    held: Mapping[str, int],
    corpus: _Corpus,
    most: int,
) -> list[Hit]:
    weights = np.array([worth(term, held[term], corpus.chunks) for term in terms])
    damped = damping(np.array([chunk.length for chunk in chunks], np.int64), corpus.usual)
    documents = {version_of(chunk.chunk): chunk.document_id for chunk in chunks}
    numbers = np.array([chunk.chunk for chunk in chunks], np.int64)
    return best(numbers, bm25(damped, found, weights), most, documents)


def _within(terms: Sequence[str], held: Mapping[str, int]) -> list[str]:
    """As many of the terms, rarest first, as MOST_READ postings allow, three at least."""
    taken: list[str] = []
    read = 0
    for term in terms:
        read += held[term]
        if read > MOST_READ and len(taken) >= 3:
            break
        taken.append(term)
    return taken
