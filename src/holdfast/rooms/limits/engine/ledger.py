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
        """Give back what was charged for work that did not happen; best effort, never waits.

        Giving back more than was taken leaves an untouched limit, never credit. A cost below zero is a
        debit without asking, for work that took more than it was charged.
        """
        ...

    def peek(self, charges: Sequence[Charge]) -> Awaitable[Verdict]:
        """What a charge would come to, without charging. A cost of 0 asks how things stand."""
        ...
