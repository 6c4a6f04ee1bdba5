"""Nodes for the tests of the second tier: driver and tier over a real server, their ears, a wire to cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.rooms.cache.engine.shared import SharedTier
from holdfast.rooms.cache.rules.entry import Entry, HybridClock, Marker
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config
from tests.free_ports import free_port
from tests.waiting import until


async def pause(seconds: float) -> None:
    """Let time pass where time itself is the subject: a lease that is to outlive its first term."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


class Ears:
    """A `Hears` that writes down what it is told."""

    def __init__(self) -> None:
        self.markers: list[Marker] = []
        self.replacements: list[tuple[str, int]] = []
        self.turns: list[str] = []

    def heard(self, markers) -> None:
        self.markers += markers

    def replaced(self, key: str, born: int) -> None:
        self.replacements.append((key, born))

    def cut_off(self) -> None:
        self.turns.append("cut_off")

    def joined(self) -> None:
        self.turns.append("joined")


@dataclass
class Node:
    """One node: what it speaks, and what it hears."""

    shared: RedisShared
    tier: SharedTier
    clock: Clock
    ears: Ears = field(default_factory=Ears)
    stamps: HybridClock = field(default_factory=HybridClock)

    def stamp(self, lean: int = -1) -> int:
        """What begins has the earliest time that it can be; a marker (1) the latest."""
        return self.stamps.stamp(self.shared.clock_us(lean))

    def entry(self, key: str, body: bytes = b'"v"', born: int | None = None, ttl_s: float = 60.0, **rest):
        now = self.clock.monotonic()
        settings = {"kind": "default", "fresh_until": now + ttl_s, "stale_until": now + 2 * ttl_s, **rest}
        return Entry(key=key, value=None, born=born or self.stamp(), body=body, **settings)

    async def fill(self, key: str, body: bytes = b'"v"', **rest) -> Entry:
        """Claim, load and store, as the engine does."""
        lease = await self.tier.claim(key)
        entry = self.entry(key, body, born=lease.born, **rest)
        assert await self.tier.store([entry], lease)
        return entry

    async def mark(self, scope: str, name: str = "") -> Marker:
        marker = Marker(scope, name, self.stamp(1))
        await self.tier.mark([marker])
        return marker

    async def body(self, key: str) -> bytes | None:
        [entry] = await self.tier.fetch([key])
        return entry and entry.body


def behind(shared):
    """As it is, but that it takes the server's clock for earlier than that is: half a round trip at most."""
    told = shared.clock_us
    shared.clock_us = lambda lean=0: told(lean) - 50_000 * (lean < 1)
    return shared


@contextlib.asynccontextmanager
async def node(url: str, name: str, *, budget_ms: float = 5_000.0, clock=None, waits=True, **settings):
    """A node that has joined. Its patience is long: a busy machine is no outage."""
    clock, ears, stamps = clock or SystemClock(), Ears(), HybridClock()
    shared = RedisShared(url, Config(budget_ms=budget_ms, heartbeat_s=0.2), clock)
    settings = {"max_load_s": 30.0, **settings}
    tier = SharedTier(
        shared, hears=ears, clock=clock, rng=Random(name), node_id=name, stamps=stamps, **settings
    )
    await shared.start()
    await tier.start()
    try:
        if waits:
            await until(lambda: tier.state()["is_joined"])
        yield Node(shared, tier, clock, ears, stamps)
    finally:
        await tier.stop()
        await shared.stop()


class Cut:
    """A wire to `port` that can be cut: `url` leads through it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Every connection falls, and none is taken, until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers |= {writer, far_writer}
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        except OSError:
            writer.transport.abort()
        finally:
            self._tasks.discard(asyncio.current_task())


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@contextlib.asynccontextmanager
async def cut_wire(port: int) -> AsyncIterator[Cut]:
    wire = Cut(port)
    await wire.open()
    try:
        yield wire
    finally:
        await wire.cut()
