"""A copy of the counts in memory, in the database: a restart takes up a day's budget where it stood."""

import logging

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Unavailable
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.store.budgets_sql import SqlCopy

logger = logging.getLogger("holdfast.llm")

Row = tuple[str, int, int, int]
"""(key, mark, used since the last time, end of the period in epoch seconds)."""


class Copying:
    """Adds what was used since the last turn; reads it all at the start.

    A process that is killed loses at most what it used since the last turn. `turn` belongs to a supervisor,
    every second.
    """

    def __init__(self, counts: MemoryCounts, copy: SqlCopy, clock: Clock) -> None:
        self._counts = counts
        self._copy = copy
        self._wall = clock.wall
        self._told: dict[str, tuple[int, int]] = {}
        self.dropped = 0
        """Counts whose use the database refused to take."""
        counts.touched = set()

    async def restore(self) -> int:
        """Take up what was used in periods that are not over; how many counts."""
        rows = await self._copy.read(self._wall())
        for key, mark, used in rows:
            self._counts.restore(key, mark, used)
            self._told[key] = (mark, used)
        return len(rows)

    async def turn(self) -> None:
        """Add what has changed. What cannot be written now is written later."""
        self._counts.sweep()
        assert self._counts.touched is not None
        touched, self._counts.touched = self._counts.touched, set()
        if not touched:
            return
        left: dict[str, tuple[Row, int]] = {}
        for key, mark, used, until_s in self._counts.used(sorted(touched)):
            told_mark, told = self._told.get(key, (mark, 0))
            left[key] = (key, mark, used - told if told_mark == mark else used, until_s), used
        try:
            await self._add(left)
        except Unavailable:
            pass
        finally:
            self._counts.touched |= left.keys()

    async def _add(self, left: dict[str, tuple[Row, int]]) -> None:
        """Write the rows, each with what is used by then; what has been dealt with is taken out of `left`."""
        try:
            await self._copy.add([row for row, _ in left.values()])
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - whichever the database refuses, and why, is found one by one
            for row, used in list(left.values()):
                await self._add_one(row)
                self._has_told(left, row, used)
        else:
            for row, used in list(left.values()):
                self._has_told(left, row, used)

    async def _add_one(self, row: Row) -> None:
        """One that the database refuses (a number beyond 64 bit) must not hold up the rest."""
        try:
            await self._copy.add([row])
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - refused for whatever reason, it would be again
            self.dropped += 1
            logger.warning("the database refused the copy of a budget's count: %s", error)

    def _has_told(self, left: dict[str, tuple[Row, int]], row: Row, used: int) -> None:
        key, mark, _, _ = row
        self._told[key] = (mark, used)
        del left[key]

    async def forget(self) -> None:
        """Delete what is over, here and there."""
        now_s = self._wall()
        await self._copy.forget(now_s)
        alive = {key for key, _, _ in await self._copy.read(now_s)}
        self._told = {key: told for key, told in self._told.items() if key in alive}
