"""A whole decision in process, over the smallest GCRA that a dictionary allows; and whether it is exact.

Ours is `admission.admit` as the edge calls it: path -> action, tier, hour and load -> effective limit,
the charge, both RateLimit fields as bytes. The bare one is a function over a dictionary that says
allowed, remaining and reset. Peers do the charge and what it takes to fill the headers, not the rest.
All over the same 1,000 users, in turns of one run.
"""

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyrate_limiter
import throttled

import limits
from benchmarks.harness import Row, at_most, main, shown
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.config import load_settings
from holdfast.kernel.context import Ctx, Sources
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoMeter
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.room import Config, LimitsRoom
from holdfast.rooms.limits.rules.charge import Charge, Limit

USERS = 1_000
QUOTA = 1_000_000
WINDOW_S = 60.0
BURST = 200_000

TURNS = 60
"""Of 1,000 decisions each; fewer than the table's smallest limit for anybody allows."""

Round = Callable[[], None]


def names() -> list[str]:
    return [f"user-{number}" for number in range(USERS)]


def bare() -> Round:
    """What every limiter costs at least."""
    table: dict[str, float] = {}
    monotonic = time.perf_counter
    interval_s = WINDOW_S / QUOTA
    whole_s = interval_s * (QUOTA + BURST)
    keys = names()

    def take(key: str) -> tuple[bool, int, float]:
        now = monotonic()
        full_at = table.get(key, now)
        if full_at < now:
            full_at = now
        debt_s = full_at - now + interval_s
        if debt_s > whole_s:
            return False, 0, debt_s - whole_s
        table[key] = now + debt_s
        return True, int((whole_s - debt_s) / interval_s), debt_s

    def run() -> None:
        for key in keys:
            take(key)

    return run


class Load:
    """Stands where the shedder does, for its load alone."""

    load = 0.85

    def lane(self, work: str) -> None:
        """No place is taken."""


def room(*, shedding: bool, limit: str = "") -> LimitsRoom:
    """The limits room with the default table, or with another limit for every call."""
    settings = load_settings(
        {"limits": Config},
        overrides={
            "limits": {
                "timezone": "Asia/Seoul",
                "actions": {"api_call": limit} if limit else {},
                "shedding": {"enabled": shedding},
            }
        },
    )
    return LimitsRoom(
        settings.section("limits", Config), clock=SystemClock(), meter=NoMeter(), supervisor=Supervisor()
    )


def requests(count: int = USERS) -> list[Ctx]:
    sources = Sources(SystemClock(), IdSource())
    tiers = ("FREE", "PREMIUM", "ADMIN")
    return [
        Ctx(Event(user_id=name, tier=tiers[at % 3], status=200), sources)
        for at, name in enumerate(names()[:count])
    ]


class Ours:
    """The decision alone. A handshake's: the load is looked at, and no place is taken."""

    def __init__(self) -> None:
        self.admission = room(shedding=False).admission
        self.admission.shedder = Load()  # type: ignore[assignment] # a handshake asks for nothing but load
        self._asked = requests()
        self._scope = {"type": "websocket", "path": "/api/v1/things", "method": "GET"}
        self.run()
        assert dict(self._asked[0].headers or ())[b"ratelimit"].startswith(b'"api_call";r=')

    def run(self) -> None:
        admit, scope = self.admission.admit, self._scope
        for ctx in self._asked:
            ctx.headers = None
            admit(scope, ctx)


def limits_library(strategy: str) -> Round:
    """Its decision, and the second call that tells what the headers say."""
    limiter = getattr(limits.strategies, strategy)(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerMinute(QUOTA)
    keys = names()

    def run() -> None:
        for key in keys:
            limiter.hit(item, key)
            limiter.get_window_stats(item, key)

    return run


def throttled_py() -> Round:
    store = throttled.MemoryStore(options={"MAX_SIZE": 10 * USERS})
    quota = throttled.rate_limiter.per_min(QUOTA, burst=BURST)
    limiter = throttled.Throttled(using="gcra", quota=quota, store=store)
    keys = names()

    def run() -> None:
        for key in keys:
            limiter.limit(key)

    return run


class Buckets(pyrate_limiter.BucketFactory):
    """One bucket a user under one limiter: a limiter for each would keep a thread for each."""

    def __init__(self) -> None:
        self._rate = pyrate_limiter.Rate(QUOTA, int(WINDOW_S * 1000))
        self._buckets: dict[str, pyrate_limiter.InMemoryBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> pyrate_limiter.RateItem:
        return pyrate_limiter.RateItem(name, time.monotonic_ns() // 1_000_000, weight=weight)

    def get(self, item: pyrate_limiter.RateItem) -> pyrate_limiter.InMemoryBucket:
        bucket = self._buckets.get(item.name)
        if bucket is None:
            bucket = self._buckets[item.name] = pyrate_limiter.InMemoryBucket([self._rate])
        return bucket


def pyrate() -> Round:
    limiter = pyrate_limiter.Limiter(Buckets())
    keys = names()

    def run() -> None:
        for key in keys:
            limiter.try_acquire(key, blocking=False)

    return run


def over_bare(contender: Round, turns: int) -> float:
    """The contender's time over the bare one's, turn about: the ratio of the quietest turns.

    Each has the bare one for itself: some peers keep threads that would run in others' turns. What was
    there before is no garbage of theirs, and is kept out of the collector's sight.
    """
    plain = bare()
    took: tuple[list[float], list[float]] = ([], [])
    plain()
    contender()
    gc.collect()
    gc.freeze()
    for _ in range(turns):
        for seconds, run in zip(took, (contender, plain), strict=True):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
    gc.unfreeze()
    return min(took[0]) / min(took[1])


def decision(times: int) -> Row:
    """Each time with fresh tables, and few enough turns that nobody is refused."""
    contenders: dict[str, Callable[[], Round]] = {
        "holdfast": lambda: Ours().run,
        "limits SWC hit+stats": lambda: limits_library("SlidingWindowCounterRateLimiter"),
        "limits fixed hit+stats": lambda: limits_library("FixedWindowRateLimiter"),
        "throttled-py gcra": throttled_py,
        "pyrate-limiter": pyrate,
    }
    found = {
        name: statistics.median([over_bare(make(), TURNS) for _ in range(times)])
        for name, make in contenders.items()
    }
    ratio = found.pop("holdfast")
    peers = {name: f"{other:.1f}x" for name, other in found.items()}
    return at_most(
        "full decision in process over a bare dict GCRA", f"{ratio:.2f}x", ratio, 4.0, 3.0, **peers
    )


# -- accuracy ------------------------------------------------------------------------------------


def arrivals(count: int, seed: int) -> Sequence[int]:
    """Microseconds: random gaps with bursts, lulls and ties with the limits' own intervals."""
    rng = random.Random(seed)
    now_us, found = 1_000_000_000, []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.05:
            now_us += rng.choice((0, 100_000, 600_000))
        elif kind < 0.052:
            now_us += rng.randrange(200_000_000)
        else:
            now_us += int(rng.expovariate(1 / 400_000))
        found.append(now_us)
    return found


def differing(algorithm: str, count: int) -> int:
    """Decisions of the ledger that differ from an exact reference in whole numbers."""
    limit = Limit("api_call", 100, WINDOW_S, 20, algorithm)
    reference = _window_reference(limit) if algorithm == "sliding_window" else _bucket_reference(limit)
    now_s = 0.0
    ledger = LocalLedger(lambda: now_s)
    charge = [Charge(limit, "user:a")]
    differ = 0
    for now_us in arrivals(count, seed=7):
        now_s = now_us / 1e6
        differ += ledger.charge(charge).allowed is not reference(now_us)
    return differ


def _bucket_reference(limit: Limit) -> Callable[[int], bool]:
    """A token bucket in whole numbers: a token is worth one window in microseconds."""
    token = int(limit.window_s * 1e6)
    level, at = limit.capacity * token, 0

    def take(now_us: int) -> bool:
        nonlocal level, at
        level = min(limit.capacity * token, level + (now_us - at) * limit.quota)
        at = now_us
        if level < token:
            return False
        level -= token
        return True

    return take


def _window_reference(limit: Limit) -> Callable[[int], bool]:
    """Every call that was let in, looked through from the newest back."""
    window_us = int(limit.window_s * 1e6)
    calls: list[int] = []

    def take(now_us: int) -> bool:
        # The capacity-th call from the end decides: were it within the window, it would be full.
        if len(calls) >= limit.capacity and calls[-limit.capacity] > now_us - window_us:
            return False
        calls.append(now_us)
        return True

    return take


def accuracy(count: int) -> Row:
    found = {name: differing(name, count) for name in ("gcra", "sliding_window")}
    return at_most(
        f"decisions that differ from an exact reference over {count:,} random arrivals (exact algorithms)",
        found,
        float(sum(found.values())),
        0.0,
        0.0,
    )


def with_a_place(rounds: int) -> Row:
    """Information: what the front door adds when the shedder is on too. Needs a running loop."""

    async def measured() -> float:
        whole = room(shedding=True, limit="1000/minute + 100000")
        admission = whole.admission
        asked = requests(100)  # fewer than the first limit of places
        scope: dict[str, Any] = {"type": "http", "path": "/api/v1/things", "method": "GET"}

        def run() -> None:
            for ctx in asked:
                ctx.headers = None
                admission.admit(scope, ctx)
                admission.release(ctx)

        ratio = over_bare(run, rounds)
        assert whole.shedder is not None
        whole.shedder.stop()
        return ratio * USERS / len(asked)

    ratio = asyncio.run(measured())
    return shown("the same with a place from the shedder and its return", f"{ratio:.2f}x", ratio)


def run(quick: bool) -> Sequence[Row]:
    return [
        decision(3 if quick else 7),
        with_a_place(100 if quick else 500),
        accuracy(100_000 if quick else 1_000_000),
    ]


if __name__ == "__main__":
    main(run, "limits: decisions in process")
