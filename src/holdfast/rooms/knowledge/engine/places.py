"""On which page a passage stands; what is known of a version is kept, since it does not change."""

from collections import OrderedDict
from collections.abc import Iterable

from holdfast.rooms.knowledge.rules.parsed import page_of
from holdfast.rooms.knowledge.store.store import Store

KEPT = 512
"""Versions whose pages are remembered."""


class Places:
    """Pages of versions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: OrderedDict[int, tuple[int, ...]] = OrderedDict()

    async def know(self, versions: Iterable[int]) -> None:
        """Look up what `page` is to be asked for."""
        for no in set(versions):
            if no in self._pages:
                self._pages.move_to_end(no)
                continue
            version = await self._store.version(no)
            if version is not None:
                self._pages[no] = tuple(version.facts.get("pages") or ())
        while len(self._pages) > KEPT:
            self._pages.popitem(last=False)

    def page(self, version: int, at: int) -> int:
        """The page of character `at`, from 1; 0 where there are none, or none is known."""
        return page_of(self._pages.get(version, ()), at)
