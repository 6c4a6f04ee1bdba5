"""One scale for every source, and weights that follow the evidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from holdfast.rooms.recommend.rules.blend import (
    INDIFFERENT,
    SOURCES,
    scale_over,
    weights_asked,
    weights_by_evidence,
)
from holdfast.rooms.recommend.rules.problems import BadWeights

PRIORS = {"content": 0.5, "persona": 0.35, "popularity": 0.15}
ALL = dict.fromkeys(SOURCES, True)
finite = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float32, st.integers(1, 50), elements=finite))
def test_a_scale_takes_the_smallest_to_zero_and_the_largest_to_one(raw: np.ndarray) -> None:
    scale = scale_over(raw)
    scaled = scale.of(raw.astype(np.float64))
    if scale is INDIFFERENT:
        assert np.allclose(scaled, 0.5)
    else:
        assert scaled.min() == pytest.approx(0.0, abs=1e-6)
        assert scaled.max() == pytest.approx(1.0, abs=1e-6)
        assert (np.diff(scaled[np.argsort(raw)]) >= 0).all()


@pytest.mark.parametrize("raw", [[], [3.0], [2.0, 2.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_a_source_that_cannot_tell_items_apart_says_one_half(raw: list[float]) -> None:
    assert scale_over(np.asarray(raw, np.float32)) == INDIFFERENT


def test_collaborative_gets_n_over_n_plus_k_when_everything_is_there() -> None:
    for events in (0, 1, 5, 45):
        found = weights_by_evidence(events, 5.0, PRIORS, ALL)
        assert found["collaborative"] == pytest.approx(events / (events + 5))
        assert found["content"] == pytest.approx((1 - events / (events + 5)) * 0.5)


@given(
    st.integers(0, 100_000),
    st.floats(0.1, 1000),
    st.fixed_dictionaries({name: st.booleans() for name in SOURCES}),
)
def test_weights_sum_to_one_and_absent_sources_get_none(
    events: int, k: float, present: dict[str, bool]
) -> None:
    found = weights_by_evidence(events, k, PRIORS, present | {"popularity": True})
    assert sum(found.values()) == pytest.approx(1.0)
    assert min(found.values()) >= 0
    assert not any(found[name] for name in SOURCES if name != "popularity" and not present[name])


def test_popularity_gains_nothing_by_what_is_missing() -> None:
    everything = weights_by_evidence(1, 5.0, PRIORS, ALL)
    bare = weights_by_evidence(1, 5.0, PRIORS, {"collaborative": True, "popularity": True})
    assert bare["popularity"] == pytest.approx(everything["popularity"])
    nothing = weights_by_evidence(0, 5.0, PRIORS, {"popularity": True})
    assert nothing["popularity"] == 1.0


def test_asked_weights_are_made_to_sum_to_one() -> None:
    assert weights_asked({"content": 2, "persona": 6}) == {
        "collaborative": 0.0,
        "content": 0.25,
        "persona": 0.75,
        "popularity": 0.0,
    }


@pytest.mark.parametrize(
    "asked", [{}, {"content": 0}, {"content": -1, "persona": 2}, {"luck": 1}, {"content": float("nan")}]
)
def test_weights_that_cannot_be_used_are_refused(asked: dict[str, float]) -> None:
    with pytest.raises(BadWeights) as refused:
        weights_asked(asked)
    assert refused.value.status == 422
    assert refused.value.hint
