"""What every collaborative model promises, and the one check of a history that all of them share."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.rules.shortlist import best_of, top_candidates

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


class Sketch:
    """A user's scores: good enough everywhere to choose candidates by, exact where they are asked for."""

    __slots__ = ("_exact", "_known", "_short", "first")

    def __init__(
        self,
        first: FloatArray,
        exact: Callable[[IntArray], FloatArray] | None = None,
        short: IntArray | None = None,
    ) -> None:
        """first: (n_items,). exact: the scores of what is not `short`; `first` is exact when left out.
        short: the items that matter, of which `first` holds exact scores."""
        self.first = first
        self._exact = exact
        self._short = short
        self._known = first.size

    def widened(self, size: int) -> "Sketch":
        """The same for a catalogue of `size` items: those that came after the model score zero."""
        if size > self.first.size:
            newer = np.zeros(size - self.first.size, dtype=np.float32)
            self.first = np.concatenate([self.first, newer])
        else:
            self.first = self.first[:size]
        return self

    def best(self, allowed: NDArray[np.bool_], count: int) -> IntArray:
        """The `count` best allowed items, in no order: of the short list when it holds as many."""
        if self._short is not None:
            short = self._short[self._short < self.first.size]
            found = best_of(short, self.first, allowed, count)
            if found.size >= count:
                return found
        return top_candidates(self.first, allowed, count)

    def at(self, items: IntArray) -> FloatArray:
        """The exact scores of these items."""
        found = self.first[items]
        if self._exact is None:
            return found
        open_ = items < self._known
        if self._short is not None:
            settled = np.zeros(max(self._known, self.first.size), dtype=np.bool_)
            settled[self._short] = True
            open_ &= ~settled[items]
        found[open_] = self._exact(items[open_])
        return found


class Collaborative(Protocol):
    """Scores every item for a user who is nothing but a history: no user needs to have been in training.

    A history is two arrays of one length: item indices (duplicates allowed, they add up) and finite
    weights (one per event; negative ones push away). Anything else raises BadInput.
    """

    name: ClassVar[str]
    """What kind of model this is; an artefact is loaded by it."""

    @property
    def n_items(self) -> int: ...

    def score(self, history: IntArray, weights: FloatArray) -> FloatArray:
        """Shape (n_items,), float32; zeros for an empty history. Seen items are scored too."""
        ...

    def sketch(
        self, history: IntArray, weights: FloatArray, allowed: NDArray[np.bool_] | None = None
    ) -> Sketch:
        """`score`, exact only where it is asked to be: for catalogues where all of it takes too long.

        allowed: (any number of items,), which of them the best are wanted of; all when left out.
        """
        ...

    def score_many(self, histories: csr_matrix) -> FloatArray:
        """Shape (users, n_items), float32: `score` of each row of a users x items matrix of weights."""
        ...

    def explain(self, history: IntArray, weights: FloatArray, item: int) -> FloatArray:
        """One part per event of the history; the parts sum to `score(...)[item]`.

        To 1e-5 of the score, or of the largest score in the catalogue for items that score near zero,
        where float32 sums cancel.
        """
        ...

    def explain_many(self, history: IntArray, weights: FloatArray, items: IntArray) -> FloatArray:
        """Shape (items, events): `explain` of each item, in one product instead of one an item."""
        ...

    def similar(self, item: int) -> FloatArray:
        """Shape (n_items,): how alike each item is; the item itself scores zero."""
        ...

    def arrays(self) -> Arrays: ...

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self: ...


def checked_history(history: ArrayLike, weights: ArrayLike, n_items: int) -> tuple[IntArray, FloatArray]:
    """The history as int64 and float32 arrays; raises BadInput where it cannot be scored."""
    items = np.asarray(history, dtype=np.int64).ravel()
    strengths = np.asarray(weights, dtype=np.float32).ravel()
    if items.size != strengths.size:
        raise BadInput(
            f"a history of {items.size} items came with {strengths.size} weights", hint="give one an event"
        )
    if items.size and (items.min() < 0 or items.max() >= n_items):
        raise BadInput(
            f"a history names an item outside 0..{n_items - 1}", hint="leave out items the model has not seen"
        )
    if not np.isfinite(strengths).all():
        raise BadInput("a history's weight is not a finite number", hint="drop the event or give it a weight")
    return items, strengths


def checked_item(item: int, n_items: int) -> int:
    """`item` itself; raises BadInput when the model does not know it."""
    if not 0 <= item < n_items:
        raise BadInput(f"item {item} is outside 0..{n_items - 1}", hint="ask the content index for new items")
    return item


def merged(items: IntArray, weights: FloatArray) -> tuple[IntArray, FloatArray]:
    """Each item once, with the sum of its weights: a long history costs what its distinct items cost."""
    distinct, place = np.unique(items, return_inverse=True)
    if distinct.size == items.size:
        return items, weights
    return distinct, np.bincount(place, weights=weights, minlength=distinct.size).astype(np.float32)
