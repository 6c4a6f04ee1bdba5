"""Scripts of refusals, lasting or for a while."""

from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import partial

from holdfast.rooms.faults.rules.asks import ANTHROPIC
from holdfast.rooms.faults.rules.errors import error_body
from holdfast.rooms.faults.rules.replies import error_reply
from holdfast.rooms.faults.rules.scripts.steps import End, Scene, Script, Write, healthy

Hints = Iterable[tuple[str, str]]


def refuse(status: int, scene: Scene, hints: Callable[[Scene], Hints] = lambda scene: ()) -> Script:
    """An error of `status` in the shape of the dialect."""
    yield error_reply(status, error_body(scene.dialect, status), hints(scene))


def _seconds(scene: Scene) -> Hints:
    seconds = scene.fault.value
    return (("retry-after", str(int(seconds)) if seconds.is_integer() else str(seconds)),)


def _milliseconds(scene: Scene) -> Hints:
    return (("retry-after-ms", f"{scene.fault.value:.0f}"),)


def _date(scene: Scene) -> Hints:
    # An HTTP date has whole seconds: rounded up, so that whoever obeys it is never early.
    now_s = scene.turn.wall_s
    then_s = -int(-(now_s + scene.fault.value) // 1)
    return (("date", formatdate(now_s, usegmt=True)), ("retry-after", formatdate(then_s, usegmt=True)))


def status(scene: Scene) -> Script:
    """The status that the fault names."""
    yield from refuse(scene.fault.count, scene)


def context_length(scene: Scene) -> Script:
    """The prompt does not fit, as each dialect says it."""
    text = (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in more tokens."
    )
    if scene.dialect == ANTHROPIC:
        text = "prompt is too long: 208310 tokens > 200000 maximum"
    members = {"code": "context_length_exceeded", "kind": "invalid_request_error", "param": "messages"}
    yield error_reply(400, error_body(scene.dialect, 400, text, **members))


def filtered(scene: Scene) -> Script:
    """The prompt is refused."""
    text = "The prompt triggered the content management policy. Please modify it and retry."
    members = {"code": "content_filter", "kind": "invalid_request_error", "param": "prompt"}
    yield error_reply(400, error_body(scene.dialect, 400, text, **members))


def quota(scene: Scene) -> Script:
    """No money left."""
    text = "You exceeded your current quota, please check your plan and billing details."
    members = {"code": "insufficient_quota", "kind": "insufficient_quota"}
    yield error_reply(429, error_body(scene.dialect, 429, text, **members))


def is_down(scene: Scene) -> bool:
    """Whether a fault that ends by itself still lasts."""
    if scene.fault.in_seconds:
        return scene.turn.since_first_s < scene.fault.value
    return scene.turn.count <= scene.fault.value


def burst(scene: Scene) -> Script:
    """Some 500s, then health."""
    yield from refuse(500, scene) if is_down(scene) else healthy(scene)


def outage(scene: Scene) -> Script:
    """503 while it lasts."""
    yield from refuse(503, scene) if is_down(scene) else healthy(scene)


def outage_reset(scene: Scene) -> Script:
    """Nobody there while it lasts."""
    if is_down(scene):
        yield End.RESET
    else:
        yield from healthy(scene)


def flaky(scene: Scene) -> Script:
    """503 now and then."""
    yield from refuse(503, scene) if scene.turn.draw < scene.fault.value else healthy(scene)


SCRIPTS: dict[str, Write] = {
    **{str(code): partial(refuse, code) for code in (401, 403, 404, 408, 429, 500, 503, 529)},
    "429-retry-after": partial(refuse, 429, hints=_seconds),
    "429-retry-after-ms": partial(refuse, 429, hints=_milliseconds),
    "429-retry-after-date": partial(refuse, 429, hints=_date),
    "429-long": partial(refuse, 429, hints=_seconds),
    "429-quota": quota,
    "status": status,
    "context-length": context_length,
    "content-filter-400": filtered,
    "500-burst": burst,
    "outage": outage,
    "outage-reset": outage_reset,
    "flaky": flaky,
}
