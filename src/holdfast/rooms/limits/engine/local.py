"""The ledger in process memory: one dictionary, bounded, that never forgets a count that is alive."""

from collections import deque
from collections.abc import Callable, Sequence

from holdfast.rooms.limits.rules.algorithms import ALGORITHMS, TOLERANCE_S, State, is_spent
from holdfast.rooms.limits.rules.charge import Charge, Verdict, key_of

EVERYBODY = "*"
"""Stands for all identities that found no place of their own."""

_LOOKS = 2
"""Old entries that a new one looks at, so that the spent ones leave as fast as new ones come."""
_LOOKS_WHEN_FULL = 16


class LocalLedger:
    """Counts of one process. Single-threaded: called on the event loop only.

    From half full on, a new identity first looks at a few of the oldest entries and drops those that
    hold nothing any more. Where the table stays full of live ones, new identities share one count per
    policy: nobody who is being counted is ever forgotten, whatever number of names an attacker invents.
    """

    def __init__(self, monotonic: Callable[[], float], *, max_entries: int = 200_000) -> None:
        self._monotonic = monotonic
        self.max_entries = max_entries
        # A spent entry costs nothing until room is needed, and whoever comes again finds it: the short way.
        self._crowded = max_entries // 2
        self.table: dict[str, State] = {}
        """By `key_of`. The short way of admission changes entries it finds; new ones go through `hit`."""
        self._get = self.table.get
        self._order: deque[str] = deque()
        self.shared_uses = 0
        """Charges that fell on a shared count, because the table was full."""
        self.refusals = 0

    def __len__(self) -> int:
        return len(self.table)

    def charge(self, charges: Sequence[Charge]) -> Verdict:
        """One atomic step over all `charges`: every limit is paid, or none is."""
        now = self._monotonic()
        found: list[tuple[str, Charge, State | None]] = []
        least: Verdict | None = None
        refused: Verdict | None = None
        for index, charge in enumerate(charges):
            limit = charge.limit
            key = self._place(key_of(limit, charge.identity), now)
            state = self._get(key)
            verdict = ALGORITHMS[limit.algorithm].decide(limit, state, now, charge.cost)
            verdict.index = index
            if not verdict.allowed:
                if refused is None or verdict.retry_after_s > refused.retry_after_s:
                    refused = verdict
            elif refused is None:
                found.append((key, charge, state))
                if least is None or verdict.remaining < least.remaining:
                    least = verdict
        if refused is not None:
            self.refusals += 1
            return refused
        for key, charge, state in found:
            self._keep(key, ALGORITHMS[charge.limit.algorithm].pay(charge.limit, state, now, charge.cost))
        return least or Verdict(True, 0, 0.0)

    def hit(self, key: str, cost_s: float, whole_s: float, now: float) -> float:
        """One GCRA charge of `cost_s` on `key` (from `key_of`), for a capacity worth `whole_s`.

        The debt after it, in seconds; below zero it is refused, by so many seconds. The same step as
        `charge` in one frame without an object: what every request of a single limit takes.
        """
        full_at = self._get(key)
        if full_at is None:
            return self._first_hit(key, cost_s, whole_s, now)
        if full_at > now:  # type: ignore[operator] # a key of GCRA holds a float: `namespace` sees to it
            debt_s: float = full_at - now + cost_s  # type: ignore[operator] # as above
            if debt_s > whole_s + TOLERANCE_S:
                self.refusals += 1
                return whole_s - debt_s
            self.table[key] = full_at + cost_s  # type: ignore[operator] # as above
            return debt_s
        if cost_s > whole_s + TOLERANCE_S:
            self.refusals += 1
            return whole_s - cost_s
        self.table[key] = now + cost_s
        return cost_s

    def refund(self, charges: Sequence[Charge]) -> None:
        """Give back what was charged; a cost below zero is a debit without asking."""
        now = self._monotonic()
        for charge in charges:
            limit = charge.limit
            key = key_of(limit, charge.identity)
            if key not in self.table:
                if charge.cost >= 0:
                    continue
                key = self._place(key, now)
            pay = ALGORITHMS[limit.algorithm].pay
            self._keep(key, pay(limit, self._get(key), now, -charge.cost))

    async def peek(self, charges: Sequence[Charge]) -> Verdict:
        """What a charge would come to, without charging."""
        now = self._monotonic()
        verdicts = []
        for index, charge in enumerate(charges):
            state = self._get(key_of(charge.limit, charge.identity))
            verdict = ALGORITHMS[charge.limit.algorithm].decide(charge.limit, state, now, charge.cost)
            verdict.index = index
            verdicts.append(verdict)
        if not verdicts:
            return Verdict(True, 0, 0.0)
        return min(verdicts, key=lambda each: (each.allowed, -each.retry_after_s, each.remaining))

    def _first_hit(self, key: str, cost_s: float, whole_s: float, now: float) -> float:
        placed = self._place(key, now)
        if placed != key and placed in self.table:
            return self.hit(placed, cost_s, whole_s, now)
        if cost_s > whole_s + TOLERANCE_S:
            self.refusals += 1
            return whole_s - cost_s
        self._keep(placed, now + cost_s)
        return cost_s

    def _keep(self, key: str, state: State) -> None:
        if key not in self.table:
            self._order.append(key)
        self.table[key] = state

    def _place(self, key: str, now: float) -> str:
        """`key` where it is known or there is room for it, else the one that everybody shares."""
        table = self.table
        if key in table:
            return key
        if len(table) >= self._crowded:
            self._sweep(now, _LOOKS)
        if len(table) >= self.max_entries:
            self._sweep(now, _LOOKS_WHEN_FULL)
            if len(table) >= self.max_entries:
                self.shared_uses += 1
                return key[: key.index("|") + 1] + EVERYBODY
        return key

    def _sweep(self, now: float, looks: int) -> None:
        """Look at the `looks` entries that waited longest for it; drop the spent, put back the live."""
        table, order = self.table, self._order
        for _ in range(min(looks, len(order))):
            key = order.popleft()
            if is_spent(table[key], now):
                del table[key]
            else:
                order.append(key)
