import math

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import Misconfigured
from holdfast.ports.services import Instrument, Meter
from holdfast.rooms.telemetry.engine.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry(ManualClock(), series_limit=3)


def test_it_is_a_meter(registry: Registry) -> None:
    meter: Meter = registry
    orders: Instrument = meter.counter("orders_total", "Orders.", ("shop",))
    orders.labels("서울").add(2)
    assert registry.counter("orders_total", "Orders.", ("shop",)).labels("서울").value == 2


def test_the_same_name_in_the_same_shape_is_the_same_instrument(registry: Registry) -> None:
    assert registry.gauge("rooms", "Rooms.", ["a"]) is registry.gauge("rooms", "Rooms, again.", ("a",))


def test_the_same_name_in_another_shape_is_refused(registry: Registry) -> None:
    registry.gauge("rooms", "Rooms.", ("a",))
    for register in (
        lambda: registry.gauge("rooms", "Rooms.", ("b",)),
        lambda: registry.gauge("rooms", "Rooms.", ("a",), over_workers="sum"),
        lambda: registry.histogram("rooms", "Rooms.", ("a",)),
    ):
        with pytest.raises(Misconfigured, match="registered already"):
            register()


def test_labels_find_the_same_series_whatever_type_they_come_in(registry: Registry) -> None:
    orders = registry.counter("orders_total", "Orders.", ("status",))
    assert orders.labels("200") is orders.labels(200)  # type: ignore[arg-type] # that is the point


def test_the_wrong_number_of_labels_is_refused(registry: Registry) -> None:
    with pytest.raises(Misconfigured):
        registry.counter("orders_total", "Orders.", ("a", "b")).labels("x")


def test_beyond_the_limit_everything_goes_to_one_series_and_is_counted(registry: Registry) -> None:
    scans = registry.counter("scans_total", "Scans.", ("path", "method"))
    for number in range(10):
        scans.labels(f"/{number}", "GET").add()
    scans.labels("/1", "GET").add()
    assert len(scans.series) == 4
    assert scans.labels("/never", "seen") is scans.series["overflow", "overflow"]
    assert scans.series["overflow", "overflow"].value == 7
    assert scans.series["/1", "GET"].value == 2
    overflow = registry.counter("holdfast_telemetry_series_overflow_total", "", ("metric",))
    assert overflow.labels("scans_total").value == 8


def test_the_overflow_counter_itself_overflows_without_end(registry: Registry) -> None:
    for number in range(6):
        family = registry.counter(f"c{number}_total", "C.", ("a",))
        for value in "abcdef":
            family.labels(value)
    assert len(registry.counter("holdfast_telemetry_series_overflow_total", "", ("metric",)).series) == 4


def test_watches_are_read_when_asked_and_a_broken_one_is_nan_and_counted(registry: Registry) -> None:
    length = [3]
    registry.watch("queue_length", "Jobs waiting.", lambda: length[0])
    registry.watch("pool_open", "Connections.", lambda: 1 / 0)
    registry.read_watches()
    length[0] = 5
    registry.read_watches()
    assert registry.gauge("queue_length", "").labels().value == 5
    assert math.isnan(registry.gauge("pool_open", "").labels().value)
    assert (
        registry.counter("holdfast_telemetry_values_refused_total", "", ("metric",)).labels("pool_open").value
        == 2
    )


def test_a_later_watch_takes_the_name_over(registry: Registry) -> None:
    registry.watch("queue_length", "Jobs waiting.", lambda: 1)
    registry.watch("queue_length", "Jobs waiting.", lambda: 2)
    registry.read_watches()
    assert registry.gauge("queue_length", "").labels().value == 2


def test_values_that_are_no_numbers_are_counted_by_metric(registry: Registry) -> None:
    registry.histogram("wait_seconds", "Waits.").labels().observe(math.nan)
    assert (
        registry.counter("holdfast_telemetry_values_refused_total", "", ("metric",))
        .labels("wait_seconds")
        .value
        == 1
    )


def test_describe_lists_every_metric_with_its_unit(registry: Registry) -> None:
    registry.histogram("wait_seconds", "Waits.", ("queue",))
    registry.watch("queue_length", "Jobs waiting.", lambda: 1)
    found = [(row.name, row.kind, row.unit, row.labels) for row in registry.describe()]
    assert found == [
        ("holdfast_telemetry_series_overflow_total", "counter", "", ("metric",)),
        ("holdfast_telemetry_values_refused_total", "counter", "", ("metric",)),
        ("queue_length", "gauge", "", ()),
        ("wait_seconds", "histogram", "seconds", ("queue",)),
    ]


def test_an_inherited_metric_is_kept_until_it_is_registered_and_then_counts_on() -> None:
    clock = ManualClock(wall_s=1000.0)
    old = Registry(clock)
    old.counter("orders_total", "Orders.", ("shop",)).labels("a").add(5)
    waits = old.histogram("wait_seconds", "Waits.").labels()
    waits.observe(0.3, "t" * 32)
    clock.advance(60)
    fresh = Registry(clock)
    for family in old.families():
        fresh.inherit(family.kind, family.name, family.meaning, family.label_names, family.series.values())
    assert "orders_total" not in {row.name for row in fresh.describe()}
    orders = fresh.counter("orders_total", "Orders, new words.", ("shop",))
    orders.labels("a").add()
    assert (orders.labels("a").value, orders.labels("a").created) == (6, 1000.0)
    assert "orders_total" in {row.name for row in fresh.describe()}
    again = fresh.histogram("wait_seconds", "Waits.").labels()
    again.observe(0.3)
    assert (again.count, again.counts, again.value) == (2, {next(iter(waits.counts)): 2}, 0.6)
    assert again.exemplars == waits.exemplars


def test_what_was_inherited_in_another_shape_gives_way() -> None:
    fresh = Registry(ManualClock())
    old = Registry(ManualClock()).counter("orders_total", "Orders.", ("shop",))
    old.labels("a").add(5)
    fresh.inherit("counter", "orders_total", "Orders.", ("shop",), old.series.values())
    now = fresh.counter("orders_total", "Orders.", ("shop", "country"))
    assert now.series == {}
    fresh.inherit("counter", "orders_total", "Orders.", ("shop",), old.series.values())
    assert now.series == {}


def test_gauges_and_unlawful_names_are_not_inherited() -> None:
    fresh = Registry(ManualClock())
    before = len(fresh.families())
    fresh.inherit("gauge", "rooms", "Rooms.", (), ())
    fresh.inherit("counter", "rooms", "Rooms.", (), ())
    assert len(fresh.families()) == before
