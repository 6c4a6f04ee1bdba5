"""The metrics of one process: families by name, series by label values, watches read when asked."""

from collections.abc import Callable, Iterable, Sequence
from math import nan
from typing import Generic, Literal, TypeVar, cast

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.telemetry.engine.series import (
    BoundSeries,
    CounterSeries,
    GaugeSeries,
    HistogramSeries,
    Reading,
)
from holdfast.rooms.telemetry.rules.cardinality import (
    DEFAULT_SERIES_LIMIT,
    OVERFLOW,
    check_labels,
    check_name,
    clean_values,
    unit_of,
)
from holdfast.rooms.telemetry.rules.histogram import bounds_for, positions

S = TypeVar("S", bound=BoundSeries, covariant=True)

OverWorkers = Literal["each", "sum", "max"]
"""How a gauge of several workers is shown: each under a `worker` label, their sum, or the largest."""


class Description(msgspec.Struct, frozen=True):
    """One metric as it is promised."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


class Family(Generic[S]):
    """One metric: its shape and its series, bounded in number."""

    __slots__ = (
        "_limit",
        "_make",
        "_overflowed",
        "bounds",
        "inherited",
        "kind",
        "label_names",
        "meaning",
        "name",
        "over_workers",
        "series",
        "unit",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        meaning: str,
        label_names: tuple[str, ...],
        make: Callable[[tuple[str, ...]], S],
        *,
        limit: int,
        overflowed: Callable[[str], None],
        over_workers: OverWorkers = "each",
    ) -> None:
        self.name = name
        self.kind = kind
        self.meaning = meaning
        self.label_names = label_names
        self.unit = unit_of(name)
        self.bounds = bounds_for(self.unit) if kind == "histogram" else ()
        self.over_workers = over_workers
        self.inherited = False
        """Taken over from the slot's former worker, and not yet registered by this one."""
        self.series: dict[tuple[str, ...], S] = {}
        self._make = make
        self._limit = limit
        self._overflowed = overflowed
        if self.bounds:
            positions(self.bounds)  # the table is made here, at start, and not in the first scrape

    def labels(self, *values: str) -> S:
        """The series of these label values, made at first sight; bind it once where it is used often.

        Beyond the limit the answer is the one series whose labels all say "overflow", and every such
        call counts in `holdfast_telemetry_series_overflow_total{metric}`.
        """
        found = self.series.get(values)
        return found if found is not None else self._bind(values)

    def _bind(self, values: Sequence[object]) -> S:
        clean = clean_values(self.name, values, len(self.label_names))
        found = self.series.get(clean)
        if found is not None:
            return found
        if clean and len(self.series) >= self._limit:
            self._overflowed(self.name)
            clean = (OVERFLOW,) * len(clean)
        return self.series.setdefault(clean, self._make(clean))


class Registry:
    """Where measurements go: a `Meter` (ports/services.py) on plain numbers and dictionaries.

    A name registered twice in the same shape is the same instrument; in another shape it is refused
    with Misconfigured. Gauges of several workers are shown under a `worker` label unless declared
    otherwise.
    """

    def __init__(self, clock: Clock, *, series_limit: int = DEFAULT_SERIES_LIMIT) -> None:
        self._wall = clock.wall
        self._limit = series_limit
        self._families: dict[str, Family[BoundSeries]] = {}
        self._watches: dict[str, tuple[GaugeSeries, Callable[[], float]]] = {}
        self._overflows = self.counter(
            "holdfast_telemetry_series_overflow_total",
            "Label sets folded into a metric's overflow series because it has reached its limit of series.",
            ("metric",),
        )
        self._refusals = self.counter(
            "holdfast_telemetry_values_refused_total",
            "Values that were no numbers: NaN or infinite, or a watch that raised.",
            ("metric",),
        )

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Family[CounterSeries]:
        """Something that only grows; its name ends with `_total`."""
        return self._register(
            "counter", name, meaning, labels, lambda values: CounterSeries(values, self._wall()), "sum"
        )

    def gauge(
        self, name: str, meaning: str, labels: Sequence[str] = (), *, over_workers: OverWorkers = "each"
    ) -> Family[GaugeSeries]:
        """Something that goes up and down."""
        return self._register(
            "gauge", name, meaning, labels, lambda values: GaugeSeries(values, self._wall()), over_workers
        )

    def histogram(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Family[HistogramSeries]:
        """A distribution, in the unit that the name ends with: seconds, bytes, ratio, tokens, or a number."""

        def refused() -> None:
            self._refusals.labels(name).add()

        def make(values: tuple[str, ...]) -> HistogramSeries:
            return HistogramSeries(values, self._wall(), self._wall, refused)

        return self._register("histogram", name, meaning, labels, make, "sum")

    def watch(
        self, name: str, meaning: str, read: Callable[[], float], *, over_workers: OverWorkers = "each"
    ) -> None:
        """A gauge that `read` fills when somebody asks; it must be quick. A later watch takes over."""
        self._watches[name] = (self.gauge(name, meaning, over_workers=over_workers).labels(), read)

    def families(self) -> list[Family[BoundSeries]]:
        """All of them, in the order of their registration."""
        return list(self._families.values())

    def family(self, name: str) -> Family[BoundSeries] | None:
        return self._families.get(name)

    def read_watches(self) -> None:
        """Fill the watched gauges; one whose reader raises is NaN until it works again."""
        for name, (series, read) in list(self._watches.items()):
            try:
                series.set(float(read()))
            except Exception:  # noqa: BLE001 - a reader is anyone's code, and must not take the scrape down
                series.set(nan)
                self._refusals.labels(name).add()

    def describe(self) -> list[Description]:
        """Every metric that this process registered, by name: what the documentation must list."""
        return [
            Description(family.name, family.kind, family.unit, family.label_names, family.meaning)
            for family in sorted(self._families.values(), key=lambda family: family.name)
            if not family.inherited
        ]

    def inherit(
        self, kind: str, name: str, meaning: str, labels: tuple[str, ...], former: Iterable[Reading]
    ) -> None:
        """Begin counters and histograms where a former process left them; gauges and other shapes are left.

        A metric that nobody has registered yet is kept visible until somebody does, so that sums over
        workers never fall.
        """
        if kind not in ("counter", "histogram"):
            return
        known = self._families.get(name)
        if known is not None and (known.kind, known.label_names) != (kind, labels):
            return
        unclaimed = known is None or known.inherited
        register = self.counter if kind == "counter" else self.histogram
        try:
            family: Family[BoundSeries] = register(name, meaning, labels)
        except Misconfigured:  # a name that an earlier release allowed
            return
        family.inherited = unclaimed
        for old in former:
            _add_former(family.labels(*old.labels), old)

    def _register(
        self,
        kind: str,
        name: str,
        meaning: str,
        labels: Sequence[str],
        make: Callable[[tuple[str, ...]], S],
        over_workers: OverWorkers,
    ) -> Family[S]:
        known = self._families.get(name)
        if known is not None:
            same = (known.kind, known.label_names, known.over_workers) == (kind, tuple(labels), over_workers)
            if same or not known.inherited:
                return cast(Family[S], self._again(known, same, meaning))
        check_name(name, kind)
        family = Family(
            name,
            kind,
            meaning,
            check_labels(name, labels),
            make,
            limit=self._limit,
            overflowed=self._overflow,
            over_workers=over_workers,
        )
        if not family.label_names:
            family.labels()  # without labels there is one series, and it is there from the start, at zero
        self._families[name] = family
        return family

    def _again(self, known: Family[BoundSeries], same: bool, meaning: str) -> Family[BoundSeries]:
        if not same:
            raise Misconfigured(
                f"{known.name} is registered already, as a {known.kind} with labels {known.label_names}",
                hint="give the second one another name, or the same kind, labels and over_workers",
            )
        if known.inherited:
            known.inherited, known.meaning = False, meaning
        return known

    def _overflow(self, name: str) -> None:
        if name != self._overflows.name:
            self._overflows.labels(name).add()


def _add_former(series: BoundSeries, old: Reading) -> None:
    series.value += old.value
    series.created = min(series.created, old.created)
    series.seen = old.seen
    if isinstance(series, HistogramSeries):
        series.count += old.count
        for index, count in old.counts.items():
            series.counts[index] = series.counts.get(index, 0) + count
        series.exemplars = {**old.exemplars, **series.exemplars}
