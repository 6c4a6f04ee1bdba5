"""What a broker is told of, and what it is told again because it has lost it.

The broker keeps a *window* of each queue, about half a second of work, and the ledger the rest: so priority
and turns among tenants are decided when a job is told of, one that a dead worker leaves is soon with the
next, an emptied broker has lost a window and not a hundred thousand, and nothing is told again just because
the queue is long.
"""

import math
from collections.abc import Sequence

import msgspec

WINDOW = 1_000
"""Jobs of one queue that the broker holds at most, and a worker's few beside it."""
LEAST = 32
"""So many it may hold however slowly they are taken."""
AHEAD_S = 0.5
"""Work that lies with the broker, in seconds: what comes first now waits for no more than that."""
SETTLE_MS = 5_000
"""A message may be on its way for so long, or with a worker that has not claimed its job yet."""
LONGEST_MS = 600_000


class Told(msgspec.Struct, frozen=True):
    """A job that the broker was told of and nobody has claimed."""

    id: str
    name: str
    queue: str
    fence: int
    told_ms: int = 0
    """When last; 0: never."""
    times: int = 0
    """How often since it became ready."""


def resized(window: int, outstanding: int, taken: int, passed_s: float, most: int = WINDOW) -> int:
    """The next window of a queue: workers took `taken` jobs in `passed_s` seconds and left `outstanding`.

    As much as they take in AHEAD_S. Where little of a full window is left they may have waited for more: then
    twice as much. One that was not full says nothing of how fast they are.
    """
    held = outstanding + taken
    if held == 0:
        return min(LEAST, most)
    if held < window:
        return window
    if 4 * outstanding <= window:
        return min(2 * window, most)
    return min(max(LEAST, math.ceil(AHEAD_S * taken / passed_s)), most)


def room(outstanding: int, window: int) -> int:
    """How many more jobs of a queue the broker may be told of."""
    return max(0, window - outstanding)


def again_ms(told_ms: int, times: int) -> int:
    """When a job may be told of again: 5 s after the first time, then twice as long each, 10 min at most.

    A message that is with a busy worker looks lost; so it is doubled a few times, not every few seconds. What
    comes twice is dropped by whoever cannot claim its job.
    """
    return told_ms + min(SETTLE_MS << min(max(times, 1) - 1, 16), LONGEST_MS)


def to_repeat(told: Sequence[Told], depth: int | None, now_ms: int) -> list[Told]:
    """What to tell again of a queue that holds `depth` messages; None: the broker does not say.

    Messages leave in the order in which they came, so what is missing is the oldest. `depth` may count
    messages whose jobs have ended: then less is repeated now and the rest when those have been dropped.
    """
    if depth is None:
        return []
    missing = len(told) - depth
    if missing <= 0:
        return []
    oldest = sorted(told, key=lambda each: (each.told_ms, each.id))[:missing]
    # A stamp of the future: the clock has stepped back. Once too often is better than an hour late.
    return [each for each in oldest if each.told_ms > now_ms or again_ms(each.told_ms, each.times) <= now_ms]
