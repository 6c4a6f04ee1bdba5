"""What the shared counts must still be told: charges admitted without them, and refunds. Bounded."""

from collections import OrderedDict

from holdfast.rooms.limits.engine.leases import Place, Track, Tracks
from holdfast.rooms.limits.rules.charge import Charge


class Owed:
    """One count's debt. It drains here as it would have drained there."""

    __slots__ = ("charge", "credit", "full_at_us")

    def __init__(self, charge: Charge) -> None:
        self.charge = charge
        self.full_at_us = 0
        """When the debt is gone by itself: GCRA over what was admitted here."""
        self.credit = 0
        """Refunds, in the numbers of the script (0 or more)."""


class Books:
    """The debts of at most `most` counts; what does not fit is counted in `dropped`."""

    def __init__(self, tracks: Tracks, most: int) -> None:
        self._tracks = tracks
        self._most = most
        self._table: OrderedDict[Place, Owed] = OrderedDict()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._table)

    def owe(self, charge: Charge, now_us: int) -> None:
        """`charge` was admitted without the shared count."""
        entry = self._entry(charge)
        interval_us = charge.limit.window_s * 1e6 / charge.limit.quota
        entry.full_at_us = int(max(entry.full_at_us, now_us) + interval_us * charge.cost)

    def give(self, charge: Charge, now_us: int) -> None:
        """`charge` was paid there and is given back; a cost below zero is owed instead."""
        if charge.cost < 0:
            self.owe(Charge(charge.limit, charge.identity, -charge.cost), now_us)
            return
        entry = self._entry(charge)
        entry.credit += self._tracks.of(charge, now_us).numbers.paid(charge.cost)

    def take(self, charge: Charge, track: Track, now_us: int) -> int:
        """What is owed on this count, in the script's numbers; from now on the caller's to deliver."""
        entry = self._table.pop((charge.identity, charge.limit.name), None)
        if entry is None:
            return 0
        debt_us = max(0, entry.full_at_us - now_us)
        numbers = track.numbers
        if numbers.form == "g":
            return debt_us - entry.credit
        interval_us = charge.limit.window_s * 1e6 / charge.limit.quota
        return round(debt_us / interval_us) - entry.credit

    def put_back(self, charge: Charge, track: Track, owed: int, now_us: int) -> None:
        """It could not be delivered."""
        if owed == 0:
            return
        entry = self._entry(charge)
        if owed < 0:
            entry.credit -= owed
            return
        interval_us = charge.limit.window_s * 1e6 / charge.limit.quota
        debt_us = owed if track.numbers.form == "g" else owed * interval_us
        entry.full_at_us = int(max(entry.full_at_us, now_us) + debt_us)

    def some(self, most: int) -> list[Charge]:
        """Charges of up to `most` counts that owe something, oldest first."""
        return [entry.charge for entry, _ in zip(self._table.values(), range(most), strict=False)]

    def _entry(self, charge: Charge) -> Owed:
        place = (charge.identity, charge.limit.name)
        entry = self._table.get(place)
        if entry is None:
            if len(self._table) >= self._most:
                self._table.popitem(last=False)
                self.dropped += 1
            entry = self._table[place] = Owed(Charge(charge.limit, charge.identity, 0))
        return entry
