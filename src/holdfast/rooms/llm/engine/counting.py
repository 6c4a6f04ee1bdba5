"""What keeps the counts of budgets, whichever store it is, and what a reservation holds meanwhile."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from holdfast.rooms.llm.rules.counts import Refusal
from holdfast.rooms.llm.rules.limits import REQUESTS, Limit


class Held:
    """What one reservation holds: an amount of each limit, and when that limit's period had begun."""

    __slots__ = ("amounts", "expires", "id", "limits", "live", "marks", "origin", "stored")

    def __init__(self, limits: Sequence[Limit], amounts: Sequence[int], marks: Sequence[float]) -> None:
        self.limits = limits
        self.amounts = amounts
        self.marks = marks
        self.id = ""
        """Its name in a store; empty in memory."""
        self.expires = 0.0
        self.live = False
        """Whether the amounts are held now: not yet settled, not expired."""
        self.origin: tuple[Sequence[Limit], Sequence[float]] | None = None
        """Where only shares of limits are held: the limits themselves, and when their periods began."""
        self.stored = False
        """Whether the store may know of it."""

    def actual(self, tokens: int, cost: int) -> list[int]:
        """What each limit is to be charged instead. A request was made, whatever became of it."""
        found = [tokens, cost, 0]
        return [
            amount if limit.unit == REQUESTS else found[limit.unit]
            for limit, amount in zip(self.limits, self.amounts, strict=True)
        ]


class Counts(Protocol):
    """Counts of limits. `reserve` charges every limit or none; memory answers at once."""

    def reserve(
        self, limits: Sequence[Limit], tokens: int, cost: int, lease_s: float
    ) -> Held | Refusal | Awaitable[Held | Refusal]:
        """Hold tokens, money and one request of each for at most `lease_s`; or which limit has no room."""
        ...

    def settle(self, held: Held, tokens: int, cost: int) -> None:
        """Charge what it came to instead of what was held. Never waits and never raises for a store."""
        ...

    def bare(self, limits: Sequence[Limit]) -> Held:
        """A reservation of nothing, to be settled with what was spent without asking."""
        ...
