"""Asking the shared counts: equal requests of one turn of the loop become one call of the script."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from holdfast.ports.shared import Part, Shared, SharedDown, SharedRefused
from holdfast.rooms.limits.engine.leases import Track, Tracks
from holdfast.rooms.limits.engine.owed import Books
from holdfast.rooms.limits.rules.charge import Charge, Verdict
from holdfast.rooms.limits.rules.leasing import Sharing
from holdfast.rooms.limits.store.scripts import ANSWERS, CHARGE, PEEK, script_of

logger = logging.getLogger("holdfast.limits")

Waiter = asyncio.Future[Verdict]


class Batch:
    """Requests with the same charges, and what was sent for them."""

    __slots__ = ("charges", "owed", "sent_us", "tracks", "waiters")

    def __init__(self, charges: Sequence[Charge], waiter: Waiter) -> None:
        self.charges = charges
        self.waiters = [waiter]
        self.tracks: list[Track] = []
        self.owed: list[int] = []
        self.sent_us = 0


class Batches:
    """Collects what one turn asks, sends it at the turn's end and shares out the replies.

    `alone` decides for requests whose call failed. A caller that left while it waited is given back
    what was charged for it.
    """

    def __init__(
        self,
        shared: Shared,
        tracks: Tracks,
        books: Books,
        *,
        sharing: Sharing,
        nodes: Callable[[], int],
        now_us: Callable[[], int],
        alone: Callable[[Sequence[Charge]], Verdict],
        refund: Callable[[Sequence[Charge]], None],
    ) -> None:
        self._shared = shared
        self._tracks = tracks
        self._books = books
        self._sharing = sharing
        self._nodes = nodes
        self._now_us = now_us
        self._alone = alone
        self._refund = refund
        self._open: dict[tuple[Charge, ...], Batch] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failing = False
        self.under_way = 0
        """Calls that have not been answered."""
        self.calls = 0
        """Round trips asked for."""
        self.refused = 0
        """Calls that the server answered with an error."""

    def join(self, charges: Sequence[Charge]) -> Waiter:
        """A verdict to wait for; leaves with everything else that this turn asks."""
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        if loop is not self._loop:
            self._loop, self._open = loop, {}
        key = tuple(charges)
        batch = self._open.get(key)
        if batch is not None:
            batch.waiters.append(waiter)
            return waiter
        if not self._open:
            loop.call_soon(self._send_all)
        self._open[key] = Batch(key, waiter)
        return waiter

    def settle(self, charges: Sequence[Charge]) -> list[Awaitable[Any]]:
        """Deliver what is owed on each of these counts, charging nothing else."""
        now_us = self._now_us()
        sent: list[Awaitable[Any]] = []
        for charge in charges:
            batch = Batch((charge,), asyncio.get_running_loop().create_future())
            batch.waiters.clear()
            sent.append(self._send(batch, now_us))
        return sent

    async def peek(self, charges: Sequence[Charge]) -> Verdict:
        """What a charge would come to; raises SharedDown, SharedRefused."""
        now_us = self._now_us()
        keys: list[Part] = []
        forms: list[str] = []
        arguments: list[Part] = [1, PEEK, 1]
        for charge in charges:
            track = self._tracks.of(charge, now_us)
            keys.append(track.key)
            forms.append(track.numbers.form)
            arguments += track.numbers.fields(charge.cost, 0, 0)
        reply = await self._shared.script(script_of(forms), keys, arguments)
        return _verdict(charges, reply, 0)

    def _send_all(self) -> None:
        batches, self._open = self._open, {}
        now_us = self._now_us()
        for batch in batches.values():
            self._send(batch, now_us)

    def _send(self, batch: Batch, now_us: int) -> asyncio.Future[Any]:
        copies = len(batch.waiters)
        nodes = self._nodes()
        arguments: list[Part] = [copies, CHARGE, self._sharing.lease_reserve * nodes]
        keys: list[Part] = []
        owing = len(self._books) > 0
        for charge in batch.charges:
            track = self._tracks.of(charge, now_us)
            track.asked += charge.cost * copies
            want = track.want(now_us, self._sharing, nodes) if copies else 0
            track.leasing |= want > 0
            owed = self._books.take(charge, track, now_us) if owing else 0
            batch.tracks.append(track)
            batch.owed.append(owed)
            keys.append(track.key)
            arguments += track.numbers.fields(charge.cost, owed, want)
        batch.sent_us = now_us
        self.calls += 1
        self.under_way += 1
        script = script_of([track.numbers.form for track in batch.tracks])
        call = asyncio.ensure_future(self._shared.script(script, keys, arguments))
        call.add_done_callback(partial(self._answered, batch))
        return call

    def _answered(self, batch: Batch, call: asyncio.Future[Any]) -> None:
        self.under_way -= 1
        for track in batch.tracks:
            track.leasing = False
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if error is not None:
            self._failed(batch, error)
            return
        self._failing = False
        reply = call.result()
        self._learn(batch, reply)
        deserted = 0
        for copy, waiter in enumerate(batch.waiters):
            if not waiter.done():
                waiter.set_result(_verdict(batch.charges, reply, copy))
            elif copy < reply[0]:
                deserted += 1
        for _ in range(deserted):
            self._refund(batch.charges)

    def _learn(self, batch: Batch, reply: Sequence[int]) -> None:
        for at, track in enumerate(batch.tracks):
            left, reset_us, leased, leased_us = reply[3 + at * ANSWERS : 3 + (at + 1) * ANSWERS]
            if track.numbers.form != "g":
                reset_us = int((track.numbers.capacity - left) * track.numbers.unit)
            track.full_at_us = batch.sent_us + reset_us
            track.seeded = False
            if leased:
                track.lease_end_us = track.full_at_us
                track.lease_us = track.full_at_us - leased_us
        if reply[0] < len(batch.waiters) and reply[2] > 0:
            track = batch.tracks[reply[1]]
            track.refused_until_us = batch.sent_us + reply[2]
            track.refused_cost = batch.charges[reply[1]].cost
            track.refused_left = reply[3 + reply[1] * ANSWERS]

    def _failed(self, batch: Batch, error: BaseException) -> None:
        """No exception reaches a caller: this node decides by its share."""
        if not isinstance(error, SharedDown | asyncio.CancelledError):
            self.refused += 1
            if not self._failing:
                # Once a spell: with every request it would drown the log.
                kind = "refused" if isinstance(error, SharedRefused) else "failed"
                logger.error(
                    "the shared store %s a charge; each node decides by its share", kind, exc_info=error
                )
            self._failing = True
        now_us = self._now_us()
        for charge, track, owed in zip(batch.charges, batch.tracks, batch.owed, strict=True):
            self._books.put_back(charge, track, owed, now_us)
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(self._alone(batch.charges))


def _verdict(charges: Sequence[Charge], reply: Sequence[int], copy: int) -> Verdict:
    """The verdict of one of the equal requests: what later ones took was still left to it."""
    passed, index, wait_us = reply[0], reply[1], reply[2]
    at = 3 + index * ANSWERS
    left, reset_us = reply[at] + reply[at + 2], reply[at + 1]
    if copy < passed:
        left += (passed - 1 - copy) * charges[index].cost
        return Verdict(True, left, reset_us / 1e6, 0.0, index, "shared")
    wait_s = wait_us / 1e6 if wait_us >= 0 else math.inf
    return Verdict(False, left, reset_us / 1e6, wait_s, index, "shared")
