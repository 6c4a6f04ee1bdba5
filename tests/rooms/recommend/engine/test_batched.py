"""Many at once is the same as one after the other."""

import numpy as np
import pytest
from scipy.sparse import random_array

from holdfast.rooms.recommend.engine.batched import explain_content, explain_model, likeness
from holdfast.rooms.recommend.models.collaborative import Collaborative
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.ease import Ease
from holdfast.rooms.recommend.models.gfcf import Gfcf
from holdfast.rooms.recommend.models.popularity import Popularity

HISTORY = np.array([3, 8, 8, 21])
WEIGHTS = np.array([1.0, 0.5, 2.0, 4.0], np.float32)
ITEMS = np.array([0, 8, 29, 30, 44])
"""The last two came after the model."""


@pytest.mark.parametrize("kind", [Ease, Gfcf, Popularity])
def test_explaining_many_is_explaining_each(kind: type[Ease] | type[Gfcf] | type[Popularity]) -> None:
    log = random_array((60, 30), density=0.2, format="csr", rng=np.random.default_rng(5), dtype=np.float32)
    model: Collaborative = kind.fit(log)
    found = explain_model(model, HISTORY, WEIGHTS, ITEMS)
    for row, item in zip(found, ITEMS.tolist(), strict=True):
        expected = model.explain(HISTORY, WEIGHTS, item) if item < 30 else np.zeros(4)
        assert np.allclose(row, expected, atol=1e-6)
    assert explain_model(model, HISTORY[:0], WEIGHTS[:0], ITEMS).shape == (5, 0)


def content() -> ContentIndex:
    words = ["red tent", "캠핑 텐트", "blue lamp", "", "커피 원두", "tent pole"]
    texts = [f"{words[n % 6]} {n % 4 or ''}" if words[n % 6] else "" for n in range(25)]
    index = ContentIndex.fit(texts, [[f"t{n % 3}"] if n % 6 != 3 else [] for n in range(25)])
    return index.with_items(["new red tent"] * 5, [["t1"]] * 5)


def test_explaining_content_is_explaining_each() -> None:
    index = content()
    found = explain_content(index, HISTORY, WEIGHTS, ITEMS)
    for row, item in zip(found, ITEMS.tolist(), strict=True):
        expected = index.explain(HISTORY, WEIGHTS, item) if item < index.n_items else np.zeros(4)
        assert np.allclose(row, expected, atol=1e-6)
    assert found.any()
    assert not explain_content(ContentIndex.fit([""] * 30, [[]] * 30), HISTORY, WEIGHTS, ITEMS).any()


def test_likeness_is_the_cosine_and_nothing_for_items_without_text() -> None:
    index, items = content(), np.array([0, 6, 3, 25, 26, 99])
    found = likeness(index, items)
    assert np.allclose(found, found.T)
    assert found[0, 1] == pytest.approx(float(index.similar(0)[6]), abs=1e-5)
    assert found[3, 4] == pytest.approx(1.0, abs=1e-5)
    assert not found[2].any()
    assert not found[5].any()
