"""Which archived messages have which terms: an index a conversation, in memory, of what can never change.

Archived messages are immutable, so an index is only ever extended, by what has left the window since. The
newest conversations are kept; of one that comes back the terms are read from the database again.
"""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from holdfast.rooms.conversations.rules.recall import Hit
from holdfast.rooms.conversations.rules.turns import Message
from holdfast.rooms.conversations.store.store import Kept, Store

Said = tuple[str, str, int]
"""Role, text and time of a message."""
SEARCHED = 5_000
"""The newest archived messages of a conversation that are searched."""
SHORT = 400
"""Characters of a message up to which its text is kept with its terms, so that recalling it asks nobody."""
_PART = 250
"""Messages indexed in one turn of the loop: a millisecond or so."""


class Index:
    """The terms of one conversation's archived messages, up to a number, and short texts that passed by."""

    __slots__ = ("by_term", "known", "said", "size", "upto")

    def __init__(self) -> None:
        self.upto = 0
        self.size = 0
        self.known: dict[int, str] = {}
        self.said: dict[int, Said] = {}
        # Arrays and dictionaries of plain values: nothing that the garbage collector has to walk through.
        self.by_term: dict[str, array[int]] = {}

    def add(self, messages: Iterable[tuple[int, str]]) -> None:
        """Take in messages by number and terms."""
        for seq, terms in messages:
            if terms and seq not in self.known:
                self.known[seq] = terms
                for term in terms.split():
                    have = self.by_term.get(term)
                    if have is None:
                        self.by_term[term] = array("q", (seq,))
                    else:
                        have.append(seq)
                self.size += len(terms)

    def take(self, messages: Iterable[Message]) -> None:
        """Take in messages that are at hand, with their texts where these are short."""
        for one in messages:
            if one.terms and one.seq not in self.known:
                self.add(((one.seq, one.terms),))
                if len(one.text) <= SHORT:
                    self.said[one.seq] = (one.role, one.text, one.at_ms)
                    self.size += len(one.text)

    def hits(self, wanted: Sequence[str]) -> list[Hit]:
        """The messages that have any of the wanted terms, with those they have."""
        found: dict[int, list[str]] = {}
        for term in wanted:
            for seq in self.by_term.get(term, ()):
                found.setdefault(seq, []).append(term)
        return [Hit(seq, self.known[seq], terms) for seq, terms in found.items()]


class Archive:
    """The indexes of this process, bounded by the characters of the terms and texts in them."""

    def __init__(self, store: Store, most_chars: int) -> None:
        self._store = store
        self._most_chars = most_chars
        self._indexes: OrderedDict[str, Index] = OrderedDict()
        self._chars = 0

    async def hits(self, kept: Kept, before: int, wanted: Sequence[str]) -> list[Hit]:
        """The archived messages with lower numbers than `before` that have any of the wanted terms."""
        index = self._indexes.pop(kept.id, None)
        if index is None:
            index = Index()
        else:
            self._chars -= index.size
        await self._extend(index, kept, before)
        # Two that read the same conversation anew at once: the later index stays.
        other = self._indexes.pop(kept.id, None)
        self._chars += index.size - (other.size if other is not None else 0)
        self._indexes[kept.id] = index
        while self._chars > self._most_chars and len(self._indexes) > 1:
            self._chars -= self._indexes.popitem(last=False)[1].size
        return [hit for hit in index.hits(wanted) if hit.seq < before]

    def texts(self, conversation_id: str, numbers: Iterable[int]) -> dict[int, Said]:
        """Role, text and time of those of these messages whose texts are in memory."""
        index = self._indexes.get(conversation_id)
        return {seq: index.said[seq] for seq in numbers if seq in index.said} if index is not None else {}

    def forget(self, conversation_ids: Iterable[str]) -> None:
        """Drop what is known of erased conversations."""
        for name in conversation_ids:
            index = self._indexes.pop(name, None)
            if index is not None:
                self._chars -= index.size

    async def _extend(self, index: Index, kept: Kept, before: int) -> None:
        if index.upto >= before - 1:
            return
        if kept.messages and kept.messages[0].seq <= index.upto + 1:
            index.take(one for one in kept.messages if index.upto < one.seq < before)
        else:
            rows = await self._store.terms(kept.id, max(index.upto, before - 1 - SEARCHED), before)
            for at in range(0, len(rows), _PART):
                if at:
                    await asyncio.sleep(0)
                index.add(rows[at : at + _PART])
        index.upto = before - 1
