"""A cluster: which master owns each slot, and where a command goes that met the wrong one."""

import asyncio
import random
from typing import Any

from holdfast.ports.shared import SharedDown, SharedRefused
from holdfast.stores.redis.address import Address
from holdfast.stores.redis.dial import Dial, Quiet, ask_all
from holdfast.stores.redis.lane import Lane, Pauses, Watcher
from holdfast.stores.redis.replies import Rejected, code_of, down, fail
from holdfast.stores.redis.server_clock import ServerClock
from holdfast.stores.redis.slots import SLOTS, slot_of_command
from holdfast.stores.redis.wire import Wire

_TRIES = 5
_RETRY_S = 0.005
"""Pause before a command is tried again that meets slots on the move."""
_REFRESH_S = 30.0


class Again:
    """A command on its second way, with what is left of its budget."""

    __slots__ = ("command", "left", "sink", "timer")

    def __init__(self, sink: Any, command: tuple[Any, ...], timer: asyncio.TimerHandle) -> None:
        self.sink = sink
        self.command = command
        self.left = _TRIES
        self.timer = timer


class Cluster:
    """The masters of a cluster, one lane each; the map is read again whenever something contradicts it."""

    single: Lane | None = None
    heartbeat = ("CLUSTER", "INFO")

    def __init__(self, dial: Dial, watcher: Watcher, clock: ServerClock, rng: random.Random) -> None:
        self._dial = dial
        self._watcher = watcher
        self._clock = clock
        self._rng = rng
        self._lanes: dict[Address, Lane] = {}
        self._owners: list[Lane | None] = [None] * SLOTS
        self._stale = asyncio.Event()
        self._mapped = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self.problem = "the map of the cluster is not known yet"
        self._task = asyncio.create_task(self._keep_map(), name="holdfast:shared:cluster")

    def lanes(self) -> list[Lane]:
        return list(self._lanes.values())

    def lane_for(self, command: tuple[Any, ...]) -> Lane | None:
        return self._owners[slot_of_command(command)]

    def is_well(self, reply: Any) -> bool:
        """A node cut off from most of the others answers still, but what is published elsewhere it misses."""
        return b"cluster_state:ok" in bytes(reply)

    async def somewhere(self) -> Address:
        up = [lane.address for lane in self._lanes.values() if lane.address and lane.is_up]
        return self._rng.choice(up or list(self._dial.target.addresses))

    async def settled(self) -> None:
        await self._mapped.wait()
        for lane in self.lanes():
            await lane.tried.wait()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        await asyncio.gather(*self._closing, return_exceptions=True)

    def suspect(self) -> None:
        """Read the map again soon."""
        self._stale.set()

    # -- redirections ----------------------------------------------------------------------------

    def redirect(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> bool:
        code = code_of(error)
        if code not in ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "MASTERDOWN"):
            return False
        again = sent if isinstance(sent, Again) else self._again(sink, sent, due)
        again.left -= 1
        if again.left < 0:
            again.timer.cancel()
            return False
        if code == "ASK":
            self._resend(self._lane_at(_named(error, wire, self._lanes)), again, asking=True)
            return True
        self._stale.set()
        if code == "MOVED":
            lane = self._lane_at(_named(error, wire, self._lanes))
            self._owners[int(str(error).split(" ")[1])] = lane
            self._resend(lane, again)
        else:
            asyncio.get_running_loop().call_later(_RETRY_S, self._retry, again)
        return True

    def _again(self, sink: Any, command: tuple[Any, ...], due: float) -> Again:
        left_s = max(due - self._dial.clock.monotonic(), 0.0)
        late = down(f"no reply within {self._dial.config.budget_ms:g} ms, redirected by the cluster")
        return Again(sink, command, asyncio.get_running_loop().call_later(left_s, fail, sink, late))

    def _retry(self, again: Again) -> None:
        lane = self.lane_for(again.command)
        if not again.sink.done() and lane is not None:
            self._resend(lane, again)

    def _resend(self, lane: Lane, again: Again, asking: bool = False) -> None:
        def send(wire: Wire) -> None:
            if not again.sink.done():
                wire.send_to(again.sink, again.command, again, asking)

        if (wire := lane.wire()) is not None:
            send(wire)
        else:
            lane.expecting.append(send)  # its budget runs on

    def _lane_at(self, address: Address) -> Lane:
        lane = self._lanes.get(address)
        if lane is None:

            async def resolve() -> Address:
                return address

            lane = Lane(self._dial, resolve, self._watcher, self._rng, name=str(address))
            self._lanes[address] = lane
        return lane

    # -- the map ---------------------------------------------------------------------------------

    async def _keep_map(self) -> None:
        pauses = Pauses(self._rng)
        while True:
            self._stale.clear()
            try:
                self._take_in(await self._read_map())
                self.problem = ""
            except (OSError, SharedDown, Rejected) as error:
                self.problem = str(error)
            self._mapped.set()
            if self.problem or not all(lane.is_up for lane in self._lanes.values()):
                await pauses.pause("refuses us" in self.problem)
                continue
            pauses.reset()
            try:
                async with asyncio.timeout(_REFRESH_S):
                    await self._stale.wait()
            except TimeoutError:
                continue

    async def _read_map(self) -> list[tuple[int, int, Address]]:
        """The first good map; that of a node that is cut off counts only where there is no other."""
        known = [lane.address for lane in self._lanes.values() if lane.address and lane.is_up]
        others = [address for address in self._dial.target.addresses if address not in known]
        others += [address for address in self._lanes if address not in (*known, *others)]
        self._rng.shuffle(known)
        poor: list[tuple[int, int, Address]] = []
        said: Exception = OSError("no node of the cluster is known")
        for address in (*known, *others):
            try:
                info, entries = await self._ask(address)
            except (OSError, SharedDown, Rejected) as error:
                said = error
                continue
            found = _ranges(entries, address)
            if b"cluster_state:ok" in info and found:
                return found
            poor = poor or found
        if poor:
            return poor
        raise said

    async def _ask(self, address: Address) -> tuple[bytes, list[Any]]:
        wire = await self._dial.open(address, Quiet())
        try:
            info, entries = await ask_all(wire, [("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")])
        finally:
            wire.drop("asked and answered")
        if isinstance(info, SharedRefused) or isinstance(entries, SharedRefused):
            raise Rejected(f"{address} refuses us: {info!s:.200}")
        return bytes(info), entries

    def _take_in(self, ranges: list[tuple[int, int, Address]]) -> None:
        owners: list[Lane | None] = [None] * SLOTS
        for first, last, address in ranges:
            owners[first : last + 1] = [self._lane_at(address)] * (last + 1 - first)
        self._owners[:] = owners
        serving = {address for _, _, address in ranges}
        for address in [address for address in self._lanes if address not in serving]:
            task = asyncio.create_task(self._lanes.pop(address).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        reference = owners[0]
        for lane in self._lanes.values():
            if lane is not reference:
                lane.clock = None
        if reference is not None and reference.clock is None:
            self._clock.forget()
            reference.clock = self._clock


def _ranges(entries: list[Any], asked: Address) -> list[tuple[int, int, Address]]:
    """CLUSTER SLOTS as first slot, last slot, master; an empty host is the one that was asked."""
    found = []
    for first, last, master, *_ in entries:
        host = (master[0] or b"").decode()
        found.append((first, last, Address(asked.host if host in ("", "?") else host, master[1])))
    return found


def _named(error: SharedRefused, wire: Wire, lanes: dict[Address, Lane]) -> Address:
    """The node that MOVED or ASK names; an empty host is the one that answered."""
    host, _, port = str(error).split(" ")[2].rpartition(":")
    if not host:
        here = next((address for address, lane in lanes.items() if wire in lane.wires), None)
        host = here.host if here else ""
    return Address(host.strip("[]"), int(port))
