"""Channels heard over one connection of their own, joined again wherever the topology has moved to."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from holdfast.ports.shared import Listener, SharedDown, SharedRefused
from holdfast.stores.redis.dial import Dial, ask_all
from holdfast.stores.redis.lane import Pauses
from holdfast.stores.redis.replies import Rejected, Sink
from holdfast.stores.redis.topology import Topology
from holdfast.stores.redis.wire import Wire

logger = logging.getLogger("holdfast.shared")

_LEAST_BUDGET_S = 0.3
"""Three of these after a heartbeat a second old: silence is noticed within two seconds, a hiccup is not."""


class _Channel:
    """Who hears one channel, and who of them was told so."""

    __slots__ = ("joined", "listeners")

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.joined: set[int] = set()


class _Pulse(Sink):
    """Looks at the answer to a heartbeat, and leaves a node that is not worth listening to."""

    def __init__(self, wire: Wire, topology: Topology) -> None:
        self._wire = wire
        self._topology = topology

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None:
        if not self._topology.is_well(reply):
            self._wire.drop("its node has lost its place in the topology")


class Subscriptions:
    """All that this process listens to."""

    def __init__(self, dial: Dial, rng: random.Random) -> None:
        self.problem = ""
        self.opened = 0
        self._dial = dial
        self._rng = rng
        self._channels: dict[bytes, _Channel] = {}
        self._expected: Counter[bytes] = Counter()
        """Confirmations to come, by channel: one of an earlier SUBSCRIBE says nothing of a later."""
        self._wire: Wire | None = None
        self._end: asyncio.Future[str] | None = None
        self._topology: Topology | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def channels(self) -> int:
        return len(self._channels)

    @property
    def is_up(self) -> bool:
        return self._wire is not None

    def open(self, topology: Topology) -> None:
        """Begin to listen, where anyone wants to."""
        self._topology = topology
        if self._channels:
            self._begin()

    async def close(self) -> None:
        """Hear nothing any more; the listeners stay, for another `open`."""
        self._topology = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._wire is not None:
            self._wire.drop("it was stopped")

    def forget(self) -> None:
        """The loop is gone, and the connection with it."""
        self._topology = self._task = self._wire = self._end = None
        self._cut_off()

    def add(self, channel: str, listener: Listener) -> Callable[[], None]:
        name = channel.encode()
        entry = self._channels.setdefault(name, _Channel())
        entry.listeners.append(listener)
        if self._wire is not None:
            # One more SUBSCRIBE for a second listener, too: its `joined` comes when the server says so.
            self._join(self._wire, name)
        elif self._topology is not None:
            self._begin()

        def remove() -> None:
            if listener in entry.listeners:
                entry.listeners.remove(listener)
                entry.joined.discard(id(listener))
            if not entry.listeners and self._channels.get(name) is entry:
                del self._channels[name]
                if self._wire is not None:
                    self._wire.post(("UNSUBSCRIBE", name))

        return remove

    # -- the owner of its wire -------------------------------------------------------------------

    def refused(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> None:
        """SUBSCRIBE has no reply of its own, so a refused one would put every later reply out of step."""
        if wire is self._wire:
            wire.drop(f"its node refuses us: {error}")
        else:
            sink.set_exception(error)

    def lost(self, wire: Wire, why: str) -> None:
        if wire is not self._wire:
            return
        self._wire = None
        self.problem = why
        self._cut_off()
        if self._end is not None and not self._end.done():
            self._end.set_result(why)

    def pushed(self, wire: Wire, message: list[Any]) -> None:
        kind, name = message[0], message[1]
        entry = self._channels.get(name)
        if kind == b"message":
            for listener in list(entry.listeners) if entry is not None else ():
                _safely(listener.heard, message[2])
        elif kind == b"subscribe":
            self._expected[name] -= 1
            if entry is None or self._expected[name]:
                return
            for listener in [each for each in entry.listeners if id(each) not in entry.joined]:
                entry.joined.add(id(listener))
                _safely(listener.joined)

    def _join(self, wire: Wire, name: bytes) -> None:
        self._expected[name] += 1
        wire.post(("SUBSCRIBE", name))

    def _cut_off(self) -> None:
        for entry in list(self._channels.values()):
            was, entry.joined = entry.joined, set()
            for listener in [each for each in entry.listeners if id(each) in was]:
                _safely(listener.cut_off)

    # -- the connection's life -------------------------------------------------------------------

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep(), name="holdfast:shared:subscriptions")

    async def _keep(self) -> None:
        pauses, told = Pauses(self._rng), False
        while self._topology is not None:
            rejected = False
            try:
                await self._live(self._topology, pauses)
            except (OSError, SharedDown) as error:
                self.problem = str(error)
            except Rejected as error:
                self.problem, rejected = str(error), True
            except Exception as error:
                logger.exception("listening to the shared store failed")
                self.problem = repr(error)
            rejected = rejected or "refuses us" in self.problem
            if rejected and not told:
                logger.warning("cannot listen to the shared store: %s", self.problem)
            told = rejected
            await pauses.pause(rejected)

    async def _live(self, topology: Topology, pauses: Pauses) -> None:
        wire = await self._dial.open(await topology.somewhere(), self)
        budget_s = max(self._dial.limits.budget_s, _LEAST_BUDGET_S)
        wire.settle(self._dial.limits._replace(budget_s=budget_s))
        try:
            await _look_well(wire, topology)
        except BaseException:
            wire.drop("nobody listens to it")
            raise
        self._end = asyncio.get_running_loop().create_future()
        self._wire = wire
        self.opened += 1
        self.problem = ""
        self._expected.clear()
        for name in self._channels:
            self._join(wire, name)
        while True:
            wire.beat(_Pulse(wire, topology), topology.heartbeat)
            await asyncio.wait([self._end], timeout=self._dial.config.heartbeat_s)
            if self._end.done():
                return
            pauses.reset()


async def _look_well(wire: Wire, topology: Topology) -> None:
    """Whether this node is worth listening to, before anyone is told that the subscription stands."""
    (reply,) = await ask_all(wire, [topology.heartbeat])
    if isinstance(reply, SharedRefused):
        raise Rejected(f"the node refuses us: {reply}")
    if not topology.is_well(reply):
        raise OSError("the node has lost its place in the topology")
    if wire.ended:
        raise OSError(wire.ended)


def _safely(told: Callable[..., None], *what: Any) -> None:
    try:
        told(*what)
    except Exception:
        logger.exception("a listener failed on what it was told")
