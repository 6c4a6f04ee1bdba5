"""A/B tests that stay honest when they are looked at, and what an analysis costs.

The rules are run as shipped: every look is one call of `analyse` on kept sums. A run has N = 10,000 units an
arm and 50 looks; `peers` are Welch's t-test at every look (what dashboards do) and at the last look alone, on
the same runs, and intervals that need no plan. Standard errors stand beside the figures. Power is for an
effect of 0.0503 standard deviations, which one look finds 94.5 % of the time.

The cost of an analysis is set against one scan of a table of a million users in DuckDB that computes the same
sums: 20 metrics with their own past, 10 segments, 3 arms; 49 looks came before this one. `cold` is the first
analysis of a process, which finds the boundaries of those looks.
"""

import statistics
import tempfile
import time
from math import sqrt
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import tea_tasting
from scipy import special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower

from benchmarks.harness import Row, at_least, at_most, main, shown
from holdfast.rooms.experiments.rules.experiments import Arm, Metric, Plan
from holdfast.rooms.experiments.rules.statistics import corrections, power, welch
from holdfast.rooms.experiments.rules.statistics.analysis import analyse
from holdfast.rooms.experiments.rules.statistics.estimates import estimates
from holdfast.rooms.experiments.rules.statistics.results import Kept, Look, Measured, Question
from holdfast.rooms.experiments.rules.statistics.sums import Sums

UNITS, LOOKS, D = 10_000, 50, 0.0503
ARMS = (Arm("control", 5000), Arm("treatment", 5000))
METRICS = {
    "normal": Metric("m", "mean"),
    "Bernoulli 10 %": Metric("m"),
    "lognormal(1.5)": Metric("m", "mean"),
}


def draw(name: str, random: np.random.Generator, effect: float) -> np.ndarray:
    """One arm's units; the effect is in standard deviations (of a conversion: those of both arms, 0.31)."""
    if name == "normal":
        return random.normal(1 + effect, 1, UNITS)
    if name == "Bernoulli 10 %":
        return (random.random(UNITS) < 0.1 + effect * 0.31).astype(float)
    spread = sqrt((np.exp(2.25) - 1) * np.exp(2.25))
    return random.lognormal(0, 1.5, UNITS) + effect * spread


class Run:
    """The sums of both arms at each look."""

    def __init__(self, control: np.ndarray, treatment: np.ndarray) -> None:
        self.n = np.arange(1, LOOKS + 1) * (UNITS // LOOKS)
        at = self.n - 1
        self.sums = [(np.cumsum(arm)[at], np.cumsum(arm * arm)[at]) for arm in (control, treatment)]

    def kept(self, look: int) -> tuple[Kept, ...]:
        n = float(self.n[look])
        pairs = zip(ARMS, self.sums, strict=True)
        return tuple(Kept(arm.name, Sums(n, float(y[look]), float(yy[look]))) for arm, (y, yy) in pairs)

    def naive(self) -> np.ndarray:
        """Welch's p at every look."""
        means = [y / self.n for y, _ in self.sums]
        errors = [(yy / self.n - m * m) / (self.n - 1) for (_, yy), m in zip(self.sums, means, strict=True)]
        t = np.abs(means[1] - means[0]) / np.sqrt(errors[0] + errors[1])
        return 2 * special.stdtr(2 * self.n - 2, -t)


def looked_at(run: Run, metric: Metric, *, role: str = "primary", planned: bool = True) -> tuple[str, int]:
    """(the first finding of the one comparison or "unclear", at which look)."""
    looks: list[Look] = []
    plan = Plan(units_per_arm=UNITS if planned else None)
    for look in range(LOOKS):
        n = int(run.n[look])
        measured = Measured(metric, run.kept(look), role, margin=0.02)
        found = analyse(
            Question(ARMS, plan, (measured,), dict.fromkeys(("control", "treatment"), n), tuple(looks))
        )
        if found.comparisons[0].finding != "unclear":
            return found.comparisons[0].finding, look
        if found.look is not None:
            looks.append(found.look)
    return "unclear", LOOKS - 1


def peeking(runs: int) -> list[Row]:
    rows = []
    for seed, (name, metric) in enumerate(METRICS.items()):
        for effect, label in (
            (0.0, "A/A, 50 looks: false positives"),
            (D, "an effect that one look finds in 94.5 %, 50 looks: power"),
        ):
            random = np.random.default_rng([seed, int(effect > 0)])
            found, at, always, every, once = 0, [], 0, 0, 0
            for _ in range(runs):
                run = Run(draw(name, random, 0.0), draw(name, random, effect))
                finding, look = looked_at(run, metric)
                found += finding != "unclear"
                at.append(int(run.n[look]))
                ps = run.naive()
                every += bool((ps < 0.05).any())
                once += bool(ps[-1] < 0.05)
                always += looked_at(run, metric, planned=False)[0] != "unclear" if _ < runs // 4 else 0
            rate = found / runs
            peers = {
                "t-test at every look": every / runs,
                "one look": once / runs,
                "always valid": always / (runs // 4),
                "runs": runs,
                "found": found,
                "s.e.": round(sqrt(rate * (1 - rate) / runs), 4),
                "median units an arm at the stop": statistics.median(at),
            }
            figure = f"{label}, {name}"
            held = at_least(figure, rate, rate, 0.92, 0.93, **peers) if effect else None
            rows.append(held or at_most(figure, rate, rate, 0.05, None, **peers))
    return rows


def guardrails(runs: int) -> list[Row]:
    """A guardrail of 2 %: at the margin, just as good, and 6 % worse; whatever anybody looks at."""
    rows = []
    cases = (
        (-0.02, "at its margin: called no worse"),
        (0.0, "no effect: called harm"),
        (-0.06, "6 % worse: called harm"),
    )
    for number, (effect, label) in enumerate(cases):
        random = np.random.default_rng([7, number])
        found: dict[str, int] = {}
        for _ in range(runs):
            control, treatment = (random.normal(1 + lift, 0.5, UNITS) for lift in (0.0, effect))
            finding, _look = looked_at(Run(control, treatment), METRICS["normal"], role="guardrail")
            found[finding] = found.get(finding, 0) + 1
        wanted = found.get("no-worse" if number == 0 else "worse", 0) / runs
        error = round(sqrt(wanted * (1 - wanted) / runs), 4)
        figure, peers = f"guardrail, {label}", {"runs": runs, "s.e.": error, **found}
        rows.append(
            shown(figure, wanted, None, **peers)
            if number == 2
            else at_most(figure, wanted, wanted, 0.05, None, **peers)
        )
    return rows


def cost(quick: bool) -> Row:
    """Median of interleaved turns: the scan that computes the sums, and the analysis from kept ones."""
    users, metrics, segments = (1_000_000, 20, 10)
    with tempfile.TemporaryDirectory() as folder:
        base = duckdb.connect(str(Path(folder) / "users.duckdb"))
        base.execute("set enable_progress_bar = false")
        base.execute("select setseed(0.5)")
        columns = ", ".join(f"(random() * 10 + x{i} / 2)::double as y{i}, x{i}" for i in range(metrics))
        pasts = ", ".join(f"(random() * 20)::double as x{i}" for i in range(metrics))
        base.execute(
            f"create table users as select arm, segment, {columns} from (select "
            f"(random() * 3)::int % 3 as arm, (random() * {segments})::int % {segments} as segment, "
            f"{pasts} from range({users}))"
        )
        base.execute("checkpoint")
        sums = ", ".join(
            f"sum(y{i}), sum(y{i} * y{i}), sum(x{i}), sum(x{i} * x{i}), sum(y{i} * x{i})"
            for i in range(metrics)
        )
        scan = f"select arm, segment, count(*), {sums} from users group by arm, segment"
        question = kept_of(base.execute(scan).fetchall(), metrics)
        start = time.perf_counter()
        analyse(question)
        cold = time.perf_counter() - start
        ours, theirs = [], []
        for _ in range(5 if quick else 25):
            start = time.perf_counter()
            base.execute(scan).fetchall()
            middle = time.perf_counter()
            found = analyse(question)
            theirs.append(middle - start)
            ours.append(time.perf_counter() - middle)
        base.close()
    count = len(found.comparisons) + len(found.segments)
    ratio = statistics.median(ours) / statistics.median(theirs)
    return at_most(
        "20 metrics x 10 segments x 3 arms with CUPED, from kept sums over one scan of 1e6 users, s",
        statistics.median(ours),
        ratio,
        1.0,
        0.2,
        duckdb_scan_s=statistics.median(theirs),
        comparisons=count,
        cold_s=cold,
    )


def agreement() -> Row:
    """The largest relative difference of any figure from scipy, statsmodels or tea-tasting."""
    random = np.random.default_rng(5)
    worst = 0.0

    def beside(ours: float, theirs: float) -> None:
        nonlocal worst
        worst = max(worst, abs(ours - theirs) / max(1e-300, abs(theirs)))

    for _ in range(200):
        n, m = (int(size) for size in random.integers(20, 50_000, 2))
        (a, b), (s, t) = random.normal(10, 0.1, 2).tolist(), random.uniform(0.5, 5, 2).tolist()
        arms = welch.Arms(a, b, s * s, t * t, n, m)
        beside(welch.p_value(arms), stats.ttest_ind_from_stats(b, t, m, a, s, n, equal_var=False).pvalue)
        beside(welch.reach(arms, 0.05), stats.t.isf(0.025, arms.freedom))
        d, size = float(random.uniform(0.02, 0.5)), int(random.integers(100, 5_000))
        planned = power.power(power.Sizing(1.0, 1.0, looks=False), d, size, size)
        beside(planned, NormalIndPower().power(d, size, 0.05))
    ps = random.random(40) ** 3
    for adjust, method in ((corrections.holm, "holm"), (corrections.benjamini_hochberg, "fdr_bh")):
        for one, other in zip(adjust(ps.tolist()), multipletests(ps, method=method)[1], strict=True):
            beside(one, float(other))
    for one, other in _beside_tea_tasting(random):
        beside(one, other)
    return at_most(
        "largest relative difference from scipy, statsmodels, tea-tasting", worst, worst, 1e-9, None
    )


def _beside_tea_tasting(random: np.random.Generator) -> list[tuple[float, float]]:
    n = 5_000
    variant, past = random.integers(0, 2, n), random.gamma(2, 2, n)
    d = random.poisson(3 + past) + 1.0
    y = past + random.gamma(1, 3, n) + 0.1 * variant
    table = pa.table({"variant": variant, "past": past, "y": y, "d": d})
    peers = {
        "mean": tea_tasting.Mean("y"),
        "cuped": tea_tasting.Mean("y", "past"),
        "ratio": tea_tasting.RatioOfMeans("y", "d"),
    }
    found = tea_tasting.Experiment(peers).analyze(table, control=0)
    pairs = []
    for name, peer in ((name, found[name]) for name in peers):
        kind: Any = "ratio" if name == "ratio" else "mean"
        arms = {}
        for arm in (0, 1):
            mine = variant == arm
            columns = (y[mine], d[mine], past[mine] if name == "cuped" else np.zeros(mine.sum()))
            arms[str(arm)] = Kept(str(arm), sums_of(*columns))
        [(_, ours)] = estimates(Metric("m", kind), arms, "0")
        width = welch.reach(ours.arms, 0.05) * ours.arms.standard_error
        pairs += [
            (welch.p_value(ours.arms), float(peer.pvalue)),
            (ours.arms.difference, float(peer.effect_size)),
            (ours.arms.difference - width, float(peer.effect_size_ci_lower)),
            (ours.arms.difference + width, float(peer.effect_size_ci_upper)),
        ]
    return pairs


def sums_of(y: np.ndarray, d: np.ndarray, x: np.ndarray) -> Sums:
    parts = (y, y * y, d, d * d, y * d, x, x * x, y * x, d * x)
    return Sums(float(len(y)), *(float(part.sum()) for part in parts))


def kept_of(rows: list[tuple[Any, ...]], metrics: int) -> Question:
    arms = tuple(Arm(name, share) for name, share in (("a0", 3334), ("a1", 3333), ("a2", 3333)))
    kept: list[list[Kept]] = [[] for _ in range(metrics)]
    units = dict.fromkeys(("a0", "a1", "a2"), 0)
    for arm, segment, n, *sums in rows:
        units[f"a{arm}"] += n
        for metric in range(metrics):
            y, yy, x, xx, yx = sums[5 * metric : 5 * metric + 5]
            kept[metric].append(Kept(f"a{arm}", Sums(n, y, yy, x=x, xx=xx, yx=yx), "segment", str(segment)))
    measured = []
    for metric, cells in enumerate(kept):
        whole = {arm.name: Sums() for arm in arms}
        for one in cells:
            whole[one.arm] += one.sums
        wholes = (Kept(arm, sums) for arm, sums in whole.items())
        role = "primary" if metric < 2 else "guardrail" if metric < 5 else "secondary"
        measured.append(Measured(Metric(f"m{metric}", "mean"), (*wholes, *cells), role))
    looks = tuple(Look(0.0, at / 50) for at in range(1, 50))
    return Question(arms, Plan(units_per_arm=300_000), tuple(measured), units, looks)


def main_rows(quick: bool) -> list[Row]:
    return [
        *peeking(150 if quick else 10_000),
        *guardrails(100 if quick else 2_000),
        cost(quick),
        agreement(),
    ]


if __name__ == "__main__":
    main(main_rows, "A/B tests")
