"""What a node remembers of the counts it asked for: leases, refusals, how hot a key is. Bounded.

All times are microseconds of the monotonic clock, taken before a call left: what the server gave lapses
here a round trip early, never late.
"""

from collections import OrderedDict
from collections.abc import Sequence

from holdfast.rooms.limits.rules.charge import Charge, Limit, Verdict
from holdfast.rooms.limits.rules.leasing import Sharing, lease_units, observed_rate
from holdfast.rooms.limits.store.keys import limit_key
from holdfast.rooms.limits.store.scripts import Numbers

Place = tuple[str, str]
"""What one count is known by here: identity and the limit's name."""

_LOOKS = 8
"""Live entries that an eviction passes over before it takes the oldest all the same."""


class Track:
    """One count as this node knows it. It holds nothing that must not be lost."""

    __slots__ = (
        "asked",
        "full_at_us",
        "key",
        "lease_end_us",
        "lease_us",
        "leasing",
        "limit",
        "numbers",
        "rate",
        "refused_cost",
        "refused_left",
        "refused_until_us",
        "seeded",
        "since_us",
    )

    def __init__(self, identity: str, limit: Limit, now_us: int) -> None:
        self.limit = limit
        self.numbers = Numbers(limit)
        self.key = limit_key(identity, limit)
        self.rate = 0.0
        self.asked = 0
        self.since_us = now_us
        self.full_at_us = now_us
        """When the shared count is whole again, by what it said last."""
        self.lease_us = self.lease_end_us = 0
        """The piece of the time line that is ours: see `rules.leasing`."""
        self.leasing = False
        """A lease was asked for and has not been answered."""
        self.refused_until_us = 0
        self.refused_cost = 0
        self.refused_left = 0
        self.seeded = True
        """Whether the count of an outage knows what the shared one said last."""

    def adopt(self, identity: str, limit: Limit) -> None:
        """The effective limit changed with hour, load or settings: the count goes on, answers kept do not."""
        if limit == self.limit:
            self.limit = limit
            return
        if (limit.window_s, limit.algorithm) != (self.limit.window_s, self.limit.algorithm):
            self.lease_us = self.lease_end_us = 0
            self.key = limit_key(identity, limit)
        self.limit = limit
        self.numbers = Numbers(limit)
        self.refused_until_us = 0

    def want(self, now_us: int, sharing: Sharing, nodes: int) -> int:
        """How many units to ask for ahead, now that the server is asked anyway."""
        self.rate = observed_rate(self.rate, self.asked, (now_us - self.since_us) / 1e6, sharing.lease_hold_s)
        self.asked = 0
        self.since_us = now_us
        if self.leasing or self.numbers.form != "g":
            return 0
        numbers = self.numbers
        return lease_units(self.rate, numbers.interval_us, numbers.capacity, nodes, sharing)

    def take(self, cost: int, now_us: int) -> bool:
        """Pay `cost` from the lease if what is left of it covers that."""
        start = self.lease_us if self.lease_us > now_us else now_us
        end = start + self.numbers.paid(cost)
        if end > self.lease_end_us:
            return False
        self.lease_us = end
        self.asked += cost
        return True

    def left(self, now_us: int) -> int:
        """Units that a charge could still find: with the server by its last word, and in the lease."""
        numbers = self.numbers
        debt_us = self.full_at_us - now_us
        lease_us = self.lease_end_us - (self.lease_us if self.lease_us > now_us else now_us)
        if debt_us < 0:
            debt_us = 0
        if lease_us > 0:
            debt_us -= lease_us
        return int(max(0, numbers.capacity - debt_us / numbers.unit))

    def is_live(self, now_us: int) -> bool:
        """Whether it would still save a round trip."""
        return self.lease_end_us > now_us or self.refused_until_us > now_us


class Tracks:
    """The tracks of at most `most` counts; the oldest leave first, live ones after a second look."""

    __slots__ = ("_get", "_most", "_table", "evicted")

    def __init__(self, most: int) -> None:
        self._table: OrderedDict[Place, Track] = OrderedDict()
        self._get = self._table.get
        self._most = most
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._table)

    def known(self, charge: Charge) -> Track | None:
        """The track of this charge, under the limit as it is now."""
        limit = charge.limit
        track = self._get((charge.identity, limit.name))
        if track is not None and track.limit is not limit:
            track.adopt(charge.identity, limit)
        return track

    def of(self, charge: Charge, now_us: int) -> Track:
        """The track of this charge, made when there is none."""
        track = self.known(charge)
        if track is None:
            if len(self._table) >= self._most:
                self._evict(now_us)
            track = Track(charge.identity, charge.limit, now_us)
            self._table[charge.identity, charge.limit.name] = track
        return track

    def _evict(self, now_us: int) -> None:
        for _ in range(_LOOKS):
            place, track = self._table.popitem(last=False)
            if not track.is_live(now_us):
                self.evicted += 1
                return
            self._table[place] = track
        self._table.popitem(last=False)
        self.evicted += 1

    def decide(self, charges: Sequence[Charge], now_us: int) -> Verdict | None:
        """The verdict when leases cover all charges or a remembered refusal meets one; else None, unpaid."""
        taken = 0
        least = -1
        reset_us = index = 0
        for charge in charges:
            track = self.known(charge)
            if track is None:
                break
            cost = charge.cost
            if track.refused_until_us > now_us and cost >= track.refused_cost:
                self.give_back(charges[:taken])
                return _refusal(track, taken, now_us)
            if not track.take(cost, now_us):
                break
            left = track.left(now_us)
            if least < 0 or left < least:
                least, index, reset_us = left, taken, track.full_at_us - now_us
            taken += 1
        if taken == len(charges):
            return Verdict(True, max(least, 0), max(reset_us, 0) / 1e6, 0.0, index, "lease")
        self.give_back(charges[:taken])
        return None

    def give_back(self, charges: Sequence[Charge]) -> None:
        """Undo `take`, within the same turn: later another charge may stand on the slot that follows."""
        for charge in charges:
            track = self.known(charge)
            if track is not None:
                track.lease_us -= track.numbers.paid(charge.cost)
                track.asked -= charge.cost


def _refusal(track: Track, index: int, now_us: int) -> Verdict:
    reset_us = max(track.full_at_us, track.refused_until_us) - now_us
    wait_us = track.refused_until_us - now_us
    left = track.left(now_us) if track.numbers.form == "g" else track.refused_left
    return Verdict(False, left, reset_us / 1e6, wait_us / 1e6, index, "remembered")
