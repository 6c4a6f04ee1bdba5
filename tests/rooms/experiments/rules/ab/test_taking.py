"""Rows of units and the sums over them, whatever happens in whatever order."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.ab.taking import (
    UNITS,
    Deed,
    Exposure,
    Moves,
    Total,
    Unit,
    counted,
    cuts_of,
    moved_on,
    with_past,
)
from holdfast.rooms.experiments.rules.experiments import Measure, Metric
from holdfast.rooms.experiments.rules.statistics.quantile import bin_of
from holdfast.rooms.experiments.rules.statistics.results import NOVELTY, WHOLE
from holdfast.rooms.experiments.rules.statistics.sums import Sums

BUY = Measure("event", "buy", "value")
MEAN = Metric("mean", "mean", BUY, cap=30.0)
METRICS = (
    MEAN,
    Metric("any", "conversion", BUY),
    Metric("ratio", "ratio", BUY, Measure("event", "visit")),
    Metric("high", "quantile", BUY),
)
CUTS = cuts_of("mon-night", "2026-01-05", {"tier": "pro"})
exposures = st.builds(
    Exposure, st.integers(0, 50), st.integers(1, 3), st.sampled_from(["control", "treatment"]), st.just(CUTS)
)
deeds = st.builds(
    Deed, st.integers(0, 50), st.sampled_from([each.name for each in METRICS]), st.integers(-9, 40).map(float)
)
steps = st.lists(st.tuples(st.lists(exposures, max_size=2), st.lists(deeds, max_size=4)), max_size=6)


def lived(batches):
    """A unit's row after its batches, and what its steps came to together."""
    unit, moves = Unit(), Moves()
    for seen, done in batches:
        after, early = moved_on(unit, seen, done, first_days=3)
        after = with_past(after, early)
        moves.of(unit, after, METRICS)
        unit = after
    return unit, moves


def full(cells):
    return {key: sums for key, sums in cells.items() if any(msgspec.structs.astuple(sums))}


@settings(max_examples=200)
@given(steps)
def test_steps_come_to_what_the_last_row_is(batches):
    unit, moves = lived(batches)
    whole = Moves()
    whole.of(Unit(), unit, METRICS)
    assert full(moves.cells) == full(whole.cells)
    assert {k: n for k, n in moves.bins.items() if n} == {k: n for k, n in whole.bins.items() if n}


@settings(max_examples=200)
@given(st.lists(exposures, min_size=1, max_size=5), st.randoms())
def test_a_unit_is_in_at_most_one_phase_and_arm_however_it_is_heard_of(seen, draw):
    shuffled = list(seen)
    draw.shuffle(shuffled)
    one, _ = moved_on(Unit(), seen, (), first_days=3)
    other, _ = lived([([each], []) for each in shuffled])
    first = min(each.phase for each in seen)
    arms = {each.arm for each in seen if each.phase == first}
    for unit in (one, other):
        assert unit.phase == first
        assert unit.state == ("mixed" if len(arms) > 1 else "in")
        assert set(unit.crossed) == {each.phase for each in seen} - {first}
    counts = Moves()
    counts.of(Unit(), other, METRICS)
    held = [key for key, sums in counts.cells.items() if key[1:3] == WHOLE and sums.n and key[0]]
    assert len(held) == (1 if other.state == "in" else 0)


@pytest.mark.parametrize(
    ("metric", "amount", "sees"),
    [
        (MEAN, 12.0, 12.0),
        (MEAN, 99.0, 30.0),
        (METRICS[1], 7.0, 1.0),
        (METRICS[1], 0.0, 0.0),
        (METRICS[1], -1.0, 0.0),
    ],
)
def test_a_total_as_its_sums_see_it(metric, amount, sees):
    assert counted(metric, amount) == sees


def test_later_days_are_kept_apart_from_the_first():
    day = 86_400_000
    seen = [Exposure(0, 1, "control", CUTS)]
    done = [Deed(day, "mean", 5.0), Deed(4 * day, "mean", 7.0)]
    unit, early = moved_on(Unit(), seen, done, first_days=3)
    assert (unit.totals["mean"], early) == (Total(12.0, 0.0, 5.0), [])
    moves = Moves()
    moves.of(Unit(), unit, (MEAN,))
    novel = moves.cells[1, NOVELTY, "", "control", "mean"]
    assert (novel.y, novel.d, novel.yd) == (7.0, 5.0, 35.0)
    assert moves.cells[1, *WHOLE, "control", UNITS] == Sums(n=1.0)


def test_a_quantile_moves_from_bin_to_bin():
    one, _ = moved_on(Unit(), [Exposure(0, 1, "control", CUTS)], [Deed(1, "high", 3.0)], first_days=3)
    two, _ = moved_on(one, [], [Deed(2, "high", 4.0)], first_days=3)
    moves = Moves()
    moves.of(one, two, METRICS)
    place = (1, *WHOLE, "control", "high")
    assert (moves.bins[(*place, bin_of(3.0))], moves.bins[(*place, bin_of(7.0))]) == (-1, 1)
