"""Scores in the database: the first of each answer stays."""

from holdfast.kernel.errors import Conflict
from holdfast.ports.storage import Sql
from holdfast.rooms.conversations.rules.ratings import Rating
from holdfast.rooms.conversations.store import tables


class Ratings:
    """Every read and write of scores; they are erased with their conversation."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def add(self, conversation_id: str, seq: int, rating: Rating) -> bool:
        """Keep it; False when there is no such ended answer, or it has its score."""
        try:
            added = await self._sql.run(
                tables.ADD_RATING,
                {
                    "of": conversation_id,
                    "number": seq,
                    "score": rating.score,
                    "text": rating.text,
                    "now_ms": rating.at_ms,
                },
            )
        except Conflict:
            return False
        return bool(added)

    async def get(self, conversation_id: str, seq: int) -> Rating | None:
        rows = await self._sql.fetch(tables.READ_RATING, {"of": conversation_id, "number": seq})
        return Rating(*rows[0]) if rows else None
