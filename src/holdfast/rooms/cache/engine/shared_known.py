"""Which markers this node knows, and of which tags it knows that there is no later one.

While the channel stands, a tag asked about once stays known: whoever marks it says so. When the channel is
cut, that certainty goes; the markers themselves stay, for what is dead stays dead, also if the shared
store has lost the marker in a fail-over.
"""

from collections.abc import Iterable, Sequence

from holdfast.rooms.cache.engine.remote import Hears
from holdfast.rooms.cache.rules.entry import TAG, Entry, HybridClock, Marker
from holdfast.rooms.cache.rules.markers import Markers
from holdfast.rooms.cache.store.calls import SharedCalls


class Known:
    """Markers, and how far they can be relied on to be all. `hears` is told of each new one."""

    def __init__(
        self, calls: SharedCalls, hears: Hears, stamps: HybridClock, *, max_markers: int, max_tags: int
    ) -> None:
        self._calls = calls
        self.hears = hears
        self._stamps = stamps
        self._markers = Markers(max_markers)
        self._max_tags = max_tags
        self._tags: dict[str, None] = {}
        self.is_current = False
        """The channel stands, and the markers of prefixes and of everything have been read since."""
        self.epoch = 0
        """Counts the times the channel was cut."""
        self.garbled = 0
        self.latest = 0
        """The latest stamp of any marker: what is loaded from now on is later."""

    @property
    def tags(self) -> int:
        return len(self._tags)

    @property
    def floor(self) -> int:
        """Whatever was born at or before this is dead."""
        return self._markers.floor

    def own(self, marker: Marker) -> None:
        """This node has invalidated."""
        self._witness(marker.stamp)
        self._markers.hear(marker)

    def _witness(self, stamp: int) -> None:
        self._stamps.witness(stamp)
        if stamp > self.latest:
            self.latest = stamp

    def hear(self, markers: Sequence[Marker]) -> None:
        """Another node has; the engine is told of what is new."""
        new = []
        for marker in markers:
            self._witness(marker.stamp)
            if self._markers.hear(marker):
                new.append(marker)
        if new:
            self.hears.heard(new)

    def cut_off(self) -> None:
        self.epoch += 1
        self.is_current = False
        self._tags.clear()

    def kills(self, entry: Entry) -> bool:
        """Whether a known marker concerns it."""
        return self._markers.killer(entry.key, entry.tags, entry.born) != ""

    def unknown(self, tags: Iterable[str]) -> list[str]:
        """Those of which a marker may exist that we have not heard of."""
        if not self.is_current:
            return list(tags)
        known = self._tags
        return [tag for tag in tags if tag not in known]

    async def learn(self, tags: Sequence[str], now_us: int) -> None:
        """Ask for the markers of these tags. Raises SharedDown.

        A marker that cannot be read counts as one of this moment: `now_us` is the latest that it can be, or
        what was loaded on another node just before would outlive it.
        """
        epoch = self.epoch
        for tag, found in zip(tags, await self._calls.get_tags(tags), strict=True):
            if found is not None:
                self.hear([Marker(TAG, tag, self._stamp(found, now_us))])
            if self.is_current and epoch == self.epoch:
                self._tags[tag] = None
        while len(self._tags) > self._max_tags:
            del self._tags[next(iter(self._tags))]

    def _stamp(self, found: object, now_us: int) -> int:
        if isinstance(found, bytes) and found.isdigit():
            return int(found)
        self.garbled += 1
        return now_us

    async def learn_wide(self) -> None:
        """Ask for the markers of prefixes and of everything. Raises SharedDown, SharedRefused."""
        self.hear(await self._calls.read_wide())
