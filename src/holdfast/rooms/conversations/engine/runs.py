"""Answers on their way and answers that have just ended, with whoever listens to them.

A run keeps the text once, in the parts in which it came; each listener has its own place in it. Who is slow
gets several parts in one, who comes back goes on where it was, and nothing is kept for a listener.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable

from holdfast.kernel.text.graphemes import size
from holdfast.rooms.conversations.rules.turns import Message

Poke = Callable[[], None]


class Run:
    """One answer. It has ended when `ended` holds the row that was stored."""

    def __init__(self, conversation_id: str, seq: int, *, persona: str = "", replayed: bool = False) -> None:
        self.conversation_id = conversation_id
        self.seq = seq
        self.persona = persona
        self.replayed = replayed
        self.ended: Message | None = None
        self.length = 0
        self.size_bytes = 0
        self.ending = ""
        """The status it is to end with, once somebody wants it to end."""
        self.is_asking = False
        """Whether the model is at it: only then there is something to break off."""
        self.begin: Poke = _nothing
        """Starts the work, once; until then nothing has been asked of a model."""
        self.abandoned: Poke = _nothing
        """Called when the last listener has left before the end."""
        self.task: asyncio.Task[None] | None = None
        self.first_token_s: float | None = None
        self._parts: list[str] = []
        self._starts: list[int] = []
        self._listeners: set[Poke] = set()

    @classmethod
    def of(cls, conversation_id: str, message: Message, *, replayed: bool = False) -> "Run":
        """An answer that ended before: its stored text is one part."""
        run = cls(conversation_id, message.seq, persona=message.facts.get("persona", ""), replayed=replayed)
        run.say(message.text)
        run.end(message)
        return run

    def say(self, text: str) -> None:
        """More of the answer."""
        if text:
            self._parts.append(text)
            self._starts.append(self.length)
            self.length += len(text)
            self.size_bytes += size(text)
            self._poke()

    def end(self, message: Message) -> None:
        """How it ended, as it is stored."""
        self.ended = message
        self._poke()

    def text(self, offset: int = 0) -> str:
        """The answer so far, from character `offset` on."""
        if offset >= self.length:
            return ""
        at = bisect_right(self._starts, offset) - 1
        return "".join(self._parts[at:])[offset - self._starts[at] :]

    def listen(self, poke: Poke) -> None:
        """Call `poke` whenever there is more."""
        self._listeners.add(poke)

    def leave(self, poke: Poke) -> None:
        """Listen no longer; the last to leave before the end may end it."""
        if poke in self._listeners:
            self._listeners.discard(poke)
            if not self._listeners and self.ended is None:
                self.abandoned()

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def _poke(self) -> None:
        for poke in list(self._listeners):
            poke()


class Listener:
    """One who waits for more of a run, or for `gone`. `leave` it when done."""

    def __init__(self, run: Run, gone: asyncio.Event | None = None) -> None:
        self._run = run
        self._poked = asyncio.Event()
        self._poke = self._poked.set
        self._gone = gone
        self._watch: asyncio.Task[bool] | None = None
        run.listen(self._poke)
        if gone is not None:
            self._watch = asyncio.create_task(gone.wait())
            self._watch.add_done_callback(lambda _: self._poke())

    @property
    def is_gone(self) -> bool:
        """Whether nobody is at the other end any more, or the server stops."""
        return self._gone is not None and self._gone.is_set()

    async def more(self, within_s: float | None = None) -> bool:
        """Wait until something has happened since the last time; False when `within_s` passed before."""
        if within_s is None:
            await self._poked.wait()
        elif not self._poked.is_set():
            try:
                async with asyncio.timeout(within_s):
                    await self._poked.wait()
            except TimeoutError:
                return False
        self._poked.clear()
        return True

    def leave(self) -> None:
        """Idempotent."""
        if self._watch is not None:
            self._watch.cancel()
        self._run.leave(self._poke)


class Runs:
    """Every run of this process: all that go on, and the newest of those that have ended, bounded."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._going: dict[tuple[str, int], Run] = {}
        self._ended: OrderedDict[tuple[str, int], Run] = OrderedDict()
        self._bytes = 0

    def add(self, run: Run) -> None:
        self._going[run.conversation_id, run.seq] = run

    def get(self, conversation_id: str, seq: int) -> Run | None:
        key = (conversation_id, seq)
        return self._going.get(key) or self._ended.get(key)

    def is_going(self, conversation_id: str, seq: int) -> bool:
        """Whether this process is at that answer."""
        return (conversation_id, seq) in self._going

    def ended(self, run: Run) -> None:
        """Keep it a while for those who come back."""
        key = (run.conversation_id, run.seq)
        self._going.pop(key, None)
        self._ended[key] = run
        self._bytes += run.size_bytes
        while self._ended and (len(self._ended) > self._most or self._bytes > self._most_bytes):
            self._bytes -= self._ended.popitem(last=False)[1].size_bytes

    def forget(self, conversation_ids: set[str]) -> list[Run]:
        """Drop what has ended of erased conversations; the runs of theirs that still go on."""
        for key in [key for key in self._ended if key[0] in conversation_ids]:
            self._bytes -= self._ended.pop(key).size_bytes
        return [run for key, run in self._going.items() if key[0] in conversation_ids]

    @property
    def going(self) -> list[Run]:
        return list(self._going.values())

    @property
    def kept(self) -> int:
        return len(self._ended)


def _nothing() -> None:
    return None
