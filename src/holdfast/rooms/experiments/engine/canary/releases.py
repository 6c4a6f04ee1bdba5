"""The object that holds releases: `hold.experiments.releases`.

Changes.flush ─▶ take ─▶ Counting ─▶ Writing ─▶ SQL ─▶ turn: Controller ─▶ Committing ─▶ rollout
                                                        operators: Operating ──┘  └─▶ Telling
"""

import asyncio
import logging
from collections.abc import Sequence

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding
from holdfast.ports.services import Meter
from holdfast.ports.storage import Sql
from holdfast.rooms.experiments.engine.canary.beats import Beats
from holdfast.rooms.experiments.engine.canary.committing import Committing
from holdfast.rooms.experiments.engine.canary.controller import Controller
from holdfast.rooms.experiments.engine.canary.counting import Assigned, Counting
from holdfast.rooms.experiments.engine.canary.figures import Figures
from holdfast.rooms.experiments.engine.canary.operating import Operating
from holdfast.rooms.experiments.engine.canary.reporting import Reporting
from holdfast.rooms.experiments.engine.canary.seen_actions import SeenActions
from holdfast.rooms.experiments.engine.canary.telling import Telling
from holdfast.rooms.experiments.engine.canary.views import Brief, Whole, brief, whole
from holdfast.rooms.experiments.engine.canary.writing import Writing
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.rules.canary.checks import check_release
from holdfast.rooms.experiments.rules.outcomes import Outcome
from holdfast.rooms.experiments.rules.releases import AT_REST, ENDED, Release
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage
from holdfast.rooms.experiments.store.release_rows import Standing
from holdfast.rooms.experiments.store.releases import ReleaseStore
from holdfast.rooms.experiments.store.rules import RuleStore

logger = logging.getLogger("holdfast.experiments")
_AT_ONCE = 100
"""Outcomes counted in one turn of the loop: about a millisecond, however many waited."""


class Releases:
    """Releases at work in this process."""

    def __init__(
        self,
        *,
        sql: Sql,
        rules: RuleStore,
        rulebook: Rulebook,
        assigned: Assigned,
        clock: Clock,
        ids: IdSource,
        meter: Meter,
    ) -> None:
        self.store = store = ReleaseStore(sql)
        self._clock = clock
        process = ids.sortable(clock.wall())
        self.figures = figures = Figures(meter)
        rulebook.on_change(figures.shares)
        self.reporting = reporting = Reporting(store, clock)
        self.counting = Counting(assigned)
        self._writing = Writing(store, self.counting, process, clock.wall)
        self._seen_actions = SeenActions(store, clock.monotonic)
        committing = Committing(store, rules, rulebook, clock)
        telling = Telling(store, reporting, figures)
        beats = Beats(process, clock.monotonic)
        self.controller = Controller(store, committing, telling, figures, beats, clock)
        self.operating = operating = Operating(store, committing, telling, rulebook, clock)
        self.pause, self.resume = operating.pause, operating.resume
        self.promote, self.roll_back = operating.promote, operating.roll_back
        self._declared: dict[str, Release] = {}
        self._running: dict[str, Standing] = {}
        self._flushing = asyncio.Lock()

    # -- what code says ---------------------------------------------------------------------------

    def define(self, release: Release) -> None:
        """Declare a release in code: it is kept before it is started, and at the next turn at the latest."""
        check_release(release)
        self._declared[release.name] = release

    async def settle(self) -> None:
        """Keep what code declared. One that is at work keeps the definition it was started with."""
        for name, release in list(self._declared.items()):
            standing = await self.store.one(name)
            settled = standing is not None and standing.status not in AT_REST
            if not settled and (standing is None or standing.definition != release):
                await self.operating.define(release)
            if self._declared.get(name) is release:
                del self._declared[name]

    async def start(self, name: str, actor: str = "", *, force: bool = False) -> Standing:
        """The first stage, of what code has just declared as well. `force`: though it was rolled back."""
        await self.settle()
        return await self.operating.start(name, actor, force=force)

    # -- the ring ---------------------------------------------------------------------------------

    async def take(self, outcomes: Sequence[Outcome]) -> None:
        """Count these, and write what is counted. Never raises for a database that is away."""
        async with self._flushing:
            self._seen_actions.saw(outcomes)
            try:
                if outcomes or self._running:
                    alive = await self.store.alive()
                    self._running = {each.name: each for each in alive if each.status not in ENDED}
            except Problem as error:
                logger.debug("the releases cannot be read, those known are counted: %s", error)
            for start in range(0, len(outcomes), _AT_ONCE):
                self.counting.take(outcomes[start : start + _AT_ONCE], self._running)
                await asyncio.sleep(0)
            self.figures.lost = self.counting.lost
            try:
                await self._writing.write()
                await self._seen_actions.write()
            except Problem as error:
                logger.warning("counts of releases wait for the database: %s", error)
            self.counting.forget(self._running, self._clock.wall())

    async def turn(self) -> None:
        """Judge what runs, where the database answers."""
        try:
            await self.settle()
        except Problem as error:
            logger.warning("what code declares of releases is not kept yet: %s", error)
        except Exception:
            # A row that a newer version wrote, say: what runs is judged all the same.
            logger.exception("what code declares of releases cannot be kept")
        try:
            await self.controller.turn()
        except Problem as error:
            logger.warning("releases are not judged, the database is away: %s", error)

    # -- what is shown ----------------------------------------------------------------------------

    async def listed(self) -> list[Brief]:
        """Every release, by name."""
        return [brief(each) for each in await self.store.all()]

    async def shown(self, name: str) -> Whole:
        """A release with all that is known of it."""
        page = await self.reporting.page(name)
        standing = await self.store.one(name)
        assert standing is not None
        return whole(standing, page)

    async def report(self, name: str, run: int | None = None) -> ReleasePage:
        """The page of its last run, or of the one given."""
        return await self.reporting.page(name, run)

    def checks(self) -> Sequence[Check]:
        """Degraded while a release is held."""
        return (Check("experiments releases", self._state),)

    async def _state(self) -> Finding:
        held = await self.store.held()
        if held:
            said = "; ".join(f"{name}: {reason}" for name, reason in sorted(held.items()))
            return Finding("degraded", f"held: {said}", {"held": sorted(held)})
        return Finding()
