"""Counts that several processes share: exact while their store answers, a share of what is left while not."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Protocol

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Unavailable
from holdfast.ports.shared import SharedRefused
from holdfast.rooms.llm.engine.counting import Held
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.engine.owed import Owed
from holdfast.rooms.llm.rules.counts import Refusal, refusal, worst
from holdfast.rooms.llm.rules.limits import ROLLING, ROLLING_S, Limit, Windows
from holdfast.rooms.llm.rules.settling import Answer, Charge, Seed, Settlement, Use

logger = logging.getLogger("holdfast.llm")

_REMEMBERED = 100_000
_AWAY_RETRY_S = 5.0
"""When to come back where only a share of the budget is left because the store is away."""


class Store(Protocol):
    """Where shared counts are: Redis or the database. Raises Unavailable, SharedRefused."""

    @property
    def is_up(self) -> bool: ...

    def now_s(self) -> float: ...

    async def reserve(self, id: str, charges: Sequence[Charge], lease_s: float) -> Answer: ...

    async def settle(self, settlements: Sequence[Settlement], seed: Seed) -> None: ...

    async def beat(self) -> int: ...

    async def leave(self) -> None: ...


class SharedCounts:
    """The Counts of many processes. Never raises for the store, and never waits for one that is down.

    While it is away each process decides alone, within its share: what was left when it last heard, divided
    by the number of processes. What is spent meanwhile is told on return, before anything is asked again.
    `beat` belongs to a supervisor, about every second.
    """

    def __init__(self, store: Store, clock: Clock, zone: tzinfo, new_id: Callable[[], str]) -> None:
        self._store = store
        self._new_id = new_id
        self._windows = Windows(zone)
        self._local = MemoryCounts(clock, zone)
        self._known: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._owed = Owed(new_id)
        self._delivery: asyncio.Task[None] | None = None
        self.nodes = 1
        self.is_away = False
        self.outages = 0
        self.by_share = 0
        """Reservations decided without the store."""
        self.expired = 0
        self.dropped = 0
        """Settlements that the store refused to take."""

    @property
    def owed(self) -> int:
        """Settlements not told yet."""
        return len(self._owed)

    def reserve(
        self, limits: Sequence[Limit], tokens: int, cost: int, lease_s: float
    ) -> Held | Refusal | Awaitable[Held | Refusal]:
        """By the store, in one round trip; by this process's share, at once, while it is away."""
        if self._is_apart():
            return self._alone(limits, tokens, cost, lease_s)
        return self._ask(limits, tokens, cost, lease_s)

    def settle(self, held: Held, tokens: int, cost: int) -> None:
        """Charge; the store is told in the background, and again until it has heard."""
        actual = held.actual(tokens, cost)
        if held.origin is not None:
            self._local.settle(held, tokens, cost)
            held.limits, held.marks = held.origin
        self._tell(held, actual, is_local=held.origin is not None)

    def bare(self, limits: Sequence[Limit]) -> Held:
        """A reservation of nothing in the periods that are now."""
        self._windows.see(self._store.now_s())
        return Held(limits, [0] * len(limits), [self._mark(limit) for limit in limits])

    async def beat(self) -> None:
        """Say that this process lives, hear how many do, tell what is owed. Never raises for the store."""
        self._local.sweep()
        try:
            self.nodes = max(1, await self._store.beat())
        except (Unavailable, SharedRefused):
            return
        self._is_apart()
        self._kick()

    async def stop(self) -> None:
        """Tell what is owed, as far as the store answers, and say that this process goes."""
        if self._delivery is not None:
            await asyncio.wait([self._delivery])
        await self._deliver()
        if len(self._owed):
            logger.error("%d settlements of budgets could not be told before the stop", len(self._owed))
        with suppress(Unavailable, SharedRefused):
            await self._store.leave()

    # -- with the store ------------------------------------------------------------------------------

    async def _ask(self, limits: Sequence[Limit], tokens: int, cost: int, lease_s: float) -> Held | Refusal:
        self._windows.see(self._store.now_s())
        asked = (max(1, tokens), cost, 1)
        held = Held(limits, [asked[limit.unit] for limit in limits], [self._mark(limit) for limit in limits])
        held.id, held.stored = self._new_id(), True
        charges = [
            Charge(limit, amount, int(mark), self._ends_in_s(limit), self._seed(limit, int(mark)))
            for limit, amount, mark in zip(limits, held.amounts, held.marks, strict=True)
        ]
        try:
            answer = await self._store.reserve(held.id, charges, lease_s)
        except asyncio.CancelledError:
            self._tell(held, [0] * len(limits), is_local=False)
            raise
        except (Unavailable, SharedRefused):
            # It may have been carried out all the same: whatever comes of it is told under its id.
            self._is_apart()
            return self._alone(limits, tokens, cost, lease_s, id_=held.id)
        self.expired += answer.expired
        self._learn(held, answer)
        if answer.granted:
            return held
        return worst(
            [
                refusal(charge.limit, stand.used, stand.held, charge.amount, charge.ends_in_s)
                for charge, stand in zip(charges, answer.stands, strict=True)
                if not stand.fits
            ]
        )

    def _learn(self, held: Held, answer: Answer) -> None:
        """Remember how each limit stands, and in which period the store has counted."""
        marks: list[float] = []
        for limit, amount, stand in zip(held.limits, held.amounts, answer.stands, strict=True):
            marks.append(stand.mark)
            self._known[limit.key] = (stand.mark, stand.used, stand.held + (amount if answer.granted else 0))
            self._known.move_to_end(limit.key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        held.marks = marks

    def _tell(self, held: Held, actual: Sequence[int], *, is_local: bool) -> None:
        uses = []
        for limit, mark, reserved, amount in zip(held.limits, held.marks, held.amounts, actual, strict=True):
            rolling = limit.period == ROLLING
            # Whether a call that nobody heard the end of has paid a rolling limit is not known: all is paid.
            kept = 0 if is_local and rolling else reserved
            uses.append(Use(limit, 0 if rolling else int(mark), kept, amount, self._ends_in_s(limit)))
        if held.stored:
            self._owed.tell(Settlement(held.id, tuple(uses)))
        else:
            for use in uses:
                self._owed.add(use)
        self._kick()

    def _heard(self, batch: Sequence[Settlement]) -> None:
        """The store has been told: only now is it part of what it is known to hold."""
        for use in (use for settlement in batch for use in settlement.uses):
            known = self._known.get(use.limit.key)
            if known is not None and known[0] == use.mark and use.limit.period != ROLLING:
                mark, used, held = known
                self._known[use.limit.key] = (mark, used + use.actual, max(0, held - use.reserved))

    def _kick(self) -> None:
        """Begin to tell what is owed, unless that is under way."""
        # Over in the moment in which it has found nothing left, and not once its callback has run.
        is_over = self._delivery is None or self._delivery.done()
        if is_over and self._store.is_up and (self.is_away or len(self._owed)):
            self._delivery = asyncio.get_running_loop().create_task(
                self._deliver(), name="holdfast:llm budgets"
            )
            self._delivery.add_done_callback(_delivered)

    async def _deliver(self) -> None:
        while batch := self._owed.batch():
            taken: Sequence[Settlement] | None = batch
            try:
                await self._store.settle(batch, self._seed)
            except Unavailable:
                return
            except Exception:  # noqa: BLE001 - whichever it refuses, and why, is found one by one
                taken = await self._one_by_one(batch)
            if taken is None:
                return
            self._owed.told()
            self._heard(taken)
        if self._store.is_up:  # all is told: what was decided alone is part of what the store knows
            self.is_away = False
            self._local.clear()

    async def _one_by_one(self, batch: Sequence[Settlement]) -> list[Settlement] | None:
        """One that the store refuses (a poisoned key, a number beyond 64 bit) must not hold up the rest.

        Those that it took; None: it is away.
        """
        taken, refused = [], 0
        for settlement in batch:
            try:
                await self._store.settle([settlement], self._seed)
            except Unavailable:
                return None
            except Exception as error:  # noqa: BLE001 - refused for whatever reason, it would be again
                refused += 1
                logger.warning("the shared store refused a settlement of a budget: %s", error)
            else:
                taken.append(settlement)
        self.dropped += refused
        return taken

    # -- without it ----------------------------------------------------------------------------------

    def _is_apart(self) -> bool:
        """Whether this process decides alone: while the store is away, and until it has been told all."""
        if not self._store.is_up:
            if not self.is_away:
                self.is_away = True
                self.outages += 1
                self._local.clear()
            return True
        if self.is_away:
            self._kick()
        return self.is_away

    def _alone(
        self, limits: Sequence[Limit], tokens: int, cost: int, lease_s: float, id_: str = ""
    ) -> Held | Refusal:
        self._windows.see(self._store.now_s())
        self.by_share += 1
        shares = [msgspec.structs.replace(limit, amount=self._share(limit)) for limit in limits]
        found = self._local.reserve(shares, tokens, cost, lease_s)
        if isinstance(found, Refusal):
            limit = next(each for each in limits if each.key == found.limit.key)
            if id_:
                self._owed.tell(Settlement(id_, self._nothing(limits, tokens, cost)))
            retry_s = None if found.asked > limit.amount else min(found.retry_after_s or 60.0, _AWAY_RETRY_S)
            return Refusal(limit, found.left, found.asked, retry_s)
        found.id, found.stored = id_, bool(id_)
        found.origin = (limits, [self._mark(limit) for limit in limits])
        return found

    def _nothing(self, limits: Sequence[Limit], tokens: int, cost: int) -> tuple[Use, ...]:
        """The refund of a reservation that may have been made."""
        asked = (max(1, tokens), cost, 1)
        return tuple(
            Use(limit, int(self._mark(limit)), asked[limit.unit], 0, self._ends_in_s(limit))
            for limit in limits
            if limit.period != ROLLING
        )

    def _share(self, limit: Limit) -> int:
        if limit.period == ROLLING:
            return limit.amount // self.nodes
        mark, used, held = self._known.get(limit.key, (0, 0, 0))
        if mark != self._mark(limit):
            used = held = 0
        return max(0, limit.amount - used - held) // self.nodes

    # -- periods -------------------------------------------------------------------------------------

    def _mark(self, limit: Limit) -> float:
        return 0.0 if limit.period == ROLLING else self._windows.starts[limit.period]

    def _ends_in_s(self, limit: Limit) -> float:
        if limit.period == ROLLING:
            return ROLLING_S
        return max(0.0, self._windows.ends[limit.period] - self._store.now_s())

    def _seed(self, limit: Limit, mark: int) -> int:
        known = self._known.get(limit.key)
        return known[1] if known is not None and known[0] == mark and limit.period != ROLLING else 0


def _delivered(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("settlements of budgets could not be told", exc_info=task.exception())
