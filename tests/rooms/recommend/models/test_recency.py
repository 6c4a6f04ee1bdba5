import numpy as np
import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.interactions import gather
from holdfast.rooms.recommend.models.recency import faded, fading


def test_the_newest_event_weighs_one_and_each_half_life_halves():
    assert fading([30.0, 10.0, 20.0], 1.0).tolist() == [1.0, 0.25, 0.5]


def test_of_equal_stamps_the_later_in_line_is_newer():
    assert fading([5.0, 5.0], 1.0).tolist() == [0.5, 1.0]


def test_an_infinite_half_life_weighs_all_alike():
    assert fading([3.0, 1.0, 2.0], float("inf")).tolist() == [1.0, 1.0, 1.0]


def test_ten_thousand_events_never_fade_to_nothing():
    weights = fading(np.arange(10_000), 10.0)
    assert weights.min() > 0
    assert np.isfinite(weights).all()


def test_no_events_have_no_weights():
    assert fading([], 10.0).size == 0


def test_a_log_fades_within_each_user():
    log = gather([0, 0, 1, 1, 1], [0, 2, 0, 1, 2], [2.0, 1.0, 1.0, 3.0, 2.0], shape=(3, 3))
    assert faded(log.matrix, log.stamps, 1.0).toarray().tolist() == [
        [1.0, 0.0, 0.5],
        [0.25, 1.0, 0.5],
        [0.0, 0.0, 0.0],
    ]


@pytest.mark.parametrize("half_life", [0.0, -1.0, float("nan")])
def test_a_half_life_that_is_none_is_refused(half_life: float):
    with pytest.raises(BadInput):
        fading([1.0], half_life)
