"""A small world with structure: users of three tastes over items of three kinds, seeded."""

import numpy as np
from scipy.sparse import csr_matrix

from holdfast.rooms.recommend.models.interactions import Interactions, gather


def tastes(users: int = 120, items: int = 60, seed: int = 3) -> Interactions:
    """Each user takes mostly items of one kind (`item % 3 == user % 3`), in a time of his own."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), 14)
    own_kind = draw.random(user.size) < 0.85
    kind = np.where(own_kind, user % 3, draw.integers(0, 3, user.size))
    item = 3 * draw.integers(0, items // 3, user.size) + kind
    return gather(user, item, draw.random(user.size), shape=(users, items))


def matrix() -> csr_matrix:
    return tastes().matrix
