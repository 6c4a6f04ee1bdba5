"""Which model is best for this log: fit each on the past, rank the latest events, keep the winner.

Small catalogues usually go to EASE, large ones to the spectral filter, and a log too thin to tell them
apart to popularity; but the log decides, and the figures of every candidate stand in the `Choice`.
"""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.collaborative import Collaborative
from holdfast.rooms.recommend.models.ease import MAX_ITEMS, Ease
from holdfast.rooms.recommend.models.gfcf import Gfcf, Shape
from holdfast.rooms.recommend.models.popularity import Popularity
from holdfast.rooms.recommend.models.ranking import Quality, recall_ndcg
from holdfast.rooms.recommend.models.recency import faded

__all__ = ["Budget", "Candidate", "Choice", "Quality", "choose", "recall_ndcg", "split_latest"]

CUT = 20
"""Candidates are compared by NDCG at this length."""
HALF_LIVES = (float("inf"), 40.0, 20.0, 10.0)
"""Tried with every model, in events (`recency.fading`); an equal one goes to the earlier."""
LEAST_USERS = 20
"""With fewer users to ask, a difference between models is chance."""


class Budget(msgspec.Struct, frozen=True):
    """What a choice may cost."""

    model_bytes: int = 512 << 20
    """The largest model to keep in memory."""
    seconds: float = 120.0
    """No further candidate is begun after this; the best so far wins."""
    test_users: int = 2_000
    ease_items: int = MAX_ITEMS


class Candidate(msgspec.Struct, frozen=True):
    """One model that was, or was not, tried."""

    name: str
    settings: dict[str, float] = {}
    half_life_events: float = HALF_LIVES[0]
    """The one that its quality was reached with."""
    quality: Quality | None = None
    seconds: float = 0.0
    """Time of its fit and its ranking."""
    skipped: str = ""
    """Why it was not tried."""


class Choice(msgspec.Struct, frozen=True):
    """The winner, fitted on the whole log, and how it won."""

    model: Collaborative
    half_life_events: float
    """How histories are best weighted when they are scored: `recency.fading(stamps, half_life_events)`."""
    reason: str
    candidates: list[Candidate]


Fit = Callable[[csr_matrix], Collaborative]


def choose(
    interactions: csr_matrix,
    timestamps: ArrayLike,
    *,
    budget: Budget | None = None,
    monotonic: Callable[[], float] = SystemClock.monotonic,
) -> Choice:
    """Back-test every candidate that fits the budget and fit the best on everything.

    `interactions` is users x items, `timestamps` one for each of its cells in stored order. Blocks for
    seconds to minutes: call it in a worker. Raises BadInput for weights or stamps that are not numbers.
    """
    budget, began = budget or Budget(), monotonic()
    stamps, is_held = _latest(interactions, timestamps, 0.2)
    train, held = _where(interactions, ~is_held), _sampled(_where(interactions, is_held), budget.test_users)
    asked = int(np.count_nonzero(np.diff(held.indptr)))
    if asked < LEAST_USERS:
        reason = (
            f"popularity: {asked} users have events to test on, {LEAST_USERS} are needed to compare models"
        )
        return Choice(
            Popularity.fit(interactions), HALF_LIVES[0], reason, [Candidate("popularity", skipped=reason)]
        )
    tried: list[tuple[Candidate, Fit | None]] = []
    for name, settings, why_not, fit in _candidates(interactions.shape[1], budget):
        start = monotonic()
        if not why_not and len(tried) > 1 and start - began > budget.seconds:
            why_not = f"the budget of {budget.seconds:g} s was spent"
        if why_not:
            tried.append((Candidate(name, settings, skipped=why_not), None))
            continue
        half_life, quality = _best_half_life(fit(train), train, stamps[~is_held], held)
        tried.append((Candidate(name, settings, half_life, quality, monotonic() - start), fit))
    winner, reason = _best([candidate for candidate, _ in tried])
    fit = next(fit for candidate, fit in tried if candidate is winner and fit)
    candidates = [candidate for candidate, _ in tried]
    return Choice(fit(interactions), winner.half_life_events, reason, candidates)


def split_latest(
    interactions: csr_matrix, timestamps: ArrayLike, share: float = 0.2
) -> tuple[csr_matrix, csr_matrix]:
    """(train, held): of each user the latest `share` of the cells is held out, rounded down.

    `timestamps` are in the order of `interactions.data`. Cells of one stamp are ordered by a seeded draw: by
    item, a catalogue that is numbered by age or fame would put the obscure ones into the future. A user of
    whom nothing would be held stays in train whole.
    """
    _, held = _latest(interactions, timestamps, share)
    return _where(interactions, ~held), _where(interactions, held)


def _latest(
    interactions: csr_matrix, timestamps: ArrayLike, share: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(stamps, which cells are held out), both in the order of `interactions.data`."""
    stamps = np.asarray(timestamps, dtype=np.float64).ravel()
    if not interactions.has_canonical_format:
        raise BadInput("the interactions hold a pair twice, or unsorted", hint="pass them through gather()")
    if stamps.size != interactions.nnz:
        raise BadInput(
            f"{stamps.size} timestamps came for {interactions.nnz} interactions", hint="give one a cell"
        )
    if not np.isfinite(stamps).all():
        raise BadInput("a timestamp is not a finite number", hint="drop the event")
    if not 0.0 < share < 1.0:
        raise BadInput(f"a share of {share} cannot be held out", hint="give one between 0 and 1")
    sizes = np.diff(interactions.indptr)
    user = np.repeat(np.arange(sizes.size), sizes)
    order = np.lexsort((np.random.default_rng(0).random(stamps.size), stamps, user))
    rank = np.arange(order.size) - np.repeat(interactions.indptr[:-1], sizes)
    kept = sizes - np.floor(sizes * share).astype(np.int64)
    held = np.zeros(interactions.nnz, dtype=bool)
    held[order] = rank >= kept[user]
    return stamps, held


def _candidates(n_items: int, budget: Budget) -> Iterator[tuple[str, dict[str, float], str, Fit]]:
    """(name, settings, why it cannot be tried, fit), the simplest first: equals go to the earlier."""
    yield "popularity", {}, "", Popularity.fit
    limit = min(budget.ease_items, int((budget.model_bytes / 4) ** 0.5))
    large = f"{n_items} items are more than the {limit} that the budget allows" if n_items > limit else ""
    for ridge in (100.0, 300.0, 1_000.0):
        yield "ease", {"ridge": ridge}, large, partial(Ease.fit, ridge=ridge)
    for rank in (64, 256):
        near_bytes = budget.model_bytes - 4 * n_items * (rank + 2)
        tight = "" if near_bytes > 0 else f"{rank} eigenvectors of {n_items} items exceed the budget"
        shape = Shape(rank=rank)
        yield (
            "gfcf",
            {"rank": float(rank)},
            tight,
            partial(Gfcf.fit, shape=shape, budget_bytes=near_bytes),
        )


def _best_half_life(
    model: Collaborative, train: csr_matrix, stamps: NDArray[np.float64], held: csr_matrix
) -> tuple[float, Quality]:
    tried = HALF_LIVES[:1] if isinstance(model, Popularity) else HALF_LIVES
    found = [
        (half_life, recall_ndcg(model.score_many, faded(train, stamps, half_life), held, (10, CUT)))
        for half_life in tried
    ]
    return max(found, key=lambda pair: pair[1].ndcg[CUT])


def _best(candidates: list[Candidate]) -> tuple[Candidate, str]:
    ranked = [(candidate, candidate.quality) for candidate in candidates if candidate.quality is not None]
    winner, quality = max(ranked, key=lambda pair: pair[1].ndcg[CUT])
    popular = next(quality for candidate, quality in ranked if candidate.name == "popularity")
    settings = "".join(f" {key} {value:g}," for key, value in winner.settings.items())
    settings += f" half-life {winner.half_life_events:g} events"
    return winner, (
        f"{winner.name}{settings}: NDCG@{CUT} {quality.ndcg[CUT]:.4f} on the latest events of "
        f"{quality.users} users, popularity {popular.ndcg[CUT]:.4f}"
    )


def _sampled(held: csr_matrix, limit: int) -> csr_matrix:
    """`held` with at most `limit` users left in it, spread evenly."""
    users = np.flatnonzero(np.diff(held.indptr))
    if users.size <= limit:
        return held
    chosen = np.zeros(held.shape[0], dtype=bool)
    chosen[users[np.linspace(0, users.size - 1, limit).astype(np.int64)]] = True
    return _where(held, np.repeat(chosen, np.diff(held.indptr)))


def _where(matrix: csr_matrix, chosen: NDArray[np.bool_]) -> csr_matrix:
    """The chosen cells of the matrix, in their order."""
    user = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    cells = (matrix.data[chosen], (user[chosen], matrix.indices[chosen]))
    return csr_matrix(cells, shape=matrix.shape, dtype=np.float32)
