import numpy as np
import pytest

from holdfast.kernel.errors import TooLarge
from holdfast.rooms.recommend.models.ease import Ease
from tests.rooms.recommend.models.catalogue import matrix


def test_the_weights_are_those_of_the_paper():
    log = matrix().toarray().astype(np.float64)
    inverse = np.linalg.inv(log.T @ log + 50.0 * np.eye(log.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(Ease.fit(matrix(), ridge=50.0).arrays()["pull"], expected, atol=1e-6)


def test_too_large_a_catalogue_is_refused_before_any_memory_is_taken():
    with pytest.raises(TooLarge) as refused:
        Ease.fit(matrix(), max_items=59)
    assert "gfcf" in refused.value.hint
