"""Conversations as this process has just left them, so that the next turn need not read what it knows.

A copy may be out of date: another process may have answered, rewritten the summary or erased everything. So
it decides nothing. The claim that is made with it names the number and the version of the state that it goes
by, and where either is another one, nothing is added and the conversation is read.

An attempt in vain costs about what a hit saves. Where processes take turns in one conversation, most copies
are outdated: after attempts in vain, ever more turns are read at once before the next is tried.
"""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from holdfast.rooms.conversations.rules.state import WINDOW
from holdfast.rooms.conversations.rules.turns import Message
from holdfast.rooms.conversations.store.store import Kept

MOST = 1_024
MOST_CHARS = 4_194_304
"""Of all copies together, their texts and terms."""
MOST_PASSED_OVER = 64
"""Copies that are not tried after many in vain, until one is tried again."""


class Warm:
    """The newest conversations of this process with their windows, bounded in number and characters."""

    def __init__(self, most: int = MOST, most_chars: int = MOST_CHARS) -> None:
        self._most = most
        self._most_chars = most_chars
        self._kept: OrderedDict[str, tuple[Kept, int]] = OrderedDict()
        self._chars = 0
        self._in_vain = 0
        self._passed_over = 0

    def is_worth_trying(self) -> bool:
        """Whether the next copy is to be tried, as things went lately."""
        if not self._passed_over:
            return True
        self._passed_over -= 1
        return False

    def tried(self, conversation_id: str, *, held: bool) -> None:
        """What trying a copy came to; one that was outdated is dropped."""
        if held:
            self._in_vain = 0
            return
        self.forget((conversation_id,))
        self._in_vain += 1
        self._passed_over = min(1 << self._in_vain, MOST_PASSED_OVER)

    def get(self, conversation_id: str) -> Kept | None:
        """The conversation as it was when this process last ended a turn in it."""
        found = self._kept.get(conversation_id)
        return found[0] if found is not None else None

    def put(self, kept: Kept, *turn: Message) -> None:
        """Keep `kept` with the turn that has just been stored; as many messages as a read would give."""
        self.forget((kept.id,))
        # What is only told of an answer no turn looks at.
        bare = (msgspec.structs.replace(message, facts={}) for message in turn)
        messages = (*kept.messages, *bare)[-2 * (WINDOW + 1) :]
        chars = sum(len(message.text) + len(message.terms) for message in messages)
        self._kept[kept.id] = (msgspec.structs.replace(kept, messages=messages), chars)
        self._chars += chars
        while self._kept and (len(self._kept) > self._most or self._chars > self._most_chars):
            self._chars -= self._kept.popitem(last=False)[1][1]

    def forget(self, conversation_ids: Iterable[str]) -> None:
        """Drop the copies of these."""
        for name in conversation_ids:
            found = self._kept.pop(name, None)
            if found is not None:
                self._chars -= found[1]

    def __len__(self) -> int:
        return len(self._kept)
