"""The bound series: what the hot path adds to. Slots and dictionaries, no lock, no allocation.

One thread, the event loop's, is the expected writer. Calls from other threads lose nothing on CPython
3.11-3.13 with its GIL: the statements that change a series make no call, and the interpreter switches
threads only at calls and at jumps back. That is how CPython is, not what Python promises.
"""

from collections.abc import Callable
from math import ceil, frexp, inf, isfinite
from typing import NoReturn, Protocol

from holdfast.rooms.telemetry.rules.histogram import HIGHEST, LARGEST, LOWEST, SMALLEST


class Reading(Protocol):
    """What a series holds, live or read from a worker's slot. Nobody writes through it."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def created(self) -> float: ...
    @property
    def seen(self) -> float: ...
    @property
    def value(self) -> float: ...
    @property
    def count(self) -> int: ...
    @property
    def counts(self) -> dict[int, int]: ...
    @property
    def exemplars(self) -> dict[int, tuple[float, str, float]]: ...


class BoundSeries:
    """What all three share: label values, when they began, and refusal of the other kinds' verbs."""

    __slots__ = ("created", "labels", "seen", "value")

    kind = ""
    count = 0
    counts: dict[int, int] = {}  # noqa: RUF012 - shared and never written: only histograms have their own
    exemplars: dict[int, tuple[float, str, float]] = {}  # noqa: RUF012 - as above

    def __init__(self, labels: tuple[str, ...], created: float) -> None:
        self.labels = labels
        self.created = created
        """Epoch seconds."""
        self.seen = created
        """Epoch seconds at which it was last found changed; worker slots keep it."""
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        self._refuse("add")

    def set(self, value: float) -> None:
        self._refuse("set")

    def observe(self, value: float, trace_id: str = "") -> None:
        self._refuse("observe")

    def _refuse(self, verb: str) -> NoReturn:
        raise TypeError(f"a {self.kind} has no {verb}()")


class CounterSeries(BoundSeries):
    """A number that only grows."""

    __slots__ = ()
    kind = "counter"

    def add(self, amount: float = 1) -> None:
        """Raises ValueError for a negative or non-finite amount."""
        if not 0 <= amount < inf:
            raise ValueError(f"a counter grows by finite amounts of 0 or more, not by {amount}")
        self.value += amount


class GaugeSeries(BoundSeries):
    """A number that is what it is now."""

    __slots__ = ()
    kind = "gauge"

    def add(self, amount: float = 1) -> None:
        self.value += amount

    def set(self, value: float) -> None:
        self.value = value


class HistogramSeries(BoundSeries):
    """A distribution: counts by log-linear bucket, their sum (`value`) and number (`count`)."""

    __slots__ = ("_refused", "_wall", "count", "counts", "exemplars")
    kind = "histogram"

    def __init__(
        self,
        labels: tuple[str, ...],
        created: float,
        wall: Callable[[], float],
        refused: Callable[[], None],
    ) -> None:
        super().__init__(labels, created)
        self._wall = wall
        self._refused = refused
        self.count = 0
        self.counts: dict[int, int] = {}
        self.exemplars: dict[int, tuple[float, str, float]] = {}
        """The last value of each power of two that came with a trace: value, trace id, epoch seconds."""

    def observe(self, value: float, trace_id: str = "") -> None:
        """Count one value: negative ones as zero. NaN and infinities are refused and counted as such."""
        # The arithmetic of rules.histogram.index_of, inline: the call would cost a third of the whole.
        if SMALLEST < value <= LARGEST:
            mantissa, exponent = frexp(value)
            index = (exponent << 4) + ceil(mantissa * 32.0)
        elif not isfinite(value):
            return self._refused()
        elif value > LARGEST:
            index = HIGHEST
        else:
            index = LOWEST
            value = max(0.0, value)
        try:
            self.counts[index] += 1
        except KeyError:
            self.counts[index] = 1
        self.value += value
        self.count += 1
        if trace_id:
            self.exemplars[index >> 4] = (value, trace_id, self._wall())
        return None
