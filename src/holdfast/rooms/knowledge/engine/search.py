"""Search: terms first, vectors as far as they have proved themselves here, and no passage twice."""

from collections import OrderedDict

import msgspec

from holdfast.kernel.errors import Problem
from holdfast.rooms.knowledge.engine.dense import Dense
from holdfast.rooms.knowledge.engine.lexical import Lexical
from holdfast.rooms.knowledge.engine.trials import Trials
from holdfast.rooms.knowledge.rules.fusion import fused
from holdfast.rooms.knowledge.rules.mmr import Likeness, spread
from holdfast.rooms.knowledge.rules.stored import Filter, Found, Hit
from holdfast.rooms.knowledge.rules.trial import Trial, verdict, weight
from holdfast.rooms.knowledge.store.store import Store

POOL = 4
"""Hits of each leg for one passage that is wanted: what fusing and spreading out choose among."""
MOST_POOL = 64
"""Passages that are spread out at most, whatever is wanted: each pick is compared with all of them."""
TRIES = 2
"""Searches of one question while documents change."""
_MOST_KNOWN = 1_024


class Leg(msgspec.Struct, frozen=True):
    """How the dense leg stands for a tenant: for health and stats."""

    embedder: str = ""
    weight: float = 0.0
    says: str = "no embedder is set: terms alone are searched"


class Search:
    """Finds passages. Raises Unavailable; what goes wrong in the dense leg is told by `leg`, not raised."""

    def __init__(
        self,
        store: Store,
        lexical: Lexical,
        dense: Dense | None = None,
        trials: Trials | None = None,
        embedder: str = "",
    ) -> None:
        self._store = store
        self._lexical = lexical
        self._dense = dense
        self._trials = trials
        self._embedder = embedder
        self._failed: OrderedDict[str, str] = OrderedDict()

    async def find(self, where: Filter, text: str, most: int, *, spread_out: bool = True) -> list[Found]:
        """At most `most` passages for these words, the best first, that differ in what they say."""
        pool = max(most, min(MOST_POOL, max(32, POOL * most)))
        for _ in range(TRIES):
            hits = (await self.hits(where, text, pool))[: pool if spread_out else most]
            found = await self._store.found(where.tenant, hits)
            if len(found) == len(hits):
                break  # else another version came to serve in between, which has not been searched
        if not spread_out or len(found) <= 1:
            return found[:most]
        near = found[:MOST_POOL]
        alike = Likeness([each.counts for each in near])
        picked = [near[at] for at in spread([each.score for each in near], alike, most)]
        return picked + found[MOST_POOL:most]

    async def hits(self, where: Filter, text: str, most: int) -> list[Hit]:
        """The best chunks, of both legs as far as both are good, without their text."""
        lexical = await self._lexical.search(where, text, most)
        share = weight(await self._trial(where.tenant))
        if self._dense is None or not share:
            return lexical
        try:
            dense = await self._dense.search(where, text, most)
        except Problem as problem:
            self._note(where.tenant, problem.line())
            return lexical
        self._failed.pop(where.tenant, None)
        return fused([(lexical, 1.0), (dense, share)], most)

    async def leg(self, tenant: str) -> Leg:
        """Whether vectors are searched for this tenant, and why not."""
        if self._dense is None:
            return Leg()
        trial = await self._trial(tenant)
        failed = self._failed.get(tenant)
        if failed is not None and weight(trial):
            return Leg(self._embedder, 0.0, f"not fused: {failed}")
        return Leg(self._embedder, weight(trial), verdict(trial))

    async def _trial(self, tenant: str) -> Trial | None:
        return await self._trials.standing(tenant) if self._trials is not None else None

    def _note(self, tenant: str, says: str) -> None:
        self._failed[tenant] = says
        if len(self._failed) > _MOST_KNOWN:
            self._failed.popitem(last=False)
