"""Load shedding: goodput and the latency of what matters at five times the load that can be served.

Two handlers: `pool` awaits one of 8 slots of a backend for 20 ms after 1 ms of its own CPU; `compute`
holds the loop for 5 ms of CPU. A tenth of the requests is critical. Goodput is answers 200 within the
deadline of 1 s, a second. The capacity is the bare app's throughput with 16 connections, closed loop.
The peak of each server is its own goodput at 0.9 times that capacity, where nothing need be refused;
unloaded is a quarter of it. The overload is measured once it has stood for 7 s. Open loop from the second
core, requests sent when due (`openloop.py`). The limits are raised until only shedding acts. Last rows:
one `enter` and `leave` in process.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.apps.serving import ROOT, Server, child, folder, free_port, load, pinned
from benchmarks.harness import Row, at_least, at_most, main, shown

DEADLINE_S = 1.0
SETTLE_S = 7.0
"""A step from nothing to five times the load fills every place there is, and the limit is learned while
that queue drains (about 6 s here). What is measured is the overload that stands."""
BARE_SETTLE_S = 1.0
OVERLOAD = 5.0
UNLOADED = 0.25
PEAK = 0.9
CRITICAL_SHARE = 0.1
KINDS = ("pool", "compute")


def offer(server: Server, kind: str, rate: float, seconds: float, warm_s: float) -> dict[str, Any]:
    """Open-loop load on one server from the other core."""
    before_s = server.cpu_s()
    found = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.apps.openloop", "127.0.0.1", str(server.port)),
            *(str(rate), str(seconds), str(warm_s), str(DEADLINE_S)),
            *(f"/critical/{kind}={CRITICAL_SHARE}", f"/normal/{kind}={1 - CRITICAL_SHARE}"),
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
        preexec_fn=pinned(1),
    )
    told = dict(json.loads(found.stdout))
    used_s = server.cpu_s() - before_s
    # Whoever else wants the core takes time from the server, but not work done per second of it.
    told["good_per_cpu_s"] = told["all"]["good"] * (seconds + warm_s) / max(used_s, 1e-9)
    return told


def _measure(kind: str, seconds: float) -> list[Row]:
    """One server at a time: bare works off its backlog long after the load has ended, on the same core."""
    quiet, peak, storm = {}, {}, {}
    capacity = 0.0
    for name in ("bare", "holdfast"):
        port = free_port()
        with (
            folder() as place,
            child("benchmarks.apps.shedding_app", name, str(port), str(place), port=port) as server,
        ):
            if not capacity:
                closed = load(port, f"/normal/{kind}", 16, 1.5)
                capacity = closed["requests"] / closed["seconds"]
            quiet[name] = offer(server, kind, UNLOADED * capacity, seconds, 0.5)
            peak[name] = offer(server, kind, PEAK * capacity, seconds, 0.5)
            settle_s = SETTLE_S if name == "holdfast" else BARE_SETTLE_S
            storm[name] = offer(server, kind, OVERLOAD * capacity, seconds, settle_s)
    return _rows(kind, capacity, quiet, peak, storm)


def _rows(
    kind: str, capacity: float, quiet: dict[str, Any], peak: dict[str, Any], storm: dict[str, Any]
) -> list[Row]:
    good = {name: storm[name]["all"]["good"] / max(peak[name]["all"]["good"], 1e-9) for name in storm}
    path = f"/critical/{kind}"
    slow = {name: storm[name][path]["p99_ms"] / quiet[name]["all"]["p99_ms"] for name in storm}
    ours = storm["holdfast"]
    return [
        at_least(
            f"{kind}: goodput at 5x overload over its peak",
            f"{ours['all']['good']:.0f}/s",
            good["holdfast"],
            0.9,
            0.95,
            capacity=f"{capacity:.0f}/s",
            **{"bare FastAPI": round(good["bare"], 3)},
        ),
        at_most(
            f"{kind}: p99 of admitted critical requests at 5x over unloaded p99",
            f"{ours[path]['p99_ms']:.0f} ms",
            slow["holdfast"],
            3.0,
            2.0,
            **{"bare FastAPI": round(slow["bare"], 1)},
        ),
        shown(
            f"{kind}: critical requests answered in time at 5x, of those offered",
            None,
            ours[path]["good"] / max(ours[path]["offered"], 1e-9),
            **{
                "bare FastAPI": round(storm["bare"][path]["good"] / max(storm["bare"][path]["offered"], 1), 3)
            },
        ),
        shown(
            f"{kind}: goodput per second of the server's CPU at 5x, over the same at its peak",
            f"{ours['good_per_cpu_s']:.0f}/s",
            ours["good_per_cpu_s"] / max(peak["holdfast"]["good_per_cpu_s"], 1e-9),
            **{
                "bare FastAPI": round(
                    storm["bare"]["good_per_cpu_s"] / max(peak["bare"]["good_per_cpu_s"], 1e-9), 3
                )
            },
        ),
        shown(
            f"{kind}: refused at 0.9x of capacity, and at 0.25x, of those offered",
            f"{quiet['holdfast']['all']['refused'] / quiet['holdfast']['all']['offered']:.4f} at 0.25x",
            peak["holdfast"]["all"]["refused"] / max(peak["holdfast"]["all"]["offered"], 1e-9),
        ),
        shown(f"{kind}: requests that the generator sent more than 1 ms late", None, ours["late_starts"]),
    ]


def _each_us(turn: Callable[[int], None], count: int, rounds: int) -> float:
    turn(count // 10)
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        turn(count)
        taken.append((time.perf_counter() - started) / count * 1e6)
    return min(taken)


async def _cost(quick: bool) -> list[Row]:
    """One request's way through the door, against the least that any bound on concurrency costs."""
    from holdfast.kernel.clock import SystemClock
    from holdfast.ports.services import NoMeter
    from holdfast.rooms.limits.engine.shedder import Overloaded, Place, Shedder
    from holdfast.rooms.limits.rules.concurrency import Config

    count, rounds = (20_000, 5) if quick else (100_000, 9)

    def make(**settings: Any) -> Shedder:
        return Shedder(Config(**settings), clock=SystemClock(), meter=NoMeter(), rng=random.Random(1))

    shedder, full = make(), make(initial_limit=1, least_limit=1, most_limit=1, queue_size=0)
    enter, leave = shedder.enter, shedder.leave
    held = full.enter("call", 2)
    semaphore = asyncio.Semaphore(64)

    def through(times: int) -> None:
        for _ in range(times):
            place = enter("call", 2)
            assert place.__class__ is Place
            leave(place)  # type: ignore[arg-type] # the line above says what it is

    def refused(times: int) -> None:
        for _ in range(times):
            full.enter("call", 2)

    def answered(times: int) -> None:
        for _ in range(times):
            found = full.enter("call", 2)
            assert found.__class__ is Overloaded
            found.body("0123456789abcdef0123456789abcdef")  # type: ignore[union-attr] # as above
            found.headers()  # type: ignore[union-attr] # as above

    async def bounded(times: int) -> None:
        for _ in range(times):
            await semaphore.acquire()
            semaphore.release()

    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        await bounded(count)
        taken.append((time.perf_counter() - started) / count * 1e6)
    floor = min(taken)
    ours, refusal, whole = (_each_us(turn, count, rounds) for turn in (through, refused, answered))
    assert isinstance(held, Place)
    shedder.stop()
    full.stop()
    return [
        shown("enter and leave, over asyncio.Semaphore acquire and release", f"{ours:.2f} us", ours / floor),
        shown("a refusal, over the same", f"{refusal:.2f} us", refusal / floor),
        shown("a refusal with its body and headers, over the same", f"{whole:.2f} us", whole / floor),
    ]


def _middle(runs: Sequence[list[Row]]) -> list[Row]:
    """Of each figure the run in the middle."""
    return [
        sorted(rows, key=lambda row: row.ratio or 0.0)[len(rows) // 2] for rows in zip(*runs, strict=True)
    ]


def run(quick: bool) -> list[Row]:
    seconds, turns = (1.5, 1) if quick else (8.0, 3)
    rows = [row for kind in KINDS for row in _middle([_measure(kind, seconds) for _ in range(turns)])]
    return rows + asyncio.run(_cost(quick))


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
