"""Everything the room does, put together: what `room.py` wires, `http.py` calls and the verbs use."""

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Finding
from holdfast.ports.cache import Cache, NoCache
from holdfast.ports.flags import NoFlags
from holdfast.ports.services import EventLog, Meter
from holdfast.ports.storage import Sql
from holdfast.ports.telling import Telling
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.feedback import Feedback
from holdfast.rooms.recommend.engine.fitting import Outcome
from holdfast.rooms.recommend.engine.keeper import Keeper
from holdfast.rooms.recommend.engine.people import People
from holdfast.rooms.recommend.engine.recommender import Recommender
from holdfast.rooms.recommend.engine.release import Release
from holdfast.rooms.recommend.engine.repeating import Repeating
from holdfast.rooms.recommend.engine.shelf import Shelf
from holdfast.rooms.recommend.engine.shown import ShownLog
from holdfast.rooms.recommend.engine.training import Rules, Trainer, TrainingRuns
from holdfast.rooms.recommend.models.backtest import Budget
from holdfast.rooms.recommend.rules.exposure import Exposure
from holdfast.rooms.recommend.rules.settings import Config

logger = logging.getLogger("holdfast.recommend")

_DAY_MS = 86_400_000


class Engine:
    """The recommender of one process. `start` before the first answer, `stop` after the last."""

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        log: EventLog,
        meter: Meter,
        clock: Clock,
        ids: IdSource,
        data_dir: Path,
        uniform: Callable[[], float] = random.random,
        cache: Cache | None = None,
        release: Release | None = None,
    ) -> None:
        self.config = config
        self.sql = sql
        self._clock = clock
        folder = data_dir / "recommend"
        self.shelf = Shelf(sql, folder)
        self.keeper = Keeper(sql=sql, clock=clock, shelf=self.shelf, trending_days=config.trending_days)
        self.people = People(sql)
        self.shown = ShownLog(sql, Exposure(config.exposure_window, config.exposure_cap), meter)
        telling = Telling(log, clock)
        self.repeating = Repeating(cache or NoCache(), config)
        self.recommender = Recommender(
            config,
            keeper=self.keeper,
            people=self.people,
            shown=self.shown,
            clock=clock,
            ids=ids,
            uniform=uniform,
            repeating=self.repeating,
            release=release or Release(config, NoFlags()),
            telling=telling,
        )
        self.feedback = Feedback(
            sql=sql,
            clock=clock,
            ids=ids,
            telling=telling,
            meter=meter,
            rating_scale=config.rating_scale,
            repeating=self.repeating,
        )
        rules = Rules(
            after_events=config.train_after_events,
            after_s=config.train_after_s,
            min_events=config.train_min_events,
            tolerance=config.gate_tolerance,
            budget=Budget(model_bytes=config.model_bytes, ease_items=config.ease_items),
        )
        self.trainer = Trainer(sql=sql, clock=clock, meter=meter, folder=folder, rules=rules)
        self._alone = False
        self._failure = ""
        self._pruned_ms = 0
        self._watch(meter)

    async def start(self) -> None:
        """Load the catalogue, the counts and the model; remember what was shown lately."""
        await self.keeper.turn()
        day_ago_ms = self._now_ms() - _DAY_MS
        await self.shown.load(day_ago_ms, self.config.exposure_window * self.config.limit)

    async def stop(self) -> None:
        """Write what waits; idempotent."""
        try:
            await self.shown.flush()
        finally:
            self.recommender.close()

    def work_alone(self) -> None:
        """A command works by itself: no refresh and no training of the background beside it."""
        self._alone = True

    async def refresh(self) -> None:
        """One turn of the background: catch up, write behind, forget what is too old."""
        if self._alone:
            return
        await self.keeper.turn()
        await self.shown.flush()
        await self._prune()

    async def train(self) -> Outcome:
        """Train now and serve what passed the gate; raises TrainingRuns, TrainingFailed."""
        try:
            outcome = await self.trainer.train()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failure = f"the last training failed: {error}"
            raise
        self._failure = ""
        await self.keeper.turn()
        if outcome.verdict.promoted:
            await self.repeating.drop_all()
        return outcome

    async def train_when_due(self) -> None:
        """One look whether to train; another process at it already is no failure."""
        reason = await self.trainer.due()
        if not reason or self._alone:
            return
        logger.info("recommend: training, %s", reason)
        try:
            await self.train()
        except TrainingRuns:
            logger.info("recommend: another process trains")

    async def rollback(self) -> str:
        """Serve the previous model again; the name of what serves now."""
        name = await self.trainer.rollback()
        await self.keeper.turn()
        await self.repeating.drop_all()
        return name

    async def state(self) -> Finding:
        """ok, or degraded with why: a model that cannot be read, a training that failed."""
        knowledge = self.keeper.knowledge
        facts = {
            "items": len(self.keeper.catalogue),
            "events": knowledge.counts.events,
            "model": knowledge.model_name,
            "model_version": knowledge.version,
            "newer_model_waits": self.keeper.is_behind,
            "artefact": self.shelf.held.artefact[:12],
        }
        trouble = "; ".join(text for text in (self.shelf.trouble, self._failure) if text)
        return Finding("degraded" if trouble else "ok", trouble, facts)

    def now_s(self) -> float:
        """The wall clock the engine lives by, seconds since the epoch."""
        return self._clock.wall()

    async def _prune(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._pruned_ms < _DAY_MS / 24:
            return
        self._pruned_ms = now_ms
        shown_ms = now_ms - int(self.config.keep_shown_days * _DAY_MS)
        keys_ms = now_ms - int(self.config.keep_keys_days * _DAY_MS)
        await self.sql.run(store.FORGET_SHOWN, {"before_ms": shown_ms})
        await self.sql.run(store.FORGET_REPLIES, {"before_ms": keys_ms})

    def _watch(self, meter: Meter) -> None:
        keeper = self.keeper
        meter.watch("holdfast_recommend_items", "Items in the catalogue", lambda: len(keeper.catalogue))
        meter.watch(
            "holdfast_recommend_events",
            "Events the counts rest on",
            lambda: keeper.knowledge.counts.events,
        )
        meter.watch(
            "holdfast_recommend_model_version",
            "Version of the model that serves; 0 while popularity answers",
            lambda: keeper.knowledge.version,
        )

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)
