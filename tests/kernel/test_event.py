"""The record's wire form: one line, ECS names, nothing that is at its default; and its context."""

import asyncio

import msgspec
import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import MAX_SPANS, current_event, detached, enter, leave, note, span
from holdfast.kernel.event import AnyRecord, Event, JobRun, LlmCall, LogLine, ProductEvent, Span

FROZEN = {
    Event: "request",
    Span: "span",
    LogLine: "log",
    ProductEvent: "product",
    JobRun: "job",
    LlmCall: "llm",
}


@pytest.mark.parametrize("kind", FROZEN)
def test_every_kind_round_trips_and_is_told_by_its_tag(kind: type) -> None:
    record = kind(timestamp="2026-01-01T00:00:00.000Z", trace_id="a" * 32, facts={"메모": 1})
    line = msgspec.json.encode(record)
    assert msgspec.json.decode(line)["kind"] == FROZEN[kind]
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=AnyRecord) == record


def test_the_names_on_the_wire_are_frozen() -> None:
    names = {kind.__name__: sorted(kind.__struct_encode_fields__) for kind in FROZEN}
    shared = ["@timestamp", "holdfast", "http.request.id", "span.id", "trace.id", "user.id"]
    failure = ["error.message", "error.type"]
    assert names["Event"] == sorted(
        [
            *shared,
            *failure,
            "client.ip",
            "error.stack_trace",
            "event.duration",
            "http.request.method",
            "http.response.body.bytes",
            "http.response.ended",
            "http.response.first_byte",
            "http.response.status_code",
            "http.response.stream",
            "http.route",
            "labels.correlation_id",
            "labels.tier",
            "labels.variant",
            "parent.id",
            "trace.sampled",
            "trace.state",
            "url.path",
        ]
    )
    assert names["LogLine"] == sorted(
        [*shared, *failure, "error.stack_trace", "log.level", "log.logger", "message"]
    )
    assert names["Span"] == sorted([*shared, *failure, "event.duration", "parent.id", "span.name"])
    assert names["ProductEvent"] == sorted([*shared, "event.action"])


def test_defaults_are_not_written() -> None:
    assert msgspec.json.encode(Event(status=200)) == b'{"kind":"request","http.response.status_code":200}'


def test_later_facts_replace_earlier_ones() -> None:
    event = Event()
    event.note(tier="l1", hit=True)
    event.note(tier="l2")
    assert event.facts == {"tier": "l2", "hit": True}


async def test_spans_nest_by_context_and_across_tasks() -> None:
    clock = ManualClock()
    ctx = detached(Event(trace_id="a" * 32, span_id="b" * 16), clock)
    token = enter(ctx)
    with span("outer", rows=3) as outer:
        clock.advance(0.25)

        async def inside() -> None:
            with span("inner"):
                note(seen=True)

        await asyncio.create_task(inside())
    leave(token)
    assert ctx.spans is not None
    inner, done = ctx.spans
    assert (inner.name, inner.parent_id) == ("inner", outer.span_id)
    assert (done.parent_id, done.duration_ns, done.facts) == ("b" * 16, 250_000_000, {"rows": 3})
    assert ctx.event.facts == {"seen": True}
    assert current_event() is None


def test_a_failure_is_written_on_its_span_and_passes() -> None:
    ctx = detached(Event())
    token = enter(ctx)
    with pytest.raises(ValueError, match="안 됨"), span("work"):
        raise ValueError("안 됨")
    leave(token)
    assert ctx.spans is not None
    assert (ctx.spans[0].error_type, ctx.spans[0].error_message) == ("ValueError", "안 됨")


def test_a_loop_that_opens_spans_is_bounded_and_counted() -> None:
    ctx = detached(Event())
    token = enter(ctx)
    for _ in range(MAX_SPANS + 5):
        with span("again"):
            pass
    leave(token)
    assert ctx.spans is not None
    assert (len(ctx.spans), ctx.spans_dropped) == (MAX_SPANS, 5)


def test_outside_a_request_nothing_happens() -> None:
    note(lost=True)
    with span("alone") as found:
        found.note(rows=1)
    assert current_event() is None


async def test_whoever_waits_for_the_client_to_leave_is_told() -> None:
    ctx = detached(Event())
    assert not ctx.has_left
    waiting = asyncio.create_task(ctx.gone.wait())
    ctx.leave()
    assert await waiting
    assert ctx.has_left


def test_the_deadline_counts_down_and_stops_at_zero() -> None:
    clock = ManualClock()
    ctx = detached(Event(), clock)
    assert ctx.remaining_s() is None
    ctx.deadline = clock.monotonic() + 2
    clock.advance(0.5)
    assert ctx.remaining_s() == 1.5
    clock.advance(5)
    assert ctx.remaining_s() == 0.0
