"""Maximal marginal relevance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.recommend.rules.diversity import spread_out


def test_without_strength_the_order_is_that_of_relevance() -> None:
    order, penalties = spread_out(np.array([0.1, 0.9, 0.5]), np.ones((3, 3), np.float32), 2, 0.0)
    assert (order, penalties) == ([1, 2], [0.0, 0.0])


def test_a_twin_of_the_first_pick_waits() -> None:
    likeness = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], np.float32)
    order, penalties = spread_out(np.array([1.0, 0.9, 0.5]), likeness, 3, 0.6)
    assert order == [0, 2, 1]
    assert np.allclose(penalties, [0.0, 0.0, 0.6])


@given(st.integers(0, 12), st.integers(0, 15), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_picks_are_distinct_and_each_penalty_is_its_nearest_earlier_pick(
    size: int, count: int, strength: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    relevance = rng.random(size)
    half = rng.random((size, size), dtype=np.float32)
    likeness = (half + half.T) / 2
    order, penalties = spread_out(relevance, likeness, count, strength)
    assert len(order) == len(set(order)) == min(size, count)
    for place, (pick, penalty) in enumerate(zip(order, penalties, strict=True)):
        nearest = max((float(likeness[pick, other]) for other in order[:place]), default=0.0)
        assert np.isclose(penalty, strength * nearest if strength > 0 else 0.0, atol=1e-6)
