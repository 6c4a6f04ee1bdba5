"""An answer as it goes over the wire: a head, and parts that a fault may cut between."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

import msgspec

JSON, SSE, HTML, PLAIN = "application/json", "text/event-stream; charset=utf-8", "text/html", "text/plain"
LEAD, CONTENT, FINISH, USAGE, DONE = "lead", "content", "finish", "usage", "done"
"""What a part is: the first chunk with the role, content, the reason to stop, the usage, the end mark."""
LAST_CHUNK = b"0\r\n\r\n"
_PARTS = 8
"""Pieces that a body in one is cut into, so that a fault of streams has places to strike."""


class Part(msgspec.Struct, frozen=True):
    """A piece of a body."""

    kind: str
    data: bytes


class Reply(msgspec.Struct, frozen=True):
    """A whole response."""

    content_type: str
    parts: Sequence[Part]
    stream: bool
    """Whether the parts are events, sent as chunks of no announced length."""
    number: str = ""
    status: int = 200

    @property
    def length(self) -> int:
        return sum(len(part.data) for part in self.parts)


def plain_reply(body: bytes, number: str = "") -> Reply:
    """A JSON body in one, in parts nevertheless."""
    step = max(1, -(-len(body) // _PARTS))
    parts = [Part(CONTENT, body[at : at + step]) for at in range(0, len(body), step)]
    return Reply(JSON, parts, stream=False, number=number)


def head(
    status: int,
    content_type: str,
    length: int | None,
    extra: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Status line and headers with the blank line; no length: the body comes in chunks."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded" if status == 529 else "Unknown"
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [f"HTTP/1.1 {status} {phrase}", f"content-type: {content_type}", framing]
    if length is None:
        lines.append("cache-control: no-cache")
    lines += [f"{name}: {value}" for name, value in extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reply_head(reply: Reply, content_type: str | None = None) -> bytes:
    """The head of a reply, possibly with a lie about its type."""
    extra = [("x-request-id", f"req-{reply.number}")] if reply.number else []
    length = None if reply.stream else reply.length
    return head(reply.status, content_type or reply.content_type, length, extra)


def chunk(data: bytes) -> bytes:
    """One HTTP chunk; an empty one would end the body, so it becomes nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def framed(reply: Reply, data: bytes) -> bytes:
    """A piece of the reply's body as it goes over the wire."""
    return chunk(data) if reply.stream else data


def ending(reply: Reply) -> bytes:
    """What closes the reply's body."""
    return LAST_CHUNK if reply.stream else b""


def whole(reply: Reply) -> bytes:
    """The healthy response in one piece."""
    pieces = [reply_head(reply), *(framed(reply, part.data) for part in reply.parts), ending(reply)]
    return b"".join(pieces)


def error_reply(status: int, body: bytes, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """An error response in one piece."""
    return head(status, JSON, len(body), extra) + body
