"""Item-item weights M'M within a byte budget: each row's largest entries, computed block by block."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, vstack

from holdfast.rooms.recommend.models.collaborative import FloatArray

ENTRY_BYTES = 8
"""A float32 weight and an int32 index."""
BLOCK_ITEMS = 4_096


def neighbour_weights(matrix: csr_matrix, enter: FloatArray, leave: FloatArray, budget: int) -> csr_matrix:
    """diag(enter) M'M diag(leave) without its diagonal, in at most `budget` bytes; at peak about three times.

    What does not fit is cut: one length for all rows, the largest weights of a row stay. An item's own
    weight only lifts items that are already in the history.
    """
    limit = max(budget // ENTRY_BYTES, matrix.shape[1])
    scaled = (matrix @ diags(leave)).tocsr()
    turned = (diags(enter) @ matrix.T).tocsr()
    blocks: list[csr_matrix] = []
    longest = matrix.shape[1]
    for start in range(0, matrix.shape[1], BLOCK_ITEMS):
        block = _without_diagonal((turned[start : start + BLOCK_ITEMS] @ scaled).tocsr(), start)
        blocks.append(_cut(block, longest))
        if sum(block.nnz for block in blocks) > 2 * limit:
            longest = _row_limit(blocks, limit)
            blocks = [_cut(block, longest) for block in blocks]
    if not blocks:
        return csr_matrix((0, 0), dtype=np.float32)
    longest = _row_limit(blocks, limit)
    whole = vstack([_cut(block, longest) for block in blocks], format="csr")
    whole.sort_indices()
    return whole


def _without_diagonal(block: csr_matrix, start: int) -> csr_matrix:
    row = np.repeat(np.arange(start, start + block.shape[0]), np.diff(block.indptr))
    block.data[row == block.indices] = 0.0
    block.eliminate_zeros()
    return block


def _row_limit(blocks: list[csr_matrix], limit: int) -> int:
    """The longest rows can be when all of them together keep at most `limit` entries."""
    sizes = np.concatenate([np.diff(block.indptr) for block in blocks])
    if int(sizes.sum()) <= limit:
        return int(sizes.max(initial=0))
    low, high = 1, int(sizes.max())
    while low < high:
        middle = (low + high + 1) // 2
        fits = int(np.minimum(sizes, middle).sum()) <= limit
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _cut(block: csr_matrix, longest: int) -> csr_matrix:
    sizes = np.diff(block.indptr)
    if not sizes.size or sizes.max() <= longest:
        return block
    kept = np.ones(block.nnz, dtype=bool)
    for row in np.flatnonzero(sizes > longest):
        start, stop = block.indptr[row], block.indptr[row + 1]
        smallest = np.argpartition(block.data[start:stop], stop - start - longest)[: stop - start - longest]
        kept[start + smallest] = False
    indptr: NDArray[np.int64] = np.concatenate([[0], np.cumsum(np.minimum(sizes, longest))])
    return csr_matrix((block.data[kept], block.indices[kept], indptr), shape=block.shape)
