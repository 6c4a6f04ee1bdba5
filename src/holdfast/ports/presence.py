"""Who is alive, and who has news: locks that the kernel frees at death, bells that processes hear."""

from collections.abc import Callable, Sequence
from typing import Protocol


class Presence(Protocol):
    """Locks held for as long as a process (or its connection to the server) lives."""

    async def hold(self, name: str) -> None:
        """Take the lock `name`, or raise Conflict when somebody has it. Held until `close`, or death."""
        ...

    async def free(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that nobody holds: their holders are dead. One that cannot tell is left out."""
        ...

    def lost(self) -> list[str]:
        """Names that were held and are not at the moment, so that others take their holder for dead.

        They are taken again as soon as that can be, at the latest by the next `free`.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; idempotent."""
        ...


class Bell(Protocol):
    """Tells other processes on the same database that something is new. A ring may be lost: polls stay."""

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard(topic)` in this loop whenever a process rings; "" when it cannot be told what for."""
        ...

    def ring(self, topic: str) -> None:
        """Ring soon; many rings within a few milliseconds become one. Never blocks, never raises."""
        ...

    async def close(self) -> None:
        """Stop listening; idempotent."""
        ...
