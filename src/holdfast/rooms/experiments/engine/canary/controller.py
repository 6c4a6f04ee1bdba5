"""The turn that any process may take: judge what runs, decide, act.

No process is elected. Who finds that another has moved a release since the last look leaves this turn to it,
so that one of many goes on writing, and when it dies the next takes over after two looks. Should two write at
once, the row lets one of them (`committing.py`).
"""

import logging

from holdfast.kernel.clock import Clock
from holdfast.rooms.experiments.engine.canary.beats import Beats
from holdfast.rooms.experiments.engine.canary.committing import Committing
from holdfast.rooms.experiments.engine.canary.deciding import decide
from holdfast.rooms.experiments.engine.canary.elapsed import StageClock
from holdfast.rooms.experiments.engine.canary.figures import Figures
from holdfast.rooms.experiments.engine.canary.moves import Move
from holdfast.rooms.experiments.engine.canary.seen_actions import MOST
from holdfast.rooms.experiments.engine.canary.state import read_verdict
from holdfast.rooms.experiments.engine.canary.telling import Telling
from holdfast.rooms.experiments.rules.releases import ENDED
from holdfast.rooms.experiments.store.release_rows import Standing
from holdfast.rooms.experiments.store.releases import ReleaseStore

logger = logging.getLogger("holdfast.experiments")


_SWEEP_S = 3600.0
_KEEP_MS = 86_400_000
"""Bursts are asked for a minute later; after a day by no clock that is a few hours off either."""


class Controller:
    """Judges releases, in one process."""

    def __init__(
        self,
        store: ReleaseStore,
        committing: Committing,
        telling: Telling,
        figures: Figures,
        beats: Beats,
        clock: Clock,
    ) -> None:
        self._store = store
        self._committing = committing
        self._telling = telling
        self._figures = figures
        self._beats = beats
        self._clock = clock
        self._elapsed = StageClock(clock.monotonic)
        self._seen: dict[str, int] = {}
        self._swept_s = clock.monotonic()

    async def turn(self) -> None:
        """Judge everything that runs; what goes wrong with one release concerns no other."""
        alive = await self._store.alive()
        names = {standing.name for standing in alive}
        self._elapsed.keep_only(names)
        self._seen = {name: turn for name, turn in self._seen.items() if name in names}
        self._figures.held = sum(standing.status == "held" for standing in alive)
        for standing in alive:
            try:
                await self._one(standing)
            except Exception:
                self._figures.failed()
                logger.exception("release %s could not be judged; the next turn tries again", standing.name)
        await self._sweep(names)

    async def _one(self, was: Standing) -> None:
        if was.told < was.generation:
            await self._tell(was)
        if was.status in ENDED:
            return
        elapsed_s = self._elapsed.elapsed_s(was)
        before = self._seen.get(was.name, was.turn)
        self._seen[was.name] = was.turn
        if before != was.turn:
            return
        sums = await self._store.sums(was.name, was.period)
        recent = self._beats.of(was.name, await self._store.recents(was.name, was.period))
        move = decide(was, sums, recent, elapsed_s, int(self._clock.wall() * 1000))
        if await self._committing.commit(was, move):
            self._seen[was.name] = was.turn + 1
            self._count(was, move)
            if move.did:
                await self._tell(move.now)

    async def _sweep(self, names: set[str]) -> None:
        """What weeks would pile up otherwise."""
        if self._clock.monotonic() - self._swept_s < _SWEEP_S:
            return
        self._swept_s = self._clock.monotonic()
        for name in sorted(names):
            await self._store.forget_bursts(name, int(self._clock.wall() * 1000) - _KEEP_MS)
        await self._store.forget_actions(MOST)

    async def _tell(self, standing: Standing) -> None:
        try:
            await self._telling.tell(standing)
        except Exception:
            # What cannot be told yet must not keep what runs from being judged.
            logger.exception("a decision on release %s could not be told; it will be again", standing.name)

    def _count(self, was: Standing, move: Move) -> None:
        before, verdict = read_verdict(was), read_verdict(move.now)
        if verdict is not None and (before is None or before.kind != verdict.kind):
            self._figures.judged(was.name, verdict)
            if verdict.kind in ("WARN", "INCONCLUSIVE"):
                logger.warning("release %s: %s, %s", was.name, verdict.kind, verdict.why.replace("_", " "))
