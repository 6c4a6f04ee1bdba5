"""What a store of budgets is asked, and what it answers; plain values that travel and wait."""

from collections.abc import Callable

import msgspec

from holdfast.rooms.llm.rules.limits import Limit


class Charge(msgspec.Struct, frozen=True):
    """One limit to reserve of. `seed`: what was last known to be used, should the store have lost it."""

    limit: Limit
    amount: int
    mark: int
    """When the calendar period that is now began, epoch seconds; 0 of a rolling one."""
    ends_in_s: float
    """Until the calendar period is over; of a rolling one a minute."""
    seed: int = 0


class Stand(msgspec.Struct, frozen=True):
    """One limit as the store found it, before the reservation."""

    fits: bool
    used: int
    held: int
    mark: int


class Answer(msgspec.Struct, frozen=True):
    """Whether all was reserved; every limit as it stood; reservations found expired meanwhile."""

    granted: bool
    stands: tuple[Stand, ...]
    expired: int = 0


class Use(msgspec.Struct, frozen=True):
    """What one limit is charged: `actual` instead of `reserved`."""

    limit: Limit
    mark: int
    reserved: int
    actual: int
    ends_in_s: float


Seed = Callable[[Limit, int], int]
"""(limit, mark) -> what this process last heard to be used, for a store that has lost its memory."""


class Settlement(msgspec.Struct, frozen=True):
    """The end of one reservation. Applied once, however often it is told."""

    id: str
    uses: tuple[Use, ...]
