"""The gate: what may be served to whom, now. Every path of the room ends here.

personalised, similar, trending, fallback, exploration: each builds its list as it likes and none reaches a
caller without `Gate.let_through`.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

NEVER_MS = (1 << 62) - 1
"""`expires_ms` of an item that does not expire."""
UNLIMITED = -1
"""`stock` of an item that is not counted."""


class Gate:
    """What one caller may be shown at one moment, as a mask over item numbers."""

    __slots__ = ("_excluded", "allowed", "available")

    def __init__(self, available: NDArray[np.bool_], *excluded: Sequence[int] | NDArray[np.int64]) -> None:
        """available: items that are in stock, not hidden, not expired; excluded: seen, hidden by the user,
        excluded by the caller. Numbers past the end are ignored."""
        self.available = available
        numbers = np.concatenate([np.asarray(items, np.int64) for items in ((), *excluded)])
        self._excluded = numbers[numbers < available.size]
        self.allowed = available.copy()
        self.allowed[self._excluded] = False

    def taken(self) -> NDArray[np.int64]:
        """What others may be shown and this caller not: rising numbers, each once."""
        numbers = np.unique(self._excluded)
        return np.asarray(numbers[self.available[numbers]], np.int64)

    def lets(self, item: int) -> bool:
        return 0 <= item < self.allowed.size and bool(self.allowed[item])

    def let_through(self, picks: Iterable[tuple[int, T]]) -> list[tuple[int, T]]:
        """The picks that may be shown, in order, each item once."""
        found: dict[int, T] = {}
        for item, pick in picks:
            if item not in found and self.lets(item):
                found[item] = pick
        return list(found.items())


def available(
    hidden: NDArray[np.bool_], stock: NDArray[np.int64], expires_ms: NDArray[np.int64], now_ms: int
) -> NDArray[np.bool_]:
    """Which items anybody may be shown at `now_ms`. `stock` -1 is unlimited; `expires_ms` is exclusive."""
    return np.asarray(~hidden & (stock != 0) & (expires_ms > now_ms), np.bool_)


def why_not(hidden: bool, stock: int, expires_ms: int, now_ms: int) -> list[str]:
    """The reasons, in words, why nobody may be shown the item."""
    reasons = []
    if hidden:
        reasons.append("hidden")
    if stock == 0:
        reasons.append("out of stock")
    if expires_ms <= now_ms:
        reasons.append("expired")
    return reasons
