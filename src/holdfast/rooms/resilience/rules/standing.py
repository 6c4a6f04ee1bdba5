"""A breaker as all processes see it, and the moves that change it.

Every change raises the generation. A process that hears of a higher one takes over what it says; a move
made under a lower one, or with a lease that somebody else has taken since, changes nothing (fencing).
"""

import msgspec

LOOK = "look"
OPEN = "open"
LEASE = "lease"
FAIL = "fail"
CLOSE = "close"
FREE = "free"
RESET = "reset"
ANY_GENERATION = -1


class Move(msgspec.Struct, frozen=True):
    """What one process wants to change."""

    kind: str
    generation: int = ANY_GENERATION
    """What the process knew: OPEN and RESET hold only under it (RESET under any, if -1)."""
    token: str = ""
    """Which lease: LEASE asks for it, FAIL, CLOSE and FREE end it."""
    open_s: float = 0.0
    opens: int = 0
    lease_s: float = 0.0
    early: bool = False
    """LEASE before the open time is over: for a probe in the background."""


class Standing(msgspec.Struct, frozen=True):
    """What stands in the store after a move."""

    generation: int = 0
    is_open: bool = False
    left_s: float = 0.0
    """Until the next probe is due."""
    opens: int = 0
    leased_s: float = 0.0
    """Until the lease of a probe that is under way ends; 0 when nobody has it."""
    granted: bool = False
    """Whether the move did what it was for."""


def wait_for_lease_s(standing: Standing, longest_s: float) -> float:
    """When to ask again for a lease that was not granted; never 0."""
    return max(standing.left_s, min(standing.leased_s, longest_s), 0.05)


def amends(standing: Standing, known: int, *, is_open: bool) -> str:
    """The move that brings the store in line with a process that went on alone; empty when none is due.

    With news from others (a higher generation) the process gives way instead. A lower one means that the
    store has lost its memory.
    """
    if standing.generation > known or standing.is_open == is_open:
        return ""
    return OPEN if is_open else RESET
