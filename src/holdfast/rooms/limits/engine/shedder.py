"""The door: a place for a request, a short wait for one, or a refusal that costs next to nothing."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from math import exp

import msgspec

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.ports.services import Meter
from holdfast.rooms.limits.engine.pulse import Pulse
from holdfast.rooms.limits.rules.concurrency import Config, Law
from holdfast.rooms.limits.rules.overload import KINDS, Overloaded, refusals
from holdfast.rooms.limits.rules.queueing import LEVELS, Gate, Line, Standing, Waiter, level_of, places

LEVEL_NAMES = ("critical", "high", "normal", "low")
_SHORT_WAITS = 4
"""A wait is a short one up to so many targets."""
_SHORT_TURNS = 10
_SHORT_SLICES = 10
"""A turn of the loop is a short one up to so many targets, or so many requests."""
_BUSY_S = 1.0
_BUSY_SLICES = 100
"""The loop is overloaded when it has not been idle for so long, and for so many requests' work."""
_HELD = 2
"""How many wait for the next turns while the loop is behind: enough that it is never idle."""
_ANYONE = [1] * LEVELS
_SMOOTH = 0.2
"""The weight of the newest look in the load."""


def _nobody(load: float) -> None:
    """Nobody wants to hear of the load."""


class Lane:
    """One class of work: its limit, who is inside and who waits.

    Admission passes it without a call of ours where `pulse` is calm and nobody waits.
    """

    __slots__ = ("inside", "is_stream", "law", "line", "places", "pulse", "standing", "work")

    def __init__(self, work: str, law: Law, config: Config, pulse: Pulse) -> None:
        self.pulse = pulse
        self.work = work
        self.law = law
        self.is_stream = work in config.streams
        self.inside = 0
        self.line = Line()
        self.standing = Standing(config.interval_s)
        self.places = places(law.limit, config.reserve)


class Place(msgspec.Struct, eq=False, gc=False):
    """A request that is inside. It is given back once; giving it back again does nothing."""

    lane: Lane | None
    since: float


class Shedder:
    """Lets in what can be done in time and refuses the rest, low priorities first.

    `enter` answers at once wherever nobody has to wait. `load` is 0 when idle and 1 when full, as of
    the last look some 20 ms ago; it exceeds 1 under overload. Belongs to one event loop at a time.
    Sources: see `rules.concurrency` and `rules.queueing`.
    """

    def __init__(self, config: Config, *, clock: Clock, meter: Meter, rng: random.Random) -> None:
        self._config = config
        self._now = clock.monotonic
        self._chance = rng.random
        self._lanes: dict[str, Lane] = {}
        self._refusals = refusals(config.retry_after_s, config.retry_spread_s, rng.random)
        self._turn = 0
        self.load = 0.0
        self._told: Callable[[float], None] = _nobody
        self._short_s = _SHORT_WAITS * config.target_s
        self._standing = Standing(config.interval_s)
        self._held = Line()
        self._short_turn_s = _SHORT_TURNS * config.target_s
        self._gate = Gate(config.target_s, config.interval_s)
        self._pulse = Pulse(
            self._now,
            time.thread_time if isinstance(clock, SystemClock) else clock.monotonic,
            config.target_s,
            self._short_s / 2,
            self._on_beat,
            self._on_look,
        )
        refused = meter.counter(
            "holdfast_limits_shed_requests_total",
            "Requests refused for want of capacity, by why and priority.",
            ("reason", "priority"),
        )
        self._counts = {
            reason: [refused.labels(reason, name) for name in LEVEL_NAMES]
            for reason in ("loop", "full", "waited")
        }
        self._waits = meter.histogram(
            "holdfast_limits_door_wait_seconds", "Seconds that requests waited at the door for a place."
        ).labels()
        self._limits = meter.gauge(
            "holdfast_limits_concurrency_limit",
            "Requests of one class that may be inside at once.",
            ("work",),
        )
        meter.watch("holdfast_limits_load", "Load of this process: 1 is full.", lambda: self.load)
        meter.watch("holdfast_limits_inside_requests", "Requests inside now.", self._count_inside)
        meter.watch(
            "holdfast_limits_waiting_requests", "Requests that wait at the door.", self._count_waiting
        )

    # -- the door --------------------------------------------------------------------------------

    def enter(
        self, work: str, priority: int, deadline: float | None = None
    ) -> Place | Overloaded | Awaitable[Place | Overloaded]:
        """A place for one request of class `work`, or why there is none, or an await for either.

        `priority`: 0 is the most important, 3 and above the least. `deadline`: monotonic seconds after
        which nobody waits for the answer. A place must come back by `leave` or `forget`.
        """
        now = self._now()
        lane = self._lanes.get(work) or self._open(work, now)
        level = priority if 0 <= priority < LEVELS else level_of(priority)
        pulse = self._pulse
        if not pulse.is_running:
            pulse.start(now)
        elif pulse.alarmed:
            age_s = pulse.age_s(now)
            if self._standing.meets(age_s, self._short_turn_s, now) and not self._gate.lets_in(
                level, pulse.worked_s(), pulse.slice_s, pulse.after_brief, now
            ):
                return self._hold(lane, level, now, deadline)
            pulse.admitted += 1
        if lane.inside < lane.places[level]:
            lane.inside += 1
            return Place(lane, now)
        return self._queue(lane, level, now, deadline)

    def leave(self, place: Place, failed: bool = False, sample: bool = True) -> None:
        """The request has ended. A failure, or `sample=False` (a stream), says nothing of latency."""
        lane = place.lane
        if lane is None:
            return
        place.lane = None
        if sample and not lane.is_stream and (not failed or self._took_long(lane, place)):
            now = self._now()
            if lane.law.observe(now - place.since, lane.inside, now):
                self._set_places(lane)
        lane.inside -= 1
        if lane.line.size:
            self._serve(lane)

    def forget(self, place: Place) -> None:
        """The request never did its work: refused by a limit, or its client has left."""
        lane = place.lane
        self.leave(place, sample=lane is not None and self._took_long(lane, place))

    def _took_long(self, lane: Lane, place: Place) -> bool:
        """Whether a request that came to nothing shows all the same that latency is no longer quiet.

        Clients that give up after a second would hide every latency above it: then nothing is learned
        just when the queue is longest. What is quick shows nothing.
        """
        quiet = lane.law.quiet
        return quiet is not None and self._now() - place.since > 2 * exp(quiet)

    def lane(self, work: str) -> Lane:
        """The class of work itself, opened where it is new."""
        return self._lanes.get(work) or self._open(work, self._now())

    def hear(self, told: Callable[[float], None]) -> None:
        """Have `told` called with every new `load`."""
        self._told = told

    def limits(self) -> dict[str, float]:
        """The limit of each class of work met so far."""
        return {work: lane.law.limit for work, lane in self._lanes.items()}

    def stop(self) -> None:
        """Let go of the event loop; whoever waits is refused."""
        self._pulse.stop()
        for line in (self._held, *(lane.line for lane in self._lanes.values())):
            for waiter in line.expired(self._now(), 0.0, everyone=True):
                self._turn_away("waited", waiter, self._now())

    # -- those who wait for the loop -------------------------------------------------------------

    def _hold(
        self, lane: Lane, level: int, now: float, deadline: float | None
    ) -> Overloaded | Awaitable[Place | Overloaded]:
        """This turn of the loop has enough to do: a few wait for a later one, so that none is idle."""
        gate, line = self._gate, self._held
        if level <= gate.cut or line.size < _HELD:
            displaced = line.give_way(level, newest=False) if line.size >= _HELD else None
            if displaced is not None:
                self._turn_away("loop", displaced, now)
            if line.size < _HELD:
                waiter = self._waiter(level, now, deadline)
                line.join(waiter)
                return self._wait_for_turn(lane, waiter)
        gate.shut(level, now)
        self._standing.refused(now)
        return self._refuse("loop", level)

    async def _wait_for_turn(self, lane: Lane, waiter: Waiter) -> Place | Overloaded:
        try:
            refusal: Overloaded | None = await waiter.seat
        finally:
            self._held.leave(waiter)
        if refusal is not None:
            return refusal
        now = self._now()
        self._pulse.age_s(now)
        self._pulse.admitted += 1
        if lane.inside < lane.places[waiter.level]:
            lane.inside += 1
            return Place(lane, now)
        found = self._queue(lane, waiter.level, now, waiter.expires)
        return found if isinstance(found, Place | Overloaded) else await found

    def _release(self, now: float) -> None:
        """A turn has ended: after a short one those who were held come in, as many as fit into the next."""
        line, pulse = self._held, self._pulse
        target_s, slice_s = self._config.target_s, pulse.slice_s
        if not pulse.after_brief:
            pulse.age_s(now)  # the next turn is looked at whether or not somebody new comes in it
            return
        count = max(1, int(target_s / slice_s)) if slice_s else 1
        while line.size and count:
            waiter = line.serve(0, _ANYONE, newest=False)
            if waiter is None or waiter.seat.done():
                continue
            if now >= waiter.expires:
                self._turn_away("loop", waiter, now)
            else:
                waiter.seat.set_result(None)
                count -= 1

    # -- those who wait for a place --------------------------------------------------------------

    def _queue(
        self, lane: Lane, level: int, now: float, deadline: float | None
    ) -> Place | Overloaded | Awaitable[Place | Overloaded]:
        """No place: a wait, where the line is not full and the deadline is not over."""
        config, line, standing = self._config, lane.line, lane.standing
        if not lane.is_stream and lane.law.hold_back(now):
            self._set_places(lane)
            lane.inside += 1
            return Place(lane, now)
        standing.met(line.oldest_s(now), self._short_wait_s(lane), now)
        if config.queue_size == 0 or (deadline is not None and deadline <= now):
            return self._refuse("full", level)
        if line.size >= config.queue_size:
            standing.refused(now)
            displaced = line.give_way(level, newest=standing.overloaded)
            if displaced is None:
                return self._refuse("full", level)
            self._turn_away("full", displaced, now)
        waiter = self._waiter(level, now, deadline)
        line.join(waiter)
        return self._wait(lane, waiter)

    def _waiter(self, level: int, now: float, deadline: float | None) -> Waiter:
        expires = now + self._config.patience_s
        if deadline is not None and deadline < expires:
            expires = deadline
        return Waiter(level, now, expires, asyncio.get_running_loop().create_future())

    async def _wait(self, lane: Lane, waiter: Waiter) -> Place | Overloaded:
        try:
            found: Place | Overloaded = await waiter.seat
        except asyncio.CancelledError:
            lane.line.leave(waiter)
            if waiter.seat.done() and not waiter.seat.cancelled():
                # A place was given in the very turn in which its request was cancelled.
                given = waiter.seat.result()
                if isinstance(given, Place):
                    self.forget(given)
            raise
        return found

    def _serve(self, lane: Lane) -> None:
        """Give what places there are to those who wait."""
        now = self._now()
        line, standing = lane.line, lane.standing
        self._expire(lane, now)
        while line.size:
            oldest_s = line.oldest_s(now)
            waiter = line.serve(lane.inside, lane.places, newest=standing.overloaded)
            if waiter is None:
                return
            standing.met(oldest_s, self._short_wait_s(lane), now)
            if now >= waiter.expires:
                self._turn_away("waited", waiter, now)
            elif not waiter.seat.done():
                lane.inside += 1
                self._waits.observe(now - waiter.since)
                waiter.seat.set_result(Place(lane, now))

    def _short_wait_s(self, lane: Lane) -> float:
        """Up to where a wait is a short one: for work that takes seconds, half of what it takes."""
        quiet = lane.law.quiet
        return self._short_s if quiet is None else max(self._short_s, exp(quiet) / 2)

    def _expire(self, lane: Lane, now: float, *, everyone: bool = False) -> None:
        standing = lane.standing
        longest_s = self._config.target_s if standing.overloaded else self._config.patience_s
        for waiter in lane.line.expired(now, longest_s, everyone=everyone):
            standing.refused(now)
            self._turn_away("waited", waiter, now)

    def _turn_away(self, reason: str, waiter: Waiter, now: float) -> None:
        if not waiter.seat.done():
            self._waits.observe(now - waiter.since)
            waiter.seat.set_result(self._refuse(reason, waiter.level))

    def _refuse(self, reason: str, level: int) -> Overloaded:
        self._counts[reason][level].add()
        self._turn = (self._turn + 1) % KINDS
        return self._refusals[self._turn]

    # -- what is learned -------------------------------------------------------------------------

    def _open(self, work: str, now: float) -> Lane:
        config = self._config
        lane = self._lanes[work] = Lane(work, Law(config, self._chance, now), config, self._pulse)
        if lane.is_stream:
            lane.law.limit = float(config.most_limit)
        self._set_places(lane)
        return lane

    def _set_places(self, lane: Lane) -> None:
        lane.places = places(lane.law.limit, self._config.reserve)
        self._limits.labels(lane.work).set(lane.law.limit)
        if lane.line.size:
            self._serve(lane)

    def _on_beat(self, late_s: float, now: float, is_turn: bool) -> None:
        """The loop was behind by `late_s`: every look, and while there is alarm every turn."""
        pulse = self._pulse
        short_s = max(_SHORT_TURNS * self._config.target_s, _SHORT_SLICES * pulse.slice_s)
        self._short_turn_s = short_s
        if is_turn or not pulse.alarmed:
            was_overloaded = self._standing.overloaded
            self._standing.met(late_s, short_s, now)
            if was_overloaded and not self._standing.overloaded:
                pulse.forget_busy(now)
            elif late_s > _SHORT_TURNS * self._config.target_s and pulse.busy_s(now) > max(
                _BUSY_S, _BUSY_SLICES * pulse.slice_s
            ):
                # The queue may stand where no turn shows it: some loops accept one connection a turn.
                self._standing.declare(now)
        if self._held.size:
            for waiter in self._held.expired(now, self._config.interval_s, everyone=False):
                self._turn_away("loop", waiter, now)
            self._release(now)
        if not is_turn:
            self._weigh(late_s / short_s)
            for lane in self._lanes.values():
                if lane.line.size:
                    lane.standing.met(lane.line.oldest_s(now), self._short_wait_s(lane), now)
                    self._expire(lane, now, everyone=True)
                    self._serve(lane)

    def _weigh(self, behind: float) -> None:
        found = max((lane.inside / lane.law.limit for lane in self._lanes.values()), default=0.0)
        waiting = max((lane.line.size / lane.law.limit for lane in self._lanes.values()), default=0.0)
        found = max(found + waiting, behind)
        if self._standing.overloaded or any(lane.standing.overloaded for lane in self._lanes.values()):
            found = max(found, 1.0)
        self.load += _SMOOTH * (found - self.load)
        self._told(self.load)

    def _on_look(self) -> bool:
        """Whether there is anything left to look after."""
        if self._count_inside() or self._count_waiting() or self.load > 0.01:
            return True
        self.load = 0.0
        self._told(0.0)
        return False

    def _count_inside(self) -> float:
        return float(sum(lane.inside for lane in self._lanes.values()))

    def _count_waiting(self) -> float:
        return float(self._held.size + sum(lane.line.size for lane in self._lanes.values()))
