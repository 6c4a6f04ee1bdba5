import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_sparse

from holdfast.rooms.recommend.models.sparse import (
    chosen_rows,
    entries,
    entries_many,
    products,
    put_together,
    rows_of,
    take_apart,
    weighted_rows,
)

GRID = random_sparse(40, 25, density=0.3, random_state=np.random.default_rng(4)).tocsr().astype(np.float32)
GRID.sort_indices()


def test_rows_sum_where_they_stand():
    rows = np.asarray([3, 3, 39, 0, 17])
    weights = np.asarray([1.0, 2.0, -1.0, 0.5, 4.0], dtype=np.float32)
    np.testing.assert_allclose(weighted_rows(GRID, rows, weights), weights @ GRID.toarray()[rows], rtol=1e-5)
    assert not weighted_rows(GRID, rows[:0], weights[:0]).any()


@pytest.mark.parametrize("seed", range(5))
def test_rows_sum_whatever_stands_between_them(seed: int):
    """Neighbouring rows, empty rows, every row: what one call of the kernel passes over must add nothing."""
    rng = np.random.default_rng(seed)
    gaps = GRID.multiply(rng.random((40, 1)) < 0.5).tocsr()
    for rows in (np.arange(40), np.arange(39, -1, -1), rng.integers(0, 40, 60), np.asarray([39])):
        weights = rng.standard_normal(rows.size).astype(np.float32)
        found = weighted_rows(gaps, rows, weights)
        np.testing.assert_allclose(found, weights @ gaps.toarray()[rows], rtol=1e-4, atol=1e-5)


def test_chosen_rows_are_copied_in_their_order():
    chosen = np.asarray([7, 0, 7, 39])
    rows = chosen_rows(rows_of(GRID), chosen)
    again = csr_matrix((rows.values, rows.columns, rows.bounds), shape=(4, 25))
    np.testing.assert_array_equal(again.toarray(), GRID.toarray()[chosen])
    assert chosen_rows(rows_of(GRID), chosen[:0]).size == 0


def test_products_of_rows_are_those_of_the_whole_matrix():
    left, right = np.asarray([1, 2, 3, 30]), np.asarray([3, 9])
    dense, rows = GRID.toarray(), rows_of(GRID)
    found = products(chosen_rows(rows, left), chosen_rows(rows, right))
    np.testing.assert_allclose(found, dense[left] @ dense[right].T, rtol=1e-5)
    both = chosen_rows(rows, left)
    np.testing.assert_allclose(products(both, both), dense[left] @ dense[left].T, rtol=1e-5)
    nothing = rows_of(csr_matrix((2, 25), dtype=np.float32))
    assert not products(both, nothing).any()
    assert not products(nothing, both).any()


def test_entries_are_looked_up_where_there_are_none_too():
    rows = np.arange(40)
    np.testing.assert_array_equal(entries(GRID, rows, 7), GRID.toarray()[:, 7])
    assert entries(GRID, rows[:0], 7).size == 0
    columns = np.asarray([24, 0, 7])
    np.testing.assert_array_equal(entries_many(GRID, rows, columns), GRID.toarray()[:, columns].T)


def test_taken_apart_and_put_together_it_is_the_same():
    again = put_together("grid", take_apart("grid", GRID))
    assert again.shape == GRID.shape
    assert (again != GRID).nnz == 0
