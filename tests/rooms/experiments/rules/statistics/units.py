"""Units of tests, and their sums."""

import numpy as np

from holdfast.rooms.experiments.rules.statistics.results import Kept
from holdfast.rooms.experiments.rules.statistics.sums import Sums


def sums_of(y, d=None, x=None):
    """Sums of whole columns at once."""
    zeros = np.zeros(len(y))
    d = zeros if d is None else np.asarray(d, float)
    x = zeros if x is None else np.asarray(x, float)
    y = np.asarray(y, float)
    parts = (y, y * y, d, d * d, y * d, x, x * x, y * x, d * x)
    return Sums(float(len(y)), *(float(part.sum()) for part in parts))


def kept_of(arm, y, d=None, x=None, attribute="", value=""):
    """What is kept of an arm with these columns."""
    return Kept(arm, sums_of(y, d, x), attribute, value)
