"""A job's events as one HTTP answer: server-sent events from any place on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from holdfast.kernel.context import Ctx
from holdfast.kernel.errors import NotFound
from holdfast.ports.services import Meter
from holdfast.rooms.jobs.engine.watching import Watching
from holdfast.rooms.jobs.rules.lines import FAREWELL, HEARTBEAT, RECONNECT, line

SHUTDOWN = "shutdown"
"""What the edge writes on the record of a stream that the server's stop ends."""


class StreamFigures:
    """Streams of events, measured."""

    def __init__(self, meter: Meter) -> None:
        self.streams = meter.gauge("holdfast_jobs_active_streams", "Streams of job events open now.").labels()
        self.reconnects = meter.counter(
            "holdfast_jobs_stream_reconnects_total",
            "Streams of job events that were taken up again with Last-Event-ID.",
        ).labels()
        self.sent = meter.counter("holdfast_jobs_events_sent_total", "Job events sent on streams.").labels()


async def event_stream(
    watching: Watching,
    figures: StreamFigures,
    job_id: str,
    after: int,
    silence_s: float,
    ctx: Ctx | None,
) -> AsyncGenerator[bytes, None]:
    """Events behind `after` as they come, comments in silence, the end last; a server that stops says so."""
    gone: asyncio.Event | None = ctx.gone if ctx is not None else None
    figures.streams.add(1)
    if after:
        figures.reconnects.add()
    try:
        yield RECONNECT
        async with aclosing(watching.parts(job_id, after, silence_s=silence_s, gone=gone)) as parts:
            async for part in parts:
                if part:
                    figures.sent.add(len(part))
                    yield b"".join([line(one.seq, one.kind, one.at_ms, one.data) for one in part])
                else:
                    yield HEARTBEAT
        if ctx is not None and ctx.event.ended == SHUTDOWN:
            yield FAREWELL
    except NotFound:
        return  # it was removed while somebody watched: the head is out, so the end is all there is to say
    finally:
        figures.streams.add(-1)
