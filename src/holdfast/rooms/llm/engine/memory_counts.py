"""Counts in process memory: exact for one process, and in a few microseconds."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import tzinfo

from holdfast.kernel.clock import Clock
from holdfast.rooms.llm.engine.counting import Held
from holdfast.rooms.llm.rules.counts import EPSILON, Count, Refusal, fits, refusal, settle, turn, worst
from holdfast.rooms.llm.rules.limits import REQUESTS, ROLLING, ROLLING_S, Limit, Windows, period_of


class MemoryCounts:
    """The Counts of one process. Reservations that nobody settles expire after their lease.

    Bounded: `most` counts; beyond that those of periods that are over are forgotten, then the oldest.
    """

    def __init__(self, clock: Clock, zone: tzinfo, *, most: int = 200_000) -> None:
        self._wall = clock.wall
        self._monotonic = clock.monotonic
        self._windows = Windows(zone)
        self._most = most
        self._counts: dict[str, Count] = {}
        self._open: OrderedDict[int, Held] = OrderedDict()
        self._marks: list[float] = [0.0] * 5
        self._minute_ends = 0.0
        self.touched: set[str] | None = None
        """Keys whose use has changed, for whoever keeps a copy; None: nobody does."""
        self.expired = 0
        """Reservations that were given back because nobody settled them."""

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def open(self) -> int:
        """Reservations not settled yet."""
        return len(self._open)

    def reserve(self, limits: Sequence[Limit], tokens: int, cost: int, lease_s: float) -> Held | Refusal:
        """Hold at once, or say which limit has no room; expired reservations are given back before that."""
        marks = self._see()
        asked = (tokens if tokens > 0 else 1, cost, 1)
        counts, amounts, begun = [], [], []
        for limit in limits:
            count = self._counts.get(limit.key)
            if count is None:
                count = self._new(limit)
            mark = marks[limit.period]
            if mark > count.mark:
                turn(count, limit, mark)
            amount = asked[limit.unit]
            # What costs nothing passes a limit on money, however full.
            if amount and count.used + count.held + amount > limit.amount + EPSILON:
                if self.sweep():
                    return self.reserve(limits, tokens, cost, lease_s)
                return self._refusal(limits, asked)
            counts.append(count)
            amounts.append(amount)
            begun.append(count.mark)
        for at, count in enumerate(counts):
            if limits[at].period == ROLLING:
                count.used += amounts[at]
            else:
                count.held += amounts[at]
        held = Held(limits, amounts, begun)
        held.expires = marks[ROLLING] + lease_s
        held.live = True
        self._open[id(held)] = held
        return held

    def settle(self, held: Held, tokens: int, cost: int) -> None:
        """Charge what it came to; one that has expired meanwhile is charged all the same."""
        live = held.live
        if live:
            held.live = False
            del self._open[id(held)]
        spent = (tokens, cost)
        touched = self.touched
        for limit, mark, reserved in zip(held.limits, held.marks, held.amounts):  # noqa: B905 - hot, and one made them
            count = self._counts.get(limit.key)
            if count is None:
                count = self._new(limit)
                count.mark = mark  # forgotten meanwhile: counted for the period in which it was reserved
            # A request was made, whatever became of it.
            actual = reserved if limit.unit == REQUESTS else spent[limit.unit]
            if limit.period == ROLLING:
                count.used = max(0.0, count.used + actual - (reserved if live else 0))
            elif count.mark == mark:
                if live:
                    count.held -= reserved
                count.used += actual
                if touched is not None and actual:
                    touched.add(limit.key)

    def bare(self, limits: Sequence[Limit]) -> Held:
        """A reservation of nothing in the periods that are now."""
        marks = self._see()
        for limit in limits:
            turn(self._counts.get(limit.key) or self._new(limit), limit, marks[limit.period])
        return Held(limits, [0] * len(limits), [self._counts[limit.key].mark for limit in limits])

    def sweep(self) -> int:
        """Give back what is held by reservations whose lease is over; how many there were."""
        now = self._monotonic()
        swept = 0
        # Leases differ little, so the oldest come first; one behind a longer lease waits for it at most.
        while self._open:
            held = next(iter(self._open.values()))
            if held.expires > now:
                break
            self._drop(held)
            swept += 1
        self.expired += swept
        return swept

    def usage(self, limit: Limit) -> tuple[int, int]:
        """(settled, reserved) of this limit's period that is now."""
        count = self._counts.get(limit.key)
        if count is None:
            return 0, 0
        turn(count, limit, self._see()[limit.period])
        return int(count.used), count.held

    def used(self, keys: Sequence[str]) -> list[tuple[str, int, int, int]]:
        """(key, mark, settled, end of the period) of those keys, for a copy of the counts."""
        self._see()
        found = []
        for key in keys:
            count = self._counts.get(key)
            if count is not None:
                period = period_of(key)
                length = self._windows.ends[period] - self._windows.starts[period]
                found.append((key, int(count.mark), int(count.used), int(count.mark) + length))
        return found

    def restore(self, key: str, mark: int, used: int) -> None:
        """Begin with what a copy says was used; only for a key that is not counted yet."""
        if key not in self._counts:
            self._counts[key] = Count(mark, used)

    def clear(self) -> None:
        """Forget every count; open reservations are charged when they are settled."""
        for held in self._open.values():
            held.live = False
        self._open.clear()
        self._counts.clear()

    def ends_in_s(self, period: int) -> float:
        """Seconds until the calendar period that is now is over."""
        return max(0.0, self._windows.ends[period] - self._wall())

    def _see(self) -> list[float]:
        """The mark of each period now."""
        wall, marks = self._wall(), self._marks
        if wall >= self._minute_ends:
            self._windows.see(wall)
            self._minute_ends = self._windows.ends[0]
            marks[:4] = self._windows.starts
        marks[ROLLING] = self._monotonic()
        return marks

    def _new(self, limit: Limit) -> Count:
        if len(self._counts) >= self._most:
            self._forget()
        count = self._counts[limit.key] = Count(self._marks[limit.period])
        return count

    def _drop(self, held: Held) -> None:
        del self._open[id(held)]
        held.live = False
        for limit, mark, amount in zip(held.limits, held.marks, held.amounts, strict=True):
            count = self._counts.get(limit.key)
            if count is not None and limit.period != ROLLING:
                settle(count, limit, mark, amount, 0)

    def _forget(self) -> None:
        """Make room: what is over or empty first, then the oldest tenth."""
        spent = [key for key, count in self._counts.items() if not count.held and self._is_over(key, count)]
        for key in spent or list(self._counts)[: self._most // 10 + 1]:
            del self._counts[key]

    def _is_over(self, key: str, count: Count) -> bool:
        period = period_of(key)
        if period == ROLLING:
            return count.mark + ROLLING_S < self._monotonic()
        return count.mark < self._windows.starts[period] or not count.used

    def _refusal(self, limits: Sequence[Limit], asked: tuple[int, int, int]) -> Refusal:
        found = []
        for limit in limits:
            amount = asked[limit.unit]
            count = self._counts.get(limit.key) or self._new(limit)
            if amount and not fits(count, limit, amount):
                ends_in_s = 0.0 if limit.period == ROLLING else self.ends_in_s(limit.period)
                found.append(refusal(limit, count.used, count.held, amount, ends_in_s))
        return worst(found)
