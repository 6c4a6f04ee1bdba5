"""The tie between a node and the shared store: what is heard, how it is joined again, what is made up for."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.ports.shared import Shared, SharedDown, SharedRefused
from holdfast.rooms.cache.engine.remote import Lease
from holdfast.rooms.cache.engine.shared_journal import Journal
from holdfast.rooms.cache.engine.shared_known import Known
from holdfast.rooms.cache.engine.shared_leases import Leases, Waiting
from holdfast.rooms.cache.rules.entry import KEY, Entry, Marker
from holdfast.rooms.cache.store.calls import SharedCalls
from holdfast.rooms.cache.store.wire import MARKED, STORED, decode_message

logger = logging.getLogger("holdfast.cache")

_AT_ONCE = 128
"""Scripts in one turn: what is made up for must not crowd out what is asked now."""
_WRITES_AT_ONCE = 32
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0

Send = Callable[[Entry, bool], Any]


class Link:
    """Hears the channel, renews leases, and catches up after an absence. Bound to the loop of `start`."""

    def __init__(
        self,
        shared: Shared,
        calls: SharedCalls,
        known: Known,
        journal: Journal,
        leases: Leases,
        waiting: Waiting,
        *,
        clock: Clock,
        node_id: str,
        turn_s: float,
        send: Send,
    ) -> None:
        self._shared = shared
        self._calls = calls
        self._known = known
        self._journal = journal
        self._leases = leases
        self._waiting = waiting
        self._clock = clock
        self._node_id = node_id
        self._turn_s = turn_s
        self._send = send
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._is_catching_up = False
        self.joined_at: float | None = None
        self.cut_at: float | None = None
        self.replayed = 0
        self.garbled = 0

    def start(self) -> None:
        self.cut_at = self._clock.monotonic()
        self._unsubscribe = self._shared.subscribe(self._calls.channel, self)
        self.spawn(self._turns())

    async def stop(self) -> None:
        """Say what is still to be said, as far as that takes no longer than a second; then let go."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=1.0)
        for lease in self._leases.to_renew(self._clock.monotonic()):
            self._leases.abandon(lease.key, lease.token)
        if self._shared.is_up:
            try:
                async with asyncio.timeout(1.0):
                    await self.catch_up()
            except TimeoutError:
                logger.warning("the cache stops with %d markers unsaid", self._journal.markers)
        if self._known.is_current:
            self.cut_off()

    def spawn(self, work: Any) -> "asyncio.Task[Any]":
        """A task that is kept until it ends, whoever waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # What is heard (ports.shared.Listener).

    def heard(self, payload: bytes) -> None:
        try:
            message = decode_message(payload)
        except (ValueError, UnicodeDecodeError):
            # It may have been a marker: nothing is certain any more until all has been read again.
            self.garbled += 1
            self.cut_off()
            self.joined()
            return
        if message.letter != MARKED or message.scope == KEY:
            self._waiting.wake(message.name)
        if message.node == self._node_id:
            return
        if message.letter == MARKED:
            self._known.hear([Marker(message.scope, message.name, message.stamp)])
        elif message.letter == STORED:
            self._known.hears.replaced(message.name, message.stamp)

    def joined(self) -> None:
        self._known.cut_off()  # a new subscription: whatever we knew before may have holes
        self.spawn(self._rejoin(self._known.epoch))

    def cut_off(self) -> None:
        self._known.cut_off()
        self.cut_at = self._clock.monotonic()
        self._waiting.wake_all()
        self._known.hears.cut_off()

    async def _rejoin(self, epoch: int) -> None:
        pause_s = _FIRST_PAUSE_S
        while epoch == self._known.epoch:
            try:
                await self._say_again()
                await self._known.learn_wide()
                break
            except (SharedDown, SharedRefused):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if epoch != self._known.epoch:
            return
        self._known.is_current = True
        self.joined_at = self._clock.monotonic()
        self.cut_at = None
        self._known.hears.joined()
        await self.catch_up()

    async def _say_again(self) -> None:
        """The markers that were missed, and the last ones said: a fail-over may have lost them."""
        await self.say(self._journal.missed_markers(), live=False)
        if self._journal.markers and not self._shared.is_up:
            raise SharedDown("away again")
        await self.say(self._journal.recent(self._clock.monotonic()), live=False)

    # What is said.

    async def say(self, markers: Sequence[Marker], *, live: bool) -> None:
        """Make the markers last; those that cannot be now go into the journal."""
        for start in range(0, len(markers), _AT_ONCE):
            await asyncio.gather(*(self._say(marker, live) for marker in markers[start : start + _AT_ONCE]))

    async def _say(self, marker: Marker, live: bool) -> None:
        try:
            stamp = int(await self._calls.mark(marker, live=live))
        except (SharedDown, SharedRefused):
            self._journal.miss_marker(marker)
            return
        except asyncio.CancelledError:
            self._journal.miss_marker(marker)
            raise
        was_missing = self._journal.settle_marker(marker)
        if live:
            marker = Marker(marker.scope, marker.name, stamp)
            self._known.own(marker)
        if live or was_missing:
            self._journal.said(marker, self._clock.monotonic())

    async def catch_up(self) -> None:
        """Send what the journal holds: markers first, then writes, a few at a time."""
        if self._is_catching_up:
            return
        self._is_catching_up = True
        try:
            await self.say(self._journal.missed_markers(), live=False)
            # As many as there are now: what fails again comes back to the journal, for the next turn.
            for _ in range(0, self._journal.writes, _WRITES_AT_ONCE):
                some = self._journal.take_writes(_WRITES_AT_ONCE)
                sent = await asyncio.gather(*(self._send(entry, replaces) for entry, replaces in some))
                self.replayed += sum(sent)
            # After the writes: who waits for one of these leases finds the value instead of loading it.
            await self._give_back_orphans()
        finally:
            self._is_catching_up = False

    async def _give_back_orphans(self) -> None:
        orphans = self._leases.orphans
        while orphans and self._shared.is_up:
            token, key = orphans.popitem()
            try:
                await self._calls.give_back(key, token)
            except (SharedDown, SharedRefused):
                self._leases.abandon(key, token)
                return

    # What is done in turns.

    async def _turns(self) -> None:
        while True:
            await asyncio.sleep(self._turn_s)
            if not self._shared.is_up:
                continue
            try:
                await self._renew()
                if self._journal.markers or self._journal.writes or self._leases.orphans:
                    await self.catch_up()
            except (SharedDown, SharedRefused):
                continue
            except Exception:
                logger.exception("the cache could not catch up; next try in %.3g s", self._turn_s)

    async def _renew(self) -> None:
        leases = self._leases.to_renew(self._clock.monotonic())
        for start in range(0, len(leases), _AT_ONCE):
            await asyncio.gather(*(self._renew_one(lease) for lease in leases[start : start + _AT_ONCE]))

    async def _renew_one(self, lease: Lease) -> None:
        if not await self._calls.renew(lease.key, lease.token, lease.born):
            self._leases.release(lease.token)
