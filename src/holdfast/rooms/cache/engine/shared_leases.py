"""The leases this node holds, those it may hold without knowing, and who waits for another node's load."""

import asyncio
import math
from collections.abc import Callable

from holdfast.rooms.cache.engine.remote import Lease

_MOST_ORPHANS = 10_000


class Leases:
    """Leases of loads under way, until when each may be renewed; and tokens to be given back."""

    def __init__(self, max_load_s: float) -> None:
        self._max_load_s = max_load_s
        self._held: dict[str, tuple[Lease, float]] = {}
        self.orphans: dict[str, str] = {}
        """Token -> key of leases that were asked for and not heard of: the server may have granted them."""

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, lease: Lease, now: float) -> None:
        self._held[lease.token] = (lease, now + self._max_load_s)

    def release(self, token: str) -> None:
        self._held.pop(token, None)

    def to_renew(self, now: float) -> list[Lease]:
        """Those whose load may still run; the others are left to expire."""
        for token in [token for token, (_, until) in self._held.items() if until <= now]:
            del self._held[token]
        return [lease for lease, _ in self._held.values()]

    def abandon(self, key: str, token: str) -> None:
        """To be given back when the server is there; beyond a bound they are left to expire."""
        self.release(token)
        if len(self.orphans) < _MOST_ORPHANS:
            self.orphans[token] = key


class _Place:
    """Who waits for one key, and until when its lease is known to last."""

    __slots__ = ("busy_until", "waiters")

    def __init__(self) -> None:
        self.busy_until = math.inf
        self.waiters: set[asyncio.Future[None]] = set()


class Waiting:
    """Futures by key, woken by what is heard.

    Answers and messages come over different connections: a message that arrives before the answer `busy`
    does must not be missed. Keys that somebody asks about are therefore noted before the question leaves.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._asking: dict[str, int] = {}
        self._woken: set[str] = set()
        """Of those asked about: keys that were heard of since."""

    def __len__(self) -> int:
        return sum(len(place.waiters) for place in self._places.values())

    def ask(self, key: str) -> None:
        """A question about `key` leaves now."""
        self._asking[key] = self._asking.get(key, 0) + 1

    def answered(self, key: str, busy_s: float | None) -> None:
        """Its answer is here; `busy_s`: another node loads, for so long at least unless it says so."""
        woken = key in self._woken
        left = self._asking[key] - 1
        if left:
            self._asking[key] = left
        else:
            del self._asking[key]
            self._woken.discard(key)
        if busy_s is not None:
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = _Place()
            place.busy_until = 0.0 if woken else self._clock() + busy_s
            if len(self._places) > 10_000:
                self._trim()

    async def wait(self, key: str, within_s: float, spread_s: float) -> None:
        """Until `wake`, or until the lease ends and `spread_s` after, at most `within_s`."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place()
        left = place.busy_until - self._clock()
        if left <= 0 and not place.waiters:
            del self._places[key]
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        place.waiters.add(future)
        timer = loop.call_later(max(0.0, min(within_s, left + spread_s)), _set, future)
        try:
            await future
        finally:
            timer.cancel()
            place.waiters.discard(future)
            if not place.waiters and self._places.get(key) is place:
                del self._places[key]

    def wake(self, key: str) -> None:
        if key in self._asking:
            self._woken.add(key)
        place = self._places.get(key)
        if place is not None:
            place.busy_until = 0.0
            for future in place.waiters:
                _set(future)

    def wake_all(self) -> None:
        for key in [*self._asking, *self._places]:
            self.wake(key)

    def _trim(self) -> None:
        """Forget answers that nobody came back for."""
        now = self._clock()
        for key, place in list(self._places.items()):
            if not place.waiters and place.busy_until <= now:
                del self._places[key]


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
