"""The object that users hold: flags to read, releases and experiments to run. Puts their parts in order.

variant(name) -> assigned at the door, for the same unit?  yes: that
              -> else: who takes part? -> Asking -> Rulebook -> rules/evaluating
              -> counted? -> Exposing: the record, and an event once a day
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import Ctx, current
from holdfast.kernel.ids import IdSource
from holdfast.ports.flags import CONTROL
from holdfast.ports.services import EventLog, Meter, NoEventLog, NoMeter
from holdfast.ports.shared import Shared
from holdfast.ports.storage import Sql
from holdfast.rooms.experiments.engine.ab.experiments import Experiments
from holdfast.rooms.experiments.engine.canary.calls import Calls
from holdfast.rooms.experiments.engine.canary.releases import Releases
from holdfast.rooms.experiments.engine.flags.asking import Asking
from holdfast.rooms.experiments.engine.flags.door import Assigned, Door, depends
from holdfast.rooms.experiments.engine.flags.exposing import Exposing
from holdfast.rooms.experiments.engine.flags.reading import Reading
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.engine.flags.standing import Standings
from holdfast.rooms.experiments.engine.intake import Intake
from holdfast.rooms.experiments.engine.tracking import Tracking
from holdfast.rooms.experiments.rules.assigning import described, somebody
from holdfast.rooms.experiments.rules.flags import Evaluation
from holdfast.rooms.experiments.rules.outcomes import Use
from holdfast.rooms.experiments.rules.settings import Config
from holdfast.rooms.experiments.store.rules import RuleStore

if TYPE_CHECKING:
    from holdfast.rooms.experiments.openfeature.hook import ForeignHook
    from holdfast.rooms.experiments.openfeature.provider import HoldfastProvider


class Changes:
    """Everything that may be changed safely, in this process; implements the port `Flags`."""

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        clock: Clock,
        shared: Shared | None = None,
        meter: Meter | None = None,
        log: EventLog | None = None,
        ids: IdSource | None = None,
    ) -> None:
        meter, ids = meter or NoMeter(), ids or IdSource()
        self.intake = Intake(clock.wall)
        self.rules = RuleStore(sql, draw=ids.span_id)
        self.rulebook = Rulebook(self.rules, shared)
        self.asking = Asking(self.rulebook, clock, meter)
        self.exposing = Exposing(log or NoEventLog(), clock, meter)
        self.tracking = Tracking(log or NoEventLog(), clock)
        self.reading = Reading(self.look, self.asking, self.exposing, self.tracking, clock.wall)
        self.offered: dict[str, tuple[str, ...]] = self.rules.offered
        """What code of this process can serve: flag -> variants."""
        self.meanings: dict[str, str] = {}
        self._standings = Standings(config)
        self.door = Door(self.asking, self._standings, config.header)
        self.internal = self._standings.internal
        """Users who take no part, by the settings."""
        self.releases = Releases(
            sql=sql,
            rules=self.rules,
            rulebook=self.rulebook,
            assigned=self._assigned,
            clock=clock,
            ids=ids,
            meter=meter,
        )
        self.experiments = Experiments(
            config,
            sql=sql,
            rules=self.rules,
            actions=self.releases.store,
            clock=clock,
            writer=ids.sortable(clock.wall()),
            changed=self.rulebook.changed,
        )
        self._calls = Calls(self.use, self.intake.called, clock)
        self._watch(meter)

    def variant(
        self,
        name: str,
        unit: str = "",
        *,
        attributes: Mapping[str, Any] | None = None,
        otherwise: str = CONTROL,
    ) -> str:
        """As the port says."""
        found = self.use(name, unit, attributes)
        return otherwise if found is None else found.variant

    def value(
        self, name: str, otherwise: Any, unit: str = "", *, attributes: Mapping[str, Any] | None = None
    ) -> Any:
        """As the port says."""
        ctx = current()
        found = self.look(name, unit, attributes, ctx)
        if found is None:
            return otherwise
        if not _fits(found.value, otherwise):
            self.asking.erred(name, "TYPE_MISMATCH")
            return otherwise
        if found.counted:
            self.exposing.used(found, ctx)
        return found.value

    def use(
        self, name: str, unit: object = "", attributes: Mapping[str, Any] | None = None
    ) -> Evaluation | None:
        """The evaluation, with its exposure written where it counts; None where there is no such flag."""
        ctx = current()
        found = self.look(name, unit, attributes, ctx)
        if found is not None and found.counted:
            self.exposing.used(found, ctx)
        return found

    def look(
        self,
        name: str,
        unit: object = "",
        attributes: Mapping[str, Any] | None = None,
        ctx: Ctx | None = None,
    ) -> Evaluation | None:
        """The evaluation without an exposure; what the door assigned, where it is about the same unit.

        Never raises: a mistake in what was passed is an error of that evaluation, and of no request.
        """
        try:
            return self._looked(name, unit, attributes, ctx)
        except Exception:  # noqa: BLE001 - logged and counted there
            found = self.asking.broken(name)
            return found if found.flag in self.rulebook.ruleset.flags else None

    def _looked(
        self, name: str, unit: object, attributes: Mapping[str, Any] | None, ctx: Ctx | None
    ) -> Evaluation | None:
        if ctx is None:
            return self._evaluated(name, unit, attributes, ctx)
        found = None
        if type(assigned := ctx.variants) is Assigned:
            found = assigned.found.get(name)
            if found is not None and unit is not None and unit != "" and not _is(unit, found.unit):
                found = None
        if found is None:
            found = self._evaluated(name, unit, attributes, ctx)
        if found is not None:
            depends(ctx, found)
        return found

    def _evaluated(
        self, name: str, unit: object, attributes: Mapping[str, Any] | None, ctx: Ctx | None
    ) -> Evaluation | None:
        flag = self.rulebook.ruleset.flags.get(name)
        if flag is None:
            if name not in self.offered:
                self.asking.erred(name, "FLAG_NOT_FOUND")
            return None
        # `is_named`, without the price of a call where every use passes.
        unnamed = unit is None or unit == ""
        given: Mapping[str, Any] | None
        if ctx is None:
            given = attributes if unnamed else described(flag.unit, unit, attributes)
        else:
            scope = getattr(ctx, "scope", None)
            if scope is None:
                known = {"user": ctx.event.user_id, "tenant": ctx.tenant}
                unit = known.get(flag.unit, "") if unnamed else unit  # a job has no device
                given = described(flag.unit, unit, attributes)
            else:
                standing = self._standings.of(scope, ctx)
                unit = standing.unit(flag.unit) if unnamed else unit
                if not standing.takes_part:
                    return self.asking.off(name, somebody(unit))
                if not unnamed:
                    attributes = described(flag.unit, unit, attributes)
                given = {**standing.attributes, **attributes} if attributes else standing.attributes
        if self.internal and flag.unit == "user" and somebody(unit) in self.internal:
            return self.asking.off(name, somebody(unit))
        return self.asking.evaluate(name, unit, given)

    def run(
        self,
        name: str,
        /,
        *,
        control: Callable[..., Any],
        treatment: Callable[..., Any],
        unit: str = "",
        fallback: bool = False,
        **arguments: Any,
    ) -> Any:
        """Call `treatment(**arguments)` or `control(**arguments)`, as release `name` has it for the unit.

        Gives what that gives: await it where it is a coroutine. Where the release's `measure` is `call`, how
        long it took and whether it raised is what the release is judged by; a Problem or FastAPI's
        HTTPException below 500 and a caller that left are no failures. With `fallback`, control answers
        where the treatment raised.
        """
        return self._calls.run(
            name, control=control, treatment=treatment, unit=unit, fallback=fallback, **arguments
        )

    def offer(self, name: str, variants: Sequence[str], meaning: str) -> None:
        """As the port says."""
        self.offered[name] = tuple(variants)
        self.meanings[name] = meaning

    def provider(self) -> "HoldfastProvider":
        """For OpenFeature's clients: `api.set_provider(hold.experiments.provider())`."""
        return self.reading.provider()

    def exposure_hook(self) -> "ForeignHook":
        """For clients of another provider, whose choice our statistics shall compare."""
        return self.reading.exposure_hook()

    async def flush(self, *, closing: bool = False) -> None:
        """Hand what was seen to whom it concerns; `closing` leaves nothing to a next time."""
        outcomes = self.intake.drain()
        try:
            await self.releases.take(outcomes)
        finally:  # nobody hands them on again
            await self.experiments.take(outcomes, closing=closing)

    async def turn(self) -> None:
        """Judge what runs."""
        await self.releases.turn()
        await self.experiments.turn()

    def _watch(self, meter: Meter) -> None:
        meter.watch(
            "holdfast_experiments_waiting",
            "Exposures and deeds of experiments that the database does not have yet.",
            lambda: float(self.experiments.taker.waiting),
        )
        meter.watch(
            "holdfast_experiments_lost",
            "Exposures and deeds for which there was no room, while the database was away or in one second.",
            lambda: float(self.experiments.taker.lost + self.intake.lost),
        )
        meter.watch(
            "holdfast_experiments_rules_version",
            "The version of the rules that this process goes by.",
            lambda: float(self.rulebook.ruleset.version),
        )
        meter.watch(
            "holdfast_experiments_rules_stale",
            "1 while the rules cannot be read and the last ones hold.",
            lambda: float(self.rulebook.stale),
        )

    def _assigned(self, name: str, user: str) -> Use | None:
        """What a user has of a flag, for events, which do not say what was used."""
        flag = self.rulebook.ruleset.flags.get(name)
        if flag is None or flag.unit != "user" or not user:
            return None
        found = self.look(name, user)
        return Use(found.variant, found.unit, found.phase) if found is not None and found.counted else None


def _is(unit: object, known: str) -> bool:
    return unit == known or somebody(unit) == known


def _fits(value: Any, otherwise: Any) -> bool:
    """Whether the caller can use the value: a bool is no number, a whole number does for any."""
    if otherwise is None:
        return True
    if isinstance(otherwise, bool) or isinstance(value, bool):
        return isinstance(otherwise, bool) and isinstance(value, bool)
    if isinstance(otherwise, float):
        return isinstance(value, int | float)
    if isinstance(otherwise, list | tuple):
        return isinstance(value, list | tuple)
    return (
        isinstance(value, Mapping) if isinstance(otherwise, Mapping) else isinstance(value, type(otherwise))
    )
