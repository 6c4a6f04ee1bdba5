"""Fast state that several processes share: Redis or Valkey, alone, behind Sentinel or as a cluster.

Commands and scripts are a room's own and stand in its `store`, as its SQL does. Every call waits at
most the driver's budget (50 ms unless set otherwise) and then raises SharedDown; while the server is
known to be away, calls raise it at once, and a probe in the background finds out when it is back.
A room therefore always has a second way: what it does with process memory alone.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from holdfast.kernel.errors import Unavailable

Part = bytes | str | int | float
Command = Sequence[Part]


class SharedDown(Unavailable):
    """The shared store does not answer now."""

    code = "shared-store-down"


class SharedRefused(Exception):
    """The server answered with an error of its own (WRONGTYPE, OOM, NOPERM): not worth repeating."""


class Script:
    """A Lua script with its digest. All its keys must lie in one slot: use a `{hash tag}`."""

    __slots__ = ("name", "sha1", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Listener(Protocol):
    """Who hears a channel. Called on the loop; must not block."""

    def heard(self, payload: bytes) -> None: ...

    def joined(self) -> None:
        """The subscription stands, for the first time or again: what was said before may be lost."""
        ...

    def cut_off(self) -> None:
        """The subscription is gone: from now on nothing is heard, until `joined`."""
        ...


class Shared(Protocol):
    """The shared store. Commands of one turn of the loop leave in one write (implicit pipelining)."""

    is_up: bool
    """Whether the server answered last time. False: calls raise SharedDown without trying."""

    def call(self, *command: Part) -> Awaitable[Any]:
        """One command about one key; its reply: bytes, int, list, None. Raises SharedDown, SharedRefused."""
        ...

    def many(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """Independent commands, each to where its key lives; SharedRefused stands as a reply."""
        ...

    def script(self, script: Script, keys: Sequence[Part], arguments: Sequence[Part] = ()) -> Awaitable[Any]:
        """Run by digest; a server that does not know it yet gets the text."""
        ...

    def subscribe(self, channel: str, listener: Listener) -> Callable[[], None]:
        """Hear what anyone publishes on `channel`, over lost connections and fail-overs; call to stop."""
        ...

    def clock_us(self, lean: int = 0) -> int:
        """Microseconds since the epoch by one server's clock, so that all nodes agree to about a millisecond.

        Read with every heartbeat and carried on by our monotonic clock: steps of our wall clock never show.
        What is known of it is an interval: `lean` -1 gives its beginning, 1 its end, 0 what is likeliest.
        """
        ...

    def state(self) -> Mapping[str, Any]:
        """Topology, up or down and since when, calls, failures, reconnects: for health and metrics."""
        ...
