"""An answer as it goes over the wire: a head, and parts that a fault may cut between."""

import functools
from collections.abc import Iterable, Sequence
from http import HTTPStatus

import msgspec

JSON, SSE, HTML, PLAIN = "application/json", "text/event-stream; charset=utf-8", "text/html", "text/plain"
LEAD, CONTENT, FINISH, USAGE, DONE = "lead", "content", "finish", "usage", "done"
"""What a part is: the first chunk with the role, content, the reason to stop, the usage, the end mark."""
LAST_CHUNK = b"0\r\n\r\n"
_PARTS = 8
"""Pieces that a body in one is cut into."""


class Part(msgspec.Struct, frozen=True):
    """A piece of a body."""

    kind: str
    data: bytes


class Reply(msgspec.Struct, frozen=True):
    """A whole response."""

    content_type: str
    stream: bool
    """Whether it is events, sent as chunks of no announced length."""
    number: str = ""
    body: bytes = b""
    """What is sent when it is no stream."""
    events: Sequence[Part] = ()
    """What is sent when it is one."""

    @property
    def parts(self) -> Sequence[Part]:
        """The events; or the body in pieces, so that a fault of streams has places to strike."""
        if self.stream:
            return self.events
        step = max(1, -(-len(self.body) // _PARTS))
        return [Part(CONTENT, self.body[at : at + step]) for at in range(0, len(self.body), step)]


def plain_reply(body: bytes, number: str = "") -> Reply:
    """A JSON body in one."""
    return Reply(JSON, stream=False, number=number, body=body)


@functools.cache
def _first_line(status: int) -> str:
    known = {one.value: one.phrase for one in HTTPStatus}
    return f"HTTP/1.1 {status} {known.get(status, 'Overloaded' if status == 529 else 'Unknown')}"


def head(
    status: int,
    content_type: str,
    length: int | None,
    extra: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Status line and headers with the blank line; no length: the body comes in chunks."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [_first_line(status), f"content-type: {content_type}", framing]
    if length is None:
        lines.append("cache-control: no-cache")
    lines += [f"{name}: {value}" for name, value in extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reply_head(reply: Reply, content_type: str | None = None) -> bytes:
    """The head of a reply, possibly with a lie about its type."""
    extra = [("x-request-id", f"req-{reply.number}")] if reply.number else []
    length = None if reply.stream else len(reply.body)
    return head(200, content_type or reply.content_type, length, extra)


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
    if not reply.stream:
        return reply_head(reply) + reply.body
    return b"".join([reply_head(reply), *(chunk(part.data) for part in reply.events), LAST_CHUNK])


def error_reply(status: int, body: bytes, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """An error response in one piece."""
    return head(status, JSON, len(body), extra) + body
