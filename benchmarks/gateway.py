"""The gateway's whole stack beside other gateways: what it carries, what it adds, what a cache hit is worth.

Servers have the first core, the load and the fake provider the second. Ours does all that it does for a
request: a virtual key, the exact cache (every prompt is new, so each is hashed, looked up and stored), the
user's budget reserved and settled, breaker and deadline, the ledger, the record; limits at the door are off.
LiteLLM's proxy runs with one worker, without database and callbacks; the pass-throughs hand on and do nothing
else. Turns are interleaved; each figure is the median of the turns' own ratios or differences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.apps.llm_contenders import Contender, LiteLLM, Ours, Passthrough
from benchmarks.apps.llm_stage import Found, Stage, memory_mb, stage
from benchmarks.harness import Row, main, median, shown

OURS, PEER, DIRECT = "holdfast", "litellm", "direct"
HIT = "holdfast, from the cache"
WAIT_MS = 60

Turns = list[dict[str, Found]]


@dataclass(frozen=True)
class Plan:
    """How one kind of load is put: the last `slow_turns` include those that need longer stretches."""

    connections: int
    turns: int
    seconds: float
    slow_turns: int
    slow_seconds: float
    warm_s: float = 30.0
    """The longest that is waited until every connection has been answered."""
    spread_s: float = 0.0
    with_hits: bool = False


def plans(quick: bool) -> dict[str, Plan]:
    if quick:
        return {
            "busy": Plan(32, 4, 0.5, 2, 1.5, with_hits=True),
            "waiting": Plan(256, 2, 0.8, 1, 3, warm_s=3, spread_s=WAIT_MS / 1000),
            "alone": Plan(1, 6, 0.25, 3, 0.5),
        }
    return {
        "busy": Plan(32, 12, 1.5, 5, 4, with_hits=True),
        "waiting": Plan(256, 8, 2.5, 2, 10, spread_s=WAIT_MS / 1000),
        "alone": Plan(1, 20, 0.5, 5, 1.5),
    }


def peers() -> list[Contender]:
    return [
        Passthrough("raw ASGI + aiohttp", "raw", 1_000_000),
        Passthrough("FastAPI + httpx", "fastapi", 100),
        LiteLLM(),
    ]


def run(quick: bool) -> list[Row]:
    kinds = plans(quick)
    ours = Ours()
    with stage([ours, *peers()]) as on:
        if OURS in on.here:
            on.answered[OURS] += check_cache(ours)
        busy = put(on, kinds["busy"])
        alone = put(on, kinds["alone"])
        on.wait_ms(WAIT_MS)
        waiting = put(on, kinds["waiting"])
        memory = {name: f"{memory_mb(each.server):.0f} MB" for name, each in on.here.items()}
        return [
            *throughput(on, busy),
            *limit(on, waiting),
            added(on, alone),
            hits(on, busy),
            costs(on, busy),
            *books(on, ours),
            shown("memory after the run", memory.pop(OURS, None), **memory),
        ]


def put(on: Stage, plan: Plan) -> Turns:
    """All turns of one kind of load, every second one in the opposite order; the slowest ends the last."""
    found: Turns = []
    for turn in range(plan.turns):
        results = {}
        for name in list(on.here) if turn % 2 else reversed(list(on.here)):
            is_slow = plan.connections >= on.here[name].slow_from
            if is_slow and turn < plan.turns - plan.slow_turns:
                continue
            seconds = plan.slow_seconds if is_slow else plan.seconds
            results[name] = on.turn(
                name, plan.connections, seconds, warm_s=plan.warm_s, spread_s=plan.spread_s
            )
            if plan.with_hits and name == OURS:
                results[HIT] = from_cache(on, plan)
        found.append(results)
    return found


def from_cache(on: Stage, plan: Plan) -> Found:
    """A turn of one prompt over and over; RuntimeError when it was not the cache that answered."""
    before = on.upstream_count()
    found = on.turn(OURS, plan.connections, plan.seconds, same=True)
    asked = on.upstream_count() - before
    if asked > plan.connections:
        raise RuntimeError(f"{asked} calls went upstream while the cache was to answer")
    return found


def check_cache(ours: Ours) -> int:
    """That the cache is on: the first answer is a miss, the same again a hit. How many requests it took."""
    said = []
    for _ in range(2):
        status, headers, body = ours.ask("Is the cache on?")
        if status != 200:
            raise RuntimeError(f"the gateway answered {status}: {body}")
        said.append(headers.get("x-holdfast-cache"))
    if said != ["miss", "hit"]:
        raise RuntimeError(f"the exact cache is to miss, then hit; it said {said}")
    return len(said)


def books(on: Stage, ours: Ours) -> list[Row]:
    """That the ledger was kept all the while: calls of the key's user in it, over answers."""
    answered = on.answered[OURS]
    if not answered:
        return []
    found = ours.in_ledger(answered)
    return [shown("calls in the ledger over answers given", found, found / answered, answers=answered)]


def throughput(on: Stage, turns: Turns) -> list[Row]:
    figure = "gateway, full stack, 0 ms upstream, c=32: requests/s over LiteLLM proxy's"
    return [promised(on, figure, turns, lambda t: t[OURS].rps / t[PEER].rps, 30, 50, needs=(OURS, PEER))]


def limit(on: Stage, turns: Turns) -> list[Row]:
    figure = f"gateway, {WAIT_MS} ms upstream, c=256: share of the physical limit"
    peers = {
        f"{name} share": _of(turns, (name, DIRECT), lambda t, name=name: t[name].rps / t[DIRECT].rps)
        for name in on.here
        if name not in (OURS, DIRECT)
    }
    return [
        promised(on, figure, turns, lambda t: t[OURS].rps / t[DIRECT].rps, 0.75, 0.95),
        shown("the same, of the peers", None, **{name: f"{value:.1%}" for name, value in peers.items()}),
    ]


def added(on: Stage, turns: Turns) -> Row:
    figure = "added p50 at c=1, 0 ms upstream, over direct: ms"
    row = promised(on, figure, turns, lambda t: t[OURS].p50_ms - t[DIRECT].p50_ms, 1.0, 0.4, most=True)
    for name in on.here:
        if name not in (OURS, DIRECT):
            more = _of(turns, (name, DIRECT), lambda t, name=name: t[name].p50_ms - t[DIRECT].p50_ms)
            row.peers[name] = f"+{more:.3g} ms"
    return row


def hits(on: Stage, turns: Turns) -> Row:
    figure = "exact-cache hit, c=32: requests/s over the miss path"
    row = promised(on, figure, turns, lambda t: t[HIT].rps / t[OURS].rps, 4, 8)
    row.peers = {}
    if OURS in on.here:
        row.ours, row.peers = typical(turns, HIT).told(), {"miss": typical(turns, OURS).told()}
    return row


def costs(on: Stage, turns: Turns) -> Row:
    """Where the time goes; whether the second core was the narrow place, or somebody else on the machine."""
    told = {}
    for name in (*on.here, HIT):
        if any(name in turn for turn in turns):
            each = typical(turns, name)
            told[name] = (
                f"{each.server_us:.0f} us ({each.busy:.0%} of its core, {each.beside:.0%} of the other)"
            )
    return shown("CPU of the server a call, c=32", told.pop(OURS, None), **told)


def promised(
    on: Stage,
    figure: str,
    turns: Turns,
    value: Callable[[dict[str, Found]], float],
    must: float,
    aim: float,
    *,
    needs: Sequence[str] = (OURS, DIRECT),
    most: bool = False,
) -> Row:
    """A row with a promise; when one of `needs` did not run it says so, and holds nothing."""
    peers: dict[str, Any] = {
        name: typical(turns, name).told() if name in on.here else on.absent[name]
        for name in (*on.here, *on.absent)
        if name != OURS
    }
    ours = typical(turns, OURS).told() if OURS in on.here else on.absent[OURS]
    if not all(name in on.here for name in needs):
        return Row(figure, ours, peers, None, must, aim, None)
    found = _of(turns, (), value, needs)
    return Row(figure, ours, peers, round(found, 4), must, aim, found <= must if most else found >= must)


def typical(turns: Turns, name: str) -> Found:
    """The median of each number."""
    of = [turn[name] for turn in turns if name in turn]
    return Found(
        *(
            median([getattr(each, part) for each in of])
            for part in ("rps", "p50_ms", "p99_ms", "server_us", "busy", "beside")
        )
    )


def _of(
    turns: Turns,
    names: Sequence[str],
    value: Callable[[dict[str, Found]], float],
    needs: Sequence[str] = (),
) -> float:
    """The median over the turns in which all of them were loaded."""
    return median([value(turn) for turn in turns if all(name in turn for name in (*names, *needs))])


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
