"""What the shared store has yet to hear about sessions, and how it is told when it is back.

A logout always wins. A session made meanwhile is added as it is. A change counts only over the version it
was made from: where another node has changed the session since, that stands, and ours is lost and counted.
"""

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import TypeVar

from holdfast.ports.shared import SharedDown, SharedRefused
from holdfast.rooms.cache.engine.session_table import Held, SessionTable
from holdfast.rooms.cache.rules.sessions import Record, shard_of
from holdfast.rooms.cache.store.sessions import SessionStore

logger = logging.getLogger("holdfast.cache")

T = TypeVar("T")

LIMIT = 100_000
"""Entries of each sort; beyond, the oldest are lost and counted: callers may invent ids without end."""
AT_ONCE = 200
"""Sessions told of in one turn of the loop: they leave in one write."""


class Journal:
    """One entry a session or user, the last word of each."""

    def __init__(self, store: SessionStore | None, table: SessionTable, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._table = table
        self._now_ms = now_ms
        self._unsaid: dict[str, Held] = {}
        self._gone: dict[str, str] = {}
        self._ended: dict[str, tuple[int, str]] = {}
        self._settling = asyncio.Lock()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._unsaid) + len(self._gone) + len(self._ended)

    def made(self, digest: str, held: Held) -> None:
        """A session that only this process knows."""
        if self._store is not None:
            held.is_new = True
            self._note(self._unsaid, digest, held)

    def changed(self, digest: str, held: Held) -> None:
        """Its data is about to be another; call it before."""
        if self._store is not None and digest not in self._unsaid:
            held.known_version = held.record.version
            self._note(self._unsaid, digest, held)

    def gone(self, digest: str, shard: str, held: Held | None) -> None:
        """It was ended here. One that the shared store never knew needs no word."""
        self._unsaid.pop(digest, None)
        if self._store is not None and not (held is not None and held.is_new):
            self._note(self._gone, digest, shard)

    def ended(self, user_id: str, at_ms: int, kept: str) -> None:
        """Every session of the user that began until then was ended here."""
        self._note(self._ended, user_id, (at_ms, kept))
        for digest, held in list(self._unsaid.items()):
            if held.record.user_id == user_id and digest != kept:
                del self._unsaid[digest]

    def _note(self, entries: dict[str, T], name: str, entry: T) -> None:
        entries[name] = entry
        if len(entries) > LIMIT:
            del entries[next(iter(entries))]
            self.lost += 1

    def is_over(self, digest: str, record: Record) -> bool:
        """Whether it was ended here while the shared store did not listen."""
        if digest in self._gone:
            return True
        at_ms, kept = self._ended.get(record.user_id, (-1, ""))
        return record.born_ms <= at_ms and digest != kept

    async def is_clear(self, digest: str) -> bool:
        """Whether the shared store knows all that we know of this session, after telling it if it listens."""
        if digest in self._unsaid or digest in self._gone:
            try:
                await self.settle()
            except SharedDown as error:
                logger.debug("sessions wait for the shared store: %s", error)
        return digest not in self._unsaid and digest not in self._gone

    async def settle(self) -> None:
        """Tell everything; raises SharedDown, and then the rest waits for the next time."""
        if not len(self) or self._store is None:
            return
        async with self._settling:
            await self._in_parts(list(self._gone.items()), self._tell_gone)
            await self._in_parts(list(self._ended.items()), self._tell_ended)
            await self._in_parts(list(self._unsaid.items()), self._tell)

    async def _in_parts(
        self, entries: Iterable[tuple[str, object]], tell: Callable[..., Awaitable[None]]
    ) -> None:
        rest = iter(entries)
        while part := list(islice(rest, AT_ONCE)):
            for outcome in await asyncio.gather(*(tell(*entry) for entry in part), return_exceptions=True):
                if isinstance(outcome, SharedRefused):
                    logger.warning("the shared store refuses a session: %s", outcome)
                elif isinstance(outcome, BaseException):
                    raise outcome

    async def _tell_gone(self, digest: str, shard: str) -> None:
        assert self._store is not None
        await self._store.take(shard, digest)
        self._gone.pop(digest, None)

    async def _tell_ended(self, user_id: str, entry: tuple[int, str]) -> None:
        assert self._store is not None
        (at_ms, kept), shard = entry, shard_of(user_id, 0)
        found = [digest for digest in await self._store.of_user(shard, user_id) if digest != kept]
        await self._store.end(shard, user_id, found, at_ms)
        if self._ended.get(user_id) == entry:
            del self._ended[user_id]

    async def _tell(self, digest: str, held: Held) -> None:
        assert self._store is not None
        record = held.record
        version = record.version
        if record.end_ms <= self._now_ms():
            self._unsaid.pop(digest, None)
            return
        if held.is_new:
            told = copy.copy(record)
            await self._store.create(held.shard, digest, told, 0)
            held.is_new = False
            held.known_version = version
        else:
            found = await self._store.write(held.shard, digest, record.data, held.known_version)
            if isinstance(found, int):
                # A write whose answer was lost on the way may be the very one that stands there.
                stands = await self._store.read(held.shard, digest, slide=False)
                if stands is not None and stands.data == record.data:
                    found = stands
            if not isinstance(found, Record):
                self._give_up(digest, found)
                return
            held.known_version = found.version
        if record.version == version:
            self._unsaid.pop(digest, None)

    def _give_up(self, digest: str, found: int | None) -> None:
        self.lost += 1
        self._unsaid.pop(digest, None)
        self._table.drop(digest)
        why = "it has ended" if found is None else "another node has changed it"
        logger.warning("a change of a session made without the shared store is lost: %s", why)
