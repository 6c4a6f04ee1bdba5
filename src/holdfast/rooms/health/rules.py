"""What the checks' last answers mean: ready or not, how well, and what of it a stranger may see."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.kernel.codec import cut_bytes, plain
from holdfast.kernel.room import Finding

OK = "ok"
DEGRADED = "degraded"
DOWN = "down"
UNKNOWN = "unknown"
STARTING = "starting"
STOPPING = "stopping"

ANSWERS = frozenset({OK, DEGRADED, DOWN})
"""What a probe may say of itself."""
MAX_TEXT_BYTES = 500
STARS = "***"

_MAX_READ = 4096
_USERINFO = re.compile(r"(?<=://)[^\s'\"]*@")
_CREDENTIAL = r"(?:passw(?:or)?d|passwd|pwd|secret|token(?!s)|api[_-]?key|credential|private[_-]?key)[\w.-]*"
_ASSIGNED = re.compile(rf"(?i)({_CREDENTIAL}['\"]?\s*[=:]\s*|\bbearer\s+)('[^']*'|\"[^\"]*\"|[^\s&,;'\"]+)")
_SECRET_KEY = re.compile(rf"(?i){_CREDENTIAL}|authorization|^dsn$|cookie")


class Last(msgspec.Struct, frozen=True):
    """The last answer of one check; `at` is on the monotonic clock."""

    finding: Finding
    at: float
    duration_s: float


class Watched(msgspec.Struct, frozen=True):
    """One check as the engine holds it at one instant."""

    name: str
    interval_s: float
    required: bool = False
    engine: bool = False
    last: Last | None = None
    running_since: float | None = None
    """When the probe that has not come back was started, on the monotonic clock."""


class State(msgspec.Struct, frozen=True):
    """One check as it is shown."""

    name: str
    status: str
    required: bool = False
    engine: bool = False
    detail: str = ""
    age_s: float | None = None
    """Seconds since the last answer; null before the first."""
    duration_s: float | None = None
    """Seconds that the last answer took."""
    running_s: float | None = None
    """Seconds that a probe has been under way now; null between two."""
    facts: dict[str, Any] = {}


class Readiness(msgspec.Struct, frozen=True):
    """Whether traffic may come, and why not."""

    status: str
    ready: bool
    reasons: list[str]


def assess(watched: Watched, now: float, stale_after: float) -> State:
    """The check as it stands at `now`; an answer older than `stale_after` intervals is degraded at best."""
    running_s = None if watched.running_since is None else now - watched.running_since
    last = watched.last
    if last is None:
        return State(
            watched.name,
            UNKNOWN,
            watched.required,
            watched.engine,
            detail="has not answered yet",
            running_s=_rounded(running_s),
        )
    status, detail = last.finding.status, last.finding.detail
    age_s = now - last.at
    if age_s > stale_after * watched.interval_s and status == OK:
        status = DEGRADED
        detail = f"the last answer is {age_s:.1f} s old" + (f": {detail}" if detail else "")
    return State(
        watched.name,
        status,
        watched.required,
        watched.engine,
        detail=masked(detail),
        age_s=_rounded(age_s),
        duration_s=_rounded(last.duration_s),
        running_s=_rounded(running_s),
        facts=masked(last.finding.facts),
    )


def readiness(states: Iterable[State], *, stopping: bool) -> Readiness:
    """Ready when every required check has answered and none of them is down, and no stop has begun."""
    if stopping:
        return Readiness(STOPPING, False, ["the server is stopping"])
    required = [state for state in states if state.required]
    down = [
        f"{state.name} is down: {state.detail}".rstrip(": ") for state in required if state.status == DOWN
    ]
    waiting = [f"{state.name} has not answered yet" for state in required if state.status == UNKNOWN]
    if down or waiting:
        return Readiness(DOWN if down else STARTING, False, down + waiting)
    return Readiness("ready", True, [])


def overall(states: Sequence[State], *, stopping: bool) -> str:
    """One word for all: stopping, down, starting, degraded or ok, the first that holds."""
    verdict = readiness(states, stopping=stopping)
    if not verdict.ready:
        return verdict.status
    return worst(states)


def worst(states: Iterable[State]) -> str:
    """`ok` when every check is, `degraded` when any is not; an optional check that is down degrades."""
    return OK if all(state.status == OK for state in states) else DEGRADED


def pause_s(interval_s: float, jitter: float, chance: float) -> float:
    """The wait before the next run: the interval, spread by ± `jitter` of it; `chance` is in [0, 1)."""
    return interval_s * (1 + jitter * (2 * chance - 1))


def masked(value: Any) -> Any:
    """`value` as JSON can hold it, with what looks like a credential replaced by stars."""
    return _mask(plain(dict(value) if isinstance(value, Mapping) else value), secret=False)


def _mask(value: Any, *, secret: bool) -> Any:
    if isinstance(value, str):
        return STARS if secret and value else masked_text(value)
    if isinstance(value, dict):
        return {
            key: _mask(item, secret=secret or bool(_SECRET_KEY.search(key))) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_mask(item, secret=secret) for item in value]
    return value


def masked_text(text: str) -> str:
    """`text` as one short piece without the user part of URLs and what follows `password=` and its like.

    >>> masked_text("postgresql://app:s3cret@db:5432/shop refused")
    'postgresql://***@db:5432/shop refused'
    """
    without_users = _USERINFO.sub(f"{STARS}@", text[:_MAX_READ])
    return cut_bytes(_ASSIGNED.sub(rf"\g<1>{STARS}", without_users), MAX_TEXT_BYTES)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
