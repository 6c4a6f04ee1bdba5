"""Synthetic request traces, Belady's optimum over them, and the policies that ours is compared with."""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

Trace = list[int]


def zipf(rng: np.random.Generator, universe: int, requests: int, alpha: float) -> np.ndarray:
    """Independent draws; key `k` has a weight of (k+1)^-alpha."""
    weights = np.arange(1, universe + 1) ** -alpha
    cumulated = np.cumsum(weights)
    return np.searchsorted(cumulated / cumulated[-1], rng.random(requests))


def scans(seed: int, requests: int, universe: int = 100_000, share: float = 0.2, run: int = 1_000) -> Trace:
    """Zipf 0.9, and for `share` of the requests runs over keys that are asked for once."""
    rng = np.random.default_rng(seed)
    trace = zipf(rng, universe, requests, 0.9)
    starts = rng.choice(requests // run, int(requests * share / run), replace=False)
    for number, start in enumerate(np.sort(starts) * run):
        trace[start : start + run] = universe + number * run + np.arange(run)
    return list(trace.tolist())


def sweeps(seed: int, requests: int, universe: int = 100_000, share: float = 0.2) -> Trace:
    """Zipf 0.9, mixed with a batch job that reads the whole universe in turn."""
    rng = np.random.default_rng(seed)
    trace = zipf(rng, universe, requests, 0.9)
    chosen = rng.random(requests) < share
    trace[chosen] = rng.permutation(universe)[np.arange(chosen.sum()) % universe]
    return list(trace.tolist())


def shifts(seed: int, requests: int, universe: int = 50_000, phases: int = 4) -> Trace:
    """Zipf 1.0 whose popular keys are others in each phase."""
    rng = np.random.default_rng(seed)
    trace = zipf(rng, universe, requests, 1.0)
    size = requests // phases
    for phase in range(phases):
        part = slice(phase * size, (phase + 1) * size)
        trace[part] = rng.permutation(universe)[trace[part]]
    return list(trace.tolist())


def loops(seed: int, requests: int, universe: int = 50_000, share: float = 0.3, length: int = 1_500) -> Trace:
    """Zipf 1.0, mixed with a loop over one and a half times what fits."""
    rng = np.random.default_rng(seed)
    trace = zipf(rng, universe, requests, 1.0)
    chosen = rng.random(requests) < share
    trace[chosen] = universe + np.arange(chosen.sum()) % length
    return list(trace.tolist())


def belady(trace: Sequence[int], capacity: int) -> float:
    """The share of hits of the optimum, which may also decline to keep what it has just loaded."""
    never = len(trace) + 1
    upcoming = [never] * len(trace)
    last: dict[int, int] = {}
    for at in range(len(trace) - 1, -1, -1):
        upcoming[at] = last.get(trace[at], never)
        last[trace[at]] = at
    held: dict[int, int] = {}
    farthest: list[tuple[int, int]] = []
    hits = 0
    for at, key in enumerate(trace):
        hits += key in held
        if upcoming[at] == never:
            held.pop(key, None)
            continue
        held[key] = upcoming[at]
        heapq.heappush(farthest, (-upcoming[at], key))
        while len(held) > capacity:
            when, gone = heapq.heappop(farthest)
            if held.get(gone) == -when:
                del held[gone]
    return hits / len(trace)


def lru(trace: Sequence[int], capacity: int) -> float:
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in held:
            hits += 1
            held.move_to_end(key)
            continue
        held[key] = None
        if len(held) > capacity:
            held.popitem(last=False)
    return hits / len(trace)


def s3_fifo(trace: Sequence[int], capacity: int) -> float:
    """As published: a tenth small, as many ghosts as entries, two bits of frequency."""
    small: OrderedDict[int, None] = OrderedDict()
    main: OrderedDict[int, None] = OrderedDict()
    ghosts: OrderedDict[int, None] = OrderedDict()
    asked: dict[int, int] = {}
    hits, most = 0, max(1, capacity // 10)
    for key in trace:
        if key in asked:
            hits += 1
            asked[key] = min(3, asked[key] + 1)
            continue
        asked[key] = 0
        if key in ghosts:
            del ghosts[key]
            main[key] = None
        else:
            small[key] = None
        while len(asked) > capacity:
            if small and (len(small) > most or not main):
                gone, _ = small.popitem(last=False)
                if asked[gone]:
                    asked[gone] = 0
                    main[gone] = None
                    continue
                ghosts[gone] = None
                if len(ghosts) > capacity:
                    ghosts.popitem(last=False)
            else:
                gone, _ = main.popitem(last=False)
                if asked[gone]:
                    asked[gone] -= 1
                    main[gone] = None
                    continue
            del asked[gone]
    return hits / len(trace)


def through(get: Callable[[int], object], put: Callable[[int], object], trace: Sequence[int]) -> float:
    """The share of hits of a library's cache, asked as an app would."""
    hits = 0
    for key in trace:
        if get(key) is None:
            put(key)
        else:
            hits += 1
    return hits / len(trace)
