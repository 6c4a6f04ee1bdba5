"""Wiring of the cache room."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter
from holdfast.ports.shared import Shared
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.counts import watch_tier
from holdfast.rooms.cache.engine.parts import Parts
from holdfast.rooms.cache.engine.responses import Responses
from holdfast.rooms.cache.engine.sessions import Sessions
from holdfast.rooms.cache.engine.shared import SharedTier
from holdfast.rooms.cache.engine.sync import SyncCache
from holdfast.rooms.cache.engine.upkeep import Upkeep
from holdfast.rooms.cache.engine.verbs import Verbs
from holdfast.rooms.cache.engine.warmup import Warmup
from holdfast.rooms.cache.http import CacheHttp, routes
from holdfast.rooms.cache.rules import kinds
from holdfast.rooms.cache.rules.entry import HybridClock
from holdfast.rooms.cache.rules.settings import Config as Config

_LOAD_S, _LIFE_S = 120.0, 7 * 86_400.0
"""At least: for a kind without a hard deadline; for a call that asks for a time to live of its own."""
_LATE_S = 10.0
"""A load that is given up may still end, and its value be stored."""


class CacheRoom(Room):
    """Answers kept in process, shared with other nodes where there is a shared store, and told to browsers.

    `engine` implements the port Cache. Without `shared` every process is on its own.
    """

    name: ClassVar[str] = "cache"

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        meter: Meter,
        supervisor: Supervisor,
        shared: Shared | None,
        ids: IdSource,
        data_dir: Path | None = None,
    ) -> None:
        self.config = config
        self._supervisor = supervisor
        order = HybridClock()
        rng = Random(ids.bits(64))  # noqa: S311 - spreads times, guards nothing
        self.engine = CacheEngine(
            config,
            clock=clock,
            meter=meter,
            rng=rng,
            order=order,
            now_us=None if shared is None else shared.clock_us,
        )
        all_kinds = self.engine.keeper.kinds
        self.tier: SharedTier | None = None
        if shared is not None:
            self.tier = SharedTier(
                shared,
                hears=self.engine,
                clock=clock,
                rng=rng,
                node_id=ids.span_id(),
                namespace=config.namespace,
                stamps=order,
                lease_s=config.lease_s,
                max_load_s=max(_LOAD_S, kinds.longest_load_s(all_kinds) + _LATE_S),
                max_lifetime_s=max(_LIFE_S, kinds.longest_life_s(all_kinds)),
                max_value_bytes=config.max_value_bytes,
                journal_bytes=config.journal_bytes,
            )
            self.engine.connect(self.tier)
        tell = None if self.tier is None else self.tier.state
        watch_tier(meter, tell)
        self.sessions = Sessions(
            config.sessions,
            all_kinds=all_kinds,
            clock=clock,
            meter=meter,
            shared=shared,
            namespace=config.namespace,
        )
        self.responses = Responses(config.responses, all_kinds)
        file = None if data_dir is None else data_dir / "cache-hot-keys.json"
        self.warmup = Warmup(
            self.engine, file=file, limit=config.warm_keys, concurrency=config.warm_concurrency
        )
        self._upkeep = Upkeep(self.engine, self.sessions, self.warmup, sweep_s=config.sweep_s)
        self._parts = Parts(self.engine, self.sessions, self.warmup, tell)
        self._is_running = False

    async def start(self) -> None:
        """Join the others and begin to warm up; waits for neither."""
        if self._is_running:
            return
        self._is_running = True
        if self.tier is not None:
            await self.tier.start()
        self._upkeep.start(self._supervisor)

    async def stop(self) -> None:
        """Write down the hot keys, end the loads, say to the others what is still unsaid."""
        if not self._is_running:
            return
        self._is_running = False
        await self.warmup.remember()
        await self.engine.stop()
        if self.tier is not None:
            await self.tier.stop()
        self.engine.export.flush()

    def sync(self) -> SyncCache:
        """The cache for threads; call it on the loop that runs now."""
        return SyncCache(self.engine, asyncio.get_running_loop())

    def checks(self) -> Sequence[Check]:
        return (Check("cache", self._ask),)

    def routes(self) -> Sequence[Route]:
        return routes(CacheHttp(self._parts))

    def verbs(self) -> Sequence[Verb]:
        return Verbs(self._parts).all()

    def stats(self) -> Mapping[str, Any]:
        """What both tiers hold and have counted."""
        found = self.engine.stats()
        if self.tier is not None:
            found["shared"] = self.tier.state()
        return found

    async def _ask(self) -> Finding:
        if self.engine.keeper.is_cut_off:
            return Finding("degraded", "nothing is heard from other nodes: memory only", self.stats())
        return Finding(facts=self.stats())
