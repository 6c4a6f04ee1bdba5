"""A copy of the counts in memory, in the database: a restart takes up a day's budget where it stood."""

import logging

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Unavailable
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.store.budgets_sql import SqlCopy

logger = logging.getLogger("holdfast.llm")


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
        now = self._counts.used(sorted(touched))
        rows = []
        for key, mark, used, until_s in now:
            told_mark, told = self._told.get(key, (mark, 0))
            rows.append((key, mark, used - told if told_mark == mark else used, until_s))
        try:
            await self._copy.add(rows)
        except Unavailable:
            self._counts.touched |= touched
            return
        except BaseException:
            self._counts.touched |= touched
            raise
        for key, mark, used, _ in now:
            self._told[key] = (mark, used)

    async def forget(self) -> None:
        """Delete what is over, here and there."""
        now_s = self._wall()
        await self._copy.forget(now_s)
        alive = {key for key, _, _ in await self._copy.read(now_s)}
        self._told = {key: told for key, told in self._told.items() if key in alive}
