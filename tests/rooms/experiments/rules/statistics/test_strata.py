import numpy as np
import pytest

from holdfast.rooms.experiments.rules.statistics import strata
from holdfast.rooms.experiments.rules.statistics.welch import Arms


@pytest.mark.parametrize(
    ("weekday", "hour", "name"),
    [(0, 0, "mon-night"), (0, 6, "mon-morning"), (4, 17, "fri-afternoon"), (6, 23, "sun-evening")],
)
def test_a_time_has_a_name(weekday, hour, name):
    assert strata.stratum(weekday, hour) == name


def test_arms_that_came_at_different_times_are_compared_at_the_same_times():
    """Weekend users buy more, and the treatment got more of them: the plain difference is all of that."""
    week, weekend = Arms(1, 1, 1, 1, 900, 500), Arms(5, 5, 1, 1, 100, 500)
    plain = (500 * 1 + 500 * 5) / 1000 - (900 * 1 + 100 * 5) / 1000
    found = strata.post_stratified([week, weekend], 2000)
    assert plain == pytest.approx(1.6)
    assert found.difference == 0
    assert found.plain == pytest.approx(plain)
    assert (found.strata, found.covered) == (2, 1.0)


def test_the_standard_error_is_that_of_many_runs():
    random = np.random.default_rng(15)
    seen, said = [], []
    for _ in range(400):
        arms = []
        for centre, n in ((0, 200), (8, 100)):
            a, b = random.normal(centre, 1, n), random.normal(centre, 1, n)
            arms.append(Arms(a.mean(), b.mean(), a.var(ddof=1), b.var(ddof=1), n, n))
        found = strata.post_stratified(arms, 600)
        seen.append(found.difference)
        said.append(found.standard_error)
    assert np.mean(said) == pytest.approx(np.std(seen), rel=0.1)


def test_without_strata_there_is_nothing():
    assert strata.post_stratified([], 10) is None
