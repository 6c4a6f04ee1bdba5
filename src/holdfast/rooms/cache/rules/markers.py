"""What has been invalidated, and which entries that concerns: remembered in bounded space, never forgotten.

Entries are compared with the markers when they are read (lazy, as in FusionCache): a marker costs one
number, however many entries it kills. Where there are too many markers, the older half is kept by groups
of names instead of by name: a group kills whatever its latest marker would have killed, so that an
invalidated entry is never served, and at worst an innocent old one is loaded again.
"""

from array import array
from collections.abc import Sequence

from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, PREFIX, TAG, Marker

_GROUPS = 1 << 16
_MAX_LENGTHS = 64
"""Different lengths of prefixes; a key is compared once for each. A further one is cut to a known length."""


class Markers:
    """Every marker that this node knows of. `count` grows with each that says something new."""

    __slots__ = ("_exact", "_groups", "_lengths", "_limit", "count", "floor")

    def __init__(self, limit: int) -> None:
        self.count = 0
        self.floor = 0
        """Whatever was born at or before this stamp is dead."""
        self._limit = limit
        self._exact: dict[str, dict[str, int]] = {KEY: {}, TAG: {}, PREFIX: {}}
        self._groups: array[int] | None = None
        self._lengths: list[int] = []

    def __len__(self) -> int:
        return sum(len(names) for names in self._exact.values())

    def hear(self, marker: Marker) -> bool:
        """Remember it; False: nothing that was not known."""
        scope, name, stamp = marker.scope, marker.name, marker.stamp
        if stamp <= self.floor:
            return False
        if scope == EVERYTHING or (scope == PREFIX and not name):
            self.floor = stamp
            for names in self._exact.values():
                for old in [old for old, at in names.items() if at <= stamp]:
                    del names[old]
        else:
            if scope == PREFIX:
                name = self._fitted(name)
            names = self._exact[scope]
            if names.get(name, 0) >= stamp:
                return False
            names.pop(name, None)  # to the end: the oldest come first
            names[name] = stamp
            if len(self) > self._limit:
                self._fold()
        self.count += 1
        return True

    def killer(self, key: str, tags: Sequence[str], born: int) -> str:
        """The scope of a marker that kills what was born then; empty when it lives."""
        if born <= self.floor:
            return EVERYTHING
        exact = self._exact
        if exact[KEY].get(key, 0) >= born or self._group(KEY, key) >= born:
            return KEY
        for tag in tags:
            if exact[TAG].get(tag, 0) >= born or self._group(TAG, tag) >= born:
                return TAG
        for length in self._lengths:
            if length <= len(key):
                start = key[:length]
                if exact[PREFIX].get(start, 0) >= born or self._group(PREFIX, start) >= born:
                    return PREFIX
        return ""

    def _group(self, scope: str, name: str) -> int:
        return 0 if self._groups is None else self._groups[hash((scope, name)) & (_GROUPS - 1)]

    def _fitted(self, name: str) -> str:
        """The prefix itself, or, where there are too many lengths, a shorter one that covers it."""
        if len(name) in self._lengths:
            return name
        if len(self._lengths) < _MAX_LENGTHS:
            self._lengths.append(len(name))
            return name
        shorter = [length for length in self._lengths if length < len(name)]
        if shorter:
            return name[: max(shorter)]
        # Shorter than every length so far: it takes the place of none, so the list grows downwards by it.
        self._lengths.append(len(name))
        return name

    def _fold(self) -> None:
        """Keep the older half by groups."""
        groups = self._groups
        if groups is None:
            groups = self._groups = array("q", bytes(8 * _GROUPS))
        stamps = sorted(stamp for names in self._exact.values() for stamp in names.values())
        middle = stamps[len(stamps) // 2]
        for scope, names in self._exact.items():
            for name in [name for name, stamp in names.items() if stamp <= middle]:
                at = hash((scope, name)) & (_GROUPS - 1)
                groups[at] = max(groups[at], names.pop(name))
