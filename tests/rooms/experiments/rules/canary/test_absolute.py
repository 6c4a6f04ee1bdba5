"""One arm against the limit: exact means, the cap, and coming down again."""

import math

import pytest

from holdfast.rooms.experiments.rules.canary import absolute
from holdfast.rooms.experiments.rules.canary.counts import Counts


@pytest.mark.parametrize("rate", [0.01, 0.007, 0.0])
@pytest.mark.parametrize("n", [1, 10, 60])
def test_the_mean_is_at_most_one_up_to_the_limit(n, rate):
    start = (0.0,) * len(absolute.MULTIPLES)
    for index in range(len(absolute.MULTIPLES)):
        mean = 0.0
        for bad in range(n + 1):
            chance = math.comb(n, bad) * rate**bad * (1 - rate) ** (n - bad)
            mean += chance * math.exp(absolute.moved(start, Counts(n, bad), 0.0, 0.01, 1e9)[index])
        assert mean <= 1.0 + 1e-9


def test_weights_and_budget_are_distributions():
    assert math.fsum(absolute.WEIGHTS) == pytest.approx(1.0)
    assert absolute.FROM_START + absolute.fresh(0.0, 1e15, 3600.0) == pytest.approx(1.0)


def test_how_long_it_was_ill_does_not_delay_how_soon_it_is_well():
    def minutes_to_be_well(ill):
        logs = absolute.START
        for _ in range(ill):
            logs = absolute.moved(logs, Counts(6000, 240), 1e-6, 0.01, 10.0)
        for minute in range(1000):
            if absolute.log_mixture(logs) <= 0.0:
                return minute
            logs = absolute.moved(logs, Counts(60, 0), 1e-6, 0.01, 10.0)
        return None

    assert minutes_to_be_well(1000) == minutes_to_be_well(10) < 60


@pytest.mark.parametrize("limit", [1e-6, 0.01, 0.5, 0.999])
def test_it_is_finite_at_a_billion_and_at_any_limit(limit):
    for bad in (0, 1, 10**9):
        logs = absolute.moved(absolute.START, Counts(10**9, bad), 1e-9, limit, 10.0)
        assert all(map(math.isfinite, logs))
        assert max(logs) <= 10.0
        assert math.isfinite(absolute.log_mixture(logs))


def test_every_alternative_is_above_the_limit_however_high_that_is():
    for limit in (0.01, 0.3, 0.9):
        logs = absolute.moved(absolute.START, Counts(100, 100), 0.0, limit, 1e9)
        assert all(log > start for log, start in zip(logs, absolute.START, strict=True))
