"""What a piece of feedback is worth, when it happened, and which two pieces are the same one."""

import math
import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType

from holdfast.rooms.recommend.rules.problems import BadEvent

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"view": 1.0, "click": 2.0, "cart": 3.0, "like": 4.0, "purchase": 5.0, "hide": 0.0, "dislike": 0.0}
)
"""What one event says about liking, on a scale where 5 is the clearest yes; `rating` brings its own value."""

HIDING = frozenset({"hide", "dislike"})
"""After one of these the item is never served to this user again, whatever else they did with it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_ID_BYTES = 256
MAX_WEIGHT = 100.0


def check_id(what: str, value: str) -> str:
    """`value`, when it can name a user or an item: 1 to 256 bytes of UTF-8 without control characters."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadEvent(f"the {what} is not valid text", hint="send UTF-8") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise BadEvent(f"the {what} has {size} bytes, not 1 to {MAX_ID_BYTES}", hint=f"give a {what}")
    if not value.isprintable() and _CONTROL.search(value):
        raise BadEvent(f"the {what} holds a control character", hint="remove it")
    return value


def weight_of(
    kind: str, value: float | None = None, *, rating_scale: float = 5.0, min_rating: float | None = None
) -> float:
    """How much the event counts towards liking the item, 0 (seen, not liked) to 100.

    A rating counts from the middle of its scale upwards: 5 of 5 is 5.0, 3 of 5 is 1.0, 2 of 5 is 0. With
    `min_rating` it is all or nothing, as the public benchmarks do: 4 of 5 is 5.0, 3 is 0.
    Other kinds take the table's weight, or `value` when it is given (a dwell time, a quantity).
    """
    if value is not None and not math.isfinite(value):
        raise BadEvent(f"{value} is not a number to learn from", hint="send a finite value")
    if kind == "rating":
        if value is None:
            raise BadEvent("a rating needs its value", hint='send "value", e.g. 4.5')
        if min_rating is not None:
            return 5.0 if value >= min_rating else 0.0
        return min(5.0, max(0.0, 10.0 * (value / rating_scale - 0.5)))
    if kind not in WEIGHTS:
        known = ", ".join(sorted([*WEIGHTS, "rating"]))
        raise BadEvent(f"unknown event type {kind!r}", hint=f"send one of {known}")
    if value is None or kind in HIDING:
        return WEIGHTS[kind]
    if not 0 <= value <= MAX_WEIGHT:
        raise BadEvent(f"a weight of {value:g} is out of range", hint=f"send 0 to {MAX_WEIGHT:g}")
    return value


def clamp_ms(at_ms: int | None, now_ms: int) -> int:
    """When the event counts as having happened: never in the future, or it would stay the newest for ever."""
    return now_ms if at_ms is None else max(0, min(at_ms, now_ms))


def event_id(*parts: object) -> str:
    """24 hex digits that are the same for the same parts, in every process and on every day."""
    text = "\x1f".join("" if part is None else str(part) for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
