"""What the cache does in the background: let go, count, tend sessions, warm up, remember what is hot."""

import logging

from holdfast.kernel.tasks import Supervisor
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.engine.sessions import Sessions
from holdfast.rooms.cache.engine.warmup import Warmup

logger = logging.getLogger("holdfast.cache")

EXPORT_S = 1.0
"""Seconds between two times that what was counted goes to the meter."""
TEND_S = 10.0
SWEPT_AT_ONCE = 2_000
"""Entries looked at in one sweep: about a millisecond."""
REMEMBER_S = 300.0
"""Seconds between two times that the hot keys are written down, for a process that ends without a stop."""


class Upkeep:
    """Turns under the supervisor, which ends them."""

    def __init__(self, engine: CacheEngine, sessions: Sessions, warmup: Warmup, *, sweep_s: float) -> None:
        self._engine = engine
        self._sessions = sessions
        self._warmup = warmup
        self._sweep_s = sweep_s

    def start(self, supervisor: Supervisor) -> None:
        """Begin; returns at once."""
        supervisor.every("cache:sweep", self._sweep_s, self.sweep)
        supervisor.every("cache:export", EXPORT_S, self.export)
        supervisor.every("cache:sessions", TEND_S, self._sessions.tend)

        async def warm() -> None:
            await self.warm()
            while not await supervisor.pause(REMEMBER_S):
                await self._warmup.remember()

        supervisor.spawn("cache:warm-up", warm)

    async def sweep(self) -> None:
        """Look at the next entries and let go of those that have ended."""
        self._engine.keeper.sweep(SWEPT_AT_ONCE)

    async def export(self) -> None:
        """Bring the meter up to date."""
        self._engine.export.flush()

    async def warm(self) -> None:
        """Fill the memory, and say what came of it."""
        done = await self._warmup.run()
        if done.loaded or done.failed or done.fetched:
            logger.info(
                "cache warmed: %d loaded, %d taken over, %d failed", done.loaded, done.fetched, done.failed
            )
