"""Sessions over the shared store, in process memory where there is none and while it is away.

Not over the cache: a session is state, not an answer that could be made again. `invalidate(everything=True)`
must log nobody out, eviction must not lose a login, and a read must never find what another node has ended.
So each read asks the shared store, in one round trip that also slides the end; process memory stands in only
while the store is away, for `fallback_s`, and what was missed then is made up for on its return (journal.py's
manner: a logout always wins, a change only over the version it was made from).
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json
from holdfast.ports.services import Meter
from holdfast.ports.shared import Shared, SharedDown, SharedRefused
from holdfast.rooms.cache.engine.session_journal import Journal
from holdfast.rooms.cache.engine.session_table import Held, SessionTable
from holdfast.rooms.cache.rules import kinds
from holdfast.rooms.cache.rules.sessions import (
    SECRET_BYTES,
    NoSession,
    Record,
    Session,
    SessionChanged,
    SessionSettings,
    SessionTooLarge,
    digest_of,
    id_of,
    is_id,
    shard_of,
)
from holdfast.rooms.cache.store.sessions import SessionStore

logger = logging.getLogger("holdfast.cache")

AWAY = (SharedDown, SharedRefused)
SAME: Any = msgspec.UNSET


class Sessions:
    """Create, get, change, rotate and end sessions.

    Ids are made here and nowhere else: none is ever taken over from a caller.
    """

    def __init__(
        self,
        settings: SessionSettings,
        *,
        all_kinds: Mapping[str, kinds.Kind],
        clock: Clock,
        meter: Meter,
        shared: Shared | None = None,
        namespace: str = "holdfast",
        secret: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._settings = settings
        self._kinds = all_kinds
        self._clock = clock
        self._shared = shared
        self._secret = secret
        self._table = SessionTable(settings.max_sessions, clock.monotonic)
        self._store = SessionStore(shared, namespace) if shared is not None else None
        self._journal = Journal(self._store, self._table, self._now_ms)
        self._longest_ms = int(settings.longest_s * 1000)
        self._active = 0
        meter.watch(
            "holdfast_cache_sessions_active", "Sessions alive when last counted.", lambda: self._active
        )
        meter.watch(
            "holdfast_cache_sessions_waiting",
            "Changes of sessions that the shared store has yet to hear of.",
            lambda: len(self._journal),
        )
        meter.watch(
            "holdfast_cache_sessions_lost",
            "Live sessions given up for room, and changes given up to newer ones, since the start.",
            lambda: self._table.evicted + self._journal.lost,
        )

    async def create(self, user_id: str = "", data: Any = None, *, kind: str = "session") -> Session:
        """A new session; raises SessionTooLarge, UnknownKind. At a login with a session: `rotate`."""
        ttl_ms = int(kinds.find(self._kinds, kind).ttl_s * 1000)
        record = Record(user_id, kind, self._encoded(data), 1, 0, ttl_ms, 0, 0)
        return await self._add(record, data)

    async def get(self, session_id: str, *, returns: Any = Any, slide: bool = True) -> Session | None:
        """The session, its end moved on; None when there is none, no longer, or its data is no `returns`."""
        if not is_id(session_id):
            return None
        digest, shard = digest_of(session_id), session_id[0]
        record = await self._read(digest, shard, slide=slide)
        return None if record is None else self._shown(session_id, record, returns)

    async def touch(self, session_id: str) -> bool:
        """Move its end on; whether it is there."""
        return is_id(session_id) and (
            await self._read(digest_of(session_id), session_id[0], slide=True) is not None
        )

    async def set(self, session_id: str, data: Any, *, version: int | None = None) -> Session:
        """Replace the data; raises NoSession, SessionTooLarge, and SessionChanged when it is not `version`.

        Without a version the last write wins.
        """
        body = self._encoded(data)
        if not is_id(session_id):
            raise NoSession(hint="log in")
        digest, shard = digest_of(session_id), session_id[0]
        if self._store is not None and await self._journal.is_clear(digest):
            try:
                found = await self._store.write(shard, digest, body, version)
            except AWAY:
                pass
            else:
                if found is None:
                    self._table.drop(digest)
                    raise NoSession(hint="log in")
                if isinstance(found, int):
                    raise _changed(version, found)
                self._table.keep(digest, shard, found)
                return _session(session_id, found, data)
        held = self._held(digest, slide=True)
        if held is None:
            raise NoSession(hint="log in")
        if version is not None and held.record.version != version:
            raise _changed(version, held.record.version)
        self._journal.changed(digest, held)
        held.record.data = body
        held.record.version += 1
        return _session(session_id, held.record, data)

    async def rotate(self, session_id: str, *, user_id: str = SAME, data: Any = SAME) -> Session:
        """The session under a new id, the old one dead; raises NoSession.

        Call it at every login and change of rights, with the `user_id` it belongs to from now on: an id that
        somebody planted before the login is then worth nothing (session fixation).
        """
        old = await self._take(session_id) if is_id(session_id) else None
        if old is None:
            raise NoSession(hint="log in")
        same_user = user_id is SAME or user_id == old.user_id
        body = old.data if data is SAME else self._encoded(data)
        record = Record(
            old.user_id if same_user else user_id, old.kind, body, old.version + 1, 0, old.ttl_ms, 0, 0
        )
        if same_user:
            # Else a session could be kept alive for ever, one id after the other.
            record.end_ms = old.end_ms
        return await self._add(record, msgspec.json.decode(body) if data is SAME else data)

    async def delete(self, session_id: str) -> bool:
        """End it, on every node; whether it was there."""
        return is_id(session_id) and await self._take(session_id) is not None

    async def end_all(self, user_id: str, *, but: str = "") -> int:
        """End every session of the user, on every node, but the one of the id `but`; how many were alive."""
        if not user_id:
            return 0
        shard, kept = shard_of(user_id, 0), digest_of(but) if is_id(but) else ""
        # The latest that it can be: of the logins before it none is spared.
        now_ms, here = self._now_ms(1), 0
        for digest in self._table.of_user(user_id):
            if digest != kept:
                here += self._table.drop(digest) is not None
        if self._store is None:
            return here
        try:
            await self._journal.settle()
            found = [digest for digest in await self._store.of_user(shard, user_id) if digest != kept]
            # Whatever this node's clock says: one that began a moment ago on another is among them too.
            return await self._store.end(shard, user_id, found)
        except AWAY:
            self._journal.ended(user_id, now_ms, kept)
            return here

    async def count(self, user_id: str = "") -> int:
        """Sessions alive now, of everybody or of one user; while the shared store is away, of this node."""
        if self._store is not None:
            try:
                if not user_id:
                    return await self._store.count()
                shard = shard_of(user_id, 0)
                return await self._store.are_alive(shard, await self._store.of_user(shard, user_id))
            except AWAY:
                pass
        return sum(1 for _, held in self._table.living() if not user_id or held.record.user_id == user_id)

    async def tend(self) -> None:
        """One turn of the background: make up for what was missed, count, let go of what has ended."""
        with suppress(*AWAY):
            await self._journal.settle()
        self._table.sweep()
        self._active = await self.count()

    # -- one session -------------------------------------------------------------------------

    async def _read(self, digest: str, shard: str, *, slide: bool) -> Record | None:
        store = self._store
        if store is not None and await self._journal.is_clear(digest):
            try:
                record = await store.read(shard, digest, slide=slide)
            except AWAY:
                pass
            else:
                if record is None or self._journal.is_over(digest, record):
                    self._table.drop(digest)
                    return None
                self._table.keep(digest, shard, record)
                return record
        held = self._held(digest, slide=slide)
        return None if held is None else held.record

    def _held(self, digest: str, *, slide: bool) -> Held | None:
        """What this process knows of it, as far as that may count now."""
        held = self._table.find(digest, self._now_ms(), slide=slide)
        if held is None or self._journal.is_over(digest, held.record):
            return None
        if self._store is None or held.is_new:
            return held
        age_s = self._clock.monotonic() - held.heard_at
        return held if age_s <= self._settings.fallback_s else None

    async def _add(self, record: Record, data: Any) -> Session:
        secret = self._secret(SECRET_BYTES)
        shard = shard_of(record.user_id, self._secret(1)[0] & 63)
        session_id = id_of(shard, secret)
        digest = digest_of(session_id)
        if self._store is not None:
            try:
                added = await self._store.create(shard, digest, record, self._longest_ms)
            except AWAY:
                pass
            else:
                if added is None:
                    raise NoSession("the session is over", hint="log in")
                self._table.keep(digest, shard, added)
                return _session(session_id, added, data)
        now_ms = self._now_ms()
        record.born_ms = now_ms
        record.end_ms = record.end_ms or now_ms + self._longest_ms
        record.left_ms = min(record.ttl_ms, record.end_ms - now_ms)
        self._journal.made(digest, self._table.keep(digest, shard, record))
        return _session(session_id, record, data)

    async def _take(self, session_id: str) -> Record | None:
        digest, shard = digest_of(session_id), session_id[0]
        held = self._held(digest, slide=False)
        if self._store is not None and await self._journal.is_clear(digest):
            try:
                found = await self._store.take(shard, digest)
            except AWAY:
                pass
            else:
                self._table.drop(digest)
                return None if found is None or self._journal.is_over(digest, found) else found
        self._table.drop(digest)
        self._journal.gone(digest, shard, held)
        return None if held is None else held.record

    def _shown(self, session_id: str, record: Record, returns: Any) -> Session | None:
        try:
            data = msgspec.json.decode(record.data, type=returns)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            logger.warning("the data of a session of the kind %s cannot be read: %s", record.kind, error)
            return None
        return _session(session_id, record, data)

    def _encoded(self, data: Any) -> bytes:
        body = encode_json(data)
        if len(body) > self._settings.max_bytes:
            raise SessionTooLarge(
                f"the data of the session takes {len(body)} bytes",
                hint=f"keep at most {self._settings.max_bytes}, the rest elsewhere under the user's id",
            )
        return body

    def _now_ms(self, lean: int = 0) -> int:
        return int(self._clock.wall() * 1000) if self._store is None else self._store.now_ms(lean)


def _session(session_id: str, record: Record, data: Any) -> Session:
    return Session(
        session_id,
        record.user_id,
        record.kind,
        data,
        record.version,
        record.born_ms,
        record.left_ms / 1000,
    )


def _changed(wanted: int | None, found: int) -> SessionChanged:
    return SessionChanged(
        f"version {wanted} was to be replaced, and it is {found}",
        hint="read the session again, then change it",
    )
