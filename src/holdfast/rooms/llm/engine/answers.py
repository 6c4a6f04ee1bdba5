"""Whole answers kept by exact request, over the service's cache. How old is too old is decided at reading."""

from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json
from holdfast.ports.cache import Cache
from holdfast.rooms.llm.rules.asking import Answered, Request
from holdfast.rooms.llm.rules.settings import CacheSettings

KIND = "llm_exact"
"""The cache's kind: its share of memory, and the spread of its times to live. Not by variant: the key holds
what an arm does otherwise, and whoever reads is in a request, whoever keeps in a task of its own."""


class Kept(msgspec.Struct):
    """An answer as it is kept, with the moment it was made: epoch seconds."""

    at: float
    answered: Answered


_decode = msgspec.json.Decoder(Kept).decode


class Answers:
    """What was answered before. Of one tenant each; the key sees to it."""

    def __init__(self, cache: Cache, settings: CacheSettings, clock: Clock) -> None:
        self._cache = cache
        self._settings = settings
        self._wall = clock.wall
        self._keep_s = max([settings.ttl_s, *settings.ttls.values()]) + max(
            settings.stale_s, settings.stale_if_error_s
        )

    @property
    def enabled(self) -> bool:
        return self._settings.enabled

    async def find(self, key: str) -> Kept | None:
        """What is kept of it, however old."""
        found: Any = await self._cache.get(f"llm:{key}", kind=KIND)
        if not isinstance(found, bytes):
            return None
        try:
            return _decode(found)
        except msgspec.MsgspecError:
            return None  # written by another version: as good as absent

    def freshness(self, kept: Kept, purpose: str) -> str:
        """`fresh`, `stale` (to be served while a new one is made) or `old` (good only when none can be)."""
        age_s = self._wall() - kept.at
        ttl_s = self._settings.ttl_of(purpose)
        if age_s < ttl_s:
            return "fresh"
        return "stale" if age_s < ttl_s + self._settings.stale_s else "old"

    def stands_in(self, kept: Kept, purpose: str) -> bool:
        """Whether it may be served because no new one can be had."""
        age_s = self._wall() - kept.at
        return age_s < self._settings.ttl_of(purpose) + self._settings.stale_if_error_s

    def of(self, kept: Kept, source: str) -> Answered:
        """The answer to a caller: it cost nothing this time."""
        return msgspec.structs.replace(
            kept.answered,
            source=source,
            age_s=max(0.0, self._wall() - kept.at),
            attempts=0,
            upstream_s=0.0,
            cost=0,
        )

    async def keep(self, key: str, request: Request, answered: Answered) -> None:
        kept = Kept(self._wall(), answered)
        tags = (f"llm:tenant:{request.payer.tenant}", f"llm:model:{request.model}")
        # As bytes: kept as a value, it would be decoded once more here and shared by all who read it.
        await self._cache.set(f"llm:{key}", encode_json(kept), kind=KIND, ttl_s=self._keep_s, tags=tags)
