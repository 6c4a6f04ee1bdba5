"""Bounds of a rate: ordered, consistent with what is asked of them, and right at every look."""

import random

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.canary import bounds
from holdfast.rooms.experiments.rules.canary.counts import Counts

COUNTS = st.integers(1, 10**9).flatmap(lambda n: st.builds(Counts, st.just(n), st.integers(0, n)))


@given(COUNTS)
def test_the_rate_lies_between_its_bounds(counts):
    lower, upper = bounds.interval(counts)
    assert 0.0 <= lower <= counts.rate <= upper <= 1.0


@given(COUNTS, st.floats(0.0001, 0.5))
def test_questions_agree_with_the_interval(counts, rate):
    lower, upper = bounds.interval(counts)
    if bounds.below(counts, rate):
        assert upper <= rate * (1 + 1e-6)
    if bounds.above(counts, rate):
        assert lower >= rate * (1 - 1e-6)


def test_of_nothing_everything_is_possible():
    nothing = Counts()
    assert bounds.interval(nothing) == (0.0, 1.0)
    assert not bounds.below(nothing, 0.01)
    assert not bounds.above(nothing, 0.01)


def test_more_of_the_same_narrows_it():
    few, many = bounds.interval(Counts(1000, 3)), bounds.interval(Counts(100_000, 300))
    assert few[0] < many[0] < 0.003 < many[1] < few[1]
    assert 0.003 < many[1] < 0.0042


def test_looked_at_every_minute_it_covers_the_rate_as_often_as_it_says():
    rng, missed = random.Random(7), 0
    for _ in range(200):
        counts = Counts()
        for _ in range(60):
            counts += Counts(100, sum(rng.random() < 0.01 for _ in range(100)))
            if bounds.above(counts, 0.01) or bounds.below(counts, 0.01):
                missed += 1
                break
    assert missed / 200 <= 2 * bounds.ALPHA
