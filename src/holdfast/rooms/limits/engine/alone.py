"""The node without the shared store: its share of every limit, counted in process memory."""

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from holdfast.rooms.limits.engine.leases import Tracks
from holdfast.rooms.limits.engine.owed import Books
from holdfast.rooms.limits.rules.charge import Charge, Limit, Verdict, share

_MOST_SHARES = 4_096


class LocalCounts(Protocol):
    """The ledger in process memory: it never waits."""

    def charge(self, charges: Sequence[Charge]) -> Verdict: ...

    def refund(self, charges: Sequence[Charge]) -> None: ...

    def peek(self, charges: Sequence[Charge]) -> Awaitable[Verdict]: ...


class Alone:
    """Decides by this node's share: limit / known nodes, never fully open, never fully closed.

    A count that the node knows goes on from what the shared one said last, so that an outage does not
    give everybody a fresh limit. What is admitted is written into the books and told afterwards.
    A charge that costs more than the share admits at once is let through with the probability
    share / cost when the share is whole: on average the nodes together keep to the limit.
    """

    def __init__(
        self, local: LocalCounts, tracks: Tracks, books: Books, rng: random.Random, nodes: Callable[[], int]
    ) -> None:
        self._local = local
        self._tracks = tracks
        self._books = books
        self._draw = rng.random
        self._nodes = nodes
        self._shares: dict[tuple[Limit, int], Limit] = {}
        self.decisions = 0

    def charge(self, charges: Sequence[Charge], now_us: int) -> Verdict:
        """The verdict by this node's share, at once."""
        self.decisions += 1
        scaled = []
        luck = 1.0
        for charge in charges:
            mine = self._scaled(charge)
            self._seed(charge, mine, now_us)
            scaled.append(mine)
            if 0 < mine.cost < charge.cost <= charge.limit.capacity:
                luck = min(luck, mine.cost / charge.cost)
        verdict = self._local.charge(scaled)
        verdict.source = "share"
        if verdict.allowed and luck < 1.0 and self._draw() >= luck:
            verdict.allowed = False
            verdict.retry_after_s = verdict.reset_s
        elif verdict.allowed:
            for charge in charges:
                self._books.owe(charge, now_us)
        return verdict

    def refund(self, charges: Sequence[Charge], now_us: int) -> None:
        """Give back here, and take it out of the books."""
        self._local.refund([self._scaled(charge) for charge in charges])
        for charge in charges:
            self._books.give(charge, now_us)

    async def peek(self, charges: Sequence[Charge]) -> Verdict:
        """What a charge would come to, by this node's share."""
        verdict = await self._local.peek([self._scaled(charge) for charge in charges])
        verdict.source = "share"
        return verdict

    def _scaled(self, charge: Charge) -> Charge:
        limit = self._share(charge.limit)
        cost = charge.cost
        if limit.capacity < cost <= charge.limit.capacity:
            cost = limit.capacity
        return Charge(limit, charge.identity, cost)

    def _share(self, limit: Limit) -> Limit:
        nodes = self._nodes()
        found = self._shares.get((limit, nodes))
        if found is None:
            if len(self._shares) >= _MOST_SHARES:
                self._shares.clear()
            found = self._shares[limit, nodes] = share(limit, nodes)
        return found

    def _seed(self, charge: Charge, mine: Charge, now_us: int) -> None:
        """Once after each word of the shared count: bring the local one up to the part that was used then."""
        track = self._tracks.known(charge)
        if track is None or track.seeded:
            return
        track.seeded = True
        interval_us = charge.limit.window_s * 1e6 / charge.limit.quota
        used = (track.full_at_us - now_us) / (interval_us * charge.limit.capacity)
        units = math.ceil(min(used, 1.0) * mine.limit.capacity)
        stands = self._local.charge([Charge(mine.limit, mine.identity, 0)])
        units -= mine.limit.capacity - stands.remaining
        if units > 0:
            self._local.charge([Charge(mine.limit, mine.identity, units)])
