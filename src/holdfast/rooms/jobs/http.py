"""The room over HTTP: parse, ask the engine, answer as JSON or as a stream of events."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from holdfast.kernel.context import current_ctx
from holdfast.kernel.errors import Unavailable
from holdfast.kernel.route import Answer, Call, Route
from holdfast.ports.jobs import JobView
from holdfast.rooms.jobs.engine.admin import Admin, EngineView, QueueView
from holdfast.rooms.jobs.engine.decisions import Many
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.engine.stream import StreamFigures, event_stream
from holdfast.rooms.jobs.engine.views import Listing, Whole, WorkerView, listing, view_of
from holdfast.rooms.jobs.rules.access import may_see
from holdfast.rooms.jobs.rules.asks import (
    AdminQuery,
    CancelQuery,
    DeadFilter,
    DiscardAllBody,
    DiscardBody,
    EngineBody,
    EventsQuery,
    ListQuery,
    ReplayAllBody,
    ReplayBody,
    ShapeBody,
)
from holdfast.rooms.jobs.rules.lines import MEDIA_TYPE, seq_of
from holdfast.rooms.jobs.rules.problems import AlreadyEnded, NoUser, unknown_job
from holdfast.rooms.jobs.rules.states import CANCELLED, FAILED
from holdfast.rooms.jobs.store.reading import Filters, Stored
from holdfast.rooms.jobs.store.rows import Schedule

PATH = "/api/v1/jobs"
ADMIN = "/admin/jobs"
_STREAM_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
_PRIVATE = (("cache-control", "no-store"),)


class Queues(msgspec.Struct, frozen=True):
    """Every queue."""

    queues: list[QueueView]


class Workers(msgspec.Struct, frozen=True):
    """Every worker that has a row, the dead ones until they are cleared away."""

    workers: list[WorkerView]


class Schedules(msgspec.Struct, frozen=True):
    """Every schedule."""

    schedules: list[Schedule]


class Begun(msgspec.Struct, frozen=True):
    """The job that was enqueued."""

    id: str


class Served:
    """What the addresses ask."""

    def __init__(self, jobs: JobsEngine, admin: Admin, figures: StreamFigures, heartbeat_s: float) -> None:
        self.reading = jobs.reading
        self.history = jobs.history
        self.watching = jobs.watching
        self.decisions = jobs.decisions
        self.admin = admin
        self.figures = figures
        self.heartbeat_s = heartbeat_s


class JobsHttp:
    """The handlers. `served` is asked for at each call: it is there once the room has started."""

    def __init__(self, served: Callable[[], Served | None]) -> None:
        self._served = served

    # -- everybody's ------------------------------------------------------------------------------

    async def show(self, call: Call) -> Answer:
        return _private(view_of(await self._own(call)))

    async def events(self, call: Call) -> Answer:
        """A stream from Last-Event-ID on; 204 when there is nothing more to come, which ends a browser's."""
        served, query = self._ready(), call.query or EventsQuery()
        after = seq_of(call.header("last-event-id") or query.after)
        row = await self._own(call)
        if after:
            found = await served.history.follow(row.id, after)
            if found is not None and found.is_over and not found.events(after):
                return Answer(status=204, headers=_PRIVATE)
        stream = event_stream(
            served.watching, served.figures, row.id, after, served.heartbeat_s, current_ctx()
        )
        return Answer(media_type=MEDIA_TYPE, headers=_STREAM_HEADERS, stream=stream)

    async def cancel(self, call: Call) -> Answer:
        """Asks it to stop; what has been cancelled already is no error, what has ended otherwise is."""
        served, query = self._ready(), call.query or CancelQuery()
        row = await self._own(call)
        if not await served.decisions.cancel(row.id, query.reason):
            row = await self._own(call)
            if row.state != CANCELLED:
                raise AlreadyEnded(f"it is {row.state}", hint="there is nothing to stop any more")
        return _private(view_of(await self._own(call)), 202)

    async def retry(self, call: Call) -> Answer:
        row = await self._own(call)
        return _private(await self._ready().decisions.retry(row.id), 202)

    async def list_own(self, call: Call) -> Answer:
        served, query = self._ready(), call.query or ListQuery()
        tenant = _tenant()
        if not (call.user_id or tenant):
            raise NoUser(
                "nobody knows who asks", hint="identify the caller; a job of nobody is shown by its id"
            )
        filters = Filters(
            state=query.state,
            queue=query.queue,
            name=query.name,
            batch=query.batch,
            before=query.before,
        )
        found = await served.reading.seen_by(call.user_id, tenant, filters, query.limit + 1)
        return _private(listing(found, query.limit))

    # -- the administrator's ----------------------------------------------------------------------

    async def list_all(self, call: Call) -> Answer:
        query = call.query or AdminQuery()
        return await self._listed(query, query.state, query.limit)

    async def list_dead(self, call: Call) -> Answer:
        query = call.query or AdminQuery()
        return await self._listed(query, FAILED, query.limit)

    async def inspect(self, call: Call) -> Answer:
        return _private(await self._ready().admin.show(call.params["id"]))

    async def replay(self, call: Call) -> Answer:
        return _private(await self._ready().decisions.replay(call.params["id"], call.body.payload), 202)

    async def replay_all(self, call: Call) -> Answer:
        body = call.body
        return _private(await self._ready().decisions.replay_all(_filters(body), body.rate, body.limit), 202)

    async def discard(self, call: Call) -> Answer:
        return _private(await self._ready().decisions.discard(call.params["id"], call.body.reason))

    async def discard_all(self, call: Call) -> Answer:
        body = call.body
        return _private(await self._ready().decisions.discard_all(_filters(body), body.reason, body.limit))

    async def cancel_any(self, call: Call) -> Answer:
        served, query = self._ready(), call.query or CancelQuery()
        job_id = call.params["id"]
        asked = await served.decisions.cancel(job_id, query.reason)
        found = (await served.admin.show(job_id)).job
        if not asked and found.state != CANCELLED:
            raise AlreadyEnded(f"it is {found.state}", hint="there is nothing to stop any more")
        return _private(found, 202)

    async def queues(self, call: Call) -> Answer:
        return _private(Queues(await self._ready().admin.queues()))

    async def pause(self, call: Call) -> Answer:
        return _private(await self._ready().admin.pause(call.params["name"], True))

    async def resume(self, call: Call) -> Answer:
        return _private(await self._ready().admin.pause(call.params["name"], False))

    async def shape(self, call: Call) -> Answer:
        body = call.body
        return _private(await self._ready().admin.shape(call.params["name"], body.concurrency, body.rate))

    async def workers(self, call: Call) -> Answer:
        return _private(Workers(await self._ready().admin.workers()))

    async def schedules(self, call: Call) -> Answer:
        return _private(Schedules(await self._ready().admin.schedules()))

    async def pause_schedule(self, call: Call) -> Answer:
        return _private(await self._ready().admin.pause_schedule(call.params["name"], True))

    async def resume_schedule(self, call: Call) -> Answer:
        return _private(await self._ready().admin.pause_schedule(call.params["name"], False))

    async def drop_schedule(self, call: Call) -> Answer:
        await self._ready().admin.drop_schedule(call.params["name"])
        return Answer(status=204)

    async def run_schedule(self, call: Call) -> Answer:
        return _private(Begun(await self._ready().admin.run_schedule(call.params["name"])), 202)

    async def engine(self, call: Call) -> Answer:
        return _private(await self._ready().admin.engine())

    async def switch(self, call: Call) -> Answer:
        return _private(await self._ready().admin.switch(call.body.engine))

    # -- within -----------------------------------------------------------------------------------

    def _ready(self) -> Served:
        served = self._served()
        if served is None:
            raise Unavailable("jobs have not started yet", retry_after_s=1.0)
        return served

    async def _own(self, call: Call) -> Stored:
        """The job, when the caller may see it; else it is not there."""
        row = await self._ready().reading.one(call.params["id"])
        if row is None or not may_see(row.owner, row.tenant, call.user_id, _tenant()):
            raise unknown_job()
        return row

    async def _listed(self, query: AdminQuery, state: str, limit: int) -> Answer:
        filters = msgspec.structs.replace(_filters(query), state=state, before=query.before)
        return _private(listing(await self._ready().reading.listed(filters, limit + 1), limit))


def _filters(given: AdminQuery | DeadFilter) -> Filters:
    return Filters(
        queue=given.queue,
        name=given.name,
        tenant=given.tenant,
        owner=given.user,
        error_kind=given.kind,
        batch=given.batch,
    )


def _tenant() -> str:
    ctx = current_ctx()
    return ctx.tenant if ctx is not None else ""


def _private(content: Any, status: int = 200) -> Answer:
    return Answer(content, status, headers=_PRIVATE)


def routes(http: JobsHttp) -> Sequence[Route]:
    """The room's addresses."""
    return (*_public(http), *_dead(http), *_running(http))


def _public(http: JobsHttp) -> Sequence[Route]:
    one = f"{PATH}/{{id}}"
    return (
        Route("GET", PATH, http.list_own, "The caller's jobs", query=ListQuery, answer=Listing),
        Route("GET", one, http.show, "A job: state, progress, result or error", answer=JobView),
        Route(
            "GET",
            f"{one}/events",
            http.events,
            "What happens to a job, as server-sent events, from Last-Event-ID on",
            query=EventsQuery,
        ),
        Route(
            "POST",
            f"{one}/cancel",
            http.cancel,
            "Ask a job to stop",
            query=CancelQuery,
            answer=JobView,
            status=202,
        ),
        Route(
            "POST",
            f"{one}/retry",
            http.retry,
            "Let a job that failed, was cancelled or waits for its time begin now",
            answer=JobView,
            status=202,
        ),
    )


def _admin(method: str, path: str, handler: Any, summary: str, *, status: int = 200, **more: Any) -> Route:
    return Route(method, ADMIN + path, handler, summary, public=False, status=status, **more)


def _dead(http: JobsHttp) -> Sequence[Route]:
    return (
        _admin("GET", "", http.list_all, "Everybody's jobs", query=AdminQuery, answer=Listing),
        _admin("GET", "/dead", http.list_dead, "Dead letters", query=AdminQuery, answer=Listing),
        _admin(
            "POST",
            "/dead/replay",
            http.replay_all,
            "Replay the dead letters that fit, at a rate",
            body=ReplayAllBody,
            answer=Many,
            status=202,
        ),
        _admin(
            "POST",
            "/dead/discard",
            http.discard_all,
            "Discard the dead letters that fit, with a reason",
            body=DiscardAllBody,
            answer=Many,
        ),
        _admin(
            "POST",
            "/dead/{id}/replay",
            http.replay,
            "Replay a job, as it was or with another payload",
            body=ReplayBody,
            answer=JobView,
            status=202,
        ),
        _admin(
            "POST",
            "/dead/{id}/discard",
            http.discard,
            "Discard a dead letter, with a reason",
            body=DiscardBody,
            answer=JobView,
        ),
        _admin("GET", "/one/{id}", http.inspect, "A job with payload, attempts, tracebacks", answer=Whole),
        _admin(
            "POST",
            "/one/{id}/cancel",
            http.cancel_any,
            "Ask anybody's job to stop",
            query=CancelQuery,
            answer=JobView,
            status=202,
        ),
    )


def _running(http: JobsHttp) -> Sequence[Route]:
    queue, schedule = "/queues/{name}", "/schedules/{name}"
    return (
        _admin("GET", "/queues", http.queues, "Queues, and what stands in them", answer=Queues),
        _admin("PATCH", queue, http.shape, "Concurrency and rate", body=ShapeBody, answer=QueueView),
        _admin("POST", f"{queue}/pause", http.pause, "Begin nothing more of a queue", answer=QueueView),
        _admin("POST", f"{queue}/resume", http.resume, "Go on with a queue", answer=QueueView),
        _admin("GET", "/workers", http.workers, "Workers, and what they do", answer=Workers),
        _admin("GET", "/schedules", http.schedules, "Schedules, and their next times", answer=Schedules),
        _admin("POST", f"{schedule}/pause", http.pause_schedule, "Let its times pass", answer=Schedule),
        _admin("POST", f"{schedule}/resume", http.resume_schedule, "Heed its times again", answer=Schedule),
        _admin("DELETE", schedule, http.drop_schedule, "Forget one that is declared no more", status=204),
        _admin("POST", f"{schedule}/run", http.run_schedule, "Begin it now", answer=Begun, status=202),
        _admin("GET", "/engine", http.engine, "The engine in force", answer=EngineView),
        _admin("POST", "/engine", http.switch, "Switch the engine", body=EngineBody, answer=EngineView),
    )
