"""The largest eigenpairs of M'M for a sparse M, by a seeded randomised subspace iteration.

Halko, Martinsson, Tropp, "Finding Structure with Randomness", SIAM Review 2011, algorithm 4.4, with the
orthonormalisation through the Cholesky factor of a small Gram matrix, which costs a third of a QR.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.sparse import csr_matrix

from holdfast.rooms.recommend.models.collaborative import FloatArray

OVERSAMPLE = 16
NEGLIGIBLE = 1e-6
"""Eigenvalues below this share of the largest are noise of float32."""


def top_eigenpairs(
    matrix: csr_matrix, count: int, *, seed: int, rounds: int = 3
) -> tuple[FloatArray, FloatArray]:
    """(columns, found) orthonormal vectors and their eigenvalues, falling; found <= count.

    Small matrices are solved exactly. The result depends on the seed and, to float32, on the BLAS.
    """
    count = min(count, *matrix.shape)
    if count == 0 or matrix.nnz == 0:
        return np.zeros((matrix.shape[1], 0), dtype=np.float32), np.zeros(0, dtype=np.float32)
    if matrix.shape[1] <= 2 * (count + OVERSAMPLE):
        values, vectors = np.linalg.eigh((matrix.T @ matrix).toarray().astype(np.float64))
    else:
        span = _subspace(matrix, count + OVERSAMPLE, seed, rounds)
        image = matrix @ span
        values, turn = np.linalg.eigh((image.T @ image).astype(np.float64))
        vectors = span @ turn.astype(np.float32)
    largest_first = np.argsort(-values, kind="stable")[:count]
    kept = largest_first[values[largest_first] > NEGLIGIBLE * values.max()]
    return np.ascontiguousarray(vectors[:, kept], dtype=np.float32), values[kept].astype(np.float32)


def _subspace(matrix: csr_matrix, size: int, seed: int, rounds: int) -> FloatArray:
    turned = matrix.T.tocsr()
    span = np.random.default_rng(seed).standard_normal((matrix.shape[1], size), dtype=np.float32)
    for _ in range(rounds):
        span = _orthonormal(turned @ (matrix @ span))
    return np.linalg.qr(span)[0]


def _orthonormal(span: NDArray[np.float32]) -> FloatArray:
    """Columns of the same span, near enough to orthonormal for the next round."""
    gram = (span.T @ span).astype(np.float64)
    gram[np.diag_indices(gram.shape[0])] += 1e-7 * np.trace(gram)
    factor = np.linalg.cholesky(gram).astype(np.float32)
    return np.ascontiguousarray(solve_triangular(factor, span.T, lower=True).T)
