"""Server-sent events of a job, and where a stream that was cut goes on."""

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.kernel.errors import BadInput
from holdfast.rooms.jobs.rules.states import CANCELLED, FAILED, SUCCEEDED, status_of

MEDIA_TYPE = "text/event-stream; charset=utf-8"
HEARTBEAT = b": still here\n\n"
FAREWELL = b'event: stopping\ndata: {"hint":"reconnect with Last-Event-ID"}\n\n'
"""Sent when the server stops. It has no id: whoever comes back goes on behind the last event that had one."""
RECONNECT = b"retry: 1000\n\n"
"""How long a browser waits before it comes back, in milliseconds; without it some wait for seconds."""

_encode = msgspec.json.Encoder().encode
_STATUS = {
    "queued": "PENDING",
    **{state: status_of(state) for state in (SUCCEEDED, FAILED, CANCELLED)},
    "replayed": "PENDING",
}


def line(seq: int, kind: str, at_ms: int, data: Mapping[str, Any]) -> bytes:
    """One event as it goes out: the id is its number, the name its kind. JSON has no line breaks."""
    told = {**data, "seq": seq, "kind": kind, "at_ms": at_ms, "status": _STATUS.get(kind, "PROGRESS")}
    return f"id: {seq}\nevent: {kind}\ndata: ".encode() + _encode(told) + b"\n\n"


def seq_of(last_event_id: str) -> int:
    """The number that a client has seen last; 0 for none. Raises BadInput for what is no id of ours."""
    text = last_event_id.strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadInput(
            f"Last-Event-ID {text[:40]!r} is no id of this stream",
            hint="send the id of the last event that came, or none to get everything",
        )
    return int(text)
