"""Finding passages: the chunks that the search names, with their text."""

from holdfast.kernel.clock import Clock
from holdfast.rooms.knowledge.engine.lexical import Lexical
from holdfast.rooms.knowledge.rules.stored import Filter, Found
from holdfast.rooms.knowledge.store.store import Store


class ByWords:
    """The lexical leg alone: what a room without an embedder finds by."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._lexical = Lexical(store, clock)

    async def search(self, question: str, where: Filter, most: int) -> list[Found]:
        """The best chunks for a question, best first."""
        return await self._store.found(where.tenant, await self._lexical.search(where, question, most))
