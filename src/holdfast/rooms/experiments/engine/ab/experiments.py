"""Experiments at work: takes in what happens, lets them live, looks at them when it is time.

    flush (each second):  outcomes -> Taker -> units and sums
    turn  (each second):  collected long enough? -> start     a day has passed? -> a look
                          an hour has passed? -> sample ratio  over for long? -> forget its units

Every process takes its turns; what is done is idempotent: a start is a compare-and-set, a day's look has one
slot, an alarm is written down once.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem, Unavailable
from holdfast.ports.storage import Sql
from holdfast.rooms.experiments.engine.ab.covariates import Covariates, Imported
from holdfast.rooms.experiments.engine.ab.lives import DAY_MS, Actions, Lives
from holdfast.rooms.experiments.engine.ab.looking import Looked, Looks
from holdfast.rooms.experiments.engine.ab.pages import page_of, unseen_page
from holdfast.rooms.experiments.engine.ab.planning import PlanAsk, Planning, PlanView
from holdfast.rooms.experiments.engine.ab.taking import Taker
from holdfast.rooms.experiments.engine.ab.views import Whole, whole
from holdfast.rooms.experiments.rules.ab.days import by_day
from holdfast.rooms.experiments.rules.ab.lives import Stored, check_step
from holdfast.rooms.experiments.rules.ab.question import Sheet, days_are_over
from holdfast.rooms.experiments.rules.ab.watching import Watch
from holdfast.rooms.experiments.rules.experiments import Experiment
from holdfast.rooms.experiments.rules.outcomes import Outcome
from holdfast.rooms.experiments.rules.problems import Stale
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage
from holdfast.rooms.experiments.rules.settings import Config
from holdfast.rooms.experiments.rules.statistics.srm import sample_ratio
from holdfast.rooms.experiments.rules.statistics.verdicts import harms
from holdfast.rooms.experiments.store.ab import AbStore
from holdfast.rooms.experiments.store.ab_sums import SumsStore
from holdfast.rooms.experiments.store.rules import RuleStore

logger = logging.getLogger("holdfast.experiments")
RATIO_EVERY_S = 3600.0
"""Between two checks of the sample ratio."""
VISITOR_DAYS = 180
"""Whoever was away for longer is new again."""
AUTOMATIC = "holdfast"
"""Who looks when nobody does."""


class Experiments:
    """What the room does about experiments; `writer` names this process, and is drawn anew at each start."""

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        rules: RuleStore,
        actions: Actions,
        clock: Clock,
        writer: str,
        changed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._writer = writer
        self._rules = rules
        self._store = AbStore(sql)
        self._sums = SumsStore(sql)
        self.taker = Taker(self._sums, clock.wall, writer)
        self.lives = Lives(self._store, rules, actions, clock, config.metrics, changed)
        self.looks = Looks(self._store, self._sums, clock)
        self.planning = Planning(self._sums, clock)
        self._covariates = Covariates(self._sums)
        self._imports = 0
        self._watch: Watch | None = None
        self._version: tuple[int, ...] | None = None
        self._checked_s: dict[str, float] = {}
        self._looked: dict[str, str] = {}
        self._swept_s = 0.0
        self._failing: set[str] = set()
        self._away = False

    # -- what happens -----------------------------------------------------------------------------

    async def take(self, outcomes: Iterable[Outcome], *, closing: bool = False) -> None:
        """Count them; while the database is away they wait."""
        self.taker.add(outcomes)
        try:
            await self.taker.write(await self._active(), closing=closing)
        except Unavailable as problem:
            if not self._away:
                logger.warning("what users do waits for the database: %s", problem.line())
            self._away = True
        else:
            self._away = False

    async def turn(self) -> None:
        """Do what time has come for."""
        try:
            for stored in list((await self._active()).stored.values()):
                await self._apart(stored)
            await self._sweep()
        except Unavailable:
            return

    async def _apart(self, stored: Stored) -> None:
        """One's turn, whose errors are its own: said once, until a turn succeeds."""
        name = stored.experiment.name
        try:
            await self._turn(stored)
        except Unavailable:
            raise
        except Exception:
            if name not in self._failing:
                logger.exception("the turn of experiment %s fails", name)
            self._failing.add(name)
        else:
            self._failing.discard(name)

    async def _active(self) -> Watch:
        version = await self._store.version()
        if self._watch is None or version != self._version:
            self._watch, self._version = Watch(await self._store.active()), version
        return self._watch

    async def _turn(self, stored: Stored) -> None:
        try:
            if stored.status == "collecting":
                await self.lives.begin_collected(stored)
                return
            now_s, name = self._clock.wall(), stored.experiment.name
            if now_s - self._checked_s.get(name, 0.0) >= RATIO_EVERY_S:
                self._checked_s[name] = now_s
                await self._check_ratio(stored)
            at = datetime.fromtimestamp(now_s, ZoneInfo(stored.experiment.zone))
            day = at.date().isoformat()
            started_s = (stored.life.started_ms or 0) / 1000
            is_first = datetime.fromtimestamp(started_s, at.tzinfo).date() == at.date()
            if at.hour >= self._config.look_hour and not is_first and self._looked.get(name) != day:
                await self._daily(name, day)
                self._looked[name] = day  # not before: a database that was away has not looked
        except Stale:
            logger.debug("another process was first with %s", stored.experiment.name)
        except Unavailable:
            raise
        except Problem as problem:  # a layer that has filled up meanwhile: said once, and tried again
            await self._alarm(stored, f"{stored.status}:{problem.code}", problem.line())

    async def _daily(self, name: str, day: str) -> None:
        try:
            await self.look(name, AUTOMATIC, slot=f"day-{day}")
        except ArithmeticError:  # figures that no arithmetic bears: the others' turns go on
            logger.exception("experiment %s cannot be looked at", name)

    async def _check_ratio(self, stored: Stored) -> None:
        sheet = await self.looks.sheet(stored)
        shares = {arm.name: float(arm.share) for arm in stored.arms}
        found = sample_ratio({arm.name: sheet.units(arm.name) for arm in stored.arms}, shares, final=False)
        if not found.holds:
            units = ", ".join(f"{arm} {n:,}" for arm, n in found.observed.items())
            await self._alarm(stored, f"srm:{stored.phase}", f"p = {found.p:.2g}, {units}")

    async def _alarm(self, stored: Stored, alarm: str, detail: str) -> None:
        if await self.lives.alarmed(stored, alarm, detail) is not None:
            logger.error("experiment %s: %s (%s)", stored.experiment.name, alarm, detail)

    async def _sweep(self) -> None:
        """Once an hour: drop units of what has long ended, and the numbers of processes long gone."""
        now_s = self._clock.wall()
        if now_s - self._swept_s < RATIO_EVERY_S:
            return
        self._swept_s = now_s
        before_ms = int(now_s * 1000 - self._config.keep_days * DAY_MS)
        await self._sums.forget_writers(before_ms)
        await self._sums.forget_visitors(int(now_s // 86_400 - VISITOR_DAYS))
        for stored in await self._store.all():
            ended_ms = stored.life.stopped_ms
            if ended_ms is not None and ended_ms < before_ms and not stored.life.forgotten:
                await self._sums.forget_units(stored.experiment.name)
                try:
                    await self.lives.forgotten(stored)
                except Stale:
                    logger.debug("another process was first with %s", stored.experiment.name)

    # -- what people ask --------------------------------------------------------------------------

    async def all(self) -> Sequence[Stored]:
        """Every experiment, by name."""
        return await self._store.all()

    async def look(self, name: str, who: str, *, slot: str = "") -> Looked:
        """The figures as far as they may be shown now; written down where it is a look of its own."""
        stored = await self.lives.one(name)
        check_step(stored, "look")
        ended = stored.status == "stopped" or days_are_over(stored, self._clock.wall())
        looked = await self.looks.look(stored, who, slot=slot, ended=ended)
        verdict = looked.analysis.verdict
        for arm, metrics in harms(verdict).items() if looked.is_new else ():
            for metric in metrics:
                await self._alarm(stored, f"harm:{stored.phase}:{arm}:{metric}", metric)
                stored = await self.lives.one(name)
        if not looked.analysis.sample_ratio.holds:
            await self._alarm(stored, f"srm:{stored.phase}", f"p = {looked.analysis.sample_ratio.p:.2g}")
        return looked

    async def whole(self, stored: Stored) -> Whole:
        """All of it but its figures."""
        sheet = await self.looks.sheet(stored)
        return whole(stored, {arm.name: sheet.units(arm.name) for arm in stored.arms})

    async def results(self, name: str) -> Looked | None:
        """The last look, without a new one; None before the first."""
        stored = await self.lives.one(name)
        rows = await self.looks.taken(stored)
        return await self.looks.shown(stored, rows[-1]) if rows else None

    async def stop(self, name: str, who: str, decision: str = "", reason: str = "") -> Stored:
        """End it with a last look at what there is by then; what has ended is decided anew, without one."""
        await self.take(())
        stopped = await self.lives.stop(name, who, decision, reason)
        if stopped.phase and not stopped.life.overruled:
            await self.look(name, who, slot="last")
        return stopped

    async def drop(self, name: str) -> None:
        """Remove one that never ran."""
        await self.lives.drop(name, self._sums)

    async def plan(self, name: str, ask: PlanAsk, who: str) -> PlanView:
        """Size and duration; with `keep` they become the experiment's plan."""
        stored = await self.lives.one(name)
        known = await self.lives.metrics() | {each.name: each for each in stored.life.metrics}
        view, plan = await self.planning.plan(stored, ask, known)
        if ask.keep:
            experiment: Experiment = msgspec.structs.replace(stored.experiment, plan=plan)
            told = f"{view.metric}: {view.units_per_arm:,} / {view.effect:+.2%}"
            await self.lives.planned(stored, experiment, who, told)
        return view

    async def covariates(self, name: str, text: str) -> Imported:
        """Units' past from a CSV."""
        self._imports += 1
        writer = f"{self._writer}:covariates:{self._imports}"
        stored, known = await self.lives.one(name), await self.lives.metrics()
        used = [known[use.metric] for use in stored.experiment.metrics if use.metric in known]
        metrics = stored.life.metrics or used
        return await self._covariates.take(stored, metrics, text, writer, self.lives.now_ms())

    async def page(self, name: str, who: str) -> ExperimentPage:
        """The report; asking for it is a look."""
        stored = await self.lives.one(name)
        if stored.status not in ("running", "stopped") or not stored.phase:
            return unseen_page(stored, self._clock.wall())
        looked = await self.look(name, who)
        stored = await self.lives.one(name)
        # Single days are for when it is over: before, each would be a look that nobody has paid for.
        sheet = await self.looks.sheet(stored) if stored.status == "stopped" else Sheet()
        rows = await self.looks.taken(stored)
        changes = await self._rules.history(name)
        return page_of(stored, looked, rows, by_day(stored, sheet), changes, self._clock.wall())

    async def change_shares(self, name: str, shares: Mapping[str, int], who: str) -> Stored:
        """A new phase, with evidence of its own."""
        return await self.lives.change_shares(name, shares, who)
