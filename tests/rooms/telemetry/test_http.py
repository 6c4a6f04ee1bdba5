import gzip

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Event
from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.telemetry.engine.exposition import Exposition
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.http import REQUEST_SECONDS, ApiFigures, routes, summarise
from holdfast.rooms.telemetry.rules.exposition import OPENMETRICS, TEXT


@pytest.fixture
def registry() -> Registry:
    return Registry(ManualClock())


@pytest.fixture
def served(registry: Registry) -> dict[str, Route]:
    return {route.path: route for route in routes(Exposition(registry, ManualClock()))}


async def get(route: Route, **headers: str) -> Answer:
    raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    answer = await route.handler(Call(Event(), headers=raw))
    assert isinstance(answer, Answer)
    return answer


async def body(answer: Answer) -> bytes:
    assert answer.stream is not None
    return b"".join([piece async for piece in answer.stream])


async def test_metrics_in_the_format_asked_for(registry: Registry, served: dict[str, Route]) -> None:
    registry.counter("orders_total", "Orders.").labels().add(3)
    plain = await get(served["/metrics"])
    assert plain.media_type == TEXT
    assert b"\norders_total 3\n" in await body(plain)
    open_ = await get(served["/metrics"], accept="application/openmetrics-text;version=1.0.0")
    assert open_.media_type == OPENMETRICS
    assert "orders" in {
        family.name for family in text_string_to_metric_families((await body(open_)).decode())
    }


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
    ],
)
async def test_gzip_where_it_is_taken(served: dict[str, Route], accepted: str, zipped: bool) -> None:
    answer = await get(served["/metrics"], accept_encoding=accepted)
    content, headers = await body(answer), dict(answer.headers)
    assert ("content-encoding" in headers) is zipped
    assert int(headers["content-length"]) == len(content)
    assert headers["vary"] == "Accept, Accept-Encoding"
    assert (gzip.decompress(content) if zipped else content).startswith(b"# HELP")


async def test_the_summary_is_by_method_and_route(registry: Registry, served: dict[str, Route]) -> None:
    seconds = registry.histogram(REQUEST_SECONDS, "Time.", ("method", "route", "status"))
    for _ in range(98):
        seconds.labels("GET", "/상품/{id}", "200").observe(0.010)
    seconds.labels("GET", "/상품/{id}", "404").observe(0.1)
    seconds.labels("GET", "/상품/{id}", "503").observe(2.0)
    seconds.labels("POST", "/상품/{id}", "500").observe(1.0)
    found = await served["/api/v1/monitoring/metrics/api"].handler(Call(Event()))
    assert isinstance(found, ApiFigures)
    assert (found.count, found.errors) == (101, 2)
    first, second = found.routes
    assert (first.method, first.route, first.count, first.errors) == ("GET", "/상품/{id}", 100, 1)
    assert (first.p50_s, first.p95_s) == (pytest.approx(0.010, rel=0.032), pytest.approx(0.010, rel=0.032))
    assert first.p99_s == pytest.approx(0.1, rel=0.032)
    assert (second.method, second.count, second.errors) == ("POST", 1, 1)
    assert encode_json(found).startswith(b'{"count":101,"errors":2,"routes":[{"method":"GET"')


async def test_the_summary_of_nothing_is_empty(served: dict[str, Route]) -> None:
    found = await served["/api/v1/monitoring/metrics/api"].handler(Call(Event()))
    assert found == ApiFigures(0, 0, [])


def test_the_overflow_series_is_a_row_like_any_other() -> None:
    found = summarise(("method", "route", "status"), {("overflow",) * 3: {0: 4}, ("GET", "/", "200"): {}})
    assert [(row.route, row.count, row.errors) for row in found.routes] == [("overflow", 4, 0)]


def test_they_can_be_kept_for_administrators(registry: Registry) -> None:
    closed = routes(Exposition(registry, ManualClock()), public=False)
    assert [route.public for route in closed] == [False, False]
