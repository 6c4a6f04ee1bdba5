"""The one pass of a request: ids, record, metrics, errors, streams, and who may come in."""

import asyncio
import json
import zlib
from typing import Any

import pytest

from holdfast.edge.identity import Config as IdentityConfig
from holdfast.edge.identity import Identities
from holdfast.edge.settings import Config
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import Ctx, current_ctx, current_event, note, span
from holdfast.kernel.errors import Unavailable, unavailable
from holdfast.kernel.event import Event, Span
from tests.edge.door import Door, answers, streams

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def only(door: Door) -> Event:
    (record,) = door.log.records
    assert isinstance(record, Event)
    return record


async def test_an_ordinary_request_is_one_record_with_its_ids_on_the_answer() -> None:
    door = Door(answers(b'{"a":1}'))
    response = await door.get("/items/3")
    event = only(door)
    assert (response.status, response.body) == (200, b'{"a":1}')
    assert response.headers["x-request-id"] == event.request_id
    assert response.headers["x-trace-id"] == event.trace_id
    assert (event.method, event.path, event.status, event.response_bytes) == ("GET", "/items/3", 200, 7)
    assert event.client_ip == "192.0.2.7"
    assert (event.ended, event.stream) == ("", False)


async def test_the_callers_names_are_taken_over() -> None:
    door = Door(answers())
    given = [
        ("traceparent", f"00-{TRACE}-{PARENT}-01"),
        ("tracestate", "vendor=1"),
        ("X-Request-ID", "order.42_a-b"),
        ("X-Correlation-ID", "basket-7"),
    ]
    await door.get(headers=given)
    event = only(door)
    assert (event.trace_id, event.parent_id, event.sampled) == (TRACE, PARENT, True)
    assert event.span_id not in ("", PARENT)
    assert (event.tracestate, event.request_id, event.correlation_id) == (
        "vendor=1",
        "order.42_a-b",
        "basket-7",
    )


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "<script>", "줄", "a\nb"])
async def test_a_request_id_that_is_not_plain_is_made_anew(bad: str) -> None:
    door = Door(answers())
    scope = {"headers": [(b"x-request-id", bad.encode())]}
    response = await door.get(scope=scope)
    assert response.headers["x-request-id"] == only(door).trace_id


async def test_a_caller_need_not_be_trusted_with_the_request_id() -> None:
    door = Door(answers(), config=Config(trust_request_id=False))
    await door.get(headers=[("X-Request-ID", "mine")])
    assert only(door).request_id != "mine"


async def test_a_bad_traceparent_starts_a_new_trace() -> None:
    door = Door(answers())
    await door.get(headers=[("traceparent", f"00-{TRACE}-{PARENT}-01")] * 2)
    assert only(door).trace_id != TRACE


async def test_duration_is_to_the_last_byte() -> None:
    clock = ManualClock()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        clock.advance(0.5)
        await send({"type": "http.response.body", "body": b"b"})
        clock.advance(60)  # work after the answer, e.g. a background task

    door = Door(slow, clock=clock)
    await door.get()
    assert only(door).duration_ns == 500_000_000
    assert not only(door).stream


@pytest.mark.parametrize(
    ("status", "scope", "route"),
    [
        (200, {"holdfast.route": "/raw/{id}"}, "/raw/{id}"),
        (200, {"path_template": "/litestar/{id}"}, "/litestar/{id}"),
        (404, {}, "unmatched"),
        (200, {}, "unrouted"),
    ],
)
async def test_metrics_know_routes_and_never_paths(status: int, scope: dict[str, str], route: str) -> None:
    door = Door(answers(status=status))
    for number in range(3):
        await door.call("GET", f"/scan/{number}", scope=scope)
    assert door.counted("holdfast_http_request_duration_seconds") == {("GET", route, str(status)): 3}


async def test_an_unknown_method_makes_no_series_of_its_own() -> None:
    door = Door(answers())
    await door.call("BREW")
    assert ("OTHER", "unrouted", "200") in door.counted("holdfast_http_request_duration_seconds")


async def test_facts_and_spans_reach_the_record() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        note(user_kind="새 손님")
        with span("load"):
            pass
        await answers()(scope, receive, send)

    door = Door(app)
    await door.get()
    child, event = door.log.records
    assert isinstance(child, Span)
    assert (child.trace_id, child.parent_id) == (event.trace_id, event.span_id)
    assert event.facts == {"user_kind": "새 손님"}


@pytest.mark.parametrize(("status", "seconds", "kept"), [(200, 0.1, 0), (200, 3.0, 1), (503, 0.1, 1)])
async def test_unsampled_spans_are_kept_for_errors_and_slow_requests(
    status: int, seconds: float, kept: int
) -> None:
    clock = ManualClock()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with span("work"):
            clock.advance(seconds)
        await answers(status=status)(scope, receive, send)

    door = Door(app, clock=clock, config=Config(sample_rate=0.0, slow_request_s=2.0))
    await door.get()
    assert len([record for record in door.log.records if isinstance(record, Span)]) == kept


async def test_an_unhandled_exception_is_a_problem_and_its_cause_is_recorded() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("secret detail")

    door = Door(app)
    response = await door.get()
    document = json.loads(response.body)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status, document["type"]) == (500, "urn:holdfast:problem:internal")
    assert document["request_id"] == response.headers["x-request-id"]
    assert b"secret" not in response.body
    event = only(door)
    assert (event.error_type, event.status) == ("KeyError", 500)
    assert "secret detail" in event.error_stack
    assert door.counted("holdfast_http_unhandled_errors_total") == {("unrouted", "KeyError"): 1}


async def test_a_problem_raised_below_is_an_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise unavailable("the pool is full", 3)

    response = await Door(app).get()
    assert (response.status, response.headers["retry-after"]) == (503, "3")


async def test_an_exception_after_the_answer_began_is_raised_and_recorded() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("cut")

    door = Door(app)
    with pytest.raises(RuntimeError, match="cut"):
        await door.get()
    assert (only(door).ended, only(door).error_type) == ("error", "RuntimeError")


async def test_an_exception_behind_a_sent_500_stands_on_its_record() -> None:
    """Starlette's outermost handler answers and raises again: both belong to one record."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answers(status=500)(scope, receive, send)
        raise RuntimeError("again")

    door = Door(app)
    with pytest.raises(RuntimeError):
        await door.get()
    assert (only(door).status, only(door).error_type) == (500, "RuntimeError")


async def test_an_app_that_gives_no_answer_gets_one() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    assert (await Door(app).get()).status == 500


async def test_a_client_that_leaves_is_seen_by_the_handler_and_recorded() -> None:
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        ctx = current_ctx()
        assert ctx is not None
        seen.append(ctx.has_left)

    door = Door(app)
    response = await door.get(leaves=True)
    assert (seen, response.messages) == ([True], [])
    assert (only(door).ended, only(door).status) == ("client_disconnect", 499)


async def test_a_cancelled_request_is_recorded_and_the_cancellation_passes() -> None:
    waits = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        waits.set()
        await asyncio.Event().wait()

    door = Door(app)
    request = asyncio.create_task(door.get())
    await waits.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert only(door).ended == "cancelled"
    assert door.edge.in_flight == 0


class Panic(BaseException):
    """As panics of extensions in Rust arrive: no Exception."""


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Panic("index out of bounds")])
async def test_what_is_no_exception_and_no_cancellation_is_a_failure_as_well(error: BaseException) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    door = Door(app)
    response = await door.get()
    assert response.status == 500
    event = only(door)
    assert (event.status, event.error_type, event.ended) == (500, type(error).__name__, "")
    assert door.edge.in_flight == 0


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Panic("index out of bounds")])
async def test_a_stream_that_breaks_by_what_is_no_exception_has_failed(error: BaseException) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await streams(b"data: 1\n\n", b"data: 2\n\n", before=broken)(scope, receive, send)

    async def broken() -> None:
        raise error

    door = Door(app)
    with pytest.raises(type(error)):
        await door.get("/events")
    assert (only(door).error_type, only(door).ended) == (type(error).__name__, "error")


async def test_streams_stay_out_of_the_latency_histogram() -> None:
    clock = ManualClock()

    async def tick() -> None:
        clock.advance(600)

    door = Door(streams(b"data: 1\n\n", b"data: 2\n\n", before=tick), clock=clock)
    await door.get("/events")
    event = only(door)
    assert (event.stream, event.duration_ns, event.first_byte_ns) == (True, 1200 * 10**9, 600 * 10**9)
    assert door.counted("holdfast_http_request_duration_seconds") == {}
    assert door.counted("holdfast_http_stream_duration_seconds") == {("unrouted",): 1}
    assert door.counted("holdfast_http_streams_ended_total") == {("unrouted", "complete"): 1}
    assert door.counted("holdfast_http_stream_sent_bytes_total") == {("unrouted",): 18}
    assert not door.edge.streams.open


async def test_a_chunked_answer_is_a_stream_unless_its_length_was_announced() -> None:
    door = Door(streams(b"a", b"b", kind="text/csv"))
    await door.get()
    assert only(door).stream


async def test_open_streams_are_told_at_a_stop_and_cut_when_they_do_not_listen() -> None:
    opened, told = asyncio.Event(), asyncio.Event()

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        opened.set()
        ctx = current_ctx()
        assert ctx is not None
        await ctx.gone.wait()
        told.set()
        await asyncio.Event().wait()  # and still does not end

    door = Door(listens)
    request = asyncio.create_task(door.get())
    await opened.wait()
    door.edge.streams.tell()
    await told.wait()
    assert door.edge.streams.cut() == 1
    response = await request
    assert response.messages[-1] == {"type": "http.response.body", "body": b""}
    assert only(door).ended == "shutdown"


async def test_answers_are_compressed_when_asked_for() -> None:
    body = json.dumps(["안녕하세요"] * 200, ensure_ascii=False).encode()
    door = Door(answers(body, headers=[(b"etag", b'"v1"')]))
    response = await door.get(headers=[("Accept-Encoding", "gzip")])
    assert zlib.decompress(response.body, 31) == body
    assert response.headers["content-length"] == str(len(response.body))
    assert (response.headers["vary"], response.headers["etag"]) == ("Accept-Encoding", 'W/"v1"')
    assert only(door).response_bytes == len(response.body)


async def test_event_streams_are_never_held_back() -> None:
    started = asyncio.Event()
    gate = asyncio.Event()

    async def wait() -> None:
        started.set()
        await gate.wait()

    door = Door(streams(b"data: 1\n\n", before=wait))
    request = asyncio.create_task(door.get(headers=[("Accept-Encoding", "gzip, br, zstd")]))
    await started.wait()
    # The start is out before the first chunk exists; only then may the chunk come.
    gate.set()
    response = await request
    assert response.body == b"data: 1\n\n"
    assert "content-encoding" not in response.headers


class OneDoor:
    """An admission that lets one request in."""

    def __init__(self) -> None:
        self.let_in = 0
        self.released = 0

    def admit(self, scope: Any, ctx: Ctx) -> Unavailable | None:
        self.let_in += 1
        if self.let_in > 1:
            return unavailable("full", 1)
        ctx.admitted = self
        ctx.headers = [(b"x-places", b"1")]
        return None

    def release(self, ctx: Ctx) -> None:
        assert ctx.admitted is self
        self.released += 1


class SlowDoor(OneDoor):
    """The same, but it has to wait before it knows."""

    async def admit(self, scope: Any, ctx: Ctx) -> Unavailable | None:  # type: ignore[override] # both are allowed
        await asyncio.sleep(0)
        return super().admit(scope, ctx)


@pytest.mark.parametrize("kind", [OneDoor, SlowDoor])
async def test_admission_stands_before_the_app_and_gets_back_what_it_let_in(kind: type[OneDoor]) -> None:
    gate = kind()
    served: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope["path"])
        await answers()(scope, receive, send)

    door = Door(app, admission=gate)
    first, second = await door.get("/1"), await door.get("/2")
    assert (first.status, second.status) == (200, 503)
    assert (first.headers["x-places"], "x-places" in second.headers) == ("1", False)
    assert (served, gate.released) == (["/1"], 1)
    assert len(door.log.records) == 2


class Half:
    """An Assignment that gives everybody the same, and remembers whom it was asked for."""

    assigns = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []

    def binds(self) -> bool:
        return True

    def assign(self, scope: Any, ctx: Ctx) -> None:
        self.asked.append((scope["path"], ctx.event.user_id, ctx.admitted))
        ctx.variants = {"rank": "treatment"}
        ctx.event.variant = "rank=treatment"
        ctx.headers = [*(ctx.headers or ()), (b"x-variant", b"rank=treatment")]


@pytest.mark.parametrize("kind", [OneDoor, SlowDoor])
async def test_assignment_comes_after_identity_and_admission_and_before_the_app(kind: type[OneDoor]) -> None:
    half, seen = Half(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx = current_ctx()
        assert ctx is not None
        seen.append(ctx.variants)
        await answers()(scope, receive, send)

    identities = Identities(IdentityConfig(), wall=lambda: 0.0, development=True)
    door = Door(app, assignment=half, admission=kind(), identities=identities)
    response = await door.get("/farms", headers=[("X-User-ID", "지민")])
    assert half.asked == [("/farms", "지민", half.asked[0][2])]
    assert half.asked[0][2] is not None
    assert seen == [{"rank": "treatment"}]
    assert (response.headers["x-variant"], response.headers["x-places"]) == ("rank=treatment", "1")
    assert only(door).variant == "rank=treatment"


async def test_who_is_refused_is_assigned_nothing() -> None:
    half = Half()
    identities = Identities(IdentityConfig(), wall=lambda: 0.0, development=True)
    door = Door(answers(), assignment=half, admission=OneDoor(), identities=identities)
    await door.get("/in")
    full = await door.get("/full")
    unknown = await door.get(headers=[("X-User-ID", "a"), ("X-User-ID", "b")])
    assert (full.status, unknown.status) == (503, 401)
    assert [path for path, _, _ in half.asked] == ["/in"]
    assert "x-variant" not in full.headers
    assert [record.variant for record in door.log.records if isinstance(record, Event)] == [
        "rank=treatment",
        "",
        "",
    ]


async def test_a_caller_without_credentials_is_assigned_where_nobody_else_is_asked() -> None:
    half = Half()
    door = Door(answers(), assignment=half)
    response = await door.get("/open")
    assert (response.headers["x-variant"], len(half.asked)) == ("rank=treatment", 1)
    half.assigns = False
    assert "x-variant" not in (await door.get("/open")).headers
    assert len(half.asked) == 1


async def test_identity_is_on_the_record_and_a_bad_one_is_refused() -> None:
    identities = Identities(IdentityConfig(), wall=lambda: 0.0, development=True)
    door = Door(answers(), identities=identities)
    await door.get(headers=[("X-User-ID", "지민")])
    await door.get(headers=[("X-User-ID", "a"), ("X-User-ID", "b")])
    first, second = door.log.records
    assert (first.user_id, second.user_id) == ("지민", "")
    assert isinstance(second, Event)
    assert second.status == 401


async def test_the_first_request_wakes_the_rooms_once() -> None:
    door = Door(answers())
    await door.get()
    await door.get()
    assert door.woken == 1


async def test_the_event_is_there_for_the_app_and_gone_after_it() -> None:
    seen: list[Event | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current_event())
        await answers()(scope, receive, send)

    door = Door(app)
    await door.get()
    assert seen == [only(door)]
    assert current_event() is None


async def test_a_websocket_passes_and_is_recorded_as_a_stream() -> None:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await receive()

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    door = Door(app, assignment=Half())
    await door.edge.websocket(
        {"type": "websocket", "path": "/ws", "headers": [], "client": None}, receive, send
    )
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
    assert (only(door).stream, only(door).ended, only(door).method) == (
        True,
        "client_disconnect",
        "WEBSOCKET",
    )
    assert only(door).variant == "rank=treatment"


@pytest.mark.parametrize(
    ("extensions", "told"),
    [
        ({}, [{"type": "websocket.close", "code": 3000}]),
        ({"websocket.http.response": {}}, 503),
    ],
)
async def test_a_refused_handshake_is_closed_or_answered_with_the_problem(
    extensions: dict[str, Any], told: Any
) -> None:
    gate = OneDoor()
    gate.let_in = 1  # the only place is taken
    half = Half()
    door = Door(answers(), admission=gate, assignment=half)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/ws", "headers": [], "client": None, "extensions": extensions}
    await door.edge.websocket(scope, receive, send)
    event = only(door)
    assert event.ended == "refused"
    assert (event.variant, half.asked) == ("", [])
    if told == 503:
        assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 503)
        assert json.loads(sent[1]["body"])["type"] == "urn:holdfast:problem:unavailable"
    else:
        assert (sent, event.status) == (told, 403)


@pytest.mark.parametrize(
    ("ours_s", "asked", "remaining_s"),
    [
        (0.0, None, None),
        (0.0, "1500", 1.5),
        (10.0, None, 10.0),
        (10.0, "1500", 1.5),
        (1.0, "1500", 1.0),
        (10.0, "soon", 10.0),
    ],
)
async def test_the_deadline_is_ours_or_the_callers_whichever_is_sooner(
    ours_s: float, asked: str | None, remaining_s: float | None
) -> None:
    seen: list[float | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ctx = current_ctx()
        assert ctx is not None
        seen.append(ctx.remaining_s())
        await answers()(scope, receive, send)

    door = Door(app, config=Config(timeout_s=ours_s))
    await door.get(headers=[] if asked is None else [("X-Request-Timeout-Ms", asked)])
    assert seen == [remaining_s]
