"""What an assignment costs over the hash it cannot do without, and whether experiments are independent.

The bare one is `hashlib.sha256(data).digest()` of the very bytes that an assignment hashes, made beforehand.
Ours normalises the id, hashes it behind its flag's salt and scales; the hash of the salt is begun once, as in
a compiled flag. Rounds are interleaved, each figure is the median of the rounds' CPU time; the two calls of a
whole look-up and the one through OpenFeature's client are for orientation: what a flag costs where it is
used.
"""

import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from benchmarks.harness import Row, at_most, main, median, shown
from holdfast.kernel.clock import SystemClock
from holdfast.rooms.experiments.engine.changes import Changes
from holdfast.rooms.experiments.rules.assigning import SEPARATOR, buckets, normalise
from holdfast.rooms.experiments.rules.flags import BUCKETS, Flag, Lane, Rule, Split
from holdfast.rooms.experiments.rules.settings import Config
from holdfast.rooms.experiments.store import tables
from holdfast.stores.config import Config as DatabaseConfig
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql

IDS = 200_000
SALT, OTHER = "0f8c2b5a9d4e7163", "7a31e6d0c9b84f25"
FLAG = Flag(
    "new-ranker",
    {"control": False, "treatment": True},
    kind="release",
    salt=SALT,
    rules=(Rule(split=Split((Lane("treatment", BUCKETS),), rollout=1000)),),
)


HERE, THERE = buckets(SALT), buckets(OTHER)


def assigned(unit: object) -> int:
    """One assignment from an id as it comes, by a flag made ready."""
    return HERE(normalise(unit))


def _ns_each(call: Callable[[Any], Any], given: list[Any]) -> float:
    started = time.thread_time_ns()
    for each in given:
        call(each)
    return (time.thread_time_ns() - started) / len(given)


async def _changes(folder: Path) -> Changes:
    """The room's flags as an app holds them, over SQLite."""
    clock = SystemClock()
    sql = open_sql(f"sqlite:///{folder}/flags.db", folder, clock, DatabaseConfig())
    await sql.start()
    await migrate(sql, {"experiments": tables.MIGRATIONS}, clock.wall)
    changes = Changes(Config(), sql=sql, clock=clock)
    async with sql.transaction() as tx:
        await changes.rules.put_flag(tx, FLAG, "benchmark", 0)
    await changes.rulebook.start()
    await sql.stop()
    return changes


def _calls(units: list[str], changes: Changes) -> dict[str, tuple[Callable[[Any], Any], list[Any]]]:
    sha256 = hashlib.sha256
    decider, variant = changes.rulebook.decider, changes.variant
    data = [f"{SALT}{SEPARATOR}{unit}".encode() for unit in units]
    api.set_provider_and_wait(changes.provider())
    asked = api.get_client().get_boolean_value
    found: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "loop": (lambda unit: None, units),
        "bare": (lambda each: sha256(each).digest(), data),
        "assigned": (assigned, units),
        "evaluate": (lambda unit: decider.evaluate(FLAG.name, unit, None, 0), units),
        "variant": (lambda unit: variant(FLAG.name, unit), units),
        "openfeature": (
            lambda context: asked(FLAG.name, False, context),
            [EvaluationContext(unit) for unit in units[: len(units) // 10]],
        ),
    }
    return found


def _costs(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        changes = asyncio.run(_changes(Path(folder)))
    calls = _calls([f"user-{at}" for at in range(2_000 if quick else 10_000)], changes)
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for _ in range(11 if quick else 41):
        random.shuffle(order)
        for name in order:
            times[name].append(_ns_each(*calls[name]))
    # Each call is a Python call around what it measures: that call is taken off both.
    net = {
        name: [max(1.0, taken - empty) for taken, empty in zip(found, times["loop"], strict=True)]
        for name, found in times.items()
    }

    def over(name: str) -> float:
        return median([ours / bare for ours, bare in zip(net[name], net["bare"], strict=True)])

    def ns(name: str) -> str:
        return f"{median(net[name]):.0f} ns"

    return [
        at_most(
            "an assignment over a bare SHA-256", ns("assigned"), over("assigned"), 4.0, 2.0, bare=ns("bare")
        ),
        shown("a whole evaluation, rule and split", ns("evaluate"), over("evaluate")),
        shown("variant(), its exposure known", ns("variant"), over("variant")),
        shown("the same through OpenFeature's client", ns("openfeature"), over("openfeature")),
    ]


def correlation(one: list[int], other: list[int]) -> float:
    """Pearson's r."""
    mean_one, mean_other = sum(one) / len(one), sum(other) / len(other)
    both = sum((a - mean_one) * (b - mean_other) for a, b in zip(one, other, strict=True))
    spread = sum((a - mean_one) ** 2 for a in one) * sum((b - mean_other) ** 2 for b in other)
    return float(both / spread**0.5)


def _independence() -> list[Row]:
    ids = [str(at) for at in range(IDS)]
    here, there = list(map(HERE, ids)), list(map(THERE, ids))
    unsalted = [int(hashlib.md5(each.encode()).hexdigest(), 16) % 100 for each in ids[:20_000]]
    r, seed = correlation(here, there), correlation(unsalted, unsalted)
    expected = IDS / 100
    counts = [0] * 100
    for each in here:
        counts[each * 100 // BUCKETS] += 1
    worst = max(abs(count - expected) for count in counts) / expected
    return [
        at_most(
            f"correlation of two experiments, {IDS:,} sequential ids, |r|",
            f"{r:+.4f}",
            abs(r),
            0.01,
            0.005,
            **{"md5 without salt": f"{seed:+.4f}"},
        ),
        shown("the fullest or emptiest of 100 equal parts, off by", f"{worst:.1%}", worst),
    ]


def run(quick: bool) -> list[Row]:
    return [*_costs(quick), *_independence()]


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
