"""Search by terms: the chunks that hold the rarest of a question's, ranked by all of them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from holdfast.kernel.clock import Clock
from holdfast.rooms.knowledge.engine.ranking import bm25
from holdfast.rooms.knowledge.rules.stored import Filter, Hit
from holdfast.rooms.knowledge.rules.words import asked, rarest, worth
from holdfast.rooms.knowledge.store.store import Store

FEWEST = 10
"""Rarest terms that a candidate must have some of; a third of them where a question has more than 30."""
MOST_READ = 20_000
"""Postings read for one question: common terms beyond it do not find, they only rank."""
SHORTLIST = 30
"""Candidates that are ranked, at least: .999 of the R@1 that ranking all of KorQuAD's paragraphs gives."""
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


class Lexical:
    """The lexical leg. What it remembers decides weights only, never what is found. Raises Unavailable."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._corpora: OrderedDict[str, _Corpus] = OrderedDict()

    async def search(self, where: Filter, text: str, most: int) -> list[Hit]:
        """The best `most` chunks for these words, best first."""
        return await self.by_terms(where, asked(text), most)

    async def by_terms(self, where: Filter, terms: Sequence[str], most: int) -> list[Hit]:
        """The same for terms that are made already, each once."""
        if not terms:
            return []
        corpus = await self._corpus(where.tenant)
        held = await self._held(where.tenant, corpus, terms)
        weights = {term: worth(term, held[term], corpus.chunks) for term in terms if term in held}
        wanted = _within(rarest(weights, min(64, max(FEWEST, len(weights) // 3))), held)
        found = await self._store.index.candidates(
            where, [(term, weights[term]) for term in wanted], max(SHORTLIST, 2 * most)
        )
        if not found:
            return []
        self._look(where.tenant, corpus, found[0].revision)
        scores, shares = bm25(found, weights, corpus.usual)
        # A term that nobody holds is as rare as one can be: what is asked for and not there counts too.
        whole = sum(weights.values()) + sum(
            worth(term, 0, corpus.chunks) for term in terms if term not in held
        )
        order = sorted(range(len(found)), key=lambda at: (-scores[at], found[at].chunk))[:most]
        return [
            Hit(found[at].chunk, float(scores[at]), found[at].document_id, float(shares[at]) / whole)
            for at in order
        ]

    async def _corpus(self, tenant: str) -> _Corpus:
        corpus = self._corpora.get(tenant)
        if corpus is None:
            revision = await self._store.revision(tenant)
            _, chunks, length = await self._store.totals(tenant)
            corpus = self._corpora[tenant] = _Corpus(revision, chunks, length, self._clock.monotonic())
            if len(self._corpora) > _MOST_TENANTS:
                self._corpora.popitem(last=False)
        return corpus

    async def _held(self, tenant: str, corpus: _Corpus, terms: Sequence[str]) -> dict[str, int]:
        """How many chunks hold each term. Terms that none holds are asked for every time: one may since."""
        known = corpus.held
        if unknown := [term for term in terms if term not in known]:
            known.update(await self._store.index.counts(tenant, unknown))
            while len(known) > _MOST_KNOWN:
                known.popitem(last=False)
        return {term: known[term] for term in terms if term in known}

    def _look(self, tenant: str, corpus: _Corpus, revision: int) -> None:
        """Forget what was known of a corpus that has changed, at most every two seconds."""
        is_old = not corpus.chunks or self._clock.monotonic() - corpus.since_s >= _FRESH_S
        if corpus.revision != revision and is_old:
            self._corpora.pop(tenant, None)


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
