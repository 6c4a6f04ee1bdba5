import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.telemetry.rules import histogram as h

in_range = st.floats(h.SMALLEST, h.LARGEST, exclude_min=True)
durations = st.floats(1e-6, 1e4)
values = st.lists(st.one_of(durations, st.floats(0, 1e12), st.just(0.0)), max_size=200)


def counted(numbers: list[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for number in numbers:
        h.merge(counts, {h.index_of(number): 1})
    return counts


@given(in_range)
def test_a_bucket_holds_its_value_and_stands_for_it_within_the_promised_error(value: float) -> None:
    index = h.index_of(value)
    lower, upper = h.edges(index)
    assert lower < value <= upper
    assert h.LOWEST < index <= h.HIGHEST
    assert abs(h.estimate(index) - value) <= h.RELATIVE_ERROR * value
    assert h.RELATIVE_ERROR <= 0.032


@given(st.floats(0, 2.0**70), st.floats(0, 2.0**70))
def test_the_index_grows_with_the_value(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert h.index_of(small) <= h.index_of(large)


def test_buckets_follow_each_other_without_gap() -> None:
    for index in range(h.LOWEST + 1, h.HIGHEST + 1):
        assert h.edges(index)[0] == (h.edges(index - 1)[1])
        assert h.index_of(h.edges(index)[1]) == index


@pytest.mark.parametrize(
    ("value", "index"),
    [(0.0, h.LOWEST), (-3.0, h.LOWEST), (-math.inf, h.LOWEST), (h.SMALLEST, h.LOWEST), (math.inf, h.HIGHEST)],
)
def test_what_lies_outside_goes_to_the_ends(value: float, index: int) -> None:
    assert h.index_of(value) == index


def test_nan_has_no_bucket() -> None:
    with pytest.raises(ValueError, match="NaN"):
        h.index_of(math.nan)


@given(values.filter(len), st.floats(0, 1))
def test_a_quantile_is_the_nearest_rank_within_the_error(numbers: list[float], share: float) -> None:
    exact = sorted(numbers)[max(1, math.ceil(share * len(numbers))) - 1]
    assert h.quantile(counted(numbers), share) == pytest.approx(exact, rel=h.RELATIVE_ERROR, abs=h.SMALLEST)


@given(values.filter(len), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow_with_their_share(numbers: list[float], one: float, other: float) -> None:
    counts = counted(numbers)
    assert h.quantile(counts, min(one, other)) <= h.quantile(counts, max(one, other))


def test_the_quantile_of_nothing_is_nan_and_a_share_beyond_one_is_refused() -> None:
    assert math.isnan(h.quantile({}, 0.5))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        h.quantile({h.index_of(1): 1}, 1.5)


@given(values, values)
def test_a_merge_is_the_histogram_of_both(one: list[float], other: list[float]) -> None:
    merged = counted(one)
    h.merge(merged, counted(other))
    assert merged == counted(one + other)


@given(values, st.sampled_from([h.SECONDS, h.BYTES, h.RATIOS, h.NUMBERS]))
def test_classic_buckets_are_cumulative_and_close_to_the_truth(
    numbers: list[float], bounds: tuple[float, ...]
) -> None:
    found = h.cumulative(counted(numbers), bounds)
    assert found == sorted(found)
    assert found[-1] == len(numbers)
    for bound, count in zip(bounds, found, strict=False):
        surely = sum(number <= bound * (1 - 2 * h.RELATIVE_ERROR) for number in numbers)
        perhaps = sum(number <= bound * (1 + 2 * h.RELATIVE_ERROR) for number in numbers)
        assert surely <= count <= perhaps


@pytest.mark.parametrize(
    "bounds", [h.BYTES, tuple(float(number) for number in range(1, 33)), (0.25, 0.5, 1.0, 2.5, 5.0)]
)
def test_classic_buckets_are_exact_where_a_bound_is_an_edge(bounds: tuple[float, ...]) -> None:
    draw = random.Random(7)
    numbers = [*bounds, *(draw.uniform(0, 40) for _ in range(500))]
    exact = [sum(number <= bound for number in numbers) for bound in (*bounds, math.inf)]
    assert h.cumulative(counted(numbers), bounds) == exact


def test_bounds_are_frozen_by_unit() -> None:
    assert h.bounds_for("seconds") == (
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1.0,
        2.5,
        5.0,
        10.0,
        30.0,
        60.0,
    )
    assert h.bounds_for("bytes")[0] == 256
    assert h.bounds_for("bytes")[-1] == 2**30
    assert h.bounds_for("ratio")[-1] == 1.0
    assert h.bounds_for("tokens") == h.bounds_for("") == h.NUMBERS
