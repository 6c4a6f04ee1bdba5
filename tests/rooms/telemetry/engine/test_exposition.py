import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.rooms.telemetry.engine.exposition import PIECE_BYTES, Exposition
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.slots import Slots
from holdfast.rooms.telemetry.rules.histogram import SECONDS

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def read(exposition: Exposition) -> tuple[dict[str, Metric], dict[str, Metric]]:
    """Both formats, through the parsers of prometheus_client."""
    plain = b"".join(await exposition.render()).decode()
    openmetrics = b"".join(await exposition.render(openmetrics=True)).decode()
    assert openmetrics.endswith("# EOF\n")
    assert "# EOF" not in plain
    return {m.name: m for m in parse_text(plain)}, {m.name: m for m in parse_openmetrics(openmetrics)}


def value(metric: Metric, name: str, **labels: str) -> float:
    [found] = [sample.value for sample in metric.samples if sample.name == name and sample.labels == labels]
    return float(found)


@pytest.fixture
def registry() -> Registry:
    return Registry(ManualClock(wall_s=1000.0))


async def test_both_formats_say_what_was_measured(registry: Registry) -> None:
    registry.counter("orders_total", 'Orders of "all"\n\\ shops.', ("shop",)).labels('서"울\n\\').add(3)
    registry.gauge("rooms", "Rooms.").labels().set(-2.5)
    waits = registry.histogram("wait_seconds", "Waits.", ("queue",)).labels("a")
    for seconds in (0.001, 0.3, 0.3, 7.0, 1e5):
        waits.observe(seconds)
    for families in await read(Exposition(registry, ManualClock())):
        assert value(families["orders"], "orders_total", shop='서"울\n\\') == 3
        assert families["orders"].type == "counter"
        assert value(families["rooms"], "rooms") == -2.5
        wait = families["wait_seconds"]
        assert wait.type == "histogram"
        assert value(wait, "wait_seconds_count", queue="a") == 5
        assert value(wait, "wait_seconds_sum", queue="a") == pytest.approx(1e5 + 7.601)
        assert value(wait, "wait_seconds_bucket", queue="a", le="0.005") == 1
        assert value(wait, "wait_seconds_bucket", queue="a", le="0.5") == 3
        assert value(wait, "wait_seconds_bucket", queue="a", le="60.0") == 4
        assert value(wait, "wait_seconds_bucket", queue="a", le="+Inf") == 5


async def test_openmetrics_has_units_creation_and_exemplars(registry: Registry) -> None:
    registry.counter("sent_bytes_total", "Sent.").labels().add(1)
    waits = registry.histogram("wait_seconds", "Waits.").labels()
    waits.observe(0.3, TRACE)
    waits.observe(1e9, TRACE)
    _, families = await read(Exposition(registry, ManualClock()))
    assert families["sent_bytes"].unit == "bytes"
    assert value(families["sent_bytes"], "sent_bytes_created") == 1000.0
    wait = families["wait_seconds"]
    assert wait.unit == "seconds"
    assert value(wait, "wait_seconds_created") == 1000.0
    found = {
        s.labels["le"]: s.exemplar for s in wait.samples if s.name == "wait_seconds_bucket" and s.exemplar
    }
    assert sorted(found) == ["+Inf", "0.5"]
    assert (found["0.5"].labels, found["0.5"].value) == ({"trace_id": TRACE}, 0.3)
    assert float(found["0.5"].timestamp) == 1000.0


@given(st.lists(st.floats(0.0, 1e3), min_size=1, max_size=50))
async def test_every_exemplar_lies_in_its_bucket(values: list[float]) -> None:
    registry = Registry(ManualClock())
    waits = registry.histogram("wait_seconds", "Waits.").labels()
    for number in values:
        waits.observe(number, TRACE)
    text = b"".join(await Exposition(registry, ManualClock()).render(openmetrics=True)).decode()
    lower = -math.inf
    [wait] = [family for family in parse_openmetrics(text) if family.name == "wait_seconds"]
    for sample in wait.samples:
        if sample.name == "wait_seconds_bucket":
            upper = float(sample.labels["le"])
            assert sample.exemplar is None or lower < sample.exemplar.value <= upper
            lower = upper


async def test_a_series_that_changed_is_rendered_again(registry: Registry) -> None:
    waits = registry.histogram("wait_seconds", "Waits.").labels()
    exposition = Exposition(registry, ManualClock())
    for count in range(4):
        for families in await read(exposition):
            assert value(families["wait_seconds"], "wait_seconds_count") == count
            assert value(families["wait_seconds"], "wait_seconds_bucket", le="+Inf") == count
        waits.observe(0.0)


async def test_the_classic_buckets_are_the_frozen_ones(registry: Registry) -> None:
    registry.histogram("wait_seconds", "Waits.")
    plain, _ = await read(Exposition(registry, ManualClock()))
    bounds = [s.labels["le"] for s in plain["wait_seconds"].samples if s.name == "wait_seconds_bucket"]
    assert bounds == [*(repr(bound) for bound in SECONDS), "+Inf"]


async def test_distributions_are_those_of_all_workers(tmp_path: Path) -> None:
    clock = ManualClock()
    made = []
    for number in range(2):
        registry = Registry(clock)
        slots = Slots(tmp_path, registry, clock)
        await slots.claim()
        registry.histogram("wait_seconds", "Waits.", ("queue",)).labels("a").observe(1.0)
        registry.histogram("wait_seconds", "Waits.", ("queue",)).labels(f"only {number}").observe(2.0)
        await slots.publish()
        made.append((slots, Exposition(registry, clock, slots=slots)))
    names, found = await made[0][1].distributions("wait_seconds")
    assert names == ("queue",)
    assert {labels: sum(counts.values()) for labels, counts in found.items()} == {
        ("a",): 2,
        ("only 0",): 1,
        ("only 1",): 1,
    }
    assert await made[0][1].distributions("nothing_seconds") == ((), {})
    for slots, _ in made:
        await slots.close()


async def test_a_large_scrape_comes_in_pieces_and_lets_the_loop_run() -> None:
    registry = Registry(SystemClock(), series_limit=2_000)
    waits = registry.histogram("wait_seconds", "Waits.", ("queue",))
    for number in range(2_000):
        waits.labels(str(number)).observe(number)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    pieces = await Exposition(registry, SystemClock()).render()
    beside.cancel()
    assert turns > 5
    assert all(PIECE_BYTES <= len(piece) < 2 * PIECE_BYTES for piece in pieces[:-1])
    [wait] = [family for family in parse_text(b"".join(pieces).decode()) if family.name == "wait_seconds"]
    assert sum(sample.name == "wait_seconds_count" for sample in wait.samples) == 2_000


async def test_series_made_while_it_renders_do_no_harm() -> None:
    class Impatient(SystemClock):
        """Every slice is over at once."""

        def __init__(self) -> None:
            self._now = 0.0

        def monotonic(self) -> float:  # type: ignore[override] # a static method there
            self._now += 1.0
            return self._now

    registry = Registry(SystemClock())
    waits = registry.histogram("wait_seconds", "Waits.", ("queue",))
    for number in range(50):
        waits.labels(str(number)).observe(number)
    scrape = asyncio.create_task(Exposition(registry, Impatient()).render())
    number = 50
    while not scrape.done():
        waits.labels(str(number % 900)).observe(1)
        number += 1
        await asyncio.sleep(0)
    assert number > 60
    assert {family.name for family in parse_text(b"".join(scrape.result()).decode())} >= {"wait_seconds"}
