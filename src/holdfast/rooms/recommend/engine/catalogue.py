"""Every item in memory, by number: what it is called, and arrays that say whether it may be shown."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.ports.storage import Row
from holdfast.rooms.recommend.rules.eligibility import NEVER_MS, available, why_not


class Changes(msgspec.Struct):
    """What a batch of rows did to the catalogue."""

    added: int = 0
    """New items; they stand behind the old ones."""
    reworded: int = 0
    """Old items whose text or tags are not what they were."""


class Catalogue:
    """The items, numbered 0..len-1 as in the database. Touched only from the event loop."""

    def __init__(self) -> None:
        self.version = 0
        """Up to which version of the database's catalogue this is complete; set by whoever applies rows."""
        self.ids: list[str] = []
        self.names: list[str] = []
        self.texts: list[str] = []
        self.tags: list[tuple[str, ...]] = []
        self.number: dict[str, int] = {}
        self._hidden = np.zeros(0, np.bool_)
        self._stock = np.zeros(0, np.int64)
        self._expires_ms = np.zeros(0, np.int64)
        self._available = np.zeros(0, np.bool_)
        self._fresh_until_ms = 0
        self._fresh_from_ms = 0

    def __len__(self) -> int:
        return len(self.ids)

    def apply(self, rows: Iterable[Row]) -> Changes:
        """Take rows of `recommend_items` in ascending number; gaps are refused, as numbers are places."""
        changes = Changes()
        for item_no, item_id, name, text, tags, stock, expires_ms, hidden in rows:
            labels = tuple(msgspec.json.decode(tags, type=list[str]))
            if item_no == len(self.ids):
                self._append(item_id, name, text, labels)
                changes.added += 1
            elif item_no > len(self.ids):
                raise ValueError(f"item number {item_no} came before {len(self.ids)}")
            else:
                same = (self.names[item_no], self.texts[item_no], self.tags[item_no]) == (name, text, labels)
                changes.reworded += not same
                self.names[item_no], self.texts[item_no], self.tags[item_no] = name, text, labels
            self._hidden[item_no] = bool(hidden)
            self._stock[item_no] = stock
            self._expires_ms[item_no] = expires_ms
        self._fresh_until_ms = 0
        return changes

    def _append(self, item_id: str, name: str, text: str, tags: tuple[str, ...]) -> None:
        place = len(self.ids)
        self.number[item_id] = place
        self.ids.append(item_id)
        self.names.append(name)
        self.texts.append(text)
        self.tags.append(tags)
        if place >= self._stock.size:
            room = max(1024, place)
            self._hidden = np.concatenate([self._hidden, np.zeros(room, np.bool_)])
            self._stock = np.concatenate([self._stock, np.zeros(room, np.int64)])
            self._expires_ms = np.concatenate([self._expires_ms, np.zeros(room, np.int64)])

    def available(self, now_ms: int) -> NDArray[np.bool_]:
        """Which items anybody may be shown now; the array is shared, copy before writing."""
        if not self._fresh_from_ms <= now_ms < self._fresh_until_ms:
            count = len(self.ids)
            expires = self._expires_ms[:count]
            self._available = available(self._hidden[:count], self._stock[:count], expires, now_ms)
            self._fresh_from_ms = now_ms
            self._fresh_until_ms = int(expires[expires > now_ms].min(initial=NEVER_MS))
        return self._available

    def why_not(self, item_no: int, now_ms: int) -> list[str]:
        return why_not(
            bool(self._hidden[item_no]), int(self._stock[item_no]), int(self._expires_ms[item_no]), now_ms
        )

    def described(self, from_no: int = 0) -> tuple[list[str], list[Sequence[str]]]:
        """Texts and tags of the items from `from_no` on, as the content index takes them."""
        names, texts = self.names[from_no:], self.texts[from_no:]
        joined = [f"{name} {text}".strip() for name, text in zip(names, texts, strict=True)]
        return joined, list(self.tags[from_no:])
