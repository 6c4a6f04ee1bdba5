"""Writes down that a unit uses a variant: on the request's record, and once a unit and day as an event."""

from holdfast.kernel.clock import Clock, Stamps
from holdfast.kernel.context import Ctx
from holdfast.kernel.event import ProductEvent
from holdfast.ports.services import EventLog, Meter
from holdfast.rooms.experiments.rules.flags import Evaluation
from holdfast.rooms.experiments.rules.outcomes import EXPOSURE, FACT

MOST_REMEMBERED = 200_000
"""Exposures of today that this process remembers; a forgotten one is written again, which harms nobody."""
_DAY_S = 86_400


class Exposing:
    """Takes evaluations that are used. Counted ones leave a trace, others none."""

    def __init__(self, log: EventLog, clock: Clock, meter: Meter) -> None:
        self._log = log
        self._wall = clock.wall
        self._iso = Stamps().iso
        self._day = 0
        # Two halves: when the younger is full, the elder is forgotten.
        self._younger: set[str] = set()
        self._elder: set[str] = set()
        self._written = meter.counter(
            "holdfast_experiments_exposures_total",
            "Units that used a variant, once a day and process.",
            ("flag", "variant"),
        )

    def used(self, found: Evaluation, ctx: Ctx | None) -> None:
        """Note it. A request's record holds one use of each flag: the first."""
        # `outcomes.line_of`, without a Use being made for it.
        line = f"{found.flag}={found.variant} {found.phase} {found.unit}"
        if ctx is not None:
            event = ctx.event
            facts = event.facts
            if facts is None:
                event.facts = {FACT: line}
            elif not (there := facts.get(FACT)):
                facts[FACT] = line
            elif there != line and f"\n{found.flag}=" not in f"\n{there}":
                facts[FACT] = f"{there}\n{line}"
        now = self._wall()
        day = int(now // _DAY_S)
        if day != self._day:
            self._day = day
            self._younger, self._elder = set(), set()
        if line not in self._younger:
            self._first(line, found, ctx, now)

    def _first(self, line: str, found: Evaluation, ctx: Ctx | None, now: float) -> None:
        known = line in self._elder
        if len(self._younger) >= MOST_REMEMBERED // 2:
            self._younger, self._elder = set(), self._younger
        self._younger.add(line)
        if known:
            return
        facts: dict[str, object] = {FACT: line}
        written = ProductEvent(timestamp=self._iso(now), user_id=found.unit, action=EXPOSURE, facts=facts)
        if ctx is not None:
            event = ctx.event
            written.request_id, written.trace_id, written.span_id = (
                event.request_id,
                event.trace_id,
                event.span_id,
            )
            if event.user_id:
                written.user_id = event.user_id
            if event.tier:
                facts["tier"] = event.tier
        self._log.append(written)
        self._written.labels(found.flag, found.variant).add()
