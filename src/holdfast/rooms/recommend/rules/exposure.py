"""How often each item was shown lately, counted by the people it was shown to.

A loop that shows what is popular because it was shown makes everybody's list the same. The share of an
item is the share of the last distinct users whose newest answer held it, so that one person who
reloads a page changes nothing.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Exposure:
    """The newest answer of each of the last `window` users, and how many of them held each item."""

    def __init__(self, window: int, cap: float, min_users: int = 20) -> None:
        self._window = window
        self._cap = cap
        self._min_users = min_users
        self._answers: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._counts = np.zeros(0, np.int32)

    def note(self, user: str, items: Sequence[int]) -> None:
        """Remember what `user` was shown; the user's earlier answer is forgotten."""
        self._forget(self._answers.pop(user, ()))
        shown = tuple(dict.fromkeys(items))
        if shown and max(shown) >= self._counts.size:
            self._counts = np.concatenate([self._counts, np.zeros(max(shown) + 1024, np.int32)])
        for item in shown:
            self._counts[item] += 1
        self._answers[user] = shown
        while len(self._answers) > self._window:
            self._forget(self._answers.popitem(last=False)[1])

    def _forget(self, items: Sequence[int]) -> None:
        for item in items:
            self._counts[item] -= 1

    def share(self, item: int) -> float:
        """The share of the remembered users whose answer held `item`, 0..1."""
        if not self._answers or item >= self._counts.size:
            return 0.0
        return float(self._counts[item]) / len(self._answers)

    def worn(self, user: str, items: NDArray[np.int64], answer_size: int, choice: int) -> NDArray[np.bool_]:
        """Which of `items` may not be shown to one more user without passing the cap.

        The cap gives way where it cannot be kept: when `choice` items are all there is to fill answers of
        `answer_size`, even a perfectly even spread shows each to answer_size / choice of the users.
        """
        earlier = self._answers.get(user)
        users = len(self._answers) + (earlier is None)
        if users < self._min_users:
            return np.zeros(items.size, np.bool_)
        cap = max(self._cap, min(1.0, 1.5 * answer_size / max(1, choice)))
        known = items < self._counts.size
        counts = np.zeros(items.size, np.int64)
        counts[known] = self._counts[items[known]]
        if earlier:
            counts -= np.isin(items, earlier)
        return (counts + 1) > max(1.0, cap * users)
