"""What the models say about a handful of items at once, whatever the models know of them."""

import numpy as np
from numpy.typing import NDArray

from holdfast.rooms.recommend.models.collaborative import Collaborative
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.sparse import products

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def explain_model(model: Collaborative, history: Ints, weights: Floats, items: Ints) -> Floats:
    """Shape (items, history): the part of each event in each item's score; zeros for items it came before."""
    found = np.zeros((items.size, history.size), np.float32)
    known = np.flatnonzero(items < model.n_items)
    found[known] = model.explain_many(history, weights, items[known])
    return found


def explain_content(content: ContentIndex, history: Ints, weights: Floats, items: Ints) -> Floats:
    """Shape (items, history): as `explain_model`, from the cosines of the items to those of the history."""
    found = np.zeros((items.size, history.size), np.float32)
    known = np.flatnonzero(items < content.n_items)
    found[known] = products(content.vectors(items[known]), content.vectors(history)) * weights
    return found


def likeness(content: ContentIndex, items: Ints) -> Floats:
    """Shape (m, m), symmetric, in 0..1: cosines; ones on the diagonal of items with a text or a tag."""
    found = np.zeros((items.size, items.size), np.float32)
    known = np.flatnonzero(items < content.n_items)
    rows = content.vectors(items[known])
    found[np.ix_(known, known)] = np.clip(products(rows, rows), 0.0, 1.0)
    return found
