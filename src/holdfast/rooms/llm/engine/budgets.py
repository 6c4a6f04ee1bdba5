"""Budgets as a call sees them: reserve before, settle or refund after; nothing is ever spent twice."""

from collections.abc import Sequence

from holdfast.ports.services import Meter
from holdfast.rooms.llm.engine.counting import Counts, Held
from holdfast.rooms.llm.rules.budgets import Declared
from holdfast.rooms.llm.rules.counts import Refusal
from holdfast.rooms.llm.rules.denials import exceeded
from holdfast.rooms.llm.rules.limits import PERIODS, UNITS, Limit
from holdfast.rooms.llm.rules.payer import Payer

LEASE_S = 600.0
"""After which a reservation that nobody settled is given back."""


class Reservation:
    """What a call may spend. Settle it or refund it, once or many times, in any order: the first counts.

    Neither waits. Dropped without either, it is given back when its lease is over. As a context manager,
    leaving it unsettled refunds it.
    """

    __slots__ = ("_counts", "_held")

    def __init__(self, counts: Counts | None, held: Held | None) -> None:
        self._counts = counts
        self._held = held

    @property
    def is_open(self) -> bool:
        """Whether it is neither settled nor refunded."""
        return self._held is not None

    def settle(self, tokens: int, cost: int = 0) -> None:
        """Charge what all attempts of the call came to, `cost` in nano-dollars, instead of the estimate."""
        held = self._held
        if held is not None:
            self._held = None
            assert self._counts is not None
            self._counts.settle(held, max(0, tokens), max(0, cost))

    def refund(self) -> None:
        """Nothing was spent. The request itself still counts where requests are limited."""
        self.settle(0, 0)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.refund()


_FREE = Reservation(None, None)
"""The reservation of whoever has no budget."""


class Budgets:
    """All limits that apply to a payer, charged together or not at all, over every process there is."""

    def __init__(self, declared: Declared, counts: Counts, meter: Meter, *, lease_s: float = LEASE_S) -> None:
        self._limits = declared.limits
        self._counts = counts
        self._lease_s = lease_s
        self._refused = meter.counter(
            "holdfast_llm_budget_refused_total",
            "Calls that a budget or a rate limit did not allow.",
            ("scope", "period", "unit"),
        )

    async def reserve(
        self, payer: Payer, *, tokens: int, cost: int = 0, lease_s: float | None = None
    ) -> Reservation:
        """Hold the estimate of a call: `tokens` in and out, `cost` in nano-dollars.

        `lease_s`: longer than the call can take; 10 minutes unless said. Raises BudgetExceeded (429), which
        says which budget it is and when it has room again.
        """
        limits = self._limits(payer)
        if not limits:
            return _FREE
        found = self._counts.reserve(limits, tokens, cost, self._lease_s if lease_s is None else lease_s)
        if not isinstance(found, Held | Refusal):
            found = await found
        if isinstance(found, Refusal):
            limit = found.limit
            self._refused.labels(limit.scope, PERIODS[limit.period], UNITS[limit.unit]).add()
            raise exceeded(found)
        return Reservation(self._counts, found)

    def spend(self, payer: Payer, *, tokens: int, cost: int = 0) -> None:
        """Charge what was spent without a reservation, e.g. by an attempt that ended after its call."""
        limits = self._limits(payer)
        if limits:
            self._counts.settle(self._counts.bare(limits), max(0, tokens), max(0, cost))

    def limits(self, payer: Payer) -> Sequence[Limit]:
        """Every limit that applies to the payer."""
        return self._limits(payer)
