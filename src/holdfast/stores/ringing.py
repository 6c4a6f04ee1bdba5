"""Rings, thinned out: the first goes at once, what comes within the next milliseconds goes together."""

import asyncio
from collections.abc import Callable, Iterable

WINDOW_S = 0.005


class Ringing:
    """Topics that wait to be told. `send` gets each topic once a window, from the loop, never from `ring`."""

    def __init__(self, send: Callable[[list[str]], None], window_s: float = WINDOW_S) -> None:
        self._send = send
        self._window_s = window_s
        self._waiting: dict[str, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None

    def ring(self, topic: str) -> None:
        """In the loop's thread; without a running loop nobody is told."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._waiting[topic] = None
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_soon(self._go)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._waiting.clear()

    def _go(self) -> None:
        assert self._loop is not None
        if not self._waiting:
            self._timer = None
            return
        topics = list(self._waiting)
        self._waiting.clear()
        self._timer = self._loop.call_later(self._window_s, self._go)
        self._send(topics)


class Listeners:
    """Who is to be called; one that fails is reported to the loop, the others hear all the same."""

    def __init__(self) -> None:
        self._all: list[Callable[[str], None]] = []

    def add(self, heard: Callable[[str], None]) -> None:
        self._all.append(heard)

    def clear(self) -> None:
        self._all.clear()

    def __len__(self) -> int:
        return len(self._all)

    def tell(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for heard in self._all:
                asyncio.get_running_loop().call_soon(heard, topic)
