"""The `[edge]` settings: what the front door does with every request."""

from typing import Annotated

from msgspec import Meta, Struct


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """How requests are named, sampled and bounded at the door."""

    sample_rate: Annotated[
        float, Meta(ge=0, le=1, description="share of traces whose child spans are kept; errors always are")
    ] = 1.0
    slow_request_s: Annotated[
        float, Meta(gt=0, description="a request slower than this keeps its child spans, sampled or not")
    ] = 2.0
    trust_request_id: Annotated[
        bool, Meta(description="take a valid X-Request-ID from the caller instead of making one")
    ] = True
    max_body_bytes: Annotated[
        int, Meta(ge=1, description="largest request body that our own routes read")
    ] = 16 * 1024 * 1024
    stream_grace_s: Annotated[
        float, Meta(ge=0, description="at a stop, how long open streams have to end by themselves")
    ] = 2.0
    timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            description="seconds a request may take in all: the deadline of every call it makes; 0: none. "
            "A caller may ask for less with X-Request-Timeout-Ms",
        ),
    ] = 0.0
    problem_json: Annotated[
        bool, Meta(description="answer the app's unhandled exceptions as application/problem+json")
    ] = True
    record_path: Annotated[
        bool, Meta(description="write the request's path on the record, beside its route")
    ] = True
    record_client_ip: Annotated[bool, Meta(description="write the client's address on the record")] = True
