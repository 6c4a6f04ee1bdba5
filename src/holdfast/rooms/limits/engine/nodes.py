"""How many nodes share the limits: each says that it lives, and remembers how many did."""

from holdfast.ports.shared import Shared, SharedDown, SharedRefused
from holdfast.rooms.limits.store.keys import NODES
from holdfast.rooms.limits.store.scripts import BEAT_SCRIPT


class Nodes:
    """The number of known nodes. It outlives an outage of the shared store, and is never below `at_least`."""

    def __init__(self, shared: Shared, node_id: str, *, at_least: int, silent_after_s: float) -> None:
        self._shared = shared
        self._node_id = node_id
        self._at_least = max(1, at_least)
        self._silent_ms = int(silent_after_s * 1000)
        self.known = self._at_least
        """As last heard."""

    def count(self) -> int:
        """As last heard; 1 or more."""
        return self.known

    async def beat(self) -> bool:
        """Say that this node lives and hear how many do; whether the store answered."""
        return await self._say("1")

    async def leave(self) -> bool:
        """Say that this node goes, so that the others' shares grow at once."""
        return await self._say("0")

    async def _say(self, stays: str) -> bool:
        try:
            heard = await self._shared.script(BEAT_SCRIPT, [NODES], [self._node_id, self._silent_ms, stays])
        except (SharedDown, SharedRefused):
            return False
        self.known = max(self._at_least, int(heard))
        return True
