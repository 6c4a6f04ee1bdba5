"""Scripts of answers that come late, in drops, or never."""

from holdfast.rooms.faults.rules.replies import (
    LAST_CHUNK,
    LEAD,
    SSE,
    chunk,
    ending,
    framed,
    head,
    reply_head,
    whole,
)
from holdfast.rooms.faults.rules.scripts.cut import contents_before
from holdfast.rooms.faults.rules.scripts.steps import End, Pause, Scene, Script, Write, body, healthy

DROP = 16
"""Bytes at a time of the slow drip."""
COMMENT = b": keep-alive\n\n"


def slow_headers(scene: Scene) -> Script:
    """Late from the first byte on."""
    yield Pause(scene.fault.value)
    yield from healthy(scene)


def silent(scene: Scene) -> Script:
    """Never a byte."""
    yield End.SILENCE


def silent_after_headers(scene: Scene) -> Script:
    """A head that promises a body."""
    yield reply_head(scene.reply)
    yield End.SILENCE


def slow_first_token(scene: Scene) -> Script:
    """The head at once, the body late."""
    yield reply_head(scene.reply)
    yield Pause(scene.fault.value)
    yield from body(scene)


def role_only_first(scene: Scene) -> Script:
    """What comes before the content at once, the content late."""
    yield reply_head(scene.reply)
    waiting = True
    for part in scene.reply.parts:
        if waiting and part.kind != LEAD:
            yield Pause(scene.fault.value)
            waiting = False
        yield framed(scene.reply, part.data)
    yield ending(scene.reply)


def stall(scene: Scene) -> Script:
    """Some content, then silence."""
    yield from contents_before(scene, scene.fault.count)
    yield End.SILENCE


def drip(scene: Scene) -> Script:
    """Head and body, a few bytes at a time; characters and chunks are cut in their middle."""
    response = whole(scene.reply)
    for at in range(0, len(response), DROP):
        if at:
            yield Pause(scene.fault.value)
        yield response[at : at + DROP]


def paced(scene: Scene) -> Script:
    """Healthy, with the time that a model takes between its tokens."""
    yield reply_head(scene.reply)
    for part in scene.reply.parts:
        yield Pause(scene.fault.value)
        yield framed(scene.reply, part.data)
    yield ending(scene.reply)


def keepalive(scene: Scene) -> Script:
    """Comments between events; blank lines before a body in one, as some providers send while they think."""
    if scene.reply.stream:
        yield reply_head(scene.reply)
        for part in scene.reply.parts:
            yield chunk(COMMENT)
            yield Pause(scene.fault.value)
            yield chunk(part.data)
        yield ending(scene.reply)
        return
    yield head(200, scene.reply.content_type, None)
    for _ in scene.reply.parts:
        yield chunk(b"\n")
        yield Pause(scene.fault.value)
    for part in scene.reply.parts:
        yield chunk(part.data)
    yield LAST_CHUNK


def crlf(scene: Scene) -> Script:
    """The same events with CR LF and without the blank behind the colon; both are allowed."""
    if not scene.reply.stream:
        yield from healthy(scene)
        return
    yield head(200, SSE, None)
    for part in scene.reply.parts:
        yield chunk(
            part.data.replace(b"data: ", b"data:").replace(b"event: ", b"event:").replace(b"\n", b"\r\n")
        )
    yield ending(scene.reply)


SCRIPTS: dict[str, Write] = {
    "slow-headers": slow_headers,
    "silent": silent,
    "silent-after-headers": silent_after_headers,
    "slow-first-token": slow_first_token,
    "role-only-first": role_only_first,
    "stall-mid-stream": stall,
    "slow-drip": drip,
    "paced": paced,
    "keepalive-comments": keepalive,
    "crlf-sse": crlf,
}
