"""One breaker for all processes: tells the store what this one's breaker did, and hears of the others.

Best effort, and never in the way: a call asks the store only when it would be the probe. While the store is
away each process stands alone, with its own breaker and its own probe; what changed meanwhile is made good
at the next look.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.kernel.guard import Guard
from holdfast.kernel.guard import breaker as machine
from holdfast.ports.shared import SharedRefused
from holdfast.rooms.resilience.rules import standing as moves
from holdfast.rooms.resilience.rules.standing import Move, Standing, amends, wait_for_lease_s

logger = logging.getLogger("holdfast.resilience")

AWAY = (Problem, SharedRefused, OSError)
"""What a store raises that cannot answer; OSError holds TimeoutError."""


class States(Protocol):
    """Where shared states are kept."""

    pushes: bool

    async def look(self, names: Sequence[str]) -> dict[str, Standing]: ...

    async def move(self, name: str, move: Move) -> Standing: ...


class SharedBreaker:
    """The breaker of one guard as one of many; the guard's `Sharing`."""

    def __init__(
        self, guard: Guard, states: States, *, clock: Clock, token: Callable[[], str], budget_s: float
    ) -> None:
        self.guard = guard
        self.away = False
        """Whether the store did not answer last time."""
        self._states = states
        self._now = clock.monotonic
        self._token = token
        self._budget_s = budget_s
        self._known = 0
        """The highest generation heard of."""
        self._lease = ""
        """The token of the lease that this process holds in the store."""
        self._until_at_lease = 0.0
        self._taking_over = False
        self._telling: set[asyncio.Task[None]] = set()

    # -- asked by the guard ----------------------------------------------------------------------

    async def lease(self, ticket: int, *, early: bool = False) -> float | None:
        """The Sharing promise: 0 ours, seconds to wait, or None when the store is away."""
        breaker = self.guard.breaker
        assert breaker.rules is not None
        token = self._token()
        move = Move(moves.LEASE, token=token, lease_s=breaker.rules.lease_s, early=early)
        standing = await self._move(move)
        if standing is None:
            return None
        if standing.granted:
            self._known = standing.generation
            if not breaker.probes(ticket):
                # Taken over while we asked; the lease must not lie idle until it expires.
                self._tell(Move(moves.FREE, token=token))
                return 0.0
            self._lease, self._until_at_lease = token, breaker.until
            return 0.0
        if standing.generation <= self._known and not standing.is_open:
            return None  # the store has not heard that we opened: it was away, or it lost its memory
        self.hear(standing)
        return wait_for_lease_s(standing, 1.0) if standing.is_open else 0.0

    def changed(self, before: int) -> None:
        """The guard's breaker has left the state `before`: tell the store."""
        if self._taking_over:
            return
        breaker = self.guard.breaker
        now = self._now()
        left_s = max(0.0, breaker.until - now)
        if breaker.state == machine.OPEN and before == machine.CLOSED:
            self._tell(Move(moves.OPEN, self._known, open_s=left_s, opens=breaker.opens))
        elif before == machine.HALF_OPEN and self._lease:
            token, self._lease = self._lease, ""
            if breaker.state == machine.CLOSED:
                self._tell(Move(moves.CLOSE, token=token))
            elif breaker.state == machine.OPEN and breaker.until != self._until_at_lease:
                self._tell(Move(moves.FAIL, token=token, open_s=left_s, opens=breaker.opens))
            else:
                self._tell(Move(moves.FREE, token=token))

    # -- from the others -------------------------------------------------------------------------

    def hear(self, standing: Standing) -> None:
        """Take over what is newer than what we know."""
        if standing.generation <= self._known:
            return
        self._known = standing.generation
        self._lease = ""
        breaker, now = self.guard.breaker, self._now()
        self._taking_over = True
        try:
            if standing.is_open:
                breaker.trip(now, standing.left_s, standing.opens)
            elif breaker.state in (machine.OPEN, machine.HALF_OPEN):
                breaker.reset(now)
        finally:
            self._taking_over = False

    async def settle(self, standing: Standing) -> None:
        """A look at the store: hear what is new, or make good what it has missed while it was away."""
        self.away = False
        if self._telling:
            return  # what we are about to say is newer than what was read
        breaker = self.guard.breaker
        is_open = breaker.state in (machine.OPEN, machine.HALF_OPEN)
        kind = amends(standing, self._known, is_open=is_open)
        self.hear(standing)
        self._known = standing.generation
        if kind == moves.OPEN:
            left_s = max(0.0, breaker.until - self._now())
            self._tell(Move(moves.OPEN, self._known, open_s=left_s, opens=max(1, breaker.opens)))
        elif kind == moves.RESET:
            self._tell(Move(moves.RESET, self._known))

    async def reset(self) -> bool:
        """Closed for all; False when the store is away and only this process was told."""
        standing = await self._move(Move(moves.RESET))
        if standing is not None:
            self._known = max(self._known, standing.generation)
        self._lease = ""
        self._taking_over = True
        try:
            self.guard.breaker.reset(self._now())
        finally:
            self._taking_over = False
        return standing is not None

    async def told(self) -> None:
        """Wait until the store has heard, or not, what has been said so far."""
        while self._telling:
            await asyncio.wait(set(self._telling))

    # -- to the store ----------------------------------------------------------------------------

    def _tell(self, move: Move) -> None:
        """Say it without holding up the call; in order, as each waits for the one before."""
        earlier = set(self._telling)
        task = asyncio.get_running_loop().create_task(self._say(move, earlier))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _say(self, move: Move, earlier: "set[asyncio.Task[None]]") -> None:
        if earlier:
            await asyncio.wait(earlier)
        standing = await self._move(move)
        if standing is None:
            return
        if standing.granted:
            self._known = max(self._known, standing.generation)
        else:
            self.hear(standing)

    async def _move(self, move: Move) -> Standing | None:
        try:
            standing = await _within(self._budget_s, self._states.move(self.guard.name, move))
        except AWAY as error:
            if not self.away:
                logger.warning("breaker of %s is not shared for now: %s", self.guard.name, error)
            self.away = True
            return None
        self.away = False
        return standing


class SharedBreakers:
    """All shared breakers of this process; hears the channel, or looks every so often."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._breakers: dict[str, SharedBreaker] = {}
        self._looking: set[asyncio.Task[None]] = set()

    def add(self, breaker: SharedBreaker) -> None:
        self._breakers[breaker.guard.name] = breaker

    async def look(self) -> None:
        """One turn: hear of all the others' changes and make good what the store missed."""
        await self._look(list(self._breakers))

    async def _look(self, names: Sequence[str]) -> None:
        try:
            standings = await self._states.look(names)
        except AWAY:
            for name in names:
                self._breakers[name].away = True
            return
        for name, standing in standings.items():
            await self._breakers[name].settle(standing)

    # The Listener of ports.shared: a message names the dependency whose state has changed.

    def heard(self, payload: bytes) -> None:
        name = payload.decode("utf-8", "replace")
        if name in self._breakers:
            self._begin(self._look([name]))

    def joined(self) -> None:
        self._begin(self.look())

    def cut_off(self) -> None:
        """Nothing to do: the look every so often goes on."""

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def stop(self) -> None:
        """What was to be said is said; looks that are under way end."""
        for task in list(self._looking):
            task.cancel()
        for breaker in self._breakers.values():
            await breaker.told()


async def _within(seconds: float, work: Coroutine[Any, Any, Standing]) -> Standing:
    async with asyncio.timeout(seconds):
        return await work
