"""What the store of budgets must still be told: settlements in order, and sums of what went without it."""

from collections import deque
from collections.abc import Callable, Sequence

from holdfast.rooms.llm.rules.settling import Settlement, Use

_MOST = 20_000
_AT_ONCE = 100


class Owed:
    """Bounded in number: beyond `most` settlements the oldest become sums, one a count and period.

    A sum forgets which reservations it came from, so that those end with their lease instead.
    """

    def __init__(self, new_id: Callable[[], str], most: int = _MOST) -> None:
        self._new_id = new_id
        self._most = most
        self._queue: deque[Settlement] = deque()
        self._sums: dict[tuple[str, int], Use] = {}
        self._under_way: list[Settlement] = []

    def __len__(self) -> int:
        return len(self._under_way) + len(self._queue) + len(self._sums)

    def tell(self, settlement: Settlement) -> None:
        """A settlement of a reservation that the store may know."""
        self._queue.append(settlement)
        while len(self._queue) > self._most:
            for use in self._queue.popleft().uses:
                self.add(use)

    def add(self, use: Use) -> None:
        """Something spent without the store."""
        place = (use.limit.key, use.mark)
        known = self._sums.get(place)
        self._sums[place] = Use(
            use.limit, use.mark, 0, use.actual + (known.actual if known else 0), use.ends_in_s
        )

    def batch(self) -> Sequence[Settlement]:
        """The next to tell. They stay until `told`, under the same ids, so that telling twice is harmless."""
        if not self._under_way:
            self._under_way = [self._queue.popleft() for _ in range(min(_AT_ONCE, len(self._queue)))]
        if not self._under_way and self._sums:
            places = list(self._sums)[:_AT_ONCE]
            # One each: a sum that the store refuses takes no other with it.
            self._under_way = [Settlement(self._new_id(), (self._sums.pop(place),)) for place in places]
        return self._under_way

    def told(self) -> None:
        """The batch has been told."""
        self._under_way = []
