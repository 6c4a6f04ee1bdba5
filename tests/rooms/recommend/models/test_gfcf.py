import numpy as np
import pytest

from holdfast.rooms.recommend.models.gfcf import Gfcf, Shape
from tests.rooms.recommend.models.catalogue import matrix

PAPER = Shape(user=0.5, enter=0.5, leave=0.5, basis=0.5, rank=20, alpha=0.3)


def test_with_the_papers_exponents_the_neighbours_are_the_papers():
    log = matrix().toarray().astype(np.float64)
    normal = log / np.sqrt(log.sum(1, keepdims=True)) / np.sqrt(log.sum(0))
    expected = normal.T @ normal
    np.fill_diagonal(expected, 0.0)
    found = Gfcf.fit(matrix(), shape=Shape(**{**_fields(PAPER), "alpha": 0.0}))
    scores = np.stack([found.score(np.asarray([item]), np.ones(1, dtype=np.float32)) for item in range(60)])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_the_spectral_part_is_the_papers_projection_up_to_its_scale():
    log = matrix().toarray().astype(np.float64)
    degree = np.sqrt(log.sum(0))
    normal = log / np.sqrt(log.sum(1, keepdims=True)) / degree
    vectors = np.linalg.eigh(normal.T @ normal)[1][:, -20:]
    projection = (vectors @ vectors.T) * degree / degree[:, None]
    one = np.ones(1, dtype=np.float32)
    both = Gfcf.fit(matrix(), shape=PAPER).score(np.asarray([7]), one)
    near = Gfcf.fit(matrix(), shape=Shape(**{**_fields(PAPER), "alpha": 0.0})).score(np.asarray([7]), one)
    ratio = (both - near) / projection[7]
    assert ratio.min() > 0
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=2e-3)


@pytest.mark.parametrize("budget", [1_000, 4_000, 8_000])
def test_the_neighbours_stay_within_their_bytes(budget: int):
    arrays = Gfcf.fit(matrix(), budget_bytes=budget).arrays()
    entries = arrays["near_data"].size
    assert entries * 8 <= max(budget, 60 * 8)
    assert entries > 0


def _fields(shape: Shape) -> dict[str, float]:
    return {name: getattr(shape, name) for name in shape.__struct_fields__}
