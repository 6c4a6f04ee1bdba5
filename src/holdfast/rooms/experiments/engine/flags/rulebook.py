"""The Ruleset of this process: looked up every half second, told at once over a shared store, never older.

    change in SQL -> changed(): this process loads it, and says its version on the channel
                       others: heard -> refresh     everybody: every poll_s -> refresh

A store that is away changes nothing: the last rules hold, and evaluations say STALE until it is back. One
that has had an older version for LOOKS_TO_GO_BACK looks was restored from a backup: only then are older rules
taken, because otherwise no kill switch would work until its version has caught up. A number that it gives a
second time, to what was changed since, is known by when that was made.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from holdfast.ports.shared import Shared, SharedDown, SharedRefused
from holdfast.rooms.experiments.rules.evaluating import Decider
from holdfast.rooms.experiments.rules.flags import Ruleset

logger = logging.getLogger("holdfast.experiments")
CHANNEL = "holdfast:experiments:rules"
LOOKS_TO_GO_BACK = 10


class Kept(Protocol):
    """Where rules are kept: the RuleStore."""

    async def stamp(self) -> tuple[int, int]: ...

    async def load(self) -> Ruleset: ...


class Rulebook:
    """Holds the newest Ruleset that this process has seen, ready to be asked."""

    def __init__(self, store: Kept, shared: Shared | None = None) -> None:
        self.decider = Decider(Ruleset(version=-1))
        self.stale = False
        """Whether the store did not answer when it was asked last."""
        self._store = store
        self._shared = shared
        self._older_looks = 0
        self._listeners: list[Callable[[Ruleset], None]] = []
        self._loading = asyncio.Lock()
        self._hearing: set[asyncio.Task[None]] = set()
        self._leave: Callable[[], None] | None = None

    @property
    def ruleset(self) -> Ruleset:
        """The rules that hold."""
        return self.decider.ruleset

    def on_change(self, listener: Callable[[Ruleset], None]) -> None:
        """Call `listener` with every new Ruleset, in the loop, before anything is decided by it."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Load what stands, and hear of changes. A store that is away is no reason not to start."""
        # A server may be started again in another loop, and a lock belongs to the one that waited on it.
        self._loading = asyncio.Lock()
        if self._shared is not None and self._leave is None:
            self._leave = self._shared.subscribe(CHANNEL, self)
        await self.refresh()

    async def stop(self) -> None:
        """Hear no more."""
        if self._leave is not None:
            self._leave()
            self._leave = None
        for task in tuple(self._hearing):
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)

    async def refresh(self) -> None:
        """Load the rules if there are newer ones. Never raises for a store that is away."""
        async with self._loading:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, rules that are known are better than none
                if not self.stale:
                    logger.warning("the rules cannot be read, the last ones hold: %s", error)
                self.stale = True
                return
            if self.stale:
                logger.info("the rules can be read again")
            self.stale = False

    async def changed(self) -> None:
        """Take what was just stored, and tell every process."""
        await self.refresh()
        if self._shared is not None:
            # Who is not told finds it at the next look.
            with suppress(SharedDown, SharedRefused):
                await self._shared.call("PUBLISH", CHANNEL, self.ruleset.version)

    async def _look(self) -> None:
        version, made_ms = await self._store.stamp()
        known = self.ruleset.version
        self._older_looks = self._older_looks + 1 if version < known else 0
        restored = self._older_looks >= LOOKS_TO_GO_BACK
        if restored or self._is_news(version, made_ms):
            found = await self._store.load()
            if restored or self._is_news(found.version, found.made_ms):
                self._take(found)
        if restored:
            self._older_looks = 0
            logger.warning("the rules have gone back from version %d to %d", known, self.ruleset.version)

    def _is_news(self, version: int, made_ms: int) -> bool:
        known = self.ruleset
        return version > known.version or (version == known.version and made_ms != known.made_ms)

    def _take(self, found: Ruleset) -> None:
        decider = Decider(found)
        for listener in self._listeners:
            try:
                listener(found)
            except Exception:
                logger.exception("a listener failed on rules of version %d", found.version)
        self.decider = decider

    # -- Listener ---------------------------------------------------------------------------------

    def heard(self, payload: bytes) -> None:
        """Somebody has changed something."""
        if not (payload.isdigit() and int(payload) <= self.ruleset.version):
            self.joined()

    def joined(self) -> None:
        """What was said while nobody heard it may be lost: look."""
        task = asyncio.ensure_future(self.refresh())
        self._hearing.add(task)
        task.add_done_callback(self._hearing.discard)

    def cut_off(self) -> None:
        """Looking goes on; that is enough."""
