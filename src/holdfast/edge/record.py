"""The end of a request: its route's name, its metrics, its child spans and its record."""

from collections.abc import Callable
from typing import Any

from holdfast.edge.passage import Passage
from holdfast.kernel.event import Event
from holdfast.ports.services import EventLog, Meter, Scope

UNMATCHED = "unmatched"
"""The route of a 404 that no route answered: scans must not make series."""
_EXEMPLAR_EVERY = 0b1111
"""A mask: of ordinary requests one in sixteen leaves its trace id on the histogram."""
UNROUTED = "unrouted"
"""The route of an app that names none (raw ASGI); it may set `scope["holdfast.route"]`."""
METHODS = frozenset(
    {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"}
)

Observe = Callable[..., None]


def route_of(scope: Scope, status: int) -> str:
    """The route template, as the framework below left it in the scope.

    Starlette and FastAPI leave `route.path`, Litestar `path_template`; a raw app may set `holdfast.route`.
    """
    route = scope.get("route")
    if route is not None:
        path = getattr(route, "path", None)
        if path is not None:
            return str(path)
    named: Any = scope.get("holdfast.route") or scope.get("path_template")
    if named is not None:
        return str(named)
    return UNMATCHED if status == 404 else UNROUTED


class Recorder:
    """Writes down what a request was, in one place and once."""

    def __init__(self, log: EventLog, meter: Meter, *, slow_request_s: float) -> None:
        self._append = log.append
        self._turn = -1
        self._slow_ns = int(slow_request_s * 1e9)
        self._seconds = meter.histogram(
            "holdfast_http_request_duration_seconds",
            "Time from a request's arrival to its last byte, streams excepted.",
            ("method", "route", "status"),
        )
        self._errors = meter.counter(
            "holdfast_http_unhandled_errors_total", "Exceptions that no handler caught.", ("route", "type")
        )
        self._bound: dict[tuple[str, str, int], Observe] = {}

    def request(self, passage: Passage) -> None:
        """Measure and write an ordinary request, as soon as its last byte is out."""
        passage.recorded = True
        event = passage.event
        event.first_byte_ns = 0
        if not event.route:
            event.route = route_of(passage.scope, event.status)
        observe = self._bound.get((event.method, event.route, event.status))
        if observe is None:
            observe = self._bind(event)
        # An exemplar for every failure and every slow request; of the ordinary ones now and then.
        self._turn = turn = (self._turn + 1) & _EXEMPLAR_EVERY
        if turn == 0 or event.duration_ns >= self._slow_ns or event.status >= 500:
            observe(event.duration_ns * 1e-9, event.trace_id)
        else:
            observe(event.duration_ns * 1e-9)
        if passage.spans is not None:
            self._children(passage)
        self._append(event)

    def stream(self, passage: Passage) -> None:
        """Write a stream; its figures are kept by `Streams`."""
        if passage.spans is not None:
            self._children(passage)
        self._append(passage.event)

    def error(self, route: str, kind: str) -> None:
        self._errors.labels(route, kind).add()

    def _children(self, passage: Passage) -> None:
        """The child spans, where they are to be kept: sampled, failed or slow requests."""
        event = passage.event
        if event.sampled or event.status >= 500 or event.error_type or event.duration_ns >= self._slow_ns:
            for span in passage.spans or ():
                self._append(span)
        if passage.spans_dropped:
            event.note(spans_dropped=passage.spans_dropped)

    def _bind(self, event: Event) -> Observe:
        method = event.method if event.method in METHODS else "OTHER"
        observe = self._seconds.labels(method, event.route, str(event.status)).observe
        if len(self._bound) < 10_000:  # the meter caps series; this only caps our shortcut to them
            self._bound[event.method, event.route, event.status] = observe
        return observe
