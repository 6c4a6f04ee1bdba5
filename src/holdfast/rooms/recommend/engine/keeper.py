"""Keeps what is in memory equal to what is in the database: items at once, everything derived soon after."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.sparse import csr_matrix

from holdfast.kernel.clock import Clock
from holdfast.ports.storage import Row, Sql
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.catalogue import Catalogue
from holdfast.rooms.recommend.engine.knowledge import Counts, Floats, Knowledge
from holdfast.rooms.recommend.engine.people import Situation
from holdfast.rooms.recommend.engine.shelf import Shelf
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.persona import PersonaIndex

logger = logging.getLogger("holdfast.recommend")

TRY_AGAIN_S = 60.0
"""Between two attempts to read a model that could not be read."""
ITEMS_A_PAGE = 2_000
USERS_A_PAGE = 5_000
FADE_MS = 300_000
"""Trending fades with time even when nothing happens; it is counted anew this often."""
SETTLE_MS = 10_000
"""What was received so long ago is committed, or never will be: transactions have deadlines, clocks agree."""
_DAY_MS = 86_400_000
FADING_PARTS = (1.0, 0.5, 0.2)
"""Parts of the trending window; the store says what an event inside each counts."""
EVENTS, LATELY = 2, 3
"""Places in a row of `store.COUNTS_RECEIVED`."""


class Keeper:
    """Owns the catalogue and the knowledge; everyone else reads them."""

    def __init__(self, *, sql: Sql, clock: Clock, shelf: Shelf, trending_days: float) -> None:
        self._sql = sql
        self._clock = clock
        self._shelf = shelf
        self._trending_ms = trending_days * _DAY_MS
        self.catalogue = Catalogue()
        self.knowledge = _nothing_known()
        self._models = -1
        self._models_wanted = 0
        self._picked_s = 0.0
        self._stale_texts = False
        self._indexed = -1
        self._ever, self._lately = Tally(), Tally()
        self._events = 0
        self._settled_ms = -1
        self._unsettled: list[Row] = []
        self._faded_ms = self._counted_ms = 0
        self._segments_of = -1
        self._catching_up = asyncio.Lock()
        self._turning = asyncio.Lock()

    async def follow(self, situation: Situation) -> None:
        """Before an answer: no item may be shown on what it was before the database's version."""
        self._models_wanted = max(self._models_wanted, situation.models)
        if situation.catalogue > self.catalogue.version:
            await self._catch_up(situation.catalogue)

    async def turn(self) -> None:
        """Bring everything up to date: items, texts, counts, segments, model."""
        async with self._turning:
            situation = (await self._sql.fetch(store.SITUATION, {"user_id": ""}))[0]
            await self._catch_up(situation[0])
            await self._index_texts()
            await self._count()
            await self._learn_segments(situation[1])
            now_s = self._clock.monotonic()
            again = bool(self._shelf.trouble) and now_s - self._picked_s >= TRY_AGAIN_S
            if situation[1] != self._models or again:
                self._picked_s = now_s
                held = await self._shelf.pick()
                self.knowledge = self.knowledge.serving(held.model, held.version, held.half_life_events)
                self._models = situation[1]

    @property
    def is_settled(self) -> bool:
        """Whether what is known of the items' texts is of the catalogue's own version: an answer made before
        that is right and not as good as the next one, so it is not kept."""
        return self._indexed == self.catalogue.version

    @property
    def is_behind(self) -> bool:
        """Whether another process promoted a model that this one has not loaded yet."""
        return self._models_wanted > self._models

    async def _catch_up(self, version: int) -> None:
        async with self._catching_up:
            if self.catalogue.version >= version:
                return
            since, from_no = self.catalogue.version, 0
            while True:
                span = {"version": since, "from_no": from_no, "most": ITEMS_A_PAGE}
                rows = await self._sql.fetch(store.ITEMS_CHANGED, span)
                self._stale_texts |= self.catalogue.apply(rows).reworded > 0
                if len(rows) < ITEMS_A_PAGE:
                    break
                from_no = rows[-1][0] + 1
            self.catalogue.version = version

    async def _index_texts(self) -> None:
        """New items behind the old index at once; a new index when a text changed or a fifth is new."""
        version = self.catalogue.version
        size, known = len(self.catalogue), self.knowledge.content.n_items
        if self._stale_texts or size - known > max(50, known // 5):
            self._stale_texts = False
            texts, tags = self.catalogue.described()
            content = await asyncio.to_thread(ContentIndex.fit, texts, tags)
            rows = await self._segment_rows()
            fit = partial(_fit_persona, content, tags, self._ever_first(content.n_items), rows)
            persona = await asyncio.to_thread(fit)
            said = any(texts) or any(tags)
            self.knowledge = self.knowledge.changed(content=content, any_text=said, persona=persona)
        elif size > known:
            texts, tags = self.catalogue.described(known)
            content = await asyncio.to_thread(self.knowledge.content.with_items, texts, tags)
            persona = self.knowledge.persona.with_items(content, tags)
            said = self.knowledge.any_text or any(texts) or any(tags)
            self.knowledge = self.knowledge.changed(content=content, any_text=said, persona=persona)
        self._indexed = version

    async def _learn_segments(self, models: int) -> None:
        """Segments are learned anew with every training: they change as slowly."""
        if models == self._segments_of or self.knowledge.content.n_items == 0:
            return
        self._segments_of = models
        content = self.knowledge.content
        tags = list(self.catalogue.tags[: content.n_items])
        rows = await self._segment_rows()
        fit = partial(_fit_persona, content, tags, self._ever_first(content.n_items), rows)
        self.knowledge = self.knowledge.changed(persona=await asyncio.to_thread(fit))

    async def _segment_rows(self) -> list[Row]:
        return await self._sql.fetch(store.SEGMENT_COUNTS)

    async def _count(self) -> None:
        """Counts ever: all events once, then those received since. Counts lately: the same, and now and then
        the whole window anew, as it fades. The larger the catalogue, the rarer: a swap costs a sort of it.

        What was received within SETTLE_MS is read anew each time: what others committed only now is among it.
        """
        now_ms = int(self._clock.wall() * 1000)
        size = len(self.catalogue)
        is_whole = self.knowledge.counts.ever.size == size
        if now_ms - self._counted_ms < size // 5 and is_whole:
            return
        newest = (await self._sql.fetch(store.NEWEST_RECEIPT))[0][0] or 0
        fades = now_ms - self._faded_ms >= FADE_MS
        if newest <= self._settled_ms and not fades and is_whole:
            return
        self._counted_ms = now_ms
        window = self._window(now_ms)
        await self._settle(max(now_ms - SETTLE_MS, self._settled_ms), window)
        if fades:
            rows = await self._sql.fetch(store.COUNTS_LATELY, {**window, "until_ms": self._settled_ms})
            self._lately = Tally()
            self._lately.add(rows)
            self._faded_ms = now_ms
        self._unsettled = await self._received(self._settled_ms, newest, window)
        events = self._events + sum(row[EVENTS] for row in self._unsettled)
        if events == self.knowledge.counts.events and not fades and is_whole:
            return
        counts = Counts(self._ever_first(size), self._lately.first(size, self._unsettled, LATELY), events)
        await asyncio.to_thread(counts.sort)
        self.knowledge = self.knowledge.changed(counts=counts)

    async def _settle(self, until_ms: int, window: dict[str, int]) -> None:
        """Count for good what was received until then; at first page by page, and lately by a fade."""
        if self._settled_ms >= 0:
            rows = await self._received(self._settled_ms, until_ms, window)
            self._lately.add(rows, LATELY)
        else:
            rows = []
            users = (await self._sql.fetch(store.READ_COUNTER, {"counter": "next_user"}))[0][0]
            for start in range(0, users, USERS_A_PAGE):
                span = {"from_no": start, "to_no": start + USERS_A_PAGE, "until_ms": until_ms}
                rows += await self._sql.fetch(store.COUNTS_OF_USERS, span)
        self._ever.add(rows)
        self._events += sum(row[EVENTS] for row in rows)
        self._settled_ms = until_ms

    async def _received(self, since_ms: int, until_ms: int, window: dict[str, int]) -> list[Row]:
        """(item, weight, events, weight lately) of everything received after the one and until the other."""
        return await self._sql.fetch(
            store.COUNTS_RECEIVED, {**window, "since_ms": since_ms, "until_ms": until_ms}
        )

    def _window(self, now_ms: int) -> dict[str, int]:
        parts = [int(now_ms - self._trending_ms * part) for part in FADING_PARTS]
        return dict(zip(("oldest_ms", "middle_ms", "newest_ms"), parts, strict=True))

    def _ever_first(self, size: int) -> Floats:
        """What everybody took of items 0..size-1, as it is known by now."""
        return self._ever.first(size, self._unsettled)


class Tally:
    """Sums by item number, growing with the catalogue. A row is an item, and amounts at places 1, 2, ..."""

    def __init__(self) -> None:
        self._sums = np.zeros(0, np.float64)

    def add(self, rows: Sequence[Row], place: int = 1) -> None:
        """Add what these rows have at that place."""
        for row in rows:
            if row[0] >= self._sums.size:
                self._sums = np.pad(self._sums, (0, row[0] + 1024 - self._sums.size))
            self._sums[row[0]] += row[place]

    def first(self, size: int, more: Sequence[Row], place: int = 1) -> Floats:
        """The sums of items 0..size-1, with those of more rows."""
        found = np.zeros(size, np.float32)
        shared = min(size, self._sums.size)
        found[:shared] = self._sums[:shared]
        for row in more:
            if row[0] < size:
                found[row[0]] += row[place]
        return found


def _nothing_known() -> Knowledge:
    content = ContentIndex.fit([], [])
    persona = PersonaIndex.fit(content, [], csr_matrix((0, 0), dtype=np.float32), [])
    return Knowledge(content, persona, Counts.nothing(0))


def _fit_persona(
    content: ContentIndex,
    tags: Sequence[Sequence[str]],
    everybody: Floats,
    rows: list[Row],
) -> PersonaIndex:
    """One row for each segment and one for everybody else: the index only ever sums them up."""
    size = content.n_items
    segments: dict[str, Floats] = defaultdict(lambda: np.zeros(size, np.float32))
    for segment, item, total in rows:
        if item < size:
            segments[segment][item] += total
    rest = np.maximum(everybody - sum(segments.values(), np.zeros(size, np.float32)), 0.0)
    matrix = csr_matrix(np.stack([rest, *segments.values()]).astype(np.float32))
    return PersonaIndex.fit(content, tags, matrix, ["", *segments])
