"""Scripts of answers that are broken off."""

from holdfast.rooms.faults.rules.replies import (
    CONTENT,
    DONE,
    FINISH,
    LEAD,
    USAGE,
    ending,
    framed,
    reply_head,
    whole,
)
from holdfast.rooms.faults.rules.scripts.steps import End, Scene, Script, Write, healthy


def contents_before(scene: Scene, count: int) -> Script:
    """Head, lead and `count` parts of content: all of them but the last at most, and never the finish."""
    parts = scene.reply.parts
    left = min(count, sum(part.kind == CONTENT for part in parts) - 1)
    yield reply_head(scene.reply)
    for part in parts:
        if part.kind == CONTENT:
            left -= 1
        if left < 0 or part.kind not in (LEAD, CONTENT):
            return
        yield framed(scene.reply, part.data)


def cut(scene: Scene) -> Script:
    """Some content, then the connection is closed: no last chunk, fewer bytes than announced."""
    yield from contents_before(scene, scene.fault.count)
    yield End.CLOSE


def reset(scene: Scene) -> Script:
    """Reset before the first byte."""
    yield End.RESET


def reset_mid_body(scene: Scene) -> Script:
    """Half the bytes of the body, then a reset."""
    opened = reply_head(scene.reply)
    rest = whole(scene.reply)[len(opened) :]
    yield opened
    yield rest[: len(rest) // 2]
    yield End.RESET


def no_done(scene: Scene) -> Script:
    """All of the stream but its end mark."""
    yield from _without(scene, frozenset({DONE}))


def no_finish(scene: Scene) -> Script:
    """The content, and then the stream ends as if it were complete."""
    yield from _without(scene, frozenset({FINISH, USAGE, DONE}))


def _without(scene: Scene, left_out: frozenset[str]) -> Script:
    if not scene.reply.stream:
        yield from healthy(scene)
        return
    yield reply_head(scene.reply)
    for part in scene.reply.parts:
        if part.kind not in left_out:
            yield framed(scene.reply, part.data)
    yield ending(scene.reply)


SCRIPTS: dict[str, Write] = {
    "cut-mid-stream": cut,
    "reset": reset,
    "reset-mid-body": reset_mid_body,
    "no-done": no_done,
    "no-finish": no_finish,
}
