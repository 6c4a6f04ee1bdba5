"""Who somebody is to the recommender: everything they did, read from SQL, and what they declared.

Each request reads the user's revision; only when it moved are the user's events read, and then only
those received since the last look. So an event written by any process changes the next answer.
"""

from collections import OrderedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.ports.storage import Sql
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.rules.events import HIDING

OVERLAP_MS = 60_000
"""Events received this long before the newest known are read again: clocks of processes differ."""


class Person:
    """One user: the distinct items they touched, newest last, with the largest weight of each."""

    __slots__ = (
        "_touched",
        "_weights",
        "hidden",
        "interests",
        "revision",
        "segment",
        "through_ms",
        "user_id",
    )

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.revision = -1
        self.interests: tuple[str, ...] = ()
        self.segment = ""
        self.through_ms = 0
        self.hidden: set[int] = set()
        self._touched: dict[int, tuple[int, float]] = {}
        self._weights: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None

    def take(self, item_no: int, kind: str, weight: float, at_ms: int, received_ms: int) -> None:
        """One event; taking the same one twice changes nothing."""
        old_ms, old_weight = self._touched.get(item_no, (0, 0.0))
        self._touched[item_no] = (max(old_ms, at_ms), max(old_weight, weight))
        if kind in HIDING:
            self.hidden.add(item_no)
        self.through_ms = max(self.through_ms, received_ms)
        self._weights = None

    @property
    def seen(self) -> NDArray[np.int64]:
        """Every item with any event, liked or not."""
        return np.fromiter(self._touched, np.int64, len(self._touched))

    def has_seen(self, item_no: int) -> bool:
        return item_no in self._touched

    def history(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The newest `most` liked items and their weights; what the models are asked with."""
        if self._weights is None:
            liked = [
                (at_ms, item, weight)
                for item, (at_ms, weight) in self._touched.items()
                if weight > 0 and item not in self.hidden
            ]
            liked.sort()
            newest = liked[-most:]
            self._weights = (
                np.asarray([item for _, item, _ in newest], np.int64),
                np.asarray([weight for _, _, weight in newest], np.float32),
            )
        return self._weights


class Situation(msgspec.Struct, frozen=True):
    """What one request needs to know before it starts."""

    catalogue: int
    models: int
    person: Person
    revision: int = -1
    """Of the person's events and wishes, as this request read it; -1 for a user nobody knows. What `person`
    holds is of this revision or newer, never older."""


class People:
    """Reads people, keeping the last `most` of them between requests."""

    def __init__(self, sql: Sql, most: int = 10_000) -> None:
        self._sql = sql
        self._most = most
        self._kept: OrderedDict[str, Person] = OrderedDict()

    async def situation(self, user_id: str) -> Situation:
        """The versions of everything shared and the person as of now; an unknown user has no history."""
        row = (await self._sql.fetch(store.SITUATION, {"user_id": user_id}))[0]
        catalogue, models, user_no, revision, interests, segment = row
        if user_no is None:
            return Situation(catalogue, models, Person(user_id))
        person = self._kept.get(user_id)
        if person is None:
            person = Person(user_id)
        before = person.revision
        if before != revision:
            await self._read(person, user_no)
            # The revision was read before the events, so at worst the next request reads them once more.
            # A request that read a newer one meanwhile has the last word.
            if person.revision in (before, revision) or person.revision < revision:
                person.revision = revision
                person.interests = tuple(msgspec.json.decode(interests, type=list[str]))
                person.segment = segment
        self._keep(person)
        return Situation(catalogue, models, person, revision)

    async def _read(self, person: Person, user_no: int) -> None:
        since_ms = max(0, person.through_ms - OVERLAP_MS)
        for event in await self._sql.fetch(store.EVENTS_SINCE, {"user_no": user_no, "since_ms": since_ms}):
            person.take(*event)

    def _keep(self, person: Person) -> None:
        self._kept[person.user_id] = person
        self._kept.move_to_end(person.user_id)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
