"""The guards' plain numbers as metrics, published by difference every second and at the end."""

from collections.abc import Callable

from holdfast.kernel.clock import Clock, Stamps
from holdfast.kernel.guard import Guard
from holdfast.kernel.guard.breaker import STATES
from holdfast.ports.services import Meter, Series

_Read = Callable[[Guard], int]

_OUTCOMES: dict[str, _Read] = {
    "ok": lambda guard: guard.tally.ok,
    "failed": lambda guard: guard.tally.failed - guard.tally.timed_out,
    "timeout": lambda guard: guard.tally.timed_out,
    "answered_no": lambda guard: guard.tally.rejected,
    "dropped": lambda guard: guard.tally.dropped,
}
_REFUSALS: dict[str, _Read] = {
    "circuit_open": lambda guard: guard.tally.circuit_open,
    "bulkhead_full": lambda guard: guard.tally.full,
    "budget": lambda guard: guard.budget.refused,
}


class Figures:
    """One line of series a dependency. The guards count by themselves; here is only the publishing."""

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self._now = clock.monotonic
        self.stamp = Stamps().iso
        self._calls = meter.counter(
            "holdfast_resilience_calls_total",
            "Attempts by what became of them: ok, failed, timeout, answered_no, dropped.",
            ("dependency", "outcome"),
        )
        self._refused = meter.counter(
            "holdfast_resilience_refused_total",
            "Calls and extras that were not made: circuit_open, bulkhead_full, budget.",
            ("dependency", "reason"),
        )
        self._retries = meter.counter("holdfast_resilience_retries_total", "Retries made.", ("dependency",))
        self._hedges = meter.counter(
            "holdfast_resilience_hedges_total", "Second calls sent beside a slow first one.", ("dependency",)
        )
        self._degraded = meter.counter(
            "holdfast_resilience_degraded_total", "Calls that the fallback answered.", ("dependency",)
        )
        self._probes = meter.counter(
            "holdfast_resilience_probes_total",
            "Probes in the background: ok, failed, busy (another holds the lease).",
            ("dependency", "outcome"),
        )
        self._changes = meter.counter(
            "holdfast_resilience_changes_total", "Breakers that entered a state.", ("dependency", "state")
        )
        self._seconds = meter.histogram(
            "holdfast_resilience_call_seconds", "How long attempts took.", ("dependency",)
        )
        self._state = meter.gauge(
            "holdfast_resilience_breaker_state",
            "0 closed, 1 open, 2 half-open, 3 cooling down.",
            ("dependency",),
        )
        self._budget = meter.gauge(
            "holdfast_resilience_budget_extras", "Retries and hedges allowed now.", ("dependency",)
        )
        self._busy = meter.gauge("holdfast_resilience_busy_calls", "Calls under way.", ("dependency",))
        self._waiting = meter.gauge(
            "holdfast_resilience_waiting_calls", "Calls that wait for their turn.", ("dependency",)
        )
        self._lines: list[_Line] = []
        self._guards: list[Guard] = []

    def add(self, guard: Guard) -> None:
        """Publish this guard's numbers from now on."""
        name = guard.name
        self._guards.append(guard)
        guard.observe = self._seconds.labels(name).observe
        reads: list[tuple[Series, _Read]] = [
            (self._calls.labels(name, outcome), read) for outcome, read in _OUTCOMES.items()
        ]
        reads += [(self._refused.labels(name, reason), read) for reason, read in _REFUSALS.items()]
        reads += [
            (self._retries.labels(name), lambda guard: guard.tally.retries),
            (self._hedges.labels(name), lambda guard: guard.tally.hedges),
            (self._degraded.labels(name), lambda guard: guard.tally.degraded),
        ]
        self._lines += [_Line(guard, series, read) for series, read in reads]
        self._state.labels(name).set(guard.breaker.state)

    def changed(self, name: str, state: int) -> None:
        """The breaker of `name` has entered `state`."""
        self._state.labels(name).set(state)
        self._changes.labels(name, STATES[state]).add()

    def probed(self, name: str, outcome: str) -> None:
        self._probes.labels(name, outcome).add()

    async def publish(self) -> None:
        """Add what has happened since the last time."""
        for line in self._lines:
            line.publish()
        now = self._now()
        for guard in self._guards:
            self._budget.labels(guard.name).set(guard.budget.left(now))
            self._busy.labels(guard.name).set(guard.bulkhead.busy)
            self._waiting.labels(guard.name).set(guard.bulkhead.waiting)


class _Line:
    """One counter's series and how far it has been told."""

    __slots__ = ("_guard", "_read", "_series", "_told")

    def __init__(self, guard: Guard, series: Series, read: _Read) -> None:
        self._guard = guard
        self._series = series
        self._read = read
        self._told = 0

    def publish(self) -> None:
        count = self._read(self._guard)
        if count != self._told:
            self._series.add(count - self._told)
            self._told = count
