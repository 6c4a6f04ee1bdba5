"""GET /metrics for Prometheus, and a JSON summary of the HTTP routes for people and dashboards."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.telemetry.engine.exposition import Exposition
from holdfast.rooms.telemetry.rules.exposition import OPENMETRICS, TEXT, wants_openmetrics
from holdfast.rooms.telemetry.rules.histogram import merge, quantile

REQUEST_SECONDS = "holdfast_http_request_duration_seconds"
"""The histogram that the edge writes, by method, route and status."""


class RouteFigures(msgspec.Struct, frozen=True):
    """One route since the start: quantiles within 3.2 %, errors are answers of 500 and above."""

    method: str
    route: str
    count: int
    errors: int
    p50_s: float
    p95_s: float
    p99_s: float


class ApiFigures(msgspec.Struct, frozen=True):
    """All routes, over all workers; streams are not in it. Quantiles are null before the first request."""

    count: int
    errors: int
    routes: list[RouteFigures]
    p50_s: float | None = None
    p95_s: float | None = None


def routes(exposition: Exposition, *, public: bool = True) -> Sequence[Route]:
    """The two addresses. `public=False` asks for the admin token outside development."""

    async def metrics(call: Call) -> Answer:
        return await scrape(exposition, call.header("accept"), call.header("accept-encoding"))

    async def api(call: Call) -> ApiFigures:
        return await api_figures(exposition)

    return (
        Route(
            "GET",
            "/metrics",
            metrics,
            "Every metric, over all workers, as Prometheus text or OpenMetrics by the Accept header",
            public=public,
        ),
        Route(
            "GET",
            "/api/v1/monitoring/metrics/api",
            api,
            "Requests, errors and latency quantiles of each route",
            answer=ApiFigures,
            public=public,
        ),
    )


async def api_figures(exposition: Exposition) -> ApiFigures:
    """The summary as it is now, over all workers."""
    names, found = await exposition.distributions(REQUEST_SECONDS)
    return summarise(names, found)


async def scrape(exposition: Exposition, accept: str, accept_encoding: str) -> Answer:
    """The metrics in the format and coding asked for; gzip in a thread, where zlib leaves the loop alone."""
    openmetrics = wants_openmetrics(accept)
    pieces = await exposition.render(openmetrics=openmetrics)
    headers = [("vary", "Accept, Accept-Encoding"), ("cache-control", "no-store, no-transform")]
    if _takes_gzip(accept_encoding):
        pieces = await asyncio.to_thread(_gzip, pieces)
        headers.append(("content-encoding", "gzip"))
    headers.append(("content-length", str(sum(map(len, pieces)))))
    media_type = OPENMETRICS if openmetrics else TEXT
    return Answer(media_type=media_type, headers=tuple(headers), stream=_each(pieces))


def summarise(names: Sequence[str], found: Mapping[tuple[str, ...], dict[int, int]]) -> ApiFigures:
    """The figures of each method and route, the busiest first; `names` says which label stands where."""
    whole: dict[tuple[str, str], dict[int, int]] = {}
    errors: dict[tuple[str, str], int] = {}
    for values, counts in found.items():
        labels = dict(zip(names, values, strict=True))
        key = (labels.get("method", ""), labels.get("route", ""))
        merge(whole.setdefault(key, {}), counts)
        if _is_error(labels.get("status", "")):
            errors[key] = errors.get(key, 0) + sum(counts.values())
    rows = [_figures(key, counts, errors.get(key, 0)) for key, counts in whole.items() if counts]
    rows.sort(key=lambda row: (-row.count, row.route, row.method))
    total: dict[int, int] = {}
    for counts in whole.values():
        merge(total, counts)
    p50, p95 = (quantile(total, share) if rows else None for share in (0.5, 0.95))
    return ApiFigures(sum(row.count for row in rows), sum(row.errors for row in rows), rows, p50, p95)


def _figures(key: tuple[str, str], counts: dict[int, int], errors: int) -> RouteFigures:
    p50, p95, p99 = (quantile(counts, share) for share in (0.5, 0.95, 0.99))
    return RouteFigures(*key, sum(counts.values()), errors, p50, p95, p99)


def _is_error(status: str) -> bool:
    return status.isdigit() and int(status) >= 500


def _takes_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.split(","):
        coding, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if coding == "gzip":
            return not any(parameter.replace(" ", "") in _REFUSED for parameter in parameters)
    return False


_REFUSED = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})


def _gzip(pieces: Sequence[bytes]) -> list[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return [*map(packer.compress, pieces), packer.flush()]


async def _each(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if piece:
            yield piece
            await asyncio.sleep(0)  # or all that fits the socket's buffer would go in one turn
