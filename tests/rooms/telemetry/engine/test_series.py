import math
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.series import CounterSeries, GaugeSeries, HistogramSeries
from holdfast.rooms.telemetry.rules.histogram import LOWEST, index_of


def histogram(refused: list[int] | None = None) -> HistogramSeries:
    return HistogramSeries((), 0.0, lambda: 12.5, lambda: (refused if refused is not None else []).append(1))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_inlined_arithmetic_is_the_rule(value: float) -> None:
    series = histogram()
    series.observe(value)
    assert series.counts == {index_of(value): 1}
    assert series.value == max(0.0, value)


def test_what_is_no_number_is_refused_and_counted() -> None:
    refused: list[int] = []
    series = histogram(refused)
    for value in (math.nan, math.inf, -math.inf):
        series.observe(value, "trace")
    assert (series.count, series.value, series.exemplars, len(refused)) == (0, 0, {}, 3)


def test_negative_values_count_as_zero() -> None:
    series = histogram()
    series.observe(-1)
    assert (series.counts, series.value, series.count) == ({LOWEST: 1}, 0.0, 1)


def test_the_last_value_with_a_trace_is_the_exemplar() -> None:
    series = histogram()
    series.observe(0.3, "a" * 32)
    series.observe(0.31, "b" * 32)
    series.observe(0.32)
    series.observe(5.0, "c" * 32)
    assert sorted(series.exemplars.values()) == [(0.31, "b" * 32, 12.5), (5.0, "c" * 32, 12.5)]


@pytest.mark.parametrize("amount", [-1, math.nan, math.inf])
def test_a_counter_never_falls(amount: float) -> None:
    series = CounterSeries((), 0.0)
    with pytest.raises(ValueError, match="counter grows"):
        series.add(amount)
    assert series.value == 0


def test_each_kind_refuses_the_verbs_of_the_others() -> None:
    for series, verbs in (
        (CounterSeries((), 0.0), ("set", "observe")),
        (GaugeSeries((), 0.0), ("observe",)),
        (histogram(), ("add", "set")),
    ):
        for verb in verbs:
            with pytest.raises(TypeError, match=f"a {series.kind} has no {verb}"):
                getattr(series, verb)(1)


def test_threads_lose_nothing() -> None:
    registry = Registry(ManualClock())
    counter = registry.counter("orders_total", "Orders.")
    seconds = registry.histogram("wait_seconds", "Waits.")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=hammer, args=(counter.labels(), seconds.labels())) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counter.labels().value == 40_000
    assert seconds.labels().count == sum(seconds.labels().counts.values()) == 40_000
    assert seconds.labels().value == 20_000


def hammer(counter: CounterSeries, seconds: HistogramSeries) -> None:
    for _ in range(10_000):
        counter.add()
        seconds.observe(0.5)
