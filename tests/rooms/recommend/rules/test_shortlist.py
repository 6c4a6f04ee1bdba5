"""Choosing the best few of many: the same as ordering them all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from holdfast.rooms.recommend.rules.shortlist import best_of, largest, top_candidates

finite = st.floats(-100, 100, width=32)


@given(arrays(np.float32, 30, elements=finite), arrays(np.bool_, 30), st.integers(1, 40))
def test_top_candidates_are_the_best_allowed(scores: np.ndarray, allowed: np.ndarray, count: int) -> None:
    found = top_candidates(scores, allowed, count)
    assert len(found) == min(count, int(allowed.sum()))
    assert allowed[found].all()
    left = np.setdiff1d(np.flatnonzero(allowed), found)
    if found.size and left.size:
        assert scores[found].min() >= scores[left].max()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 1.0])
@pytest.mark.parametrize("count", [1, 20, 200, 512, 30_000])
def test_of_a_large_catalogue_the_largest_are_found_however_few_are_above_zero(
    share: float, count: int
) -> None:
    rng = np.random.default_rng(5)
    values = np.where(rng.random(20_000) < share, rng.random(20_000), 0.0).astype(np.float32)
    found = largest(values, count)
    assert found.size == np.unique(found).size == min(count, np.count_nonzero(values))
    np.testing.assert_array_equal(np.sort(values[found]), np.sort(values)[values.size - found.size :])


def test_where_the_sample_misses_every_large_value_they_are_found_all_the_same() -> None:
    values = np.zeros(3_200, np.float32)
    values[1:33] = 1.0  # between two values of the sample, but for one
    assert sorted(largest(values, 30)) == sorted(set(largest(values, 30)))
    assert set(largest(values, 32)) == set(range(1, 33))


def test_the_best_of_some_places_are_allowed_ones_of_them() -> None:
    scores = np.asarray([9, 8, 7, 6, 5], np.float32)
    allowed = np.asarray([True, False, True, True, True])
    assert set(best_of(np.asarray([4, 1, 2]), scores, allowed, 1)) == {2}
    assert set(best_of(np.asarray([4, 1, 2]), scores, allowed, 9)) == {2, 4}
