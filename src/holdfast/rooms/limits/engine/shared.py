"""The ledger that several nodes share: exact while the shared store answers, a share of it while not."""

import asyncio
import random
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.ports.shared import Shared, SharedDown, SharedRefused
from holdfast.rooms.limits.engine.alone import Alone, LocalCounts
from holdfast.rooms.limits.engine.batches import Batches, Waiter
from holdfast.rooms.limits.engine.leases import Track, Tracks
from holdfast.rooms.limits.engine.nodes import Nodes
from holdfast.rooms.limits.engine.owed import Books
from holdfast.rooms.limits.rules.charge import Charge, Verdict
from holdfast.rooms.limits.rules.leasing import Sharing

_SETTLED_AT_ONCE = 256
_SILENT_BEATS = 3
_RETRY_S = 1.0
"""About how long after a failed call what it left to tell is told."""


class SharedLedger:
    """Counts on Redis or Valkey. Never raises for the store, and never waits for one that is down.

    A charge is decided, in this order: by leases and remembered refusals of this node, at once; by one
    script on the server, all or nothing, in one round trip; by this node's share of the limit, at once,
    when the server does not answer. Over the limit never; the bounds of what may come under it, and of
    an outage, stand in docs/rooms/limits.md.

    On a cluster the counts of several identities lie on several masters: they are charged one identity
    after the other, and what was paid is given back when a later one refuses.

    `beat` belongs to a supervisor, every `sharing.beat_s`. Called on the event loop only.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        clock: Clock,
        local: LocalCounts,
        config: Sharing,
        rng: random.Random,
        node_id: str,
    ) -> None:
        self._shared = shared
        self._monotonic = clock.monotonic
        self._config = config
        self._rng = rng
        self.nodes = Nodes(
            shared, node_id, at_least=config.nodes_at_least, silent_after_s=_SILENT_BEATS * config.beat_s
        )
        self._tracks = Tracks(config.most_tracks)
        self._decide = self._tracks.decide
        self._books = Books(self._tracks, config.most_owed)
        self._alone = Alone(local, self._tracks, self._books, rng, self.nodes.count)
        self._batches = Batches(
            shared,
            self._tracks,
            self._books,
            sharing=config,
            nodes=self.nodes.count,
            now_us=self._now_us,
            alone=self._by_share,
            refund=self.refund,
        )
        self._is_away = False
        self._back_at_us = 0
        self._settling = False
        self._batches.is_parted = _is_cluster(shared)
        self.outages = 0
        self.by_memory = 0

    def charge(self, charges: Sequence[Charge]) -> Verdict | Awaitable[Verdict]:
        """The verdict at once by lease, remembered refusal or share; else what one round trip will tell."""
        now_us = int(self._monotonic() * 1e6)
        verdict = self._decide(charges, now_us)
        if verdict is not None:
            self.by_memory += 1
            return verdict
        if self._is_apart(now_us):
            return self._alone.charge(charges, now_us)
        if len(charges) == 1:
            return self._batches.join(charges)
        return self._ask(charges, now_us)

    def refund(self, charges: Sequence[Charge]) -> None:
        """Give back; leaves with the end of this turn, and is remembered through an outage."""
        now_us = self._now_us()
        for charge in charges:
            track = self._tracks.known(charge)
            if track is not None:
                track.refused_until_us = 0
        if self._is_apart(now_us):
            self._alone.refund(charges, now_us)
            return
        for charge in charges:
            self._books.give(charge, now_us)
        self._settle_after(0.0)

    async def peek(self, charges: Sequence[Charge]) -> Verdict:
        """What a charge would come to, without charging; leases of this node are not counted as left."""
        if self._is_apart(self._now_us()):
            return await self._alone.peek(charges)
        try:
            verdicts = [await self._batches.peek(group) for group in self._groups(charges)]
        except (SharedDown, SharedRefused):
            return await self._alone.peek(charges)
        worst = min(verdicts, key=lambda each: (each.allowed, -each.retry_after_s, each.remaining))
        worst.index = _index(charges, self._groups(charges)[verdicts.index(worst)], worst.index)
        return worst

    async def beat(self) -> None:
        """Say that this node lives, hear how many do, deliver what is owed. Never raises for the store."""
        await self.nodes.beat()
        self._batches.is_parted = _is_cluster(self._shared)
        if not self._is_apart(self._now_us()):
            self._settle_after(0.0)

    async def leave(self) -> None:
        """Deliver what is owed and say that this node goes; for an orderly stop."""
        if self._shared.is_up:
            await asyncio.gather(
                *self._batches.settle(self._books.some(len(self._books))), return_exceptions=True
            )
            await self.nodes.leave()

    def state(self) -> Mapping[str, Any]:
        """For health and metrics; all counts since the start."""
        return {
            "nodes": self.nodes.known,
            "away": self._is_away,
            "outages": self.outages,
            "by_memory": self.by_memory,
            "round_trips": self._batches.calls,
            "by_share": self._alone.decisions,
            "errors": self._batches.refused,
            "tracked": len(self._tracks),
            "owed": len(self._books),
            "owed_dropped": self._books.dropped,
        }

    # -- with the store and without it ---------------------------------------------------------------

    def _now_us(self) -> int:
        return int(self._monotonic() * 1e6)

    def _by_share(self, charges: Sequence[Charge]) -> Verdict:
        """For a call that failed: another node of a cluster, or the next call, may do well all the same."""
        verdict = self._alone.charge(charges, self._now_us())
        self._settle_after(_RETRY_S * (0.5 + self._rng.random()))
        return verdict

    def _is_apart(self, now_us: int) -> bool:
        """Whether this node decides by its share: while the store is away, and a moment of its own longer."""
        if not self._shared.is_up:
            if not self._is_away:
                self._is_away = True
                self.outages += 1
            return True
        if self._is_away:
            self._is_away = False
            # Not all nodes at once: debts go first, decisions follow, each node at its own time.
            spread_s = self._rng.random() * self._config.return_spread_s
            self._back_at_us = now_us + int(spread_s * 1e6)
            self._settle_after(spread_s / 2)
        return now_us < self._back_at_us

    def _settle_after(self, delay_s: float) -> None:
        if self._settling or not len(self._books):
            return
        self._settling = True
        loop = asyncio.get_running_loop()
        if delay_s > 0.0:
            loop.call_later(delay_s, self._settle)
        else:
            loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._settling = False
        owed = self._books.some(_SETTLED_AT_ONCE)
        if not owed or not self._shared.is_up:
            return
        calls = self._batches.settle(owed)
        if len(self._books):
            self._settling = True
            gathered = asyncio.gather(*calls, return_exceptions=True)
            gathered.add_done_callback(self._settle_on)

    def _settle_on(self, gathered: "asyncio.Future[list[Any]]") -> None:
        """The next portion, unless one of this failed: then the next beat tries again."""
        self._settling = False
        if not gathered.cancelled() and not any(
            isinstance(each, BaseException) for each in gathered.result()
        ):
            self._settle()

    # -- several charges -----------------------------------------------------------------------------

    def _ask(self, charges: Sequence[Charge], now_us: int) -> Awaitable[Verdict]:
        """What leases cover is taken from them, the rest is asked for together."""
        taken: list[tuple[Track, int, int]] = []
        rest: list[Charge] = []
        for charge in charges:
            track = self._tracks.known(charge)
            if track is not None and track.take(charge.cost, now_us):
                taken.append((track, track.lease_us, charge.cost))
            else:
                rest.append(charge)
        groups = self._groups(rest)
        if not taken and len(groups) == 1:
            return self._batches.join(charges)
        return self._asked(charges, groups, self._batches.join(groups[0]), taken)

    def _groups(self, charges: Sequence[Charge]) -> list[Sequence[Charge]]:
        """What one script may touch: everything, or on a cluster one identity."""
        if not self._batches.is_parted:
            return [charges]
        groups: dict[str, list[Charge]] = {}
        for charge in charges:
            groups.setdefault(charge.identity, []).append(charge)
        return list(groups.values())

    async def _asked(
        self,
        charges: Sequence[Charge],
        groups: Sequence[Sequence[Charge]],
        first: Waiter,
        taken: Sequence[tuple[Track, int, int]],
    ) -> Verdict:
        """One group after the other; a refusal gives back what the groups before it paid."""
        paid: list[Charge] = []
        best: Verdict | None = None
        passed = False
        waiter = first
        try:
            for group in groups:
                if group is not groups[0]:
                    waiter = self._batches.join(group)
                verdict = await waiter
                verdict.index = _index(charges, group, verdict.index)
                if not verdict.allowed:
                    return verdict
                paid += group
                if best is None or verdict.remaining < best.remaining:
                    best = verdict
            passed = True
        finally:
            if not passed:
                if _was_paid(waiter) and group[0] not in paid:
                    paid += group  # answered, and the caller was cancelled before it heard
                if paid:
                    self.refund(paid)
                for track, mark, cost in taken:
                    if track.lease_us == mark:  # nobody stands on the slot that follows
                        track.lease_us -= track.numbers.paid(cost)
        assert best is not None
        return self._with_leases(charges, best)

    def _with_leases(self, charges: Sequence[Charge], verdict: Verdict) -> Verdict:
        """Charges that were paid from a lease may leave less than those that were asked for."""
        now_us = self._now_us()
        for index, charge in enumerate(charges):
            track = self._tracks.known(charge)
            if track is not None and (left := track.left(now_us)) < verdict.remaining:
                verdict.remaining, verdict.index = left, index
                verdict.reset_s = max(0, track.full_at_us - now_us) / 1e6
        return verdict


def _is_cluster(shared: Shared) -> bool:
    return bool(shared.state().get("topology") == "cluster")


def _was_paid(waiter: Waiter) -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.result().allowed


def _index(charges: Sequence[Charge], group: Sequence[Charge], index: int) -> int:
    """Where the group's charge stands among all."""
    return next(at for at, charge in enumerate(charges) if charge is group[index])
