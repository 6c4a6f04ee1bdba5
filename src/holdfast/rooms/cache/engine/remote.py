"""What the engine asks of the second tier, and what it is told by it: the seam between L1 and L2.

No call raises because the store is away: reads find nothing, writes and markers that were missed are kept
and reconciled when it returns. Entries come back with `body` set and `value` None: the engine decodes them.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from holdfast.rooms.cache.rules.entry import Entry, Marker


class Lease(msgspec.Struct, frozen=True):
    """The right to load a key, until it is stored, given back, or its holder is not heard of any more."""

    key: str
    token: str
    born: int
    """The stamp at which the load begins."""


class Remote(Protocol):
    """The second tier: one for all nodes."""

    @property
    def is_up(self) -> bool:
        """False: do not wait for it; every node is on its own."""
        ...

    async def fetch(self, keys: Sequence[str]) -> list[Entry | None]:
        """What is there and not dead, in the order asked, in one round trip."""
        ...

    async def claim(self, key: str, *, refresh: bool = False) -> Entry | Lease | None:
        """In one round trip: the entry when it is fresh (never with `refresh`), else a Lease to load it.

        None: another node holds the lease; wait for `filled` and ask again. Away: raises SharedDown.
        """
        ...

    async def filled(self, key: str, within_s: float) -> None:
        """Return when another node says it has filled `key` or given it up, or after `within_s`."""
        ...

    async def store(self, entries: Sequence[Entry], lease: Lease | None = None) -> bool:
        """Write and tell the others; False: the lease has passed on, a marker came between, or it is away."""
        ...

    async def give_back(self, lease: Lease) -> None:
        """The load failed: whoever waits may try."""
        ...

    async def mark(self, markers: Sequence[Marker]) -> None:
        """Make the markers last, and tell the others."""
        ...


class Hears(Protocol):
    """What the second tier tells the engine of this node."""

    def heard(self, markers: Sequence[Marker]) -> None:
        """Somebody else has invalidated."""
        ...

    def replaced(self, key: str, born: int) -> None:
        """Somebody else has stored a value that began at `born`: an older one here is dead."""
        ...

    def cut_off(self) -> None:
        """Nothing is heard from now on: what we hold may be served for `cut_off_ttl_s`, no longer."""
        ...

    def joined(self) -> None:
        """We hear again: what we held from before is compared with the second tier before it is served."""
        ...
