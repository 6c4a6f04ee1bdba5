"""The Shared port over Redis or Valkey."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.ports.shared import Command, Listener, Part, Script, SharedRefused
from holdfast.stores.redis.address import Address, read_url
from holdfast.stores.redis.cluster import Again, Cluster
from holdfast.stores.redis.config import Config
from holdfast.stores.redis.dial import Dial
from holdfast.stores.redis.lane import Lane
from holdfast.stores.redis.replies import AWAY, Bundle, Failed, code_of, down, fail
from holdfast.stores.redis.replies import Part as ReplyPart
from holdfast.stores.redis.sentinel import Sentinels
from holdfast.stores.redis.server_clock import ServerClock
from holdfast.stores.redis.subscription import Subscriptions
from holdfast.stores.redis.topology import SingleServer, Topology
from holdfast.stores.redis.wire import Wire

logger = logging.getLogger("holdfast.shared")

_NOT_OPEN = "it is not open in this process; start() it first"


class RedisShared:
    """The shared store at `url`; see docs/shared-store.md for the URLs. Made without touching the network.

    Calls belong to the loop that called `start`. A call that fails with SharedDown may have been
    carried out: it was sent, and nobody heard the answer.
    """

    def __init__(
        self,
        url: str,
        config: Config | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.is_up = False
        self._config = config or Config()
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter of pauses, no secret
        self._target = read_url(url)
        self._dial = Dial(self._target, self._config, self._clock)
        self._server_clock = ServerClock(self._clock)
        self.clock_us: Callable[..., int] = self._server_clock.now_us
        self._subscriptions = Subscriptions(self._dial, self._rng)
        self._topology: Topology | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wire: Wire | None = None
        """The connection of every call, where there is just one."""
        self._since = self._clock.wall()
        self._texts: dict[str, str] = {}
        self._outages = 0

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; returns after the first try, well or not. Idempotent, in any loop.

        A server that is away stops no start: calls raise SharedDown until it is back.
        """
        loop = asyncio.get_running_loop()
        if self._topology is not None:
            if self._loop is loop:
                return
            self._forget()
        self._loop = loop
        self._topology = self._open()
        self._subscriptions.open(self._topology)
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._config.connect_timeout_s):
                await self._topology.settled()

    async def stop(self) -> None:
        """Close everything; what waits raises SharedDown. Idempotent."""
        if self._topology is None:
            return
        if self._loop is not asyncio.get_running_loop():
            self._forget()
            return
        topology, self._topology = self._topology, None
        await self._subscriptions.close()
        await topology.close()
        self._wire = None
        self.is_up = False

    def _forget(self) -> None:
        """The loop that owned the connections has ended: they cannot be closed in order any more."""
        self._topology = self._wire = None
        self._subscriptions.forget()
        self.is_up = False

    def _open(self) -> Topology:
        target = self._target
        if target.topology == "cluster":
            return Cluster(self._dial, self, self._server_clock, self._rng)
        if target.topology == "sentinel":
            resolve, name = Sentinels(self._dial).master, f"{target.master} (Sentinel)"
        else:
            resolve, name = self._given, str(target.addresses[0])
        return SingleServer(
            self._dial,
            self,
            self._server_clock,
            self._rng,
            name=name,
            resolve=resolve,
            sentinel=target.topology == "sentinel",
        )

    async def _given(self) -> Address:
        return self._target.addresses[0]

    # -- calls -----------------------------------------------------------------------------------

    def call(self, *command: Part) -> Awaitable[Any]:
        """One command about one key; its reply: bytes, int, list, None. Raises SharedDown, SharedRefused."""
        wire = self._wire
        if wire is not None:
            return wire.send(command)  # type: ignore[no-any-return] # a future, as mypy cannot see
        wire = self._wire_for(command)
        if wire is None:
            return Failed(self._why_down(command))
        return wire.send(command)  # type: ignore[no-any-return] # a future, as mypy cannot see

    def many(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """Independent commands, each to where its key lives; SharedRefused stands as a reply."""
        if self._topology is None or self._loop is None:
            return Failed(_NOT_OPEN)
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        bundle = Bundle(future, len(commands))
        if not commands:
            future.set_result([])
        single = self._wire
        for index, command in enumerate(commands):
            command = tuple(command)
            wire = single or self._wire_for(command)
            if wire is None:
                fail(future, down(self._why_down(command)))
                break
            wire.send_to(ReplyPart(bundle, index), command)
        return future

    def script(self, script: Script, keys: Sequence[Part], arguments: Sequence[Part] = ()) -> Awaitable[Any]:
        """Run by digest; a server that does not know it yet gets the text."""
        self._texts[script.sha1] = script.text
        return self.call("EVALSHA", script.sha1, len(keys), *keys, *arguments)

    def subscribe(self, channel: str, listener: Listener) -> Callable[[], None]:
        """Hear what anyone publishes on `channel`, over lost connections and fail-overs; call to stop."""
        return self._subscriptions.add(channel, listener)

    def _wire_for(self, command: tuple[Any, ...]) -> Wire | None:
        if self._topology is None:
            return None
        lane = self._topology.lane_for(command)
        return None if lane is None else lane.wire()

    def _why_down(self, command: tuple[Any, ...]) -> str:
        if self._topology is None:
            return _NOT_OPEN
        lane = self._topology.lane_for(command)
        return lane.problem if lane is not None else "no node of the cluster is known to serve this key"

    # -- what lanes tell -------------------------------------------------------------------------

    def changed(self, lane: Lane) -> None:
        topology = self._topology
        if topology is None:
            return
        if topology.single is lane and self._config.connections == 1:
            self._wire = lane.wire()
        if isinstance(topology, Cluster) and not lane.is_up:
            topology.suspect()
        self._turn(any(each.is_up for each in topology.lanes()))

    def refused(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> None:
        """An error reply: a script's text is sent after its digest, a moved key is followed."""
        code = code_of(error)
        command = sent.command if isinstance(sent, Again) else sent
        if code == "NOSCRIPT" and command[0] == "EVALSHA" and command[1] in self._texts:
            # On the same connection, to the node that does not know it.
            wire.send_to(sink, ("EVAL", self._texts[command[1]], *command[2:]))
            return
        if self._topology is not None and self._topology.redirect(wire, sink, sent, error, due):
            return
        if code not in AWAY:
            sink.set_exception(error)
        elif code in ("MOVED", "ASK") and self._target.topology != "cluster":
            fail(sink, down(f"{error}: it is a node of a cluster, so its URL must be redis+cluster://"))
        else:
            fail(sink, down(str(error)))

    def _turn(self, up: bool) -> None:
        if up != self.is_up:
            self.is_up = up
            self._since = self._clock.wall()
            self._outages += not up

    # -- what health and metrics see -------------------------------------------------------------

    def state(self) -> Mapping[str, Any]:
        """Topology, up or down and since when, calls, failures, reconnects: for health and metrics."""
        topology = self._topology
        nodes = [lane.figures() for lane in topology.lanes()] if topology is not None else []
        problem = "" if topology is not None else _NOT_OPEN
        if isinstance(topology, Cluster):
            problem = topology.problem
        return {
            "driver": "redis",
            "topology": self._target.topology,
            "addresses": [str(address) for address in self._target.addresses],
            "up": self.is_up,
            "since": self._since,
            "problem": problem or next((node["problem"] for node in nodes if node["problem"]), ""),
            "outages": self._outages,
            "calls": sum(node["calls"] for node in nodes),
            "missed": sum(node["missed"] for node in nodes),
            "turned_away": sum(node["turned_away"] for node in nodes),
            "waiting": sum(node["waiting"] for node in nodes),
            "reconnects": sum(node["reconnects"] for node in nodes),
            "round_trip_ms": self._server_clock.round_trip_ms,
            "channels": self._subscriptions.channels,
            "listening": self._subscriptions.is_up,
            "listening_problem": self._subscriptions.problem,
            "nodes": nodes,
        }
