"""The trial of an embedder on a tenant's own chunks; what it is about stands in `rules/trial.py`."""

from collections import Counter
from collections.abc import Sequence
from math import log

import numpy as np

from holdfast.kernel.clock import Clock
from holdfast.rooms.knowledge.engine.embedding import Embedding, Report
from holdfast.rooms.knowledge.engine.ranking import LENGTH, SATURATION
from holdfast.rooms.knowledge.engine.vectors import units
from holdfast.rooms.knowledge.rules.stored import Hit, chunk_id
from holdfast.rooms.knowledge.rules.trial import SAMPLE, Case, Trial, case_of, is_due, mean_reciprocal
from holdfast.rooms.knowledge.rules.words import asked, counted
from holdfast.rooms.knowledge.store.store import Store
from holdfast.rooms.knowledge.store.vectors import VectorStore


class Trials:
    """Tries the embedder where that is due, and remembers how it did. Raises what embedding raises."""

    def __init__(self, embedding: Embedding, store: Store, vectors: VectorStore, clock: Clock) -> None:
        self._embedding = embedding
        self._store = store
        self._vectors = vectors
        self._clock = clock

    async def standing(self, tenant: str) -> Trial | None:
        """The last trial of this embedder on the tenant's chunks."""
        return await self._vectors.trial(tenant, self._embedding.embedder.id)

    async def hold(self, tenant: str) -> Trial | None:
        """The trial, held now if it is due; call it when a version has begun to serve."""
        before = await self.standing(tenant)
        _, chunks, _ = await self._store.totals(tenant)
        if not chunks or not is_due(before, chunks):
            return before
        cases = await self._cases(tenant)
        dense = await self._dense(tenant, cases) if cases else []
        trial = Trial(
            len(cases),
            mean_reciprocal(dense),
            mean_reciprocal(lexical_ranks(cases)),
            chunks,
            int(self._clock.wall() * 1_000),
        )
        await self._vectors.put_trial(tenant, self._embedding.embedder.id, trial)
        return trial

    async def _cases(self, tenant: str) -> list[Case]:
        """Cases of chunks that are spread evenly over the index."""
        serving = await self._vectors.serving(tenant)
        all_of_them = sum(chunks for _, chunks, _ in serving)
        step = max(1, all_of_them // (3 * SAMPLE))
        ids, at = [], 0
        for no, chunks, _ in serving:
            ids += [chunk_id(no, ordinal) for ordinal in range(chunks) if (at + ordinal) % step == 0]
            at += chunks
        found = await self._store.found(tenant, [Hit(chunk, 0.0) for chunk in ids[: 4 * SAMPLE]])
        made = {case.question: case for each in found if (case := case_of(each.text)) is not None}
        cases = list(made.values())
        return cases[:: max(1, len(cases) // SAMPLE)][:SAMPLE]

    async def _dense(self, tenant: str, cases: Sequence[Case]) -> list[int]:
        asking = [case.question for case in cases]
        questions = await self._embedding.ask(asking, tenant, Report())
        rests = await self._embedding.ask([case.rest for case in cases], tenant, Report())
        scores = units(questions.vectors) @ units(rests.vectors).T
        right = np.diag(scores)[:, None]
        # Of those that are level half are taken to be before it: all the same is no knowledge.
        return [int(rank) for rank in 1 + (scores > right).sum(1) + ((scores == right).sum(1) - 1) // 2]


def lexical_ranks(cases: Sequence[Case]) -> list[int]:
    """Where the lexical leg puts the rest of each case's own chunk, among the rests of all."""
    counts = [counted(case.rest) for case in cases]
    held = Counter(term for count in counts for term in count)
    usual = sum(count.total() for count in counts) / max(1, len(counts)) or 1.0
    ranks = []
    for own, case in enumerate(cases):
        scores = [0.0] * len(cases)
        for term in asked(case.question):
            if term not in held:
                continue
            rarity = log(1 + (len(cases) - held[term] + 0.5) / (held[term] + 0.5))
            for at, count in enumerate(counts):
                if times := count[term]:
                    damping = SATURATION * (1 - LENGTH + LENGTH * count.total() / usual)
                    scores[at] += rarity * times / (times + damping)
        level = sum(score == scores[own] for score in scores) - 1
        ranks.append(1 + sum(score > scores[own] for score in scores) + level // 2)
    return ranks
