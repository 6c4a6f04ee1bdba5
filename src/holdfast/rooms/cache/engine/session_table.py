"""Sessions in process memory: the truth where there is no shared store, else what was last heard of it."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from holdfast.rooms.cache.rules.sessions import Record


class Held(msgspec.Struct):
    """A session in this process."""

    record: Record
    shard: str
    ends_at: float
    """Monotonic seconds."""
    heard_at: float
    """When the shared store last said that it is there; monotonic seconds."""
    is_new: bool = False
    """Made here while the shared store was away: it does not know it."""
    known_version: int = 0
    """The version that the shared store has of it, where ours is another."""


class SessionTable:
    """At most `limit` sessions; those not used for longest give way, and `evicted` counts them."""

    def __init__(self, limit: int, monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self._now = monotonic
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._of_user: dict[str, set[str]] = {}
        self.evicted = 0
        """Of sessions that had not ended."""

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, digest: str, shard: str, record: Record) -> Held:
        """Hold it, in place of what was there."""
        self.drop(digest)
        now = self._now()
        held = Held(record, shard, now + record.left_ms / 1000, now)
        self._held[digest] = held
        if record.user_id:
            self._of_user.setdefault(record.user_id, set()).add(digest)
        while len(self._held) > self._limit:
            oldest, gone = next(iter(self._held.items()))
            self.evicted += gone.ends_at > now
            self.drop(oldest)
        return held

    def find(self, digest: str, now_ms: int, *, slide: bool) -> Held | None:
        """The session if it lives; a use gives it its time again."""
        held, now = self._held.get(digest), self._now()
        if held is None:
            return None
        record = held.record
        if held.ends_at <= now or record.end_ms <= now_ms:
            self.drop(digest)
            return None
        if slide:
            record.left_ms = min(record.ttl_ms, record.end_ms - now_ms)
            held.ends_at = now + record.left_ms / 1000
            self._held.move_to_end(digest)
        else:
            record.left_ms = int((held.ends_at - now) * 1000)
        return held

    def drop(self, digest: str) -> Held | None:
        """Let go of it; what was there."""
        held = self._held.pop(digest, None)
        if held is not None and held.record.user_id:
            mine = self._of_user[held.record.user_id]
            mine.discard(digest)
            if not mine:
                del self._of_user[held.record.user_id]
        return held

    def of_user(self, user_id: str) -> list[str]:
        return sorted(self._of_user.get(user_id, ()))

    def living(self) -> Iterator[tuple[str, Held]]:
        """Those that have not ended."""
        now = self._now()
        return ((digest, held) for digest, held in self._held.items() if held.ends_at > now)

    def sweep(self) -> None:
        """Let go of what has ended."""
        now = self._now()
        for digest in [digest for digest, held in self._held.items() if held.ends_at <= now]:
            self.drop(digest)
