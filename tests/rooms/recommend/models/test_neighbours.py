import numpy as np
import pytest
from scipy.sparse import random as random_sparse

from holdfast.rooms.recommend.models import neighbours
from holdfast.rooms.recommend.models.neighbours import neighbour_weights

LOG = random_sparse(80, 50, density=0.2, random_state=np.random.default_rng(9)).tocsr().astype(np.float32)
ENTER = np.linspace(1, 2, 50, dtype=np.float32)
LEAVE = np.linspace(3, 1, 50, dtype=np.float32)


def exact() -> np.ndarray:
    dense = LOG.toarray()
    weights = ENTER[:, None] * (dense.T @ dense) * LEAVE
    np.fill_diagonal(weights, 0.0)
    return weights


@pytest.mark.parametrize("block", [7, 50, 4_096])
def test_with_room_enough_nothing_is_cut(monkeypatch: pytest.MonkeyPatch, block: int):
    monkeypatch.setattr(neighbours, "BLOCK_ITEMS", block)
    found = neighbour_weights(LOG, ENTER, LEAVE, 1 << 20)
    np.testing.assert_allclose(found.toarray(), exact(), rtol=1e-5)


@pytest.mark.parametrize("block", [7, 4_096])
def test_within_a_budget_each_row_keeps_its_largest_weights(monkeypatch: pytest.MonkeyPatch, block: int):
    monkeypatch.setattr(neighbours, "BLOCK_ITEMS", block)
    found = neighbour_weights(LOG, ENTER, LEAVE, 8 * 50 * 10).toarray()
    assert np.count_nonzero(found) <= 500
    for row, wanted in zip(found, exact(), strict=True):
        kept = np.flatnonzero(row)
        left_out = np.setdiff1d(np.arange(50), kept)
        np.testing.assert_allclose(row[kept], wanted[kept], rtol=1e-5)
        assert wanted[kept].min() >= wanted[left_out].max() * (1 - 1e-6)
