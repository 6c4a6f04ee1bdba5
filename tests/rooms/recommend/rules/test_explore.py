"""Exploration draws with probabilities that are what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.recommend.rules.explore import Urn, draw, slots_of

weights = st.lists(st.floats(0, 100), min_size=1, max_size=40)


@given(weights)
def test_the_probabilities_of_all_draws_sum_to_one(given_weights: list[float]) -> None:
    values = np.asarray(given_weights)
    reached = {found for u in np.linspace(0, 0.999999, 4_000) if (found := draw(values, float(u)))}
    if values.sum() <= 0:
        assert not reached
    else:
        total = sum(values[place] / values.sum() for place in range(values.size))
        assert total == pytest.approx(1.0)
        assert all(chance == pytest.approx(values[place] / values.sum()) for place, chance in reached)


@given(weights, st.floats(0, 1, exclude_max=True))
def test_what_weighs_nothing_is_never_drawn(given_weights: list[float], u: float) -> None:
    found = draw(np.asarray(given_weights), u)
    assert found is None or given_weights[found[0]] > 0


def test_the_share_of_draws_is_the_recorded_probability() -> None:
    values = np.array([1.0, 0.0, 3.0])
    drawn = [draw(values, u) for u in np.linspace(0, 1, 1_000, endpoint=False)]
    assert sum(found == (0, 0.25) for found in drawn) == 250
    assert sum(found == (2, 0.75) for found in drawn) == 750


@given(weights, st.sets(st.integers(0, 39)), st.floats(0, 1, exclude_max=True))
def test_an_urn_draws_as_if_what_is_taken_weighed_nothing(
    given_weights: list[float], out: set[int], u: float
) -> None:
    values = np.asarray(given_weights)
    taken = np.asarray(sorted(place for place in out if place < values.size and values[place] > 0), np.int64)
    left = values.copy()
    left[taken] = 0.0
    found = Urn(values).draw(u, taken)
    if left.sum() <= 0:
        assert found is None
    else:
        assert found is not None
        place, chance = found
        assert left[place] > 0
        assert chance == pytest.approx(left[place] / left.sum(), rel=1e-6)
        # The same entry, but where u falls on the border of two.
        reached = np.cumsum(left) / left.sum()
        assert reached[place] + 1e-6 >= u >= reached[place] - chance - 1e-6


def test_an_urn_gives_nothing_twice_and_ends_when_it_is_empty() -> None:
    urn, taken = Urn(np.asarray([1.0, 2.0, 0.0, 1.0])), np.asarray([3])
    assert urn.draw_many((0.5, 0.5, 0.5), taken) == ((1, pytest.approx(2 / 3)), (0, 1.0))
    assert Urn(np.zeros(0)).draw_many((0.5,), taken[:0]) == ()


@pytest.mark.parametrize(
    ("limit", "slots", "u", "expected"),
    [
        (10, 1, 0.9, (1, 1.0)),
        (10, 3, 0.9, (3, 1.0)),
        (2, 5, 0.9, (1, 1.0)),
        (1, 1, 0.05, (1, 0.1)),
        (1, 1, 0.5, (0, 0.9)),
        (5, 0, 0.0, (0, 1.0)),
        (0, 1, 0.0, (0, 1.0)),
    ],
)
def test_a_list_always_has_a_slot_and_a_single_place_sometimes(
    limit: int, slots: int, u: float, expected: tuple[int, float]
) -> None:
    assert slots_of(limit, slots, 0.1, u) == pytest.approx(expected)
