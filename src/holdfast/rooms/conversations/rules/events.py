"""Server-sent events of an answer, and where a stream that was cut goes on.

The id of an event is the number of characters of the answer that have been sent with it, so that a stream can
be taken up anywhere: from memory, by another process, or from the database, and no character comes twice.
"""

from typing import Any

import msgspec

from holdfast.kernel.errors import BadInput

MEDIA_TYPE = "text/event-stream; charset=utf-8"
HEARTBEAT = b": still here\n\n"
_END = ".end"

_encode = msgspec.json.Encoder().encode


class Place(msgspec.Struct, frozen=True):
    """How much of an answer a client has: characters, and whether it has seen how it ended."""

    offset: int = 0
    ended: bool = False


def event(name: str, data: Any, at: str = "") -> bytes:
    """One event as it goes out. JSON has no line breaks, so one `data:` line holds it."""
    head = f"id: {at}\nevent: {name}\ndata: " if at else f"event: {name}\ndata: "
    return head.encode() + _encode(data) + b"\n\n"


def id_at(offset: int) -> str:
    """The id of an event after which the client has `offset` characters."""
    return str(offset)


def id_of_end(offset: int) -> str:
    """The id of the last event."""
    return f"{offset}{_END}"


def place_of(last_event_id: str) -> Place:
    """Where a client with this Last-Event-ID stands; raises BadInput for what none of our ids looks like."""
    digits = last_event_id.removesuffix(_END)
    if not last_event_id:
        return Place()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
        raise BadInput(
            f"Last-Event-ID {last_event_id[:40]!r} is no id of this stream",
            hint="send the id of the last event that came, or none to get everything",
        )
    return Place(int(digits), last_event_id.endswith(_END))
