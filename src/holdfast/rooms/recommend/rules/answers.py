"""What the room answers with, as callers see it."""

import msgspec


class Part(msgspec.Struct, frozen=True):
    """One summand of a score."""

    source: str
    """`collaborative`, `content`, `persona`, `popularity`, or `diversity` for what the ranking took away."""
    because: str
    """An item of the history by its id; `interest:<name>`; `segment:<name>`; `everybody`; `likeness`;
    `other history` for the sum of those too small to name; `scale` for the constant of the common scale."""
    part: float


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of an answer, best first."""

    item_id: str
    name: str
    score: float
    explored: bool = False
    """Drawn at random, with `propensity`."""
    propensity: float = 1.0
    parts: list[Part] = []
    """They add up to `score` within 1e-5; only when asked for."""


class Personalized(msgspec.Struct, frozen=True):
    """Recommendations for one user."""

    answer_id: str
    user_id: str
    model: str
    events: int
    """Liked items that the scores rest on; 0 is a user of whom nothing is known yet."""
    weights: dict[str, float]
    """The share of each source in every score; they sum to 1."""
    items: list[Shown]


class Listed(msgspec.Struct, frozen=True):
    """Items that are like another, or that are taken most lately."""

    model: str
    items: list[Shown]


class Explained(msgspec.Struct, frozen=True):
    """Why an item has its score for a user, and whether it may be shown."""

    user_id: str
    item_id: str
    name: str
    score: float
    parts: list[Part]
    weights: dict[str, float]
    eligible: bool
    why_not: list[str]
    """`seen`, `hidden by the user`, `hidden`, `out of stock`, `expired`."""
