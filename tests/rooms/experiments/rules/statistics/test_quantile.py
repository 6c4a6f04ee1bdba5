from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.statistics import quantile

any_total = st.floats(-1e30, 1e30)


@given(any_total)
def test_a_bin_stands_for_its_totals_within_the_error(total):
    found = quantile.middle_of(quantile.bin_of(total))
    assert found == pytest.approx(total, rel=quantile.ERROR, abs=2.0**-63)


@given(any_total, any_total)
def test_bins_rise_with_totals(one, other):
    low, high = sorted((one, other))
    assert quantile.bin_of(low) <= quantile.bin_of(high)


@pytest.mark.parametrize("total", [0.0, 1e-25, -1e-25])
def test_next_to_nothing_is_zero(total):
    assert quantile.bin_of(total) == 0


def test_what_is_beyond_the_last_bin_is_in_it():
    assert quantile.bin_of(1e300) == quantile.bin_of(1e200) == -quantile.bin_of(-1e300)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200), st.sampled_from([0.1, 0.5, 0.95]))
def test_the_estimate_is_the_order_statistic_within_the_error(values, share):
    found = quantile.estimate(Counter(map(quantile.bin_of, values)), share)
    exact = sorted(values)[max(1, int(np.ceil(len(values) * share))) - 1]
    assert found.value == pytest.approx(exact, rel=quantile.ERROR)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_the_interval_covers_as_often_as_it_says(share):
    random = np.random.default_rng(11)
    truth = np.exp(np.quantile(random.normal(size=2_000_000), share))
    covered = 0
    for _ in range(600):
        bins = Counter(map(quantile.bin_of, random.lognormal(size=600).tolist()))
        found = quantile.estimate(bins, share)
        covered += found.low <= truth <= found.high
    assert covered / 600 == pytest.approx(0.955, abs=0.025)


def test_the_standard_error_is_the_spread_of_many_estimates():
    random = np.random.default_rng(12)
    found = [
        quantile.estimate(Counter(map(quantile.bin_of, random.gamma(3, 2, 2_000).tolist())), 0.9)
        for _ in range(300)
    ]
    seen = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(seen, rel=0.12)
