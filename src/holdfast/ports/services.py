"""What rooms offer each other and the edge, with a null object for each room that is not there."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from typing import Any, Protocol

from holdfast.kernel.context import Ctx
from holdfast.kernel.errors import Problem
from holdfast.kernel.event import Record

Scope = MutableMapping[str, Any]
Tap = Callable[[Record], None]


class EventLog(Protocol):
    """Where records go. Implemented by the telemetry room."""

    def append(self, record: Record) -> None:
        """Take the record now; never blocks, never raises. From any thread."""
        ...

    def tap(self, saw: Tap) -> Callable[[], None]:
        """Show `saw` every record from now on, in the thread that appends it; call to stop.

        A request on which nobody wrote facts may be left out.

        It must be cheap, must not raise, and must not change the record.
        """
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
    """Which variants a request gets. Implemented by the experiments room; asked after admission."""

    assigns: bool
    """Whether anything is bound to a path now; else nobody need be asked."""

    def assign(self, scope: Scope, ctx: Ctx) -> None:
        """Write them on `ctx.variants`, `ctx.event` and `ctx.headers`; never raises."""
        ...

    def binds(self) -> bool:
        """Whether any request may be given a variant now, at the door or on its way."""
        ...


class NoEventLog:
    """An EventLog that keeps nothing; who taps it sees the records all the same."""

    def __init__(self) -> None:
        self._taps: tuple[Tap, ...] = ()

    def append(self, record: Record) -> None:
        for saw in self._taps:
            saw(record)

    def tap(self, saw: Tap) -> Callable[[], None]:
        self._taps = (*self._taps, saw)
        return partial(self._untap, saw)

    def _untap(self, saw: Tap) -> None:
        self._taps = tuple(each for each in self._taps if each != saw)


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
