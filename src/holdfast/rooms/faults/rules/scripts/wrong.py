"""Scripts of a status 200 whose body is not what was asked for."""

from collections.abc import Iterable, Iterator

from holdfast.rooms.faults.rules.answers import FILLING
from holdfast.rooms.faults.rules.asks import ANTHROPIC
from holdfast.rooms.faults.rules.chat import event
from holdfast.rooms.faults.rules.errors import error_body, error_object
from holdfast.rooms.faults.rules.messages import typed_event
from holdfast.rooms.faults.rules.replies import (
    CONTENT,
    HTML,
    LAST_CHUNK,
    PLAIN,
    SSE,
    chunk,
    ending,
    error_reply,
    framed,
    head,
    reply_head,
)
from holdfast.rooms.faults.rules.scripts.cut import contents_before
from holdfast.rooms.faults.rules.scripts.steps import Scene, Script, Write, body, healthy

PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head>\n"
    "<body><h1>Checking your browser</h1><p>잠시만 기다려 주십시오.</p></body></html>\n"
).encode()
GARBAGE = b"<<< this line is no event >>>\n\n"
_PIECE = 65_536
_PIECE_IN_STREAM = 1_024


def html(scene: Scene) -> Script:
    """The page of a proxy in between."""
    yield head(200, f"{HTML}; charset=utf-8", len(PAGE)) + PAGE


def empty(scene: Scene) -> Script:
    """Nothing, successfully."""
    yield head(200, scene.reply.content_type, 0)


def error_in_200(scene: Scene) -> Script:
    """An error that calls itself a success."""
    yield error_reply(200, error_body(scene.dialect, 500))


def error_first(scene: Scene) -> Script:
    """An error event and nothing else."""
    if not scene.reply.stream:
        yield from error_in_200(scene)
        return
    yield reply_head(scene.reply)
    yield chunk(_error_event(scene.dialect))
    yield LAST_CHUNK


def error_after(scene: Scene) -> Script:
    """Some content, then an error event, then the stream ends in good order."""
    if not scene.reply.stream:
        yield from error_in_200(scene)
        return
    yield from contents_before(scene, scene.fault.count)
    yield chunk(_error_event(scene.dialect))
    yield LAST_CHUNK


def _error_event(dialect: str) -> bytes:
    error = error_object(dialect, 529)
    return typed_event("error", error) if dialect == ANTHROPIC else event(error)


def wrong_type(scene: Scene) -> Script:
    """The right bytes under the wrong name."""
    yield reply_head(scene.reply, PLAIN)
    yield from body(scene)


def bad_json(scene: Scene) -> Script:
    """A body cut in its middle and announced at that length; in a stream, the second content is cut."""
    reply = scene.reply
    if not reply.stream:
        half = reply.body[: len(reply.body) // 2]
        yield head(200, reply.content_type, len(half)) + half
        return
    yield reply_head(reply)
    contents = 0
    for part in reply.parts:
        contents += part.kind == CONTENT
        broken = part.kind == CONTENT and contents == 2
        yield chunk(part.data[: len(part.data) // 2] + b"\n\n" if broken else part.data)
    yield ending(reply)


def garbage(scene: Scene) -> Script:
    """A line of garbage behind the first content; for a body in one the same as JSON that ends too early."""
    if not scene.reply.stream:
        yield from bad_json(scene)
        return
    yield head(200, SSE, None)
    strewn = False
    for part in scene.reply.parts:
        yield chunk(part.data)
        if part.kind == CONTENT and not strewn:
            yield chunk(GARBAGE)
            strewn = True
    yield ending(scene.reply)


def huge(scene: Scene) -> Script:
    """So many bytes of content where the answer has its mark; made as they are sent, never held."""
    reply, mark = scene.reply, FILLING.encode()
    if reply.stream:
        yield reply_head(reply)
        for part in reply.parts:
            before, found, after = part.data.partition(mark)
            pieces: Iterable[bytes] = _filling(scene.fault.count, _PIECE_IN_STREAM) if found else (b"",)
            for piece in pieces:
                yield chunk(before + piece + after)
        yield ending(reply)
        return
    pieces_of_body = reply.body.split(mark)
    length = sum(map(len, pieces_of_body)) + (len(pieces_of_body) - 1) * scene.fault.count
    yield head(200, reply.content_type, length)
    for at, piece in enumerate(pieces_of_body):
        if at:
            yield from _filling(scene.fault.count, _PIECE)
        yield framed(reply, piece)


def _filling(size: int, step: int) -> Iterator[bytes]:
    for at in range(0, size, step):
        yield b"x" * min(step, size - at)


SCRIPTS: dict[str, Write] = {
    "html-200": html,
    "empty-200": empty,
    "error-200": error_in_200,
    "error-first-in-stream": error_first,
    "error-in-stream": error_after,
    "wrong-content-type": wrong_type,
    "bad-json": bad_json,
    "malformed-sse": garbage,
    "huge": huge,
    # What differs is in the answer itself: see `answers` and `embeddings`.
    **dict.fromkeys(
        (
            "ok",
            "truncated-length",
            "content-filter",
            "wrong-model",
            "no-usage",
            "reasoning",
            "tool-call",
            "echo-headers",
            "bad-dimensions",
            "nan-embedding",
        ),
        healthy,
    ),
}
