"""The sparse products every model is made of, and the way a sparse matrix is taken apart."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse._sparsetools import csc_matvec, csr_matvecs, csr_row_index

from holdfast.rooms.recommend.models.collaborative import Arrays, FloatArray, IntArray


def weighted_rows(matrix: csr_matrix, rows: IntArray, weights: FloatArray) -> FloatArray:
    """Sum of `weights[e] * matrix[rows[e], :]`, dense, in time proportional to the entries of those rows.

    A row of a CSR matrix is a column of its transpose, so SciPy's kernel for columns adds it in place.
    `matrix[rows].T @ weights` says the same and first copies every entry: three times the time.
    """
    total = np.zeros(matrix.shape[1], dtype=np.float32)
    if rows.size == 0:
        return total
    indptr, indices, data = rows_of(matrix)
    # The kernel takes columns that lie side by side. From the last row to the first, what lies between two
    # of ours runs backwards, and the kernel's loop over it is empty: one call adds any choice of rows.
    order = np.argsort(-rows)
    ends = np.empty(2 * rows.size, dtype=indptr.dtype)
    ends[0::2], ends[1::2] = indptr[rows[order]], indptr[rows[order] + 1]
    strengths = np.zeros(2 * rows.size - 1, dtype=np.float32)
    strengths[0::2] = weights[order]
    csc_matvec(total.size, strengths.size, ends, indices, data, strengths, total)
    return total


class Rows(NamedTuple):
    """A handful of sparse rows: those of a CSR matrix, without what SciPy checks and converts around it."""

    bounds: NDArray[Any]
    """Row e is columns[bounds[e]:bounds[e + 1]]."""
    columns: NDArray[Any]
    values: FloatArray

    @property
    def size(self) -> int:
        return int(self.bounds.size) - 1

    def numbers(self) -> NDArray[np.int64]:
        """Of each entry, which row it stands in."""
        return np.repeat(np.arange(self.size), np.diff(self.bounds))


def rows_of(matrix: csr_matrix) -> Rows:
    """All rows, shared, as plain arrays: every look into a memory map makes another memory map."""
    return Rows(np.asarray(matrix.indptr), np.asarray(matrix.indices), np.asarray(matrix.data))


def chosen_rows(rows: Rows, chosen: IntArray) -> Rows:
    """Copies of the rows `chosen`, in that order; `matrix[chosen]` says it in five times the time."""
    bounds = np.zeros(chosen.size + 1, dtype=rows.bounds.dtype)
    np.cumsum(rows.bounds[chosen + 1] - rows.bounds[chosen], out=bounds[1:])
    columns = np.empty(bounds[-1], dtype=rows.columns.dtype)
    values = np.empty(bounds[-1], dtype=rows.values.dtype)
    csr_row_index(chosen.size, chosen.astype(rows.bounds.dtype), *rows, columns, values)
    return Rows(bounds, columns, values)


def products(left: Rows, right: Rows) -> FloatArray:
    """Shape (left, right): the inner product of each row with each, over the columns that `right` has.

    Those columns are renumbered without gaps: a product over all columns there are would cost their number.
    """
    columns, place = np.unique(right.columns, return_inverse=True)
    found = np.zeros((left.size, right.size), dtype=np.float32)
    if columns.size == 0:
        return found
    dense = np.zeros((columns.size, right.size), dtype=np.float32)
    dense[place, right.numbers()] = right.values
    values = left.values
    if left is not right:
        place = np.minimum(np.searchsorted(columns, left.columns), columns.size - 1)
        values = np.where(columns[place] == left.columns, values, np.float32(0.0))
    place = place.astype(left.bounds.dtype)
    shape = left.size, columns.size, right.size
    csr_matvecs(*shape, left.bounds, place, values, dense.ravel(), found.ravel())
    return found


def entries(matrix: csr_matrix, rows: IntArray, column: int) -> FloatArray:
    """`matrix[rows[e], column]` for every e, dense."""
    if rows.size == 0:
        return np.zeros(0, dtype=np.float32)
    return np.asarray(matrix[rows, np.full(rows.size, column)], dtype=np.float32).ravel()


def entries_many(matrix: csr_matrix, rows: IntArray, columns: IntArray) -> FloatArray:
    """Shape (columns, rows): `matrix[rows[e], columns[c]]`, dense; the indices of a row must be sorted.

    SciPy walks each row from its start for a handful of entries; a binary search a row is a tenth of that.
    """
    found = np.zeros((columns.size, rows.size), dtype=np.float32)
    indptr, indices, data = rows_of(matrix)
    wanted = columns.astype(indices.dtype)
    for event, (start, end) in enumerate(zip(indptr[rows].tolist(), indptr[rows + 1].tolist(), strict=True)):
        if start < end:
            own = indices[start:end]
            place = own.searchsorted(wanted)
            np.minimum(place, end - start - 1, out=place)
            found[:, event] = data[start:end][place] * (own[place] == wanted)
    return found


def take_apart(name: str, matrix: csr_matrix) -> Arrays:
    """The matrix as arrays `<name>_data`, `_indices`, `_indptr`, `_shape`."""
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.asarray(matrix.shape, dtype=np.int64),
    }


def put_together(name: str, arrays: Mapping[str, NDArray[Any]]) -> csr_matrix:
    """The matrix that `take_apart` took apart, without copying; memory-mapped arrays stay mapped."""
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    rows, columns = (int(side) for side in arrays[f"{name}_shape"])
    matrix = csr_matrix(parts, shape=(rows, columns), copy=False)
    matrix.has_canonical_format = True
    return matrix
