"""Counts of this process: added up in memory, written once a second as sums so far.

What is good is added to a cell of (release, period, arm, gate). What is bad opens a burst of its unit, in
which nothing of it counts (`rules/canary/bursts.py`), and is marked first: the database says whether another
process saw the same burst before. While it is away, marks wait here; when more wait than there is room for,
outcomes are let go whole, in both arms alike, and counted as lost.

An outcome counts in the period in which its variant was used, however late it comes.
"""

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

import msgspec

from holdfast.rooms.experiments.engine.canary.last_minute import LastMinute
from holdfast.rooms.experiments.rules.canary import bursts
from holdfast.rooms.experiments.rules.outcomes import EXPOSURE, Outcome, Use
from holdfast.rooms.experiments.rules.releases import CONTROL, TREATMENT, Gate
from holdfast.rooms.experiments.store.release_rows import Example, Mark, Standing

MOST_WAITING = 50_000
"""Marks that may wait for the database."""
MOST_FAILED, MOST_SLOW = 20, 5
"""Examples that a process keeps of each arm, in each period."""
_ARMS = (CONTROL, TREATMENT)
_FORGET_S = 600.0
"""Longer than any burst: an outcome may have been told late."""

Cell = tuple[str, int, str, str]
"""Release, period, arm, gate."""
Assigned = Callable[[str, str], Use | None]
"""Flag and user -> what the user uses, for events that do not say it themselves."""


class Batch(msgspec.Struct, frozen=True):
    """What one write is about to say."""

    marks: frozenset[Mark]
    cells: Mapping[Cell, int]
    """How many were counted so far in each cell that has changed."""
    examples: tuple[tuple[str, int, Example], ...]
    """Release, run, example."""

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.marks or self.cells or self.examples)


class Counting:
    """The counts of one process."""

    def __init__(self, assigned: Assigned) -> None:
        self.lost = 0
        self._assigned = assigned
        self._n: dict[Cell, int] = {}
        self._bad: dict[Cell, int] = {}
        self._dirty: set[Cell] = set()
        self._marks: set[Mark] = set()
        self._written: dict[Mark, None] = {}
        self._examples: list[tuple[str, int, Example]] = []
        self._kept: dict[tuple[str, int, str, str], int] = {}
        self._bursts: dict[tuple[str, int, str, str, str], float] = {}
        self._minutes: dict[str, LastMinute] = {}

    # -- taking -----------------------------------------------------------------------------------

    def take(self, outcomes: Iterable[Outcome], running: Mapping[str, Standing]) -> None:
        """Count what belongs to one of these releases."""
        watched = _by_action(running.values())
        for outcome in outcomes:
            if outcome.kind == "event":
                if outcome.name == EXPOSURE:
                    self._exposed(outcome, running)
                for watching, gate in watched.get(outcome.name, ()):
                    self._event(outcome, watching, gate)
                continue
            for name, use in outcome.uses.items():
                standing = running.get(name)
                if standing is not None and standing.definition.measure == outcome.kind:
                    self._work(outcome, use, standing)

    def _work(self, outcome: Outcome, use: Use, standing: Standing) -> None:
        if not self._counts(use, standing):
            return
        if use.phase == standing.period:
            self._last_minute(standing).saw(outcome.at_s, use.variant, hidden(use.unit), outcome.failed)
        for gate in standing.definition.gates:
            if gate.of == "errors":
                self._judged(outcome, use, standing, gate, outcome.failed)
            elif gate.of == "latency":
                if outcome.seconds is not None:
                    self._judged(outcome, use, standing, gate, outcome.seconds > (gate.target_s or 0.0))
            elif _of_units(gate):
                self._mark(_marked(standing, use, gate, "seen"))

    def _exposed(self, outcome: Outcome, running: Mapping[str, Standing]) -> None:
        for name, use in outcome.uses.items():
            standing = running.get(name)
            if standing is not None and self._counts(use, standing):
                for gate in standing.definition.gates:
                    if gate.of == "event" and _of_units(gate):
                        self._mark(_marked(standing, use, gate, "seen"))

    def _event(self, outcome: Outcome, standing: Standing, gate: Gate) -> None:
        use = outcome.uses.get(standing.name) or self._assigned(standing.name, outcome.user)
        if use is None or not self._counts(use, standing):
            return
        if _of_units(gate):
            self._mark(_marked(standing, use, gate, "did"))
        elif outcome.value is not None:
            high = gate.bad_from is not None and outcome.value >= gate.bad_from
            low = gate.bad_below is not None and outcome.value < gate.bad_below
            self._judged(outcome, use, standing, gate, high or low)

    def _judged(self, outcome: Outcome, use: Use, standing: Standing, gate: Gate, bad: bool) -> None:
        cell = (standing.name, use.phase, use.variant, gate.name)
        key = (*cell, use.unit)
        before = self._bursts.get(key)
        counted, since_s = bursts.counts(before, outcome.at_s, bad)
        if not counted:
            return
        if since_s is None:
            if before is not None:
                del self._bursts[key]
            self._n[cell] = self._n.get(cell, 0) + 1
            self._dirty.add(cell)
            return
        self._bursts[key] = since_s
        self._mark(_marked(standing, use, gate, "bad", since_s))
        self._example(outcome, use, standing, gate)

    def _counts(self, use: Use, standing: Standing) -> bool:
        # One period more: the rules may have come before the database went away, and the row not.
        if use.variant not in _ARMS or not standing.period - 1 <= use.phase <= standing.period + 1:
            return False
        if len(self._marks) >= MOST_WAITING:
            self.lost += 1
            return False
        return True

    def _mark(self, mark: Mark) -> None:
        if mark not in self._written:
            self._marks.add(mark)

    def _example(self, outcome: Outcome, use: Use, standing: Standing, gate: Gate) -> None:
        kind = "slow" if gate.of == "latency" else "failed"
        key = (standing.name, use.phase, use.variant, kind)
        kept = self._kept.get(key, 0)
        if not outcome.request_id or kept >= (MOST_FAILED if kind == "failed" else MOST_SLOW):
            return
        self._kept[key] = kept + 1
        found = Example(
            arm=use.variant,
            kind=kind,
            request_id=outcome.request_id,
            trace_id=outcome.trace_id,
            error=outcome.error,
            route=outcome.name,
            gate=gate.name,
            seconds=outcome.seconds,
            stage=standing.stage,
            at_ms=int(outcome.at_s * 1000),
        )
        self._examples.append((standing.name, standing.run, found))

    # -- writing ----------------------------------------------------------------------------------

    def batch(self) -> Batch:
        """Everything that is not written yet."""
        cells = {cell: self._n.get(cell, 0) for cell in self._dirty}
        return Batch(frozenset(self._marks), cells, tuple(self._examples))

    def sums(self, batch: Batch, first: Iterable[Mark]) -> dict[Cell, tuple[int, int]]:
        """n and bad of each cell that the batch changes, given which of its marks nobody had before."""
        n = dict(batch.cells)
        bad = {cell: self._bad.get(cell, 0) for cell in n}
        for mark in first:
            cell = (mark.release, mark.period, mark.arm, mark.gate)
            n.setdefault(cell, self._n.get(cell, 0))
            bad.setdefault(cell, self._bad.get(cell, 0))
            n[cell] += mark.kind != "did"
            bad[cell] += mark.kind != "seen"
        return {cell: (n[cell], bad[cell]) for cell in n}

    def written(self, batch: Batch, sums: Mapping[Cell, tuple[int, int]]) -> None:
        """The batch is in the database."""
        for cell, (n, bad) in sums.items():
            since = self._n.get(cell, 0) - batch.cells.get(cell, self._n.get(cell, 0))
            self._n[cell] = n + since
            self._bad[cell] = bad
            if not since:
                self._dirty.discard(cell)
        self._marks -= batch.marks
        # A unit that was not exposed yet may be when it does it again: `did` is asked each time.
        self._written.update(dict.fromkeys(mark for mark in batch.marks if mark.kind == "seen"))
        for mark in list(self._written)[: max(0, len(self._written) - MOST_WAITING)]:
            del self._written[mark]
        self._examples = self._examples[len(batch.examples) :]

    def last_minutes(self) -> dict[str, LastMinute]:
        """By release, of what was counted in its period."""
        return self._minutes

    def forget(self, running: Mapping[str, Standing], now_s: float) -> None:
        """Let go of what nobody asks for any more, once it is written."""
        for cell in [cell for cell in self._n.keys() | self._bad.keys() if _is_over(cell, running)]:
            if cell not in self._dirty:
                self._n.pop(cell, None)
                self._bad.pop(cell, None)
        for key in [key for key in self._kept if _is_over(key, running)]:
            del self._kept[key]
        for burst in [key for key, since_s in self._bursts.items() if abs(now_s - since_s) > _FORGET_S]:
            del self._bursts[burst]
        for name in [name for name in self._minutes if name not in running]:
            del self._minutes[name]

    def _last_minute(self, standing: Standing) -> LastMinute:
        found = self._minutes.get(standing.name)
        if found is None or found.period != standing.period:
            found = self._minutes[standing.name] = LastMinute(standing.period)
        return found


def hidden(unit: str) -> str:
    """What tells a unit from another, and not who it is: units may be names of people."""
    return blake2b(unit.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _of_units(gate: Gate) -> bool:
    return gate.bad_from is None and gate.bad_below is None


def _is_over(key: tuple[str, int, str, str], running: Mapping[str, Standing]) -> bool:
    standing = running.get(key[0])
    return standing is None or key[1] < standing.period - 1


def _by_action(running: Iterable[Standing]) -> dict[str, list[tuple[Standing, Gate]]]:
    found: dict[str, list[tuple[Standing, Gate]]] = {}
    for standing in running:
        for gate in standing.definition.gates:
            if gate.of == "event":
                found.setdefault(gate.action, []).append((standing, gate))
    return found


def _marked(standing: Standing, use: Use, gate: Gate, kind: str, at_s: float = 0.0) -> Mark:
    minute = int(at_s // bursts.BURST_S)
    return Mark(
        standing.name, use.phase, gate.name, use.variant, kind, hidden(use.unit), minute, int(at_s * 1000)
    )
