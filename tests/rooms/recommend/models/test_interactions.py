import numpy as np
import pytest
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.interactions import checked, gather


def test_a_pair_that_happened_often_is_one_cell_with_its_latest_time_and_largest_weight():
    found = gather([1, 0, 1, 1], [2, 0, 2, 1], [5.0, 1.0, 9.0, 2.0], [1.0, 1.0, 0.5, 2.0], shape=(2, 3))
    assert found.matrix.toarray().tolist() == [[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]
    assert found.stamps.tolist() == [1.0, 2.0, 9.0]
    assert found.matrix.dtype == np.float32


def test_the_order_of_events_does_not_matter():
    draw = np.random.default_rng(2)
    columns = [draw.integers(0, 9, 200), draw.integers(0, 7, 200), draw.random(200), draw.random(200)]
    first = gather(*columns, shape=(9, 7))
    order = draw.permutation(200)
    second = gather(*(column[order] for column in columns), shape=(9, 7))
    assert (first.matrix != second.matrix).nnz == 0
    np.testing.assert_array_equal(first.stamps, second.stamps)


def test_no_events_are_a_matrix_without_cells():
    found = gather([], [], shape=(3, 4))
    assert found.matrix.shape == (3, 4)
    assert found.matrix.nnz == found.stamps.size == 0


@pytest.mark.parametrize(
    "columns",
    [
        ([0, 1], [0], None, None),
        ([3], [0], None, None),
        ([0], [4], None, None),
        ([-1], [0], None, None),
        ([0], [0], [float("nan")], None),
        ([0], [0], None, [float("inf")]),
    ],
    ids=["lengths", "user", "item", "negative", "time", "weight"],
)
def test_bad_events_are_refused(columns: tuple):
    with pytest.raises(BadInput):
        gather(*columns, shape=(3, 4))


def test_cells_that_weigh_nothing_are_dropped_and_the_callers_matrix_is_left_alone():
    given = csr_matrix(([1.0, 0.0, 2.0], ([0, 0, 1], [0, 1, 1])), shape=(2, 2))
    assert checked(given).nnz == 2
    assert given.nnz == 3
