"""What admission asks of whoever keeps the counts: the seam between local and shared."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from holdfast.rooms.limits.rules.charge import Charge, Verdict


class Ledger(Protocol):
    """Keeps the counts. A charge is one atomic step: every limit is paid, or none is."""

    def charge(self, charges: Sequence[Charge]) -> Verdict | Awaitable[Verdict]:
        """The verdict at once where process memory decides, else an awaitable. Never raises for a store."""
        ...

    def refund(self, charges: Sequence[Charge]) -> None:
        """Give back what was charged for work that did not happen; best effort, never waits."""
        ...

    def peek(self, charges: Sequence[Charge]) -> Awaitable[Verdict]:
        """What a charge would come to, without charging."""
        ...
