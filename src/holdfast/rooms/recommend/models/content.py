"""Items by what they say about themselves: a new item is reachable the moment it has a text or a tag.

    index = ContentIndex.fit(texts, tags)          # one text and one list of tags an item
    index = index.with_items(new_texts, new_tags)  # appended behind the last; nothing is retrained
    index.score(history, weights); index.explain(history, weights, item)
    index.similar(item); index.query("무선 이어폰")

Each item is a vector of hashed character n-grams (2 to 4) and tags, weighted by log count x IDF, cut to its
heaviest features and scaled to length one; scores are cosines. A new item is weighted by the IDF of the fit,
a feature never seen before by the largest IDF there is.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.collaborative import (
    Arrays,
    FloatArray,
    IntArray,
    checked_history,
    checked_item,
    merged,
)
from holdfast.rooms.recommend.models.grams import BUCKETS, gram_counts
from holdfast.rooms.recommend.models.sparse import (
    Rows,
    chosen_rows,
    products,
    put_together,
    rows_of,
    take_apart,
    weighted_rows,
)

MAX_FEATURES = 96
"""Features kept of one item, the heaviest: bounds memory (8 bytes each, twice) and the time of a score."""
TAG_COUNT = 6.0
"""A tag counts as an n-gram that occurs this often: somebody chose it, and it stands alone."""
COMMON_SHARE = 0.1
COMMON_ITEMS = 2_000
"""A feature of more than this share of the items, and of more than this many, tells nothing apart and
costs a look at every one of them: it is left out of a large catalogue."""


class ContentIndex:
    """Cosine similarity over the texts and tags of items; immutable, grown by `with_items`."""

    name: ClassVar[str] = "content"

    def __init__(self, rows: csr_matrix, idf: FloatArray, fresh: csr_matrix | None = None) -> None:
        self._rows = rows
        self._idf = idf
        self._fresh = fresh if fresh is not None else csr_matrix((0, BUCKETS), dtype=np.float32)

    @classmethod
    def fit(cls, texts: Sequence[str], tags: Sequence[Sequence[str]]) -> Self:
        """Learn the IDF and index every item. Both sequences have one element an item."""
        counts = _counted(texts, tags)
        seen = np.bincount(counts.indices, minlength=BUCKETS)
        idf = np.log((1.0 + len(texts)) / (1.0 + seen)).astype(np.float32) + np.float32(1.0)
        idf[seen > max(COMMON_ITEMS, COMMON_SHARE * len(texts))] = 0.0
        return cls(_weighted(counts, idf), idf)

    @property
    def n_items(self) -> int:
        return int(self._rows.shape[0] + self._fresh.shape[0])

    def with_items(self, texts: Sequence[str], tags: Sequence[Sequence[str]]) -> Self:
        """This index with further items behind the last; costs time for the items added since the fit."""
        added = vstack([self._fresh, _weighted(_counted(texts, tags), self._idf)], format="csr")
        grown = type(self)(self._rows, self._idf, added)
        grown.__dict__["_postings"] = self._postings  # the fitted part is the same: turn it over once
        return grown

    def score(self, history: IntArray, weights: FloatArray) -> FloatArray:
        """Shape (n_items,): the weighted sum of each item's cosines to the items of the history."""
        items, strengths = merged(*checked_history(history, weights, self.n_items))
        rows = self.vectors(items)
        # A product over a million columns allocates them all; the profile has only the history's features.
        features, place = np.unique(rows.columns, return_inverse=True)
        parts = rows.values * strengths[rows.numbers()]
        return self._against(features, np.bincount(place, parts, features.size).astype(np.float32))

    def explain(self, history: IntArray, weights: FloatArray, item: int) -> FloatArray:
        """One part per event of the history; they sum to `score(...)[item]` within 1e-5."""
        items, strengths = checked_history(history, weights, self.n_items)
        target = self.vectors(np.asarray([checked_item(item, self.n_items)]))
        return np.asarray(products(self.vectors(items), target).ravel() * strengths)

    def similar(self, item: int) -> FloatArray:
        """Shape (n_items,): cosine to `item`, in 0..1; the item itself scores zero."""
        row = self.vectors(np.asarray([checked_item(item, self.n_items)]))
        found = self._against(row.columns, row.values)
        found[item] = 0.0
        return found

    def query(self, text: str, tags: Sequence[str] = ()) -> FloatArray:
        """Shape (n_items,): cosine of each item to free text and tags; zeros when there is neither."""
        row = _weighted(_counted([text], [tags]), self._idf)
        return self._against(row.indices, row.data)

    def arrays(self) -> Arrays:
        together = vstack([self._rows, self._fresh], format="csr")
        return {**take_apart("rows", together), "idf": self._idf}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        return cls(put_together("rows", arrays), arrays["idf"])

    @cached_property
    def _postings(self) -> csr_matrix:
        return self._rows.T.tocsr()

    def vectors(self, items: IntArray) -> Rows:
        """The rows of these items, each of length one (or empty): a product of two is a cosine."""
        border = self._rows.shape[0]
        if items.size == 0 or items.max() < border:
            return chosen_rows(rows_of(self._rows), items)
        newer = items >= border
        old = chosen_rows(rows_of(self._rows), items[~newer])
        new = chosen_rows(rows_of(self._fresh), items[newer] - border)
        both = Rows(
            np.concatenate([old.bounds, new.bounds[1:] + old.bounds[-1]]),
            np.concatenate([old.columns, new.columns]),
            np.concatenate([old.values, new.values]),
        )
        place = np.empty(items.size, dtype=np.int64)
        place[~newer], place[newer] = np.arange(old.size), np.arange(old.size, items.size)
        return chosen_rows(both, place)

    def _against(self, features: IntArray, values: FloatArray) -> FloatArray:
        fitted = weighted_rows(self._postings, features.astype(np.int64), values)
        if self._fresh.shape[0] == 0:
            return fitted
        profile = np.zeros(BUCKETS, dtype=np.float32)
        profile[features] = values
        return np.concatenate([fitted, self._fresh @ profile])


def _counted(texts: Sequence[str], tags: Sequence[Sequence[str]]) -> csr_matrix:
    if len(texts) != len(tags):
        raise BadInput(
            f"{len(texts)} texts came with tags for {len(tags)}", hint="give one list of tags an item"
        )
    return gram_counts(texts, tags, TAG_COUNT)


def _weighted(counts: csr_matrix, idf: FloatArray) -> csr_matrix:
    """Log count x IDF, the heaviest MAX_FEATURES of each row, each row of length one (or empty)."""
    values = (1.0 + np.log(counts.data)) * idf[counts.indices]
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    told = values > 0
    columns, values, row = counts.indices[told], values[told], row[told]
    firsts = np.searchsorted(row, np.arange(counts.shape[0]))
    # By row, then by weight; equal weights by bucket, so that the choice does not hang on the sort.
    order = np.lexsort((columns, -values, row))
    rank = np.arange(order.size) - firsts[row]
    kept = np.sort(order[rank < MAX_FEATURES])
    row, values = row[kept], values[kept]
    length = np.sqrt(np.bincount(row, weights=values * values, minlength=counts.shape[0]))
    scaled = (values / length[row]).astype(np.float32)
    return csr_matrix((scaled, (row, columns[kept])), shape=counts.shape)
