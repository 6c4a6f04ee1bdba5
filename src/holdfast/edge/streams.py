"""Open streams: counted apart from requests, told when the server stops, ended when they do not listen."""

import asyncio

from holdfast.edge.heed import SHUTDOWN
from holdfast.edge.passage import Passage
from holdfast.ports.services import Meter


class Streams:
    """Every response that goes on: server-sent events, chunked downloads, WebSockets.

    Their life is no latency: they have metrics of their own and never sit in the request histogram.
    """

    def __init__(self, meter: Meter) -> None:
        self.open: set[Passage] = set()
        self._opened = meter.counter("holdfast_http_streams_total", "Streams opened.", ("route",))
        self._ended = meter.counter(
            "holdfast_http_streams_ended_total", "Streams ended, by reason.", ("route", "reason")
        )
        self._first_byte = meter.histogram(
            "holdfast_http_stream_first_byte_seconds", "Time to a stream's first byte.", ("route",)
        )
        self._lasted = meter.histogram(
            "holdfast_http_stream_duration_seconds", "How long streams stayed open.", ("route",)
        )
        self._bytes = meter.counter(
            "holdfast_http_stream_sent_bytes_total", "Bytes sent on streams.", ("route",)
        )
        meter.watch("holdfast_http_streams_open", "Streams open now.", lambda: float(len(self.open)))

    def begin(self, passage: Passage, route: str) -> None:
        passage.event.stream = True
        # Often a child of the request's task (Starlette sends streams from one): its end ends the group.
        passage.task = asyncio.current_task()
        self.open.add(passage)
        self._opened.labels(route).add()

    def first_byte(self, passage: Passage, route: str) -> None:
        self._first_byte.labels(route).observe(passage.event.first_byte_ns / 1e9, passage.event.trace_id)

    def end(self, passage: Passage, route: str) -> None:
        self.open.discard(passage)
        event = passage.event
        self._ended.labels(route, event.ended or "complete").add()
        self._lasted.labels(route).observe(event.duration_ns / 1e9, event.trace_id)
        self._bytes.labels(route).add(event.response_bytes)

    def tell(self) -> None:
        """Set `gone` on every open stream: whoever listens ends by itself."""
        for passage in list(self.open):
            if not passage.event.ended:
                passage.event.ended = SHUTDOWN
            passage.leave()

    def cut(self) -> int:
        """Cancel the streams that are still open; how many."""
        late = [passage for passage in self.open if passage.task is not None]
        for passage in late:
            passage.cut = True
            assert passage.task is not None
            passage.task.cancel()
        return len(late)
