"""The connections to one node: kept open, dropped when silent, opened again with growing pauses."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from holdfast.ports.shared import SharedDown, SharedRefused
from holdfast.stores.redis.address import Address
from holdfast.stores.redis.dial import Dial, TimeProbe
from holdfast.stores.redis.replies import FORGOTTEN, Rejected
from holdfast.stores.redis.server_clock import ServerClock
from holdfast.stores.redis.wire import Wire

logger = logging.getLogger("holdfast.shared")

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
REJECTED_PAUSE_S = 15.0
"""Between two tries of a login that the server has refused: it may be mended there."""


class Pauses:
    """Growing, jittered pauses between tries, so that nodes do not come back all at once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next_s = FIRST_PAUSE_S

    def reset(self) -> None:
        self._next_s = FIRST_PAUSE_S

    async def pause(self, rejected: bool = False) -> None:
        """Wait between half and all of 50 ms, doubling to 2 s."""
        longest_s = REJECTED_PAUSE_S if rejected else self._next_s
        self._next_s = min(self._next_s * 2, LONGEST_PAUSE_S)
        await asyncio.sleep(longest_s * self._rng.uniform(0.5, 1.0))


class Watcher(Protocol):
    """Who routes calls over lanes."""

    def changed(self, lane: "Lane") -> None:
        """A connection of the lane was opened or has ended."""
        ...

    def refused(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> None: ...


class Lane:
    """One node. `wires` are the connections that stand; calls share them."""

    def __init__(
        self,
        dial: Dial,
        resolve: Callable[[], Awaitable[Address]],
        watcher: Watcher,
        rng: random.Random,
        *,
        name: str,
        master: bool = False,
    ) -> None:
        self.name = name
        self.wires: list[Wire] = []
        self.problem = "not connected yet"
        """Why no connection stands."""
        self.address: Address | None = None
        self.opened = 0
        self.clock: ServerClock | None = None
        """Fed with every heartbeat where this node is the reference."""
        self.tried = asyncio.Event()
        """Set when the first try to connect has ended, well or not."""
        self.expecting: deque[Callable[[Wire], None]] = deque(maxlen=dial.limits.max_waiting)
        """Who asks for the next connection that stands."""
        self._dial = dial
        self._resolve = resolve
        self._watcher = watcher
        self._rng = rng
        self._master = master
        self._ends: dict[Wire, asyncio.Future[str]] = {}
        self._told = ""
        self._gone_calls = self._gone_missed = self._gone_turned = 0
        self._tasks = [
            asyncio.create_task(self._keep(), name=f"holdfast:shared:{name}")
            for _ in range(dial.config.connections)
        ]

    @property
    def is_up(self) -> bool:
        return bool(self.wires)

    def wire(self) -> Wire | None:
        """The connection with the shortest line."""
        wires = self.wires
        if len(wires) == 1:
            return wires[0]
        return min(wires, key=_line, default=None)

    def drop(self, why: str) -> None:
        """End every connection; new ones are opened where `resolve` says."""
        for wire in list(self.wires):
            wire.drop(why)

    async def close(self) -> None:
        """End for good."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.drop("it was stopped")
        self.expecting.clear()

    def figures(self) -> dict[str, Any]:
        """What health and metrics show of this node."""
        wires = self.wires
        return {
            "node": self.name if self.address is None else str(self.address),
            "up": bool(wires),
            "problem": "" if wires else self.problem,
            "connections": len(wires),
            "waiting": sum(wire.waiting for wire in wires),
            "calls": self._gone_calls + sum(wire.calls for wire in wires),
            "missed": self._gone_missed + sum(wire.missed for wire in wires),
            "turned_away": self._gone_turned + sum(wire.turned_away for wire in wires),
            "reconnects": max(self.opened - self._dial.config.connections, 0),
        }

    # -- the owner of its wires ------------------------------------------------------------------

    def refused(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> None:
        self._watcher.refused(wire, sink, sent, error, due)

    def pushed(self, wire: Wire, message: list[Any]) -> None:
        """Nothing is subscribed to here."""

    def lost(self, wire: Wire, why: str) -> None:
        self._gone_calls += wire.calls
        self._gone_missed += wire.missed
        self._gone_turned += wire.turned_away
        if wire in self.wires:
            self.wires.remove(wire)
            self.problem = why
            self._watcher.changed(self)
        end = self._ends.pop(wire, None)
        if end is not None and not end.done():
            end.set_result(why)

    # -- one connection's life -------------------------------------------------------------------

    async def _keep(self) -> None:
        pauses = Pauses(self._rng)
        while True:
            rejected = False
            try:
                why = await self._live(pauses)
                self._tell(f"lost the shared store {self.name}: {why}")
            except (OSError, SharedDown) as error:
                self._failed(f"{error}")
            except Rejected as error:
                rejected = True
                self._failed(f"{error}")
            except Exception as error:
                logger.exception("connecting to the shared store %s failed", self.name)
                self._failed(repr(error))
            await pauses.pause(rejected)

    async def _live(self, pauses: Pauses) -> str:
        address = await self._resolve()
        wire = await self._dial.open(address, self, master=self._master)
        end = self._ends[wire] = asyncio.get_running_loop().create_future()
        self.address = address
        self.opened += 1
        self.wires.append(wire)
        pauses.reset()
        self.problem = ""
        if self._told:
            logger.warning("the shared store %s is back", self.name)
            self._told = ""
        self._beat(wire)
        while self.expecting:
            self.expecting.popleft()(wire)
        self._watcher.changed(self)
        self.tried.set()
        while not end.done():
            await asyncio.wait([end], timeout=self._dial.config.heartbeat_s)
            self._beat(wire)
        why: str = end.result()
        return why

    def _beat(self, wire: Wire) -> None:
        if self.clock is None:
            wire.beat(FORGOTTEN)
        else:
            wire.beat(TimeProbe(self.clock), ("TIME",))

    def _failed(self, why: str) -> None:
        self.problem = why
        self._tell(f"the shared store {self.name} is away: {why}")
        self.tried.set()
        self._watcher.changed(self)

    def _tell(self, line: str) -> None:
        """One log line for an outage, however many tries it takes; another when the reason changes."""
        if not self.wires and line != self._told:
            if not self._told or "refuses us" in line:
                logger.warning("%s", line)
            self._told = line


def _line(wire: Wire) -> int:
    return wire.waiting
