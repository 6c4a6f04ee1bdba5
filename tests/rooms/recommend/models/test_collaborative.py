"""Every collaborative model keeps the same promises, on ordinary data and on bad days."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.collaborative import Collaborative
from holdfast.rooms.recommend.models.ease import Ease
from holdfast.rooms.recommend.models.gfcf import Gfcf, Shape
from holdfast.rooms.recommend.models.popularity import Popularity
from tests.rooms.recommend.models.catalogue import matrix

FITS: dict[str, Callable[[Any], Collaborative]] = {
    "popularity": Popularity.fit,
    "ease": Ease.fit,
    "gfcf": Gfcf.fit,
    "gfcf, randomised": lambda log: Gfcf.fit(log, shape=Shape(rank=4)),
    "gfcf, tight": lambda log: Gfcf.fit(log, budget_bytes=4_000),
}
MODELS = {name: fit(matrix()) for name, fit in FITS.items()}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
each_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS.keys())


def as_row(history: np.ndarray, weights: np.ndarray, n_items: int) -> csr_matrix:
    return csr_matrix((weights, (np.zeros(history.size, dtype=int), history)), shape=(1, n_items))


histories = st.lists(st.tuples(st.integers(0, 59), st.floats(-2, 2, width=32)), max_size=40)


@each_model
@settings(max_examples=60, deadline=None)
@given(events=histories)
def test_parts_of_an_explanation_sum_to_the_score(model: Collaborative, events: list[tuple[int, float]]):
    history = np.asarray([item for item, _ in events], dtype=np.int64)
    weights = np.asarray([weight for _, weight in events], dtype=np.float32)
    scores = model.score(history, weights)
    assert scores.shape == (60,)
    assert scores.dtype == np.float32
    scale = max(float(np.abs(scores).max()), float(np.abs(weights).sum()) * 1e-3, 1e-6)
    for item in (0, 17, int(scores.argmax())):
        parts = model.explain(history, weights, item)
        assert parts.shape == history.shape
        assert abs(float(parts.sum(dtype=np.float64)) - float(scores[item])) <= 1e-5 * scale


@each_model
def test_the_best_score_is_explained_to_a_relative_1e_5(model: Collaborative):
    history = np.asarray([3, 9, 21, 3], dtype=np.int64)
    weights = np.asarray([1, 0.5, 0.25, 1], dtype=np.float32)
    scores = model.score(history, weights)
    best = int(scores.argmax())
    assert float(model.explain(history, weights, best).sum()) == pytest.approx(float(scores[best]), rel=1e-5)


@each_model
def test_an_empty_history_scores_zero_and_has_no_parts(model: Collaborative):
    nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    assert not model.score(*nothing).any()
    assert model.explain(*nothing, 5).size == 0


@each_model
def test_many_histories_score_as_each_alone(model: Collaborative):
    log = matrix()
    together = model.score_many(log[:7])
    for user in range(7):
        alone = model.score(log[user].indices.astype(np.int64), log[user].data)
        np.testing.assert_allclose(together[user], alone, rtol=1e-4, atol=1e-6)


@each_model
def test_a_history_of_ten_thousand_events_scores_as_its_sums(model: Collaborative):
    draw = np.random.default_rng(0)
    history = draw.integers(0, 60, 10_000)
    weights = draw.random(10_000).astype(np.float32)
    summed = np.bincount(history, weights, minlength=60).astype(np.float32)
    if not isinstance(model, Popularity):
        np.testing.assert_allclose(
            model.score(history, weights), model.score(np.arange(60), summed), rtol=1e-4, atol=1e-3
        )
    assert model.explain(history, weights, 4).size == 10_000


@each_model
def test_likeness_leaves_the_item_itself_out(model: Collaborative):
    found = model.similar(8)
    assert found.shape == (60,)
    assert found[8] == 0.0
    assert found.any()


@pytest.mark.parametrize("name", ["ease", "gfcf", "gfcf, randomised", "gfcf, tight"])
def test_a_taste_is_recognised_from_two_events(name: str):
    scores = MODELS[name].score(np.asarray([1, 4]), np.ones(2, dtype=np.float32))
    scores[[1, 4]] = -np.inf
    top = np.argsort(-scores)[:10]
    assert (top % 3 == 1).mean() >= 0.8


@each_model
def test_taken_apart_and_put_together_it_scores_the_same(model: Collaborative):
    again = type(model).from_arrays(model.arrays())
    history, weights = np.asarray([0, 5]), np.ones(2, dtype=np.float32)
    np.testing.assert_array_equal(again.score(history, weights), model.score(history, weights))
    np.testing.assert_array_equal(again.explain(history, weights, 9), model.explain(history, weights, 9))
    assert again.n_items == model.n_items


@each_model
@pytest.mark.parametrize(
    ("history", "weights"),
    [([60], [1.0]), ([-1], [1.0]), ([1, 2], [1.0]), ([1], [float("nan")]), ([1], [float("inf")])],
    ids=["unknown item", "negative item", "lengths differ", "nan", "infinite"],
)
def test_a_bad_history_is_refused_with_a_hint(model: Collaborative, history: list[int], weights: list[float]):
    with pytest.raises(BadInput) as refused:
        model.score(np.asarray(history), np.asarray(weights, dtype=np.float32))
    assert refused.value.hint


@each_model
def test_an_unknown_item_is_refused(model: Collaborative):
    with pytest.raises(BadInput):
        model.similar(60)
    with pytest.raises(BadInput):
        model.explain(np.asarray([1]), np.ones(1, dtype=np.float32), -1)


@each_fit
@pytest.mark.parametrize(
    "log",
    [
        csr_matrix((0, 0)),
        csr_matrix((5, 0)),
        csr_matrix((0, 4)),
        csr_matrix((5, 4)),
        csr_matrix(np.ones((1, 4))),
        csr_matrix(np.ones((4, 1))),
        csr_matrix(np.ones((1, 1))),
        csr_matrix(np.ones((30, 6))),
        csr_matrix(np.eye(5)),
    ],
    ids=[
        "nothing",
        "no items",
        "no users",
        "no events",
        "one user",
        "one item",
        "one cell",
        "equal",
        "apart",
    ],
)
def test_degenerate_logs_give_finite_scores(fit: Callable[[Any], Collaborative], log: csr_matrix):
    model = fit(log)
    assert model.n_items == log.shape[1]
    history = np.arange(min(2, log.shape[1]))
    scores = model.score(history, np.ones(history.size, dtype=np.float32))
    assert scores.shape == (log.shape[1],)
    assert np.isfinite(scores).all()


@each_fit
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_weights_that_are_no_weights_are_refused(fit: Callable[[Any], Collaborative], bad: float):
    with pytest.raises(BadInput):
        fit(csr_matrix(np.asarray([[1.0, bad], [1.0, 1.0]])))


@each_fit
def test_fitting_twice_gives_the_same_model(fit: Callable[[Any], Collaborative]):
    first, second = fit(matrix()).arrays(), fit(matrix()).arrays()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
