"""How much is enough: rarer errors need more, and the promise of power is kept."""

import math
import random

from holdfast.rooms.experiments.rules.canary import samples
from holdfast.rooms.experiments.rules.canary.counts import Counts


def test_rarer_errors_need_more_and_none_does_not_need_for_ever():
    rates = [samples.least(Counts(10**6, bad), 0.05, 0.01) for bad in (20_000, 10_000, 3000, 1000, 0)]
    assert rates == sorted(rates)
    assert rates[-1] < 10_000


def test_a_small_control_needs_more():
    baseline = Counts(10**6, 3000)
    assert samples.least(baseline, 0.9, 0.01) > 5 * samples.least(baseline, 0.05, 0.01)


def test_where_everybody_has_it_the_last_baseline_counts_or_else_the_limit():
    assert samples.least(Counts(10**6, 3000), 1.0, 0.01) > samples.least(Counts(), 1.0, 0.01) > 0


def test_twice_the_baseline_is_seen_in_four_of_five():
    """By the test that the formula is made for, one-sided at 5 %, with a control 19 times as large."""
    rng, p = random.Random(3), 0.01
    n = samples.least(Counts(10**6, 10_000), 0.05, 0.01)

    def errors(mean):
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))

    seen = 0
    for _ in range(4000):
        control = errors(19 * n * p) / 19
        spread = 0.5 * math.sqrt(1 + 1 / 19)
        seen += (math.sqrt(errors(2 * n * p)) - math.sqrt(control)) / spread > 1.6449
    assert 0.77 < seen / 4000 < 0.84
