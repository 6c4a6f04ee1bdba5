"""What was shown to whom with which probability: counted at once, written behind in batches."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from holdfast.kernel.errors import Unavailable
from holdfast.ports.services import Meter
from holdfast.ports.storage import Parameters, Sql
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.scoring import Pick
from holdfast.rooms.recommend.rules.exposure import Exposure

MAX_WAITING = 100_000
"""Rows that wait for the database; beyond, the oldest are dropped and counted."""
BATCH = 5_000
REMEMBERED = 10_000
"""Newest answers of which we know that their rows have been queued."""


class ShownLog:
    """The log of answers. Request records carry the same facts, so a crash between two writes loses none.

    An answer is one decision with one draw: however often it is served again, on whatever node, it has its
    rows once. Counting repetitions would weigh what nobody clicked more than what ended the answer's life.
    """

    def __init__(self, sql: Sql, exposure: Exposure, meter: Meter) -> None:
        self._sql = sql
        self._waiting: deque[Parameters] = deque(maxlen=MAX_WAITING)
        self._noted: OrderedDict[str, None] = OrderedDict()
        self.exposure = exposure
        self._dropped = meter.counter(
            "holdfast_recommend_shown_dropped_total", "Shown rows lost while the database did not answer"
        ).labels()
        meter.watch(
            "holdfast_recommend_shown_waiting",
            "Shown rows not yet in the database",
            lambda: len(self._waiting),
        )

    def note(self, answer_id: str, user_id: str, picks: Sequence[Pick], now_ms: int) -> None:
        """Count the answer and queue its rows; never blocks."""
        self.exposure.note(user_id, [pick.item for pick in picks])
        if answer_id in self._noted:
            return
        self._noted[answer_id] = None
        if len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)
        overflow = len(self._waiting) + len(picks) - MAX_WAITING
        if overflow > 0:
            self._dropped.add(overflow)
        for position, pick in enumerate(picks):
            self._waiting.append(
                {
                    "answer_id": answer_id,
                    "position": position,
                    "user_id": user_id,
                    "item_no": pick.item,
                    "propensity": pick.propensity,
                    "explored": int(pick.explored),
                    "at_ms": now_ms,
                }
            )

    def knows(self, answer_id: str) -> bool:
        """Whether this process has served the answer before."""
        return answer_id in self._noted

    async def load(self, since_ms: int, most: int) -> None:
        """Start with what was shown lately, so that a restart does not forget the exposure."""
        rows = await self._sql.fetch(store.NEWEST_SHOWN, {"since_ms": since_ms, "most": most})
        answers: dict[str, tuple[str, list[int]]] = {}
        for answer_id, user_id, item_no in rows:
            answers.setdefault(answer_id, (user_id, []))[1].append(item_no)
        for user_id, items in reversed(answers.values()):
            self.exposure.note(user_id, items)

    async def flush(self) -> None:
        """Write what waits; rows that could not be written stay for the next time."""
        while self._waiting:
            rows = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                await self._sql.run_many(store.ADD_SHOWN, rows)
            except (Unavailable, asyncio.CancelledError):  # written after all, they are not written twice
                room = MAX_WAITING - len(self._waiting)
                self._waiting.extendleft(reversed(rows[-room:] if room < len(rows) else rows))
                raise
