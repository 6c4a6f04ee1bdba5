"""The question that is asked of what is kept: how strict each hour's check of the sample ratio is."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.ab.lives import Life, Phase, Stored
from holdfast.rooms.experiments.rules.ab.question import ratio_limit
from holdfast.rooms.experiments.rules.experiments import Experiment
from holdfast.rooms.experiments.rules.statistics.srm import LIMIT

RUNNING = Stored(Experiment("buttons"), "running", 1, 1, Life(phases=(Phase(1, 5_000_000, ()),)))


def test_all_hourly_checks_together_spend_no_more_than_one_would():
    spent = [ratio_limit(RUNNING, 5_000 + hour * 3600.0) for hour in range(24 * 365)]
    assert spent == sorted(spent, reverse=True)
    assert LIMIT * 0.999 < sum(spent) < LIMIT


@given(st.floats(0, 3599.9))
def test_whoever_checks_within_an_hour_checks_as_strictly(within_s):
    assert ratio_limit(RUNNING, 5_000 + 7200 + within_s) == LIMIT / 12


@given(st.floats(-1e6, 0))
def test_a_clock_that_is_behind_is_in_the_first_hour(behind_s):
    assert ratio_limit(RUNNING, 5_000 + behind_s) == LIMIT / 2
