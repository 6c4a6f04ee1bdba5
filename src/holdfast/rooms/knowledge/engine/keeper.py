"""Which tenants' postings are in memory, and how they are kept up with what serves.

They answer only as of the tenant's revision. A question that comes while they are behind, are being brought
up or have no place is left to the database.
"""

import asyncio
from collections.abc import Iterator, Sequence

from holdfast.kernel.clock import Clock
from holdfast.rooms.knowledge.engine.postings import Postings, nothing
from holdfast.rooms.knowledge.store.index import Packed, Serving
from holdfast.rooms.knowledge.store.store import Store

MOST_CHUNKS = 8_192
"""Chunks of a tenant that are kept: 6 MB, and a quarter of a second to read when the first question comes."""
MOST_PAIRS = 8_000_000
"""Pairs of term and chunk that are kept of all tenants, and those of one more: 30 MB a process at most."""
MOST_TENANTS = 256
FRESH_S = 2.0
"""How often a tenant's postings are brought up at most, while its documents change all the time."""
IDLE_S = 60.0
"""How long postings that nobody asks for keep their place; and how long a tenant with too many chunks is not
looked at again."""
_CHUNKS, _VERSIONS = 2_048, 64
"""Chunks and versions that are read in one statement."""


class _Kept:
    __slots__ = ("looked_s", "postings", "revision", "used_s")

    def __init__(self) -> None:
        self.postings: Postings | None = nothing()
        """None: the tenant has too many chunks."""
        self.revision = 0
        self.looked_s = float("-inf")
        self.used_s = float("-inf")


class Keeper:
    """Postings by tenant. Raises Unavailable."""

    def __init__(
        self, store: Store, clock: Clock, *, chunks: int = MOST_CHUNKS, pairs: int = MOST_PAIRS
    ) -> None:
        self._store = store
        self._clock = clock
        self._most_chunks = chunks
        self._most_pairs = pairs
        self._kept: dict[str, _Kept] = {}
        self._turn = asyncio.Lock()

    async def of(self, tenant: str) -> Postings | None:
        """All that serves for the tenant at this moment, or None where only the database knows."""
        now_s = self._clock.monotonic()
        kept = self._kept.get(tenant)
        if kept is not None and kept.postings is None and now_s - kept.looked_s < IDLE_S:
            return None
        revision = await self._store.revision(tenant)
        if not revision:
            self._kept.pop(tenant, None)
            return nothing()
        if kept is None or kept.revision != revision:
            kept = await self._brought_up(tenant, revision, now_s)
            if kept is None or kept.revision != revision:
                return None
        kept.used_s = now_s
        return kept.postings

    async def _brought_up(self, tenant: str, revision: int, now_s: float) -> _Kept | None:
        """The tenant's, read anew where that is due; None while another is, and where it has no place.

        `revision` was read before what it is of: what changes in between is read again.
        """
        if self._turn.locked():
            return None
        async with self._turn:
            kept = self._kept.get(tenant)
            if kept is not None and now_s - kept.looked_s < FRESH_S:
                return kept
            if not self._has_place(tenant, now_s):
                self._kept.pop(tenant, None)
                return None
            kept = self._kept.setdefault(tenant, _Kept())
            kept.looked_s = now_s
            kept.postings = await self._read(tenant, kept.postings or nothing())
            kept.revision = revision
            return kept

    async def _read(self, tenant: str, before: Postings) -> Postings | None:
        serving = await self._store.index.serving(tenant, self._most_chunks + 1)
        if max(len(serving), sum(each.chunks for each in serving)) > self._most_chunks:
            return None
        fresh = [each for each in serving if each.version not in before.versions]
        come: list[Packed] = []
        for versions in _parts(fresh):
            come += await self._store.index.packed(versions)
        documents = {each.version: each.document_id for each in serving}
        return await asyncio.to_thread(before.changed, documents, come)

    def _has_place(self, tenant: str, now_s: float) -> bool:
        """Whether there is room beside the others; whoever has not been asked for lately makes it."""
        if self._is_full(tenant):
            self._kept = {
                name: kept
                for name, kept in self._kept.items()
                if name == tenant or now_s - kept.used_s < IDLE_S
            }
        return not self._is_full(tenant)

    def _is_full(self, without: str) -> bool:
        others = [kept for name, kept in self._kept.items() if name != without]
        pairs = sum(len(kept.postings) for kept in others if kept.postings is not None)
        return pairs >= self._most_pairs or len(others) >= MOST_TENANTS


def _parts(serving: Sequence[Serving]) -> Iterator[list[int]]:
    """The versions, a statement's worth of chunks at a time."""
    part: list[int] = []
    chunks = 0
    for each in serving:
        if part and (len(part) == _VERSIONS or chunks + each.chunks > _CHUNKS):
            yield part
            part, chunks = [], 0
        part.append(each.version)
        chunks += each.chunks
    if part:
        yield part
