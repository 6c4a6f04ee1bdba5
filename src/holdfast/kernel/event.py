"""The record: one wide event per request, and its kin (log line, span, product event, job, LLM call).

All are one struct family, told apart by `kind`, with ECS-compatible field names (Elastic Common
Schema 8), so that the line on disk is what Filebeat, Vector or DuckDB reads without a mapping.
Fields at their default are not written. Facts that rooms add go under `holdfast`.

Shapes: stamps are ISO 8601 UTC with milliseconds; durations are integer nanoseconds, as in ECS.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field


class Record(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="kind", gc=False):
    """What every kind carries: when, and on whose behalf."""

    timestamp: str = field(default="", name="@timestamp")
    trace_id: str = field(default="", name="trace.id")
    span_id: str = field(default="", name="span.id")
    request_id: str = field(default="", name="http.request.id")
    user_id: str = field(default="", name="user.id")
    facts: dict[str, Any] | None = field(default=None, name="holdfast")

    def note(self, **facts: Any) -> None:
        """Write facts on the record; a later fact of the same name replaces the earlier."""
        if self.facts is None:
            self.facts = facts
        else:
            self.facts.update(facts)


class Span(Record, tag="span", kw_only=True, omit_defaults=True, gc=False):
    """A timed part of a request. The root span is the request's own record."""

    name: str = field(default="", name="span.name")
    parent_id: str = field(default="", name="parent.id")
    duration_ns: int = field(default=0, name="event.duration")
    error_type: str = field(default="", name="error.type")
    error_message: str = field(default="", name="error.message")


class Event(Record, tag="request", kw_only=True, omit_defaults=True, gc=False):
    """One request: access-log line, root span, metric sample and analytics event in one."""

    method: str = field(default="", name="http.request.method")
    path: str = field(default="", name="url.path")
    route: str = field(default="", name="http.route")
    status: int = field(default=0, name="http.response.status_code")
    duration_ns: int = field(default=0, name="event.duration")
    response_bytes: int = field(default=0, name="http.response.body.bytes")
    parent_id: str = field(default="", name="parent.id")
    correlation_id: str = field(default="", name="labels.correlation_id")
    client_ip: str = field(default="", name="client.ip")
    sampled: bool = field(default=False, name="trace.sampled")
    variant: str = field(default="", name="labels.variant")
    tier: str = field(default="", name="labels.tier")
    error_type: str = field(default="", name="error.type")
    error_message: str = field(default="", name="error.message")
    error_stack: str = field(default="", name="error.stack_trace")
    ended: str = field(default="", name="http.response.ended")
    """Why a response ended other than whole: `client_disconnect`, `error`, `shutdown`, `incomplete`."""
    stream: bool = field(default=False, name="http.response.stream")
    first_byte_ns: int = field(default=0, name="http.response.first_byte")
    tracestate: str = field(default="", name="trace.state")


class LogLine(Record, tag="log", kw_only=True, omit_defaults=True, gc=False):
    """One call of a logger, tied to its request."""

    level: str = field(default="info", name="log.level")
    logger: str = field(default="", name="log.logger")
    message: str = field(default="")
    error_type: str = field(default="", name="error.type")
    error_message: str = field(default="", name="error.message")
    error_stack: str = field(default="", name="error.stack_trace")


class ProductEvent(Record, tag="product", kw_only=True, omit_defaults=True, gc=False):
    """Something a user did: shown, clicked, bought; the raw material of analytics and experiments."""

    action: str = field(default="", name="event.action")


class JobRun(Record, tag="job", kw_only=True, omit_defaults=True, gc=False):
    """One attempt of one background job."""

    parent_id: str = field(default="", name="parent.id")
    """The span of whoever enqueued it."""
    job: str = field(default="", name="job.name")
    queue: str = field(default="", name="job.queue")
    attempt: int = field(default=0, name="job.attempt")
    outcome: str = field(default="", name="event.outcome")
    duration_ns: int = field(default=0, name="event.duration")
    error_type: str = field(default="", name="error.type")
    error_message: str = field(default="", name="error.message")


class LlmCall(Record, tag="llm", kw_only=True, omit_defaults=True, gc=False):
    """One call of a model, with what it cost."""

    provider: str = field(default="", name="gen_ai.provider.name")
    model: str = field(default="", name="gen_ai.request.model")
    input_tokens: int = field(default=0, name="gen_ai.usage.input_tokens")
    output_tokens: int = field(default=0, name="gen_ai.usage.output_tokens")
    cost: float = field(default=0.0, name="gen_ai.usage.cost")
    duration_ns: int = field(default=0, name="event.duration")
    outcome: str = field(default="", name="event.outcome")
    error_type: str = field(default="", name="error.type")
    error_message: str = field(default="", name="error.message")


AnyRecord = Event | LogLine | Span | ProductEvent | JobRun | LlmCall
