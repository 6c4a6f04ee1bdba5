"""The best few of a whole catalogue, without ordering the rest of it."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

STRIDE = 32
"""One value in this many is looked at to guess how high the bar lies."""


def largest(values: Floats, count: int) -> Ints:
    """The places of the `count` largest values above zero, in no order; fewer when fewer are above zero.

    A bar guessed from a sample leaves about twice as many as are wanted, and only those are parted: most
    scores of a catalogue are zero or nearly, and reading their places costs more than comparing them all.
    """
    sample = values[::STRIDE]
    rank = 2 * count // STRIDE + 8
    above = np.zeros(0, np.int64)
    if rank <= sample.size:
        bar = np.partition(sample, -rank)[-rank]
        if bar > 0:
            above = np.flatnonzero(values >= bar)
    if above.size < count:
        above = np.flatnonzero(values > 0)
    return _parted(values, above, count)


def top_candidates(scores: Floats, allowed: NDArray[np.bool_], count: int) -> Ints:
    """The numbers of the `count` best allowed entries, in no order; fewer when fewer are allowed."""
    found = largest(scores * allowed, count)
    return found if found.size >= count else _parted(scores, np.flatnonzero(allowed), count)


def best_of(places: Ints, scores: Floats, allowed: NDArray[np.bool_], count: int) -> Ints:
    """As `top_candidates`, among `places` alone."""
    return _parted(scores, places[allowed[places]], count)


def _parted(values: Floats, places: Ints, count: int) -> Ints:
    if count >= places.size:
        return places
    return places[np.argpartition(values[places], -count)[-count:]]
