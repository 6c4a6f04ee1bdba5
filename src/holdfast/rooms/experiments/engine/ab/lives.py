"""Carries an experiment through its life: made, collecting, started, its shares changed, stopped.

Its row and its flag move in one transaction, each by compare-and-set: so whoever is second hears that he was,
and there is no experiment that runs without its flag, nor one that has stopped and still parts its units.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.ports.storage import Transaction
from holdfast.rooms.experiments.rules.ab.checks import (
    actions_of,
    check_arms,
    check_experiment,
    check_metric,
    chosen,
    flag_of,
    free_slots,
    unseen,
)
from holdfast.rooms.experiments.rules.ab.lives import (
    Entry,
    Life,
    Phase,
    Stored,
    check_drop,
    check_step,
    entered,
)
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Metric
from holdfast.rooms.experiments.rules.flags import Flag, Layer, Rule
from holdfast.rooms.experiments.rules.problems import BadDefinition, Stale, WrongState, unknown
from holdfast.rooms.experiments.store.ab import AbStore
from holdfast.rooms.experiments.store.ab_sums import SumsStore
from holdfast.rooms.experiments.store.rules import RuleStore

logger = logging.getLogger("holdfast.experiments")
DAY_MS = 86_400_000
ALARM_TRIES = 5
"""How often an alarm is written down anew where somebody else changed the experiment meanwhile."""


class Actions(Protocol):
    """Where it is kept which actions were ever tracked."""

    async def is_tracked(self, action: str) -> bool: ...

    async def actions(self) -> list[str]: ...


class Lives:
    """Experiments and their metrics, as their owners move them."""

    def __init__(
        self,
        store: AbStore,
        rules: RuleStore,
        actions: Actions,
        clock: Clock,
        settled: Sequence[Metric] = (),
        changed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._actions = actions
        self._clock = clock
        self._settled = {metric.name: metric for metric in settled}
        self._changed = changed
        for metric in settled:
            check_metric(metric)

    # -- metrics ----------------------------------------------------------------------------------

    async def metrics(self) -> dict[str, Metric]:
        """Every metric by name; what is made over the API goes before the settings."""
        return {**self._settled, **{each.name: each for each in await self._store.metrics()}}

    async def put_metric(self, metric: Metric) -> Metric:
        """Keep it; experiments that run keep the definition they began with."""
        check_metric(metric)
        await self._store.put_metric(metric, self.now_ms())
        return metric

    async def drop_metric(self, name: str) -> None:
        """Forget one that was made over the API."""
        if not await self._store.drop_metric(name):
            raise unknown("metric", name, [each.name for each in await self._store.metrics()])

    # -- the life ---------------------------------------------------------------------------------

    async def one(self, name: str) -> Stored:
        """Raises UnknownName."""
        found = await self._store.one(name)
        if found is None:
            raise unknown("experiment", name, await self._store.names())
        return found

    async def put(self, experiment: Experiment, actor: str, generation: int | None = None) -> Stored:
        """Make it, or change it while it is a draft."""
        check_experiment(experiment)
        now_ms = self.now_ms()
        found = await self._store.one(experiment.name)
        if found is None:
            life = entered(Life(created_ms=now_ms), Entry(now_ms, "made", actor))
            if await self._store.add(Stored(experiment, life=life), now_ms):
                return await self.one(experiment.name)
            found = await self.one(experiment.name)
        if generation is not None and generation != found.generation:
            raise _stale(experiment.name)
        check_step(found, "change")
        life = entered(found.life, Entry(now_ms, "changed", actor))
        return await self._moved(msgspec.structs.replace(found, experiment=experiment, life=life))

    async def start(self, name: str, actor: str) -> Stored:
        """Let it run; one that keeps units' past collects first, then starts by itself or when told again."""
        found = await self.one(name)
        check_step(found, "start")
        metrics = found.life.metrics or await self._checked(found.experiment)
        if found.status == "draft" and found.experiment.cuped_days > 0:
            return await self._collect(found, metrics, actor)
        return await self._start(found, metrics, actor)

    async def begin_collected(self, found: Stored) -> None:
        """Start one that has collected for as long as it was asked to."""
        since_ms, days = found.life.collecting_ms, found.experiment.cuped_days
        if since_ms is not None and self.now_ms() >= since_ms + days * DAY_MS:
            await self._start(found, found.life.metrics, "")

    async def change_shares(self, name: str, shares: Mapping[str, int], actor: str) -> Stored:
        """A new phase: what was seen before stays with the phase it was seen in."""
        found = await self.one(name)
        check_step(found, "phase")
        for arm in shares:
            if arm not in {each.name for each in found.arms}:
                raise unknown("arm", arm, [each.name for each in found.arms])
        arms = tuple(Arm(arm.name, shares.get(arm.name, arm.share), arm.value) for arm in found.arms)
        check_arms(arms)
        now_ms = self.now_ms()
        phase = Phase(found.phase + 1, now_ms, arms)
        told = ", ".join(f"{arm.name} {arm.share / 100:g} %" for arm in arms)
        life = entered(found.life, Entry(now_ms, "phase", actor, told))
        life = msgspec.structs.replace(life, phases=(*life.phases, phase))
        moved = msgspec.structs.replace(found, phase=phase.number, life=life)
        return await self._moved(moved, await self._parts(moved, actor))

    async def stop(self, name: str, actor: str, decision: str = "", reason: str = "") -> Stored:
        """End it, or decide anew what has ended; everybody gets the arm of `decision`, or control."""
        found = await self.one(name)
        check_step(found, "stop")
        arms = [arm.name for arm in found.arms]
        if decision and decision not in arms:
            raise unknown("arm", decision, arms)
        if found.status == "stopped":
            return await self._decide_anew(found, decision or arms[0], actor, reason)
        now_ms = self.now_ms()
        life = entered(found.life, Entry(now_ms, "stopped", actor, reason or decision))
        life = msgspec.structs.replace(life, stopped_ms=now_ms, decision=decision, reason=reason)
        moved = msgspec.structs.replace(found, status="stopped", life=life)
        return await self._moved(
            moved, self._ends(moved, decision or arms[0], actor) if found.phase else None
        )

    async def drop(self, name: str, sums: SumsStore) -> None:
        """Remove one that never ran, with what was imported of its units' past."""
        found = await self.one(name)
        check_drop(found)
        async with self._store.sql.transaction() as tx:
            if not await self._store.drop(tx, found):
                raise _stale(name)
            await sums.forget_units(name, tx)

    async def _decide_anew(self, found: Stored, arm: str, actor: str, reason: str) -> Stored:
        """Its end and its figures stay: only what everybody gets is another."""
        life, name = found.life, found.experiment.name
        if not found.phase or arm == (life.decision or found.arms[0].name):
            raise WrongState(
                f"{name!r} is stopped" + (f", and everybody gets {arm!r}" if found.phase else ""),
                hint="name another arm as the decision" if found.phase else "it never ran: make a new one",
            )
        told = entered(life, Entry(self.now_ms(), "decided", actor, f"{arm}: {reason}"))
        told = msgspec.structs.replace(
            told, decision=arm, reason=reason, overruled=(*life.overruled, life.decision)
        )
        moved = msgspec.structs.replace(found, life=told)
        return await self._moved(moved, self._ends(moved, arm, actor))

    async def planned(self, found: Stored, experiment: Experiment, actor: str, told: str) -> Stored:
        """Write the plan into its definition, while it has not begun."""
        check_step(found, "plan --keep")
        life = entered(found.life, Entry(self.now_ms(), "planned", actor, told))
        return await self._moved(msgspec.structs.replace(found, experiment=experiment, life=life))

    async def alarmed(self, found: Stored, alarm: str, detail: str) -> Stored | None:
        """Write an alarm down, once; None where it stands already."""
        for _ in range(ALARM_TRIES):
            if alarm in found.life.alarms:
                return None
            life = entered(found.life, Entry(self.now_ms(), "alarm", "", f"{alarm}: {detail}"))
            life = msgspec.structs.replace(life, alarms=(*life.alarms, alarm))
            try:
                return await self._moved(msgspec.structs.replace(found, life=life))
            except Stale:  # the look that found it is not taken again, so neither may its alarm be lost
                found = await self.one(found.experiment.name)
        return None

    async def forgotten(self, found: Stored) -> None:
        """Note that its units' rows are gone."""
        life = msgspec.structs.replace(found.life, forgotten=True)
        await self._moved(msgspec.structs.replace(found, life=life))

    def now_ms(self) -> int:
        """The wall clock."""
        return int(self._clock.wall() * 1000)

    # -- steps ------------------------------------------------------------------------------------

    async def _checked(self, experiment: Experiment) -> tuple[Metric, ...]:
        check_experiment(experiment)
        metrics = chosen(experiment, await self.metrics())
        for action in actions_of(metrics) if not experiment.allow_unseen else ():
            if not await self._actions.is_tracked(action):
                raise unseen(action, await self._actions.actions())
        offered = self._rules.offered.get(experiment.name)
        for arm in experiment.arms if offered is not None else ():
            if offered is not None and arm.name not in offered:
                raise BadDefinition(
                    f"the code does not offer {arm.name!r} as {experiment.name!r}",
                    hint=f"it offers: {', '.join(offered)}",
                )
        return metrics

    async def _collect(self, found: Stored, metrics: tuple[Metric, ...], actor: str) -> Stored:
        now_ms = self.now_ms()
        days = f"{found.experiment.cuped_days:g}"
        life = entered(found.life, Entry(now_ms, "collecting", actor, days))
        life = msgspec.structs.replace(life, collecting_ms=now_ms, metrics=metrics)
        return await self._moved(msgspec.structs.replace(found, status="collecting", life=life))

    async def _start(self, found: Stored, metrics: tuple[Metric, ...], actor: str) -> Stored:
        now_ms = self.now_ms()
        first = Phase(1, now_ms, found.experiment.arms)
        life = entered(found.life, Entry(now_ms, "started", actor))
        life = msgspec.structs.replace(life, started_ms=now_ms, metrics=metrics, phases=(first,))
        moved = msgspec.structs.replace(found, status="running", phase=1, life=life)
        return await self._moved(moved, await self._parts(moved, actor))

    async def _parts(self, moved: Stored, actor: str) -> Callable[[Transaction], Awaitable[None]]:
        """What stores the flag by which units are parted. Slots another takes meanwhile are refused there."""
        ruleset, experiment, now_ms = await self._rules.load(), moved.experiment, self.now_ms()
        before = ruleset.flags.get(experiment.name)
        if before is not None and before.kind != "experiment":
            raise BadDefinition(
                f"there is a {before.kind} {experiment.name!r} already", hint="give one of them another name"
            )
        flag = flag_of(experiment, moved.arms, moved.phase, before)
        if experiment.layer and flag.slots is None:
            slots = free_slots(ruleset, experiment.layer, experiment.layer_share, flag.name)
            flag = msgspec.structs.replace(flag, slots=slots)

        async def put(tx: Transaction) -> None:
            if experiment.layer and experiment.layer not in ruleset.layers:
                await self._rules.put_layer(tx, Layer(experiment.layer), actor, now_ms)
            await self._rules.put_flag(tx, flag, actor, now_ms)

        return put

    def _ends(self, moved: Stored, arm: str, actor: str) -> Callable[[Transaction], Awaitable[None]]:
        """Give everybody this arm, and its layer's slots back; switched off, the flag still gives control."""
        control = moved.arms[0].name

        def ended(flag: Flag) -> Flag:
            return msgspec.structs.replace(
                flag,
                off=control,
                rules=(Rule(variant=arm),),
                phase=flag.phase + 1,
                layer="",
                slots=None,
            )

        async def put(tx: Transaction) -> None:
            await self._rules.change_flag(tx, moved.experiment.name, ended, actor, self.now_ms())

        return put

    async def _moved(
        self, moved: Stored, along: Callable[[Transaction], Awaitable[None]] | None = None
    ) -> Stored:
        async with self._store.sql.transaction() as tx:
            if not await self._store.change(tx, moved, self.now_ms()):
                raise _stale(moved.experiment.name)
            if along is not None:
                await along(tx)
        if along is not None and self._changed is not None:
            await self._changed()
        return msgspec.structs.replace(moved, generation=moved.generation + 1)


def _stale(name: str) -> Stale:
    return Stale(f"{name!r} was changed in between", hint="read it again, then change it")
