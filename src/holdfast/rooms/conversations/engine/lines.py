"""Messages that wait for their turn in one conversation: in the order they came in, and not for ever."""

import asyncio
from collections import deque

Turn = asyncio.Future[None]


class Lines:
    """One line a conversation, in this process. Every turn that was taken is given back, once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[str, deque[Turn]] = {}

    def take(self, name: str) -> Turn | None:
        """A place in the line, taken now: done when it is its turn. None when too many wait already."""
        turn: Turn = asyncio.get_running_loop().create_future()
        line = self._lines.get(name)
        if line is None:
            self._lines[name] = deque()
            turn.set_result(None)
        elif len(line) >= self._most:
            return None
        else:
            line.append(turn)
        return turn

    async def wait(self, turn: Turn, within_s: float) -> bool:
        """Wait until it is this one's turn; False when the time is over."""
        if not turn.done():
            await asyncio.wait((turn,), timeout=within_s)
        return turn.done()

    def give_back(self, name: str, turn: Turn) -> None:
        """Leave the line; who had the turn gives it to the next."""
        line = self._lines.get(name)
        if line is not None and turn in line:
            line.remove(turn)
            turn.cancel()
            return
        while line:
            following = line.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._lines.pop(name, None)

    def waiting(self, name: str) -> int:
        return len(self._lines.get(name, ()))
