"""What a guarded call costs when all is well, and how many callers a half-open breaker lets through.

Five policies on the success path: deadline, bulkhead, retry, circuit breaker, retry budget. Rounds are
interleaved; each figure is the median of the rounds' microseconds of CPU a call, which on a machine with
nothing else to do is the elapsed time; `x bare` is the same over one bare coroutine call of that round, as
machines differ. Peers have fewer policies each; the stacks put together what comes nearest to five. The row
with a request's context runs as in a server: with a deadline of the request and the duration measured.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from benchmarks.harness import Row, at_most, main, median, shown
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.kernel.guard import BreakerRules, BulkheadRules, Guard, Retry

CALLERS = 20
OPEN_S = 0.05

Call = Callable[[], Awaitable[Any]]


async def work() -> int:
    return 1


class Gone(Exception):
    """What the dependency raises."""


def guard(**options: Any) -> Guard:
    return Guard(
        "bench",
        timeout_s=30,
        retry=Retry(on=OSError),
        breaker=BreakerRules(),
        bulkhead=BulkheadRules(concurrent=100, queue=100),
        **options,
    )


def ours() -> dict[str, Call]:
    plain, block, measured = guard(), guard(), guard()
    decorated = guard()(work)
    durations: list[float] = []
    measured.observe = durations.append
    ctx = detached(Event())

    async def in_request() -> Any:
        token = enter(ctx)
        ctx.deadline = SystemClock.monotonic() + 10
        try:
            return await measured.call(work)
        finally:
            leave(token)
            durations.clear()

    async def in_block() -> Any:
        async with block:
            return await work()

    async def in_attempts() -> Any:
        async for attempt in plain.attempts():
            with attempt:
                await work()

    return {
        "call": lambda: plain.call(work),
        "decorator": decorated,
        "in a request": in_request,
        "async with": in_block,
        "attempts": in_attempts,
    }


def peers() -> dict[str, Call]:
    import aiobreaker
    import circuitbreaker
    import hyx.bulkhead
    import hyx.circuitbreaker
    import hyx.retry
    import hyx.timeout
    import purgatory
    import pybreaker
    import stamina
    import tenacity

    lock = asyncio.Semaphore(100)
    factory = purgatory.AsyncCircuitBreakerFactory()
    serial = pybreaker.CircuitBreaker()
    aio = aiobreaker.CircuitBreaker()

    async def timed() -> Any:
        async with asyncio.timeout(30):
            return await work()

    async def purged() -> Any:
        async with await factory.get_breaker("bench"):
            return await work()

    async def synchronous() -> Any:
        return serial.call(int)

    def tenacious(fn: Call) -> Call:
        return tenacity.retry(
            retry=tenacity.retry_if_exception_type(OSError),
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(),
        )(fn)

    @circuitbreaker.circuit
    async def broken() -> Any:
        async with asyncio.timeout(30), lock:
            return await work()

    hyx_breaker = hyx.circuitbreaker.consecutive_breaker(
        failure_threshold=5, recovery_time_secs=5, recovery_threshold=1
    )
    hyx_bulkhead = hyx.bulkhead.bulkhead(max_concurrency=100, max_capacity=200)
    hyx_retry = hyx.retry.retry(on=OSError, attempts=3)
    hyx_timeout = hyx.timeout.timeout(30)
    return {
        "circuitbreaker": circuitbreaker.circuit(work),
        "aiobreaker": lambda: aio.call_async(work),
        "purgatory": purged,
        "pybreaker (sync)": synchronous,
        "hyx breaker": hyx_breaker(work),
        "hyx retry": hyx_retry(work),
        "asyncio.timeout": timed,
        "tenacity": tenacious(work),
        "stamina": stamina.retry(on=OSError, attempts=3)(work),
        "stack: hyx timeout+retry+breaker+bulkhead": hyx_timeout(hyx_retry(hyx_breaker(hyx_bulkhead(work)))),
        "stack: tenacity+circuitbreaker+timeout+semaphore": tenacious(broken),
    }


async def _per_call_us(call: Call, calls: int) -> float:
    await call()
    started = time.thread_time()
    for _ in range(calls):
        await call()
    return (time.thread_time() - started) / calls * 1e6


async def _success_path(quick: bool) -> list[Row]:
    calls, rounds = (2_000, 9) if quick else (5_000, 25)
    variants = {"bare": work, **ours(), **peers()}
    found: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            slow = name.startswith(("tenacity", "stamina", "stack"))
            found[name].append(await _per_call_us(variants[name], calls // 10 if slow else calls))

    def us(name: str) -> float:
        return round(median(found[name]), 2)

    def over(name: str) -> float:
        return round(median([a / b for a, b in zip(found[name], found["bare"], strict=True)]), 1)

    rows = [
        at_most(
            "five-policy pipeline, success path, us a call",
            f"{us('call')} us",
            us("call"),
            3.0,
            2.0,
            **{name: f"{us(name)} us" for name in peers()},
        ),
        shown(
            "the same over one bare coroutine call",
            f"{over('call')} x",
            over("call"),
            **{name: f"{over(name)} x" for name in peers()},
        ),
    ]
    rows += [
        shown(f"the same: {text}", f"{us(name)} us", over(name))
        for name, text in (
            ("decorator", "as a decorator"),
            ("in a request", "with a request's deadline, measured"),
            ("async with", "async with guard"),
            ("attempts", "async for attempt in guard.attempts()"),
        )
    ]
    return rows


# -- half-open ---------------------------------------------------------------------------------------


class Dependency:
    """Fails until told otherwise; counts who is let in."""

    def __init__(self) -> None:
        self.well = False
        self.entered = 0
        self.inside = 0
        self.at_once = 0

    async def __call__(self) -> None:
        if not self.well:
            raise Gone
        self.entered += 1
        self.inside += 1
        self.at_once = max(self.at_once, self.inside)
        await asyncio.sleep(0.02)
        self.inside -= 1


async def _let_through(call: Callable[[Call], Awaitable[Any]]) -> int:
    dependency = Dependency()
    for _ in range(3):
        with contextlib.suppress(Exception):
            await call(dependency)
    dependency.well = True
    await asyncio.sleep(OPEN_S * 2)
    await asyncio.gather(*(call(dependency) for _ in range(CALLERS)), return_exceptions=True)
    return dependency.entered


def _threads_through() -> str:
    """pybreaker is for threads: how many pass, and how many of them at the same time."""
    import pybreaker

    breaker = pybreaker.CircuitBreaker(fail_max=2, reset_timeout=OPEN_S)
    state = {"entered": 0, "inside": 0, "at once": 0}

    def fail() -> None:
        raise Gone

    def enter_it() -> None:
        state["entered"] += 1
        state["inside"] += 1
        state["at once"] = max(state["at once"], state["inside"])
        time.sleep(0.02)
        state["inside"] -= 1

    def caller() -> None:
        with contextlib.suppress(Exception):
            breaker.call(enter_it)

    for _ in range(3):
        with contextlib.suppress(Exception):
            breaker.call(fail)
    time.sleep(OPEN_S * 2)
    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return f"{state['entered']} ({state['at once']} at a time)"


async def _half_open() -> Row:
    import aiobreaker
    import circuitbreaker
    import hyx.circuitbreaker
    import purgatory

    mine = Guard("bench", breaker=BreakerRules(failures=2, open_s=OPEN_S))
    circuit = circuitbreaker.CircuitBreaker(failure_threshold=2, recovery_timeout=OPEN_S)
    aio = aiobreaker.CircuitBreaker(fail_max=2, timeout_duration=timedelta(seconds=OPEN_S))
    factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=2, default_ttl=OPEN_S)
    hyx_breaker = hyx.circuitbreaker.consecutive_breaker(
        exceptions=Gone, failure_threshold=2, recovery_time_secs=OPEN_S, recovery_threshold=1
    )

    @hyx_breaker
    async def through_hyx(fn: Call) -> Any:
        return await fn()

    async def through_purgatory(fn: Call) -> Any:
        async with await factory.get_breaker("bench"):
            return await fn()

    passed = {
        "circuitbreaker": await _let_through(lambda fn: circuit.call_async(fn)),
        "aiobreaker": await _let_through(lambda fn: aio.call_async(fn)),
        "purgatory": await _let_through(through_purgatory),
        "hyx": await _let_through(through_hyx),
        "pybreaker": await asyncio.to_thread(_threads_through),
    }
    own = await _let_through(mine.call)
    return at_most(f"{CALLERS} callers at a half-open breaker: let through", own, own, 1, 1, **passed)


async def _measure(quick: bool) -> list[Row]:
    return [*await _success_path(quick), await _half_open()]


def run(quick: bool) -> list[Row]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_measure(quick))
    return uvloop.run(_measure(quick))


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
