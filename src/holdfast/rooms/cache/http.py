"""The room over HTTP, for administrators: what it holds and did, dropping entries, warming up."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import BadInput
from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.cache.engine.counts import Tally
from holdfast.rooms.cache.engine.parts import Parts

BASE = "/admin/cache"
NO_STORE = (("cache-control", "no-store"),)
MAX_NAMES = 1_000

Names = Annotated[list[str], Meta(max_length=MAX_NAMES)]


class KindFigures(msgspec.Struct, frozen=True):
    """What was counted of one kind since this process started."""

    kind: str
    ttl_s: float
    entries: int
    size_bytes: int
    memory_hits: int
    shared_hits: int
    """Found in the second tier."""
    misses: int
    """Callers who found no fresh value in memory."""
    stale: int
    negative: int
    loads: int
    load_failures: int
    load_s_mean: float
    early_refreshes: int
    stampedes_prevented: int
    """Callers who waited for a load that somebody else had begun, instead of beginning their own."""
    evictions: int
    refused: int
    poisoned: int
    hit_rate: float
    """Of all who asked, those served without a load of their own or another's, 0..1."""


class MemoryTier(msgspec.Struct, frozen=True):
    """L1, of the process that answers."""

    entries: int
    max_entries: int
    size_bytes: int
    max_bytes: int
    hits: int
    stale: int
    negative: int
    evictions: int
    markers: int
    loading: int
    is_cut_off: bool
    """Whether invalidations of other nodes are not heard: what it holds is served for `cut_off_ttl_s`."""


class SharedTier(msgspec.Struct, frozen=True):
    """L2: how this node stands with it. `facts` are its own counts."""

    configured: bool
    status: str
    """`none`, `up`, `joining` (answers, invalidations are not heard yet) or `down`."""
    hits: int
    age_s: float | None
    """Seconds since it went away or came back; None when that never happened."""
    facts: dict[str, Any]


class SessionFigures(msgspec.Struct, frozen=True):
    """Sessions alive, on all nodes where they share a store."""

    active: int


class Stats(msgspec.Struct, frozen=True):
    """The cache by tier and kind."""

    hit_rate: float
    loads: int
    stampedes_prevented: int
    memory: MemoryTier
    shared: SharedTier
    sessions: SessionFigures
    kinds: list[KindFigures]


class InvalidateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to drop: any of these together. `everything` must be said, it is never meant by silence."""

    keys: Names = []
    tags: Names = []
    prefix: str | None = None
    everything: bool = False


class Invalidated(msgspec.Struct, frozen=True):
    """What was dropped; `everywhere` is false while other nodes cannot be told: they are told later."""

    keys: int
    tags: int
    prefix: str | None
    everything: bool
    everywhere: bool


class WarmedUp(msgspec.Struct, frozen=True):
    """What a warm-up did."""

    loaded: int
    failed: int
    fetched: int


class CacheHttp:
    """The handlers; every answer forbids storing it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def stats(self, call: Call) -> Answer:
        """What is held and what was counted, of this process; the sessions are everybody's."""
        return Answer(await read_stats(self._parts), headers=NO_STORE)

    async def invalidate(self, call: Call) -> Answer:
        """Drop entries here and on every node; a load under way stores nothing of before."""
        body: InvalidateBody = call.body
        if not (body.keys or body.tags or body.prefix or body.everything):
            raise BadInput(
                "nothing was named to invalidate",
                hint='send "keys": [...], "tags": [...], "prefix": "..." or "everything": true',
            )
        return Answer(await drop(self._parts, body), headers=NO_STORE)

    async def warmup(self, call: Call) -> Answer:
        """Run the declared loaders and load the hot keys of the last run."""
        done = await self._parts.warmup.run()
        return Answer(WarmedUp(done.loaded, done.failed, done.fetched), headers=NO_STORE)


async def drop(parts: Parts, body: InvalidateBody) -> Invalidated:
    """Carry out an invalidation; what it came to."""
    await parts.engine.invalidate(
        keys=body.keys, tags=body.tags, prefix=body.prefix or None, everything=body.everything
    )
    state = parts.tier() if parts.tier is not None else None
    everywhere = state is None or (bool(state["is_up"]) and not state["journal_markers"])
    return Invalidated(len(body.keys), len(body.tags), body.prefix or None, body.everything, everywhere)


async def read_stats(parts: Parts) -> Stats:
    """The figures of this process, by tier and kind."""
    engine = parts.engine
    tallies = engine.tallies()
    told = engine.stats()
    memory = MemoryTier(
        entries=told["entries"],
        max_entries=told["max_entries"],
        size_bytes=told["size_bytes"],
        max_bytes=told["max_bytes"],
        hits=sum(tally.hits for tally in tallies),
        stale=sum(tally.stale for tally in tallies),
        negative=sum(tally.negative for tally in tallies),
        evictions=sum(tally.evictions for tally in tallies),
        markers=told["markers"],
        loading=told["loading"],
        is_cut_off=told["cut_off"],
    )
    return Stats(
        hit_rate=_rate(tallies),
        loads=sum(tally.loads for tally in tallies),
        stampedes_prevented=sum(tally.joined for tally in tallies),
        memory=memory,
        shared=_tier(parts.tier() if parts.tier is not None else None, tallies),
        sessions=SessionFigures(await parts.sessions.count()),
        kinds=[_kind(tally, engine.keeper.kind(tally.kind).ttl_s) for tally in tallies],
    )


def _tier(state: Mapping[str, Any] | None, tallies: Sequence[Tally]) -> SharedTier:
    hits = sum(tally.shared_hits for tally in tallies)
    if state is None:
        return SharedTier(False, "none", hits, None, {})
    status = "down" if not state["is_up"] else "up" if state["is_joined"] else "joining"
    age_s = state["last_joined_s"] if state["is_joined"] else state["cut_off_for_s"]
    return SharedTier(True, status, hits, age_s, dict(state))


def _kind(tally: Tally, ttl_s: float) -> KindFigures:
    return KindFigures(
        kind=tally.kind,
        ttl_s=ttl_s,
        entries=tally.entries,
        size_bytes=tally.size_bytes,
        memory_hits=tally.hits,
        shared_hits=tally.shared_hits,
        misses=tally.misses,
        stale=tally.stale,
        negative=tally.negative,
        loads=tally.loads,
        load_failures=tally.failures,
        load_s_mean=round(tally.load_s / tally.loads, 6) if tally.loads else 0.0,
        early_refreshes=tally.early,
        stampedes_prevented=tally.joined,
        evictions=tally.evictions,
        refused=tally.refused,
        poisoned=tally.poisoned,
        hit_rate=_rate([tally]),
    )


def _rate(tallies: Sequence[Tally]) -> float:
    """Those served from a tier, of all who asked."""
    served = sum(tally.hits + tally.stale + tally.shared_hits for tally in tallies)
    asked = sum(tally.hits + tally.stale + tally.misses for tally in tallies)
    return round(min(1.0, served / asked), 4) if asked else 0.0


def routes(http: CacheHttp) -> Sequence[Route]:
    """The room's addresses; all ask for the admin token outside development."""
    return (
        Route(
            "GET",
            f"{BASE}/stats",
            http.stats,
            "What the cache holds and did, by tier and kind.",
            answer=Stats,
            public=False,
        ),
        Route(
            "POST",
            f"{BASE}/invalidate",
            http.invalidate,
            "Drop entries by key, tag, prefix or all, on every node.",
            body=InvalidateBody,
            answer=Invalidated,
            public=False,
        ),
        Route(
            "POST",
            f"{BASE}/warmup",
            http.warmup,
            "Run the declared loaders and load the hot keys of the last run.",
            answer=WarmedUp,
            public=False,
        ),
    )
