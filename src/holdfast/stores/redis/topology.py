"""Which lane serves a key: the one server there is, be it named by the URL or by sentinels."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from holdfast.ports.shared import SharedRefused
from holdfast.stores.redis.address import Address
from holdfast.stores.redis.dial import Dial
from holdfast.stores.redis.lane import Lane, Watcher
from holdfast.stores.redis.server_clock import ServerClock
from holdfast.stores.redis.wire import Wire

_SETTLED_S = 1.0
"""A connection younger than this is not dropped for READONLY: a lasting replica would end them all."""


class Topology(Protocol):
    """Where the nodes are and which of them serves what."""

    single: Lane | None
    """The lane that serves every key, where there is one."""

    heartbeat: tuple[Any, ...]
    """What a subscription asks its node from time to time."""

    def lanes(self) -> list[Lane]: ...

    def lane_for(self, command: tuple[Any, ...]) -> Lane | None:
        """The lane of the command's key; None while nobody is known to serve it."""
        ...

    def redirect(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> bool:
        """Send elsewhere what `wire` will not serve; whether it was."""
        ...

    def is_well(self, reply: Any) -> bool:
        """Whether the answer to `heartbeat` is that of a node worth listening to."""
        ...

    async def somewhere(self) -> Address:
        """A node to listen to; raises OSError where none is known."""
        ...

    async def settled(self) -> None:
        """Returns when the first tries to connect have ended, well or not."""
        ...

    async def close(self) -> None: ...


class SingleServer:
    """Standalone, or the master that `resolve` finds."""

    def __init__(
        self,
        dial: Dial,
        watcher: Watcher,
        clock: ServerClock,
        rng: random.Random,
        *,
        name: str,
        resolve: Callable[[], Awaitable[Address]],
        sentinel: bool = False,
    ) -> None:
        self._resolve = resolve
        self._sentinel = sentinel
        self._dial = dial
        self._dropped_at = float("-inf")
        self.single: Lane | None = Lane(dial, resolve, watcher, rng, name=name, master=sentinel)
        self._lane = self.single
        self._lane.clock = clock
        self.heartbeat: tuple[Any, ...] = ("ROLE",) if sentinel else ("PING",)
        self._watch = asyncio.create_task(self._follow()) if sentinel else None

    def lanes(self) -> list[Lane]:
        return [self._lane]

    def lane_for(self, command: tuple[Any, ...]) -> Lane | None:
        return self._lane

    def redirect(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> bool:
        """READONLY: a fail-over has made it a replica, so ask again where the master is (DNS, Sentinel)."""
        now = self._dial.clock.monotonic()
        if str(error).startswith("READONLY") and now - self._dropped_at > _SETTLED_S:
            self._dropped_at = now
            self._lane.drop("it is a replica now")
        return False

    def is_well(self, reply: Any) -> bool:
        return not self._sentinel or reply[0] == b"master"

    async def somewhere(self) -> Address:
        return await self._resolve()

    async def settled(self) -> None:
        await self._lane.tried.wait()

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._lane.close()

    async def _follow(self) -> None:
        """Leave a master that the sentinels have given up although we can still reach it."""
        while True:
            await asyncio.sleep(5 * self._dial.config.heartbeat_s)
            try:
                address = await self._resolve()
            except OSError:
                continue
            if self._lane.address not in (None, address):
                self._lane.drop(f"the sentinels name {address} as the master")
