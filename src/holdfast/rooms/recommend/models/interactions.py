"""Events as a matrix: what every fit starts from, checked once, duplicates counted once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import BadInput


@dataclass(frozen=True)
class Interactions:
    """Users x items, one cell a pair however often it happened, and when it happened last."""

    matrix: csr_matrix
    """float32; a cell is the largest weight that the pair was given."""
    stamps: NDArray[np.float64]
    """Seconds or milliseconds, only compared: one for each of `matrix.data`, in its order."""


def gather(
    users: ArrayLike,
    items: ArrayLike,
    stamps: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    *,
    shape: tuple[int, int],
) -> Interactions:
    """One cell a (user, item) pair from parallel arrays of events; raises BadInput for a bad event."""
    rows = np.asarray(users, dtype=np.int64).ravel()
    columns = np.asarray(items, dtype=np.int64).ravel()
    when = np.zeros(rows.size) if stamps is None else np.asarray(stamps, dtype=np.float64).ravel()
    strength = np.ones(rows.size) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if not rows.size == columns.size == when.size == strength.size:
        raise BadInput("the arrays of events differ in length", hint="give each event every column")
    for name, values, limit in (("user", rows, shape[0]), ("item", columns, shape[1])):
        if values.size and (values.min() < 0 or values.max() >= limit):
            raise BadInput(f"an event names a {name} outside 0..{limit - 1}", hint="number them first")
    if not (np.isfinite(strength).all() and np.isfinite(when).all()):
        raise BadInput("an event's weight or time is not a finite number", hint="drop the event")
    return _one_cell_a_pair(rows, columns, when, strength, shape)


def checked(matrix: csr_matrix) -> csr_matrix:
    """`matrix` as canonical float32 CSR without cells that weigh nothing; raises BadInput for NaN or < 0."""
    found = csr_matrix(matrix, dtype=np.float32, copy=False)
    if not np.isfinite(found.data).all() or (found.data.size and found.data.min() < 0):
        raise BadInput(
            "the interactions hold a weight that is negative or not finite",
            hint="leave dislikes out of training and give them to the score as negative weights",
        )
    if found.has_canonical_format and (found.data.size == 0 or found.data.min() > 0):
        return found
    found = found.copy()
    found.sum_duplicates()
    found.eliminate_zeros()
    return found


def _one_cell_a_pair(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    when: NDArray[np.float64],
    strength: NDArray[np.float64],
    shape: tuple[int, int],
) -> Interactions:
    order = np.lexsort((columns, rows))
    rows, columns, when, strength = rows[order], columns[order], when[order], strength[order]
    new = np.ones(rows.size, dtype=bool)
    new[1:] = (np.diff(rows) != 0) | (np.diff(columns) != 0)
    first = np.flatnonzero(new)
    indptr = np.zeros(shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows[first], minlength=shape[0]), out=indptr[1:])
    last = np.maximum.reduceat(when, first) if first.size else when
    largest = np.maximum.reduceat(strength, first) if first.size else strength
    matrix = csr_matrix((largest.astype(np.float32), columns[first].astype(np.int32), indptr), shape=shape)
    matrix.has_canonical_format = True
    return Interactions(matrix, last)
