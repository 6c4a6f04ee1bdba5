"""What rooms offer each other and the edge, with a null object for each room that is not there."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

from holdfast.kernel.context import Ctx
from holdfast.kernel.errors import Problem
from holdfast.kernel.event import Event, Record

Scope = MutableMapping[str, Any]


class EventLog(Protocol):
    """Where records go. Implemented by the telemetry room."""

    def append(self, record: Record) -> None:
        """Take the record now; never blocks, never raises. From any thread."""
        ...


class Series(Protocol):
    """One labelled time series, bound once and kept by the caller."""

    def add(self, amount: float = 1) -> None:
        """Counters and gauges: change by `amount`."""
        ...

    def set(self, value: float) -> None:
        """Gauges: the value now."""
        ...

    def observe(self, value: float, trace_id: str = "") -> None:
        """Histograms: one measurement, in the unit that the metric's name ends with."""
        ...


class Instrument(Protocol):
    """A metric by name; `labels` finds the series, bounded in number."""

    def labels(self, *values: str) -> Series: ...


class Meter(Protocol):
    """Where measurements go. Implemented by the telemetry room."""

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Instrument: ...

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Instrument: ...

    def histogram(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Instrument: ...

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge that is read when somebody asks, e.g. a queue's length."""
        ...


class Admission(Protocol):
    """Whether a request may come in. Implemented by the limits room; the edge asks it once a request."""

    def admit(self, scope: Scope, ctx: Ctx) -> Problem | Awaitable[Problem | None] | None:
        """None lets it pass; a Problem is the answer. What must wait (a queue, a store) is awaited.

        Who calls stands on `ctx.event` and in `scope["holdfast.identity"]`. What it puts in
        `ctx.admitted` makes the edge call `release`; in `ctx.headers`, goes out with the answer.
        """
        ...

    def release(self, ctx: Ctx) -> None:
        """A request that was let in has ended, however it ended."""
        ...


class Assignment(Protocol):
    """Which variant a request gets. Implemented by the experiments room; asked after admission."""

    def assign(self, scope: Scope, event: Event) -> None:
        """Write the variant on the event."""
        ...


class NoEventLog:
    """An EventLog that keeps nothing."""

    def append(self, record: Record) -> None:
        pass


class NoSeries:
    """A Series that forgets."""

    def add(self, amount: float = 1) -> None:
        pass

    def set(self, value: float) -> None:
        pass

    def observe(self, value: float, trace_id: str = "") -> None:
        pass


class NoInstrument:
    """An Instrument whose every series is the same NoSeries."""

    _series = NoSeries()

    def labels(self, *values: str) -> Series:
        return self._series


class NoMeter:
    """A Meter that measures nothing and never reads what it is told to watch."""

    _instrument = NoInstrument()

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Instrument:
        return self._instrument

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Instrument:
        return self._instrument

    def histogram(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Instrument:
        return self._instrument

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        pass
