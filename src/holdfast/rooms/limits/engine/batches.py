"""Asking the shared counts: equal requests of one turn of the loop become one call of the script."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from holdfast.ports.shared import Part, Script, Shared, SharedDown, SharedRefused
from holdfast.rooms.limits.engine.leases import Track, Tracks
from holdfast.rooms.limits.engine.owed import Books
from holdfast.rooms.limits.rules.charge import Charge, Verdict
from holdfast.rooms.limits.rules.leasing import Sharing
from holdfast.rooms.limits.store.mixed import MIXED_SCRIPT
from holdfast.rooms.limits.store.scripts import ANSWERS, CHARGE, GCRA_SCRIPT, HEAD, PEEK

logger = logging.getLogger("holdfast.limits")

Waiter = asyncio.Future[Verdict]

_TOGETHER = 32
"""Requests in one call: a server runs nothing else for about 5 us each."""


class Batch:
    """Requests with the same charges, and what was sent for them."""

    __slots__ = ("charges", "is_gcra", "owed", "tracks", "waiters")

    def __init__(self, charges: Sequence[Charge], waiters: list[Waiter]) -> None:
        self.charges = charges
        self.waiters = waiters
        self.tracks: list[Track] = []
        self.owed: list[int] = []
        self.is_gcra = True


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
        self._open: dict[Any, Batch] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failing = False
        self.is_parted = False
        """Whether counts of different identities lie on different servers."""
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
        # A limit is told by its place in memory: the batch keeps it alive, and comparing costs nothing.
        if len(charges) == 1:
            charge = charges[0]
            key: Any = (charge.identity, id(charge.limit), charge.cost)
        else:
            key = tuple((charge.identity, id(charge.limit), charge.cost) for charge in charges)
        batch = self._open.get(key)
        if batch is not None:
            batch.waiters.append(waiter)
            return waiter
        if not self._open:
            loop.call_soon(self._send_all)
        self._open[key] = Batch(charges, [waiter])
        return waiter

    def settle(self, charges: Sequence[Charge]) -> list[Awaitable[Any]]:
        """Deliver what is owed on each of these counts, charging nothing else."""
        return self._send([Batch((charge,), []) for charge in charges])

    async def peek(self, charges: Sequence[Charge]) -> Verdict:
        """What a charge would come to; raises SharedDown, SharedRefused."""
        now_us = self._now_us()
        tracks = [self._tracks.of(charge, now_us) for charge in charges]
        arguments: list[Part] = [1, PEEK, 1]
        for charge, track in zip(charges, tracks, strict=True):
            arguments += track.numbers.fields(charge.cost, 0, 0)
        reply = await self._shared.script(MIXED_SCRIPT, [track.key for track in tracks], arguments)
        return _verdict(charges, reply, 0)

    def _send_all(self) -> None:
        batches, self._open = self._open, {}
        self._send(list(batches.values()))

    def _send(self, batches: Sequence[Batch]) -> list[Awaitable[Any]]:
        """In as few calls as the server's layout allows."""
        now_us = self._now_us()
        calls: list[Awaitable[Any]] = []
        together: list[Batch] = []
        for batch in batches:
            self._prepare(batch, now_us)
            if not batch.is_gcra:
                calls.append(self._call_mixed(batch, now_us))
            elif self.is_parted:
                calls.append(self._call_gcra([batch], now_us))
            else:
                together.append(batch)
        for at in range(0, len(together), _TOGETHER):
            calls.append(self._call_gcra(together[at : at + _TOGETHER], now_us))
        return calls

    def _prepare(self, batch: Batch, now_us: int) -> None:
        owing = len(self._books) > 0
        for charge in batch.charges:
            track = self._tracks.of(charge, now_us)
            batch.tracks.append(track)
            batch.owed.append(self._books.take(charge, track, now_us) if owing else 0)
            if track.numbers.form != "g":
                batch.is_gcra = False

    def _want(self, charge: Charge, track: Track, copies: int, now_us: int) -> int:
        if not copies:
            return 0
        track.asked += charge.cost * copies
        want = track.want(now_us, self._sharing, self._nodes())
        if want:
            track.leasing = True
        return want

    def _call_gcra(self, batches: Sequence[Batch], now_us: int) -> asyncio.Future[Any]:
        keys: list[Part] = []
        arguments: list[Part] = [CHARGE, self._sharing.lease_reserve * self._nodes()]
        for batch in batches:
            copies = len(batch.waiters)
            arguments += (len(batch.tracks), copies)
            for charge, track, owed in zip(batch.charges, batch.tracks, batch.owed, strict=True):
                keys.append(track.key)
                want = self._want(charge, track, copies, now_us)
                arguments += track.numbers.gcra_fields(charge.cost, owed, want)
        return self._call(GCRA_SCRIPT, keys, arguments, batches, now_us)

    def _call_mixed(self, batch: Batch, now_us: int) -> asyncio.Future[Any]:
        copies = len(batch.waiters)
        arguments: list[Part] = [copies, CHARGE, self._sharing.lease_reserve * self._nodes()]
        for charge, track, owed in zip(batch.charges, batch.tracks, batch.owed, strict=True):
            want = self._want(charge, track, copies, now_us)
            arguments += track.numbers.fields(charge.cost, owed, want)
        keys = [track.key for track in batch.tracks]
        return self._call(MIXED_SCRIPT, keys, arguments, [batch], now_us)

    def _call(
        self,
        script: Script,
        keys: Sequence[Part],
        arguments: Sequence[Part],
        batches: Sequence[Batch],
        now_us: int,
    ) -> asyncio.Future[Any]:
        self.calls += 1
        self.under_way += 1
        call = asyncio.ensure_future(self._shared.script(script, keys, arguments))
        call.add_done_callback(partial(self._answered, batches, now_us))
        return call

    def _answered(self, batches: Sequence[Batch], sent_us: int, call: asyncio.Future[Any]) -> None:
        self.under_way -= 1
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if error is not None:
            self._tell(error)
            for batch in batches:
                self._failed(batch)
            return
        self._failing = False
        reply, at = call.result(), 0
        for batch in batches:
            size = HEAD + ANSWERS * len(batch.tracks)
            self._share_out(batch, reply[at : at + size], sent_us)
            at += size

    def _share_out(self, batch: Batch, reply: Sequence[int], sent_us: int) -> None:
        self._learn(batch, reply, sent_us)
        deserted = 0
        for copy, waiter in enumerate(batch.waiters):
            if not waiter.done():
                waiter.set_result(_verdict(batch.charges, reply, copy))
            elif copy < reply[0]:
                deserted += 1
        for _ in range(deserted):
            self._refund(batch.charges)

    def _learn(self, batch: Batch, reply: Sequence[int], sent_us: int) -> None:
        for at, track in enumerate(batch.tracks):
            first = HEAD + at * ANSWERS
            left, reset_us, leased, leased_us = reply[first : first + ANSWERS]
            track.leasing = False
            if track.numbers.form != "g":
                reset_us = int((track.numbers.capacity - left) * track.numbers.unit)
            track.full_at_us = sent_us + reset_us
            track.seeded = False
            if leased:
                track.lease_end_us = track.full_at_us
                track.lease_us = track.full_at_us - leased_us
        if reply[0] < len(batch.waiters) and reply[2] > 0:
            track = batch.tracks[reply[1]]
            track.refused_until_us = sent_us + reply[2]
            track.refused_cost = batch.charges[reply[1]].cost
            track.refused_left = reply[HEAD + reply[1] * ANSWERS]

    def _tell(self, error: BaseException) -> None:
        if isinstance(error, SharedDown | asyncio.CancelledError):
            return
        self.refused += 1
        if not self._failing:
            # Once a spell: with every request it would drown the log.
            kind = "refused" if isinstance(error, SharedRefused) else "failed"
            logger.error("the shared store %s a charge; each node decides by its share", kind, exc_info=error)
        self._failing = True

    def _failed(self, batch: Batch) -> None:
        """No exception reaches a caller: this node decides by its share."""
        now_us = self._now_us()
        for charge, track, owed in zip(batch.charges, batch.tracks, batch.owed, strict=True):
            track.leasing = False
            self._books.put_back(charge, track, owed, now_us)
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(self._alone(batch.charges))


def _verdict(charges: Sequence[Charge], reply: Sequence[int], copy: int) -> Verdict:
    """The verdict of one of the equal requests: what later ones took was still left to it."""
    passed, index, wait_us = reply[0], reply[1], reply[2]
    at = HEAD + index * ANSWERS
    left, reset_us = reply[at] + reply[at + 2], reply[at + 1]
    if copy < passed:
        left += (passed - 1 - copy) * charges[index].cost
        return Verdict(True, left, reset_us / 1e6, 0.0, index, "shared")
    wait_s = wait_us / 1e6 if wait_us >= 0 else math.inf
    return Verdict(False, left, reset_us / 1e6, wait_s, index, "shared")
