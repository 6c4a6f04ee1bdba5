"""What the shared store has missed, kept in bounded space until it is back; and what was said lately.

The last write of a key wins. A marker is never dropped: too many become one for everything. A write that
finds no room is only a value to be computed again, unless it was to replace an older one there: then a
marker kills that.
"""

from collections import deque

from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, Entry, Marker

_OVERHEAD_BYTES = 500


class Journal:
    """Missed writes and markers, with their original stamps."""

    def __init__(self, *, max_bytes: int, max_markers: int, recent_s: float) -> None:
        self._writes: dict[str, tuple[Entry, bool]] = {}
        self._markers: dict[tuple[str, str], int] = {}
        self._recent: deque[tuple[float, Marker]] = deque(maxlen=max_markers)
        self._recent_s = recent_s
        self._max_bytes = max_bytes
        self._max_markers = max_markers
        self.size_bytes = 0
        self.lost = 0
        """Writes that found no room."""
        self.collapsed = 0
        """How often the markers became one for everything."""

    @property
    def writes(self) -> int:
        return len(self._writes)

    @property
    def markers(self) -> int:
        return len(self._markers)

    def miss_write(self, entry: Entry, *, replaces: bool) -> None:
        """Keep it for later; `replaces`: an older value may stand in the shared store."""
        old = self._writes.get(entry.key)
        if old is not None:
            if old[0].born > entry.born:
                return
            replaces = replaces or old[1]
            self._forget(entry.key)
        size = _size(entry)
        if size > self._max_bytes:
            self._lose(entry, replaces)
            return
        self._writes[entry.key] = (entry, replaces)
        self.size_bytes += size
        while self.size_bytes > self._max_bytes:
            key = next(iter(self._writes))
            self._lose(*self._forget(key))

    def miss_marker(self, marker: Marker) -> None:
        """Keep it for later; what it kills among the writes is gone now."""
        place = (marker.scope, marker.name)
        if self._markers.get(place, 0) >= marker.stamp:
            return
        self._markers[place] = marker.stamp
        if marker.scope == KEY and (old := self._writes.get(marker.name)) and old[0].born <= marker.stamp:
            self._forget(marker.name)
        elif marker.scope == EVERYTHING:
            self._clear_until(marker.stamp)
        if len(self._markers) > self._max_markers:
            self.collapsed += 1
            latest = max(self._markers.values())
            self._markers = {(EVERYTHING, ""): latest}
            self._clear_until(latest)

    def missed_markers(self) -> list[Marker]:
        return [Marker(scope, name, stamp) for (scope, name), stamp in self._markers.items()]

    def settle_marker(self, marker: Marker) -> bool:
        """It stands in the shared store, and was missing there; one that came later does not yet."""
        place = (marker.scope, marker.name)
        if self._markers.get(place) != marker.stamp:
            return False
        del self._markers[place]
        return True

    def take_writes(self, limit: int) -> list[tuple[Entry, bool]]:
        """The oldest of them; they are no longer in here."""
        keys = [key for key, _ in zip(self._writes, range(limit), strict=False)]
        return [self._forget(key) for key in keys]

    def said(self, marker: Marker, now: float) -> None:
        """It stands in the shared store; a fail-over may lose what was said last."""
        self._recent.append((now, marker))
        while self._recent and self._recent[0][0] < now - self._recent_s:
            self._recent.popleft()

    def recent(self, now: float) -> list[Marker]:
        """What was said lately, to be said again with the same stamps."""
        return [marker for at, marker in self._recent if at >= now - self._recent_s]

    def _forget(self, key: str) -> tuple[Entry, bool]:
        found = self._writes.pop(key)
        self.size_bytes -= _size(found[0])
        return found

    def _lose(self, entry: Entry, replaces: bool) -> None:
        self.lost += 1
        if replaces:
            self.miss_marker(Marker(KEY, entry.key, entry.born - 1))

    def _clear_until(self, stamp: int) -> None:
        for key in [key for key, (entry, _) in self._writes.items() if entry.born <= stamp]:
            self._forget(key)


def _size(entry: Entry) -> int:
    return _OVERHEAD_BYTES + 2 * len(entry.key) + len(entry.body or b"")
