"""The dense leg of taking a document in: a vector for every chunk."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from holdfast.kernel.errors import Problem
from holdfast.rooms.knowledge.engine.embedding import Embedding
from holdfast.rooms.knowledge.engine.trials import Trials
from holdfast.rooms.knowledge.rules.stored import Version

logger = logging.getLogger("holdfast.knowledge")


class Vectorising:
    """Embeds versions with one embedder."""

    def __init__(self, embedding: Embedding, trials: Trials) -> None:
        self._embedding = embedding
        self._trials = trials
        self.key = embedding.embedder.id

    async def embed(self, version: Version, chunks: int, told: Callable[[float], None]) -> Mapping[str, Any]:
        """What it took: texts embedded and refused, requests, seconds of all of them together."""
        done = 0

        def count(texts: int) -> None:
            nonlocal done
            done = texts

        def check() -> None:
            told(done / max(1, chunks))

        report = await self._embedding.version(version, count, check)
        return {
            "embedded": report.embedded,
            "poisoned": report.poisoned,
            "embed_requests": report.requests,
            "embed_s": round(report.asking_s, 3),
        }

    async def served(self, tenant: str) -> None:
        """Try the embedder on the tenant's chunks where that is due; one that fails is held another time."""
        try:
            await self._trials.hold(tenant)
        except Problem as problem:
            logger.warning("the embedder could not be tried: %s", problem.line())
