"""Who is alive, across machines: advisory locks of a session, which PostgreSQL lets go of when it ends.

A session may end while its process lives: the server restarts, the network breaks. The locks are then taken
again as soon as there is a connection; until then `lost` names them. Nobody is told that others are free
right after a restart, when those who live have not all come back yet.
"""

from collections.abc import Sequence
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Conflict, Problem
from holdfast.stores.postgres_standing import Standing
from holdfast.stores.presence_names import lock_key

SETTLE_S = 5.0
"""Those who live are back within about a second: that is the longest pause between two attempts."""

_TAKE = "SELECT pg_try_advisory_lock($1)"
# pg_locks shows a key of 64 bits as two halves, and objsubid 1 (PostgreSQL manual, 54.12).
_FREE = """
SELECT key FROM unnest($1::bigint[]) AS key
WHERE clock_timestamp() - pg_postmaster_start_time() >= make_interval(secs => $2)
AND key <> ALL (ARRAY(
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
))
"""


class PostgresPresence:
    """The Presence port over one standing connection."""

    def __init__(self, standing: Standing, clock: Clock, settle_s: float = SETTLE_S) -> None:
        self._standing = standing
        self._clock = clock
        self._settle_s = settle_s
        self._held: dict[str, bool] = {}
        self._connected_total = 0
        self._answers_from_s = 0.0
        standing.join(self._restore)

    async def hold(self, name: str) -> None:
        """As the port says; raises Unavailable when the server cannot be reached."""
        # A session may take its own lock twice: that nobody does is seen here.
        if name in self._held or not await self._standing.ask(lambda it: _take(it, name)):
            raise Conflict(f"{name} is held by another", hint="each worker takes a name of its own")
        self._held[name] = True

    async def free(self, names: Sequence[str]) -> list[str]:
        """As the port says; nobody while the server cannot be asked, or has just come back."""
        try:
            if self.lost():
                await self._standing.ask(self._take_again)
            if not names or self._clock.monotonic() < self._answers_from_s:
                return []
            by_key = {lock_key(name): name for name in names}
            rows = await self._standing.ask(lambda it: it.fetch(_FREE, list(by_key), self._settle_s))
        except Problem:
            return []
        return [by_key[row[0]] for row in rows]

    def lost(self) -> list[str]:
        """Names that are not held at the moment: others take us for dead. They are taken again by itself."""
        return [name for name, is_held in self._held.items() if not is_held or not self._standing.is_up]

    async def close(self) -> None:
        self._held.clear()
        await self._standing.leave(self._restore)

    async def _restore(self, connection: Any) -> None:
        self._held = dict.fromkeys(self._held, False)
        await self._take_again(connection)
        if self._connected_total:
            self._answers_from_s = self._clock.monotonic() + self._settle_s
        self._connected_total += 1

    async def _take_again(self, connection: Any) -> None:
        """What another session has stays lost: perhaps it is our own one, which the server thinks alive."""
        for name, is_held in list(self._held.items()):
            if not is_held:
                self._held[name] = await _take(connection, name)


async def _take(connection: Any, name: str) -> bool:
    return bool(await connection.fetchval(_TAKE, lock_key(name)))
