"""Releases: how often the rules as shipped roll back what is well, and how soon what is not.

Simulated traffic; every judgement is by the shipped `advance`, `judge` and burst rule, all detectors
together, with a release of default terms (alpha 1 %, one gate, limit 1 %; a first stage of 24 h, then three
of 1 h). Beside them, on the same raw requests: error rate of the last 60 s above 1 %; of 5 min, three
minutes in a row; cumulative; the same from 1,000 requests on; Wald's SPRT of 0.5 % against 2 %; a two-
sample test each minute. 20 requests/s, 5 % to the canary, baseline 0.3 %, a turn each minute, unless the
row says otherwise. The oracle is ln(1/alpha)/KL(p1||p0): what a test that knows both rates needs. Full:
1,000 runs of each scenario (2,000 where the figure is a median of requests); `--quick`: 100, and 20 of what
is only shown.
"""

import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Row, at_most, main, median, percentile, shown
from holdfast.rooms.experiments.rules.canary import bursts
from holdfast.rooms.experiments.rules.canary.budget import terms_of
from holdfast.rooms.experiments.rules.canary.counts import Counts, Delta
from holdfast.rooms.experiments.rules.canary.evidence import Evidence, advance, next_stage, resumed
from holdfast.rooms.experiments.rules.canary.verdicts import Facts, Moment, judge
from holdfast.rooms.experiments.rules.releases import Gate, Release, Stage

HOUR_S, DAY_S = 3600.0, 86400.0
ALPHA = 0.01
RETRY_S = 2.0
"""Between two tries of a user whose request failed."""
WORKERS = 2
ERRORS = Gate("errors")
CHUNK = 20


@dataclass(frozen=True)
class Scenario:
    """Traffic of one stage, and who errs how often from when on."""

    seed: int
    canary: float = 0.003
    control: float = 0.003
    onset_s: float = 0.0
    """Before it both arms err at `before`."""
    before: float = 0.003
    incidents: bool = False
    """Ten times the errors in both arms for the first five minutes of each hour."""
    retries: float = 0.0
    """How often a user retries in the mean, all in vain, after a request that failed."""
    per_s: float = 20.0
    share: float = 0.05
    until_s: float = DAY_S
    recovers_s: float = 1e12
    """From then on as before the onset."""
    tick_s: float = 60.0
    fine_s: float = 0.0
    """Length of ticks from the onset on; 0: like the others."""
    gate: Gate = ERRORS
    gates: int = 1
    epoch: int = 0
    """How many stages went before: later ones have less of the budget."""


@dataclass
class Drawn:
    """One run: per tick its end, and the counts of units and of raw requests, canary first."""

    ends: np.ndarray
    units: list[np.ndarray]
    raw: list[np.ndarray]


@dataclass
class Told:
    """How one run went; `end` is empty when it was never rolled back."""

    end: str = ""
    at_s: float = 0.0
    requests: int = 0
    holds: int = 0
    recovered_s: float = 0.0


def release_of(scenario: Scenario) -> Release:
    """Default terms; the stage that is simulated lasts a day."""
    first = Stage(round(scenario.share * 10_000), DAY_S, deadline_s=10 * DAY_S)
    more = tuple(Gate(f"other{i}") for i in range(1, scenario.gates))
    return Release(
        name="simulated",
        stages=(first, Stage(2500), Stage(5000), Stage(10_000)),
        gates=(scenario.gate, *more),
        alpha=ALPHA,
    )


def draw(scenario: Scenario, rng: np.random.Generator) -> Drawn:
    """One run: Poisson traffic, errors by chance."""
    ends = np.arange(scenario.tick_s, scenario.until_s + 1e-9, scenario.tick_s)
    if scenario.fine_s:
        fine = np.arange(scenario.onset_s + scenario.fine_s, scenario.until_s + 1e-9, scenario.fine_s)
        ends = np.concatenate([ends[ends <= scenario.onset_s], fine])
    long = np.diff(ends, prepend=0.0)
    units, raw = [], []
    for rate, part in ((scenario.canary, scenario.share), (scenario.control, 1.0 - scenario.share)):
        on = (ends > scenario.onset_s) & (ends <= scenario.recovers_s)
        p = np.where(on, rate, scenario.before)
        if scenario.incidents:
            p = np.where((ends - long) % HOUR_S < 300.0, 10.0 * p, p)
        n = rng.poisson(scenario.per_s * part * long)
        bad = rng.binomial(n, p)
        units += [n, bad]
        raw += [n, bad]
        if scenario.retries:
            units[-2:], raw[-2:] = _retried(n, bad, scenario.retries, rng)
    return Drawn(ends, units, raw)


def _retried(
    n: np.ndarray, bad: np.ndarray, retries: float, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the burst rule counts, and what a counter of requests does, when each error is tried again."""
    at = np.repeat(np.arange(len(n)), bad)
    tries = rng.geometric(1.0 / retries, len(at)) - 1
    again = np.zeros_like(n)
    for k in range(1, _counted(int(tries.max(initial=0)))):
        later = at[_counted(tries) > k] + k
        np.add.at(again, later[later < len(n)], 1)
    more = np.zeros_like(n)
    np.add.at(more, at, tries)
    return [n + again, bad + again], [n + more, bad + more]


def _counted(tries: Any) -> Any:
    """How often an error with so many vain retries is counted; held against the rule by `_bursts_agree`."""
    return 1 + np.asarray(tries * RETRY_S // bursts.BURST_S).astype(int)


def _bursts_agree() -> None:
    for tries in range(200):
        counted, since = 0, None
        for k in range(tries + 1):
            one, since = bursts.counts(since, k * RETRY_S, True)
            counted += one
        assert counted == _counted(tries), tries


def composite(scenario: Scenario, drawn: Drawn) -> Told:
    """The shipped rules over one run, until they roll back."""
    release = release_of(scenario)
    terms = terms_of(release, scenario.gate)
    evidence, held, told, before_s = Evidence(epoch=scenario.epoch), False, Told(), 0.0
    minute: deque[tuple[float, int, int, int, int]] = deque()
    for row in zip(*(column.tolist() for column in (drawn.ends, *drawn.units)), strict=True):
        end_s, n, bad, control_n, control_bad = row
        delta = Delta(Counts(n, bad), Counts(control_n, control_bad), end_s - before_s)
        evidence, before_s = advance(evidence, delta, terms), end_s
        told.requests += n
        minute.append(row)
        while minute[0][0] <= end_s - 60.0:
            minute.popleft()
        evidences = {gate.name: evidence for gate in release.gates}
        moment = Moment(stage=0, in_stage_s=end_s, quiet_s=0.0, held=held)
        verdict = judge(release, moment, evidences, _facts(minute))
        if verdict.kind in ("ROLL_BACK", "HARD_STOP"):
            told.end, told.at_s = verdict.why, end_s
            return told
        if verdict.kind == "HOLD":
            told.holds += not held
            held = True
        elif verdict.kind == "RECOVER":
            evidence, held, told.recovered_s = resumed(evidence), False, end_s
    return told


def _facts(minute: Sequence[tuple[float, int, int, int, int]]) -> Facts:
    _, n, bad, control_n, control_bad = (sum(column) for column in zip(*minute, strict=True))
    return Facts(
        treatment_failing=bad,
        treatment_successes=n - bad,
        control_failing=control_bad,
        control_successes=control_n - control_bad,
    )


def naive(scenario: Scenario, drawn: Drawn) -> dict[str, tuple[float, int] | None]:
    """When each of the usual rules rolls back, looked at every minute: seconds, and canary requests."""
    minutes = (np.ceil(drawn.ends / 60.0) - 1).astype(int)
    n, bad, control_n, control_bad = (np.bincount(minutes, weights=each) for each in drawn.raw)
    limit = scenario.gate.limit
    sums = {
        name: np.cumsum(each)
        for name, each in (("n", n), ("bad", bad), ("cn", control_n), ("cb", control_bad))
    }
    low, high = limit / 2, limit * 2
    sprt = sums["bad"] * math.log(high / low) + (sums["n"] - sums["bad"]) * math.log((1 - high) / (1 - low))
    accepted = np.maximum.accumulate(sprt <= -math.log(1 / ALPHA))
    with np.errstate(divide="ignore", invalid="ignore"):
        five = np.convolve(bad, np.ones(5))[: len(n)] / np.convolve(n, np.ones(5))[: len(n)] > limit
        whole = sums["bad"] / sums["n"]
        pooled = (sums["bad"] + sums["cb"]) / (sums["n"] + sums["cn"])
        spread = np.sqrt(pooled * (1 - pooled) * (1 / sums["n"] + 1 / sums["cn"]))
        crossed = {
            "60 s": bad / n > limit,
            "5 min, 3 in a row": np.convolve(five, np.ones(3))[: len(n)] >= 3,
            "cumulative": whole > limit,
            "cumulative of 1,000": (whole > limit) & (sums["n"] >= 1000),
            "SPRT": (sprt >= math.log(1 / ALPHA)) & ~accepted,
            "t-test each minute": (whole - sums["cb"] / sums["cn"]) / spread > 2.5758,
        }
    found: dict[str, tuple[float, int] | None] = {}
    for name, where in crossed.items():
        where = where & (np.arange(len(n)) * 60.0 >= scenario.onset_s) if scenario.fine_s else where
        at = int(np.argmax(where))
        found[name] = ((at + 1) * 60.0, int(sums["n"][at])) if where[at] else None
    return found


def _chunk(job: tuple[Scenario, int]) -> list[tuple[Told, dict[str, tuple[float, int] | None]]]:
    scenario, first = job
    runs = [draw(scenario, np.random.default_rng([6, scenario.seed, k])) for k in range(first, first + CHUNK)]
    return [(composite(scenario, drawn), naive(scenario, drawn)) for drawn in runs]


@dataclass
class Runs:
    """All runs of a scenario."""

    scenario: Scenario
    told: list[Told]
    peers: list[dict[str, tuple[float, int] | None]]

    def share(self) -> float:
        return sum(bool(one.end) for one in self.told) / len(self.told)

    def count(self) -> str:
        ends = sum(bool(one.end) for one in self.told)
        error = math.sqrt(max(self.share() * (1 - self.share()), 1e-12) / len(self.told))
        return f"{ends} of {len(self.told)} runs (s.e. {error:.2%})"

    def holds(self) -> float:
        return sum(bool(one.holds) for one in self.told) / len(self.told)

    def after(self) -> list[float]:
        """Minutes from the onset to the rollback; never is as long as it gets."""
        since_s = self.scenario.onset_s
        return [(one.at_s - since_s) / 60 if one.end else math.inf for one in self.told if self._fair(one)]

    def _fair(self, one: Told) -> bool:
        return not one.end or one.at_s > self.scenario.onset_s

    def requests(self) -> list[float]:
        return [float(one.requests) if one.end else math.inf for one in self.told]

    def peer_shares(self) -> dict[str, Any]:
        return {
            name: f"{sum(one[name] is not None for one in self.peers) / len(self.peers):.1%}"
            for name in self.peers[0]
        }

    def peer_medians(self, take: int, per: float = 1.0, less: float = 0.0) -> dict[str, Any]:
        found = {}
        for name in self.peers[0]:
            values = [(one[name][take] - less) / per if one[name] else math.inf for one in self.peers]  # type: ignore[index] # None is told apart
            middle = median(values)
            found[name] = round(middle, 2) if middle < math.inf else "not found"
        return found


def simulate(pool: Executor, scenario: Scenario, runs: int) -> Runs:
    """So many runs, rounded up to whole chunks."""
    jobs = [(scenario, first) for first in range(0, runs, CHUNK)]
    both = [one for chunk in pool.map(_chunk, jobs) for one in chunk]
    return Runs(scenario, [told for told, _ in both], [peers for _, peers in both])


def oracle(bad: float, good: float) -> float:
    """Requests that a test needs which knows both rates."""
    kl = bad * math.log(bad / good) + (1 - bad) * math.log((1 - bad) / (1 - good))
    return math.log(1 / ALPHA) / kl


def _walk(seed: int) -> tuple[str, float]:
    """A healthy release of the default stages of 1 h: its end, and the hours it took."""
    rng = np.random.default_rng([6, 99, seed])
    release = Release(name="walk", alpha=ALPHA)
    gate = release.gates[0]
    terms, evidence, stage, in_stage_s, at_s, held = terms_of(release, gate), Evidence(), 0, 0.0, 0.0, False
    while at_s < 2 * DAY_S:
        part = release.stages[stage].share / 10_000
        n, control_n = int(rng.poisson(1200 * part)), int(rng.poisson(1200 * (1 - part)))
        delta = Delta(
            Counts(n, int(rng.binomial(n, 0.003))),
            Counts(control_n, int(rng.binomial(control_n, 0.003))),
            60.0,
        )
        evidence, at_s, in_stage_s = advance(evidence, delta, terms), at_s + 60.0, in_stage_s + 60.0
        moment = Moment(stage=stage, in_stage_s=in_stage_s, quiet_s=0.0, held=held)
        kind = judge(release, moment, {gate.name: evidence}, Facts(treatment_successes=n)).kind
        held = kind == "HOLD"
        if kind in ("ROLL_BACK", "HARD_STOP"):
            return kind, at_s / HOUR_S
        if kind == "PROMOTE":
            if stage == len(release.stages) - 1:
                return kind, at_s / HOUR_S
            evidence, stage, in_stage_s = next_stage(evidence), stage + 1, 0.0
    return "", at_s / HOUR_S


def _promised(pool: Executor, runs: int) -> list[Row]:
    healthy = simulate(pool, Scenario(1, incidents=True, retries=10.0), runs)
    found = simulate(pool, Scenario(2, canary=0.02, until_s=2 * HOUR_S, tick_s=1.0), 2 * runs)
    noon = 12 * HOUR_S
    late = simulate(pool, Scenario(3, canary=0.02, onset_s=noon, until_s=noon + 2 * HOUR_S, fine_s=1.0), runs)
    least = oracle(0.02, 0.003)
    minutes = sorted(late.after())
    early = sum(not late._fair(one) for one in late.told)
    return [
        at_most(
            "healthy 24 h, retries of mean 10, shared 10x incidents: rolled back",
            f"{healthy.count()}, held {healthy.holds():.0%}",
            healthy.share(),
            0.01,
            0.005,
            **healthy.peer_shares(),
        ),
        at_most(
            f"2 % against 0.3 %: median requests over the oracle's {least:.0f}",
            f"{_middle(found.requests(), least)} in {len(found.told)} runs, turns of 1 s",
            median(found.requests()) / least,
            1.5,
            1.4,
            **found.peer_medians(1, least),
        ),
        at_most(
            "2 % after 12 healthy hours: median minutes",
            f"{_middle(minutes, 1)}, p90 {percentile(minutes, 0.9):.1f}, {len(minutes)} runs; {early} early",
            median(minutes),
            12.0,
            10.0,
            **late.peer_medians(0, 60.0, noon),
        ),
    ]


def _middle(values: Sequence[float], per: float) -> str:
    """The median with the standard error of its ratio, from the order statistics around it."""
    ordered, half = sorted(values), math.sqrt(len(values)) / 2
    middle = len(values) / 2
    low, high = ordered[int(middle - half)], ordered[min(len(values) - 1, int(middle + half))]
    return f"{median(values):.4g} (s.e. {(high - low) / 2 / per:.2g})"


def _outages(pool: Executor, runs: int) -> list[Row]:
    both = {"canary": 0.02, "control": 0.02}
    cases = {
        "from the start": Scenario(11, **both),
        "with retries": Scenario(12, retries=10.0, **both),
        "from hour 12 on": Scenario(13, onset_s=12 * HOUR_S, **both),
        "for 1 h, then well": Scenario(14, onset_s=12 * HOUR_S, recovers_s=13 * HOUR_S, **both),
        "at 50 %": Scenario(15, share=0.5, epoch=2, onset_s=2 * HOUR_S, until_s=12 * HOUR_S, **both),
        "at 100 %": Scenario(16, share=1.0, epoch=3, onset_s=2 * HOUR_S, until_s=12 * HOUR_S, **both),
    }
    rows = []
    for name, scenario in cases.items():
        found = simulate(pool, scenario, runs)
        well = [(one.recovered_s - scenario.recovers_s) / 60 for one in found.told if one.recovered_s]
        again = f", recovers after {median(well):.0f} min" if scenario.recovers_s < DAY_S and well else ""
        # Before the onset and after the recovery both arms are well: that is a false alarm of health.
        early = sum(not found._fair(one) for one in found.told)
        late = sum(bool(one.end) and one.at_s > scenario.recovers_s for one in found.told)
        lost = (sum(bool(one.end) for one in found.told) - early - late) / len(found.told)
        told = f"{lost:.2%} of {len(found.told)} runs, {early} before it, {late} after it; "
        told += f"held {found.holds():.1%}{again}"
        rows.append(
            at_most(
                f"outage, both arms 2 %, {name}: rolled back",
                told,
                lost,
                0,
                0,
                **found.peer_shares(),
            )
        )
    return rows


def _others(pool: Executor, runs: int) -> list[Row]:
    slow = Gate("slow", of="latency", target_s=1.0, warn=0.04, limit=0.05)
    few = {"per_s": 20_000 / DAY_S, "retries": 0.0}
    tail = {"before": 0.03, "control": 0.03, "gate": slow}
    healthy = {
        "healthy, both 0.3 %": Scenario(21),
        "healthy, both 0.8 %": Scenario(22, canary=0.008, control=0.008, before=0.008),
        "healthy, retries of mean 10": Scenario(23, retries=10.0),
        "healthy, latency gate 3 % (limit 5 %)": Scenario(24, canary=0.03, **tail),
        "healthy, 1,000 canary requests a day": Scenario(25, **few),
        "healthy, turns of 10 s": Scenario(26, tick_s=10.0, until_s=DAY_S / 6),
    }
    bad = {
        "slow burn, 0.6 % against 0.3 %": Scenario(31, canary=0.006),
        "1.5 % against 0.3 %": Scenario(32, canary=0.015, tick_s=5.0, until_s=6 * HOUR_S),
        "5 % against 0.3 %": Scenario(33, canary=0.05, tick_s=1.0, until_s=HOUR_S),
        "2 % against 0.3 %, two gates": Scenario(34, canary=0.02, tick_s=1.0, until_s=2 * HOUR_S, gates=2),
        "latency gate 8 % against 3 %": Scenario(35, canary=0.08, tick_s=1.0, until_s=HOUR_S, **tail),
        "latency gate 15 % against 3 %": Scenario(36, canary=0.15, tick_s=1.0, until_s=HOUR_S, **tail),
        "5 % against 0.3 %, 1,000 canary requests a day": Scenario(37, canary=0.05, **few),
        "all fail": Scenario(38, canary=1.0, tick_s=1.0, until_s=HOUR_S / 4),
    }
    rows = []
    for name, scenario in healthy.items():
        found = simulate(pool, scenario, runs)
        rows.append(shown(f"{name}: rolled back", found.count(), found.share(), **found.peer_shares()))
    for name, scenario in bad.items():
        found = simulate(pool, scenario, runs)
        told = (
            f"{found.share():.1%} of {len(found.told)} runs, {median(found.requests()):.0f} canary requests"
        )
        rows.append(
            shown(f"{name}: median minutes", told, median(found.after()), **found.peer_medians(0, 60.0))
        )
    walks = list(pool.map(_walk, range(runs), chunksize=CHUNK))
    back = sum(end == "ROLL_BACK" for end, _ in walks)
    promoted = sum(end == "PROMOTE" for end, _ in walks)
    told = f"{back} of {runs} rolled back, {promoted} promoted"
    return [
        *rows,
        shown("healthy, four stages of 1 h: hours to the end", told, median([h for _, h in walks])),
    ]


def run(quick: bool) -> list[Row]:
    _bursts_agree()
    first, more = (100, 20) if quick else (1000, 1000)
    with ProcessPoolExecutor(WORKERS) as pool:
        return [*_promised(pool, first), *_outages(pool, more), *_others(pool, more)]


if __name__ == "__main__":
    main(run, __doc__.split("\n", 1)[0])
