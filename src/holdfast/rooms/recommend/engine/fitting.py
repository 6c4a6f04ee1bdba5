"""The training process: reads a log from a file, back-tests, fits, judges, writes the model. Knows no SQL.

    python -m holdfast.rooms.recommend.engine.fitting FOLDER

FOLDER holds `order.msgpack` (an Order) and `log.npy` (events x 4: user, item, weight, stamp in ms); the
answer is `outcome.msgpack` (an Outcome). A process of its own: a fit holds the interpreter for seconds.
"""

import os
import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import Problem
from holdfast.rooms.recommend.models import artefact
from holdfast.rooms.recommend.models.backtest import (
    CUT,
    LEAST_USERS,
    Budget,
    Candidate,
    choose,
    recall_ndcg,
    split_latest,
)
from holdfast.rooms.recommend.models.collaborative import Collaborative
from holdfast.rooms.recommend.models.ease import Ease
from holdfast.rooms.recommend.models.gfcf import Gfcf, Shape
from holdfast.rooms.recommend.models.interactions import Interactions, gather
from holdfast.rooms.recommend.models.popularity import Popularity
from holdfast.rooms.recommend.rules.promotion import Verdict, judge

ORDER, LOG, OUTCOME = "order.msgpack", "log.npy", "outcome.msgpack"


class Order(msgspec.Struct, frozen=True):
    """What to train."""

    users: int
    items: int
    models: str
    """Folder of the artefacts."""
    budget: Budget
    tolerance: float = 0.0
    current: str = ""
    """Artefact that serves now; empty when none does."""
    save: bool = True
    """False only back-tests."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of it."""

    events: int
    pairs: int
    through_ms: int
    reason: str
    candidates: list[Candidate]
    verdict: Verdict
    model: str = ""
    artefact: str = ""
    ndcg: float = 0.0
    rival_ndcg: float | None = None


def fit(order: Order, log: NDArray[np.float64]) -> Outcome:
    """Choose by back-test, judge against what serves, save; the whole work of one training."""
    liked = log[log[:, 2] > 0]
    shape = (order.users, order.items)
    # Regularisation is in units of an event's weight: a log of fives must be the same log as one of ones.
    weights = liked[:, 2] / (liked[:, 2].mean() if liked.size else 1.0)
    gathered = gather(liked[:, 0], liked[:, 1], liked[:, 3], weights, shape=shape)
    choice = choose(gathered.matrix, gathered.stamps, budget=order.budget)
    winner = _winner(choice.model, choice.candidates)
    ndcg, rival, verdict = _judged(order, gathered, winner, choice.candidates)
    through_ms = int(log[:, 3].max(initial=0))
    identity = ""
    if order.save:
        half_life = choice.half_life_events
        meta = {
            "settings": winner.settings,
            "half_life_events": half_life if isfinite(half_life) else None,
            "pairs": gathered.matrix.nnz,
            "through_ms": through_ms,
        }
        identity = artefact.save(Path(order.models), choice.model, meta)
    return Outcome(
        events=int(log.shape[0]),
        pairs=int(gathered.matrix.nnz),
        through_ms=through_ms,
        reason=choice.reason,
        candidates=choice.candidates,
        verdict=verdict,
        model=choice.model.name,
        artefact=identity,
        ndcg=ndcg,
        rival_ndcg=rival,
    )


def _judged(
    order: Order, gathered: Interactions, winner: Candidate, candidates: list[Candidate]
) -> tuple[float, float | None, Verdict]:
    """(its NDCG, the current model's, the verdict), both on the same newest slice of the log."""
    own = winner.quality.ndcg[CUT] if winner.quality else 0.0
    serving = _serving(order)
    if serving is None:
        return own, None, judge(own, None, order.tolerance)
    model, settings, through_ms = serving
    train, held = split_latest(gathered.matrix, gathered.stamps)
    unseen = _after(held, gathered, through_ms)
    if np.count_nonzero(np.diff(unseen.indptr)) >= LEAST_USERS:
        own = recall_ndcg(_refit(winner)(train).score_many, train, unseen, (CUT,)).ndcg[CUT]
        rival = recall_ndcg(_widened(model, order.items), train, unseen, (CUT,)).ndcg[CUT]
        return own, rival, judge(own, rival, order.tolerance)
    # The slice is older than the current model, which has learned it by heart: its recipe competes instead.
    same = [found for found in candidates if (found.name, found.settings) == (model.name, settings)]
    if same and same[0].quality:
        rival = same[0].quality.ndcg[CUT]
    else:
        rival = recall_ndcg(_widened(model, order.items), train, held, (CUT,)).ndcg[CUT]
    return own, rival, judge(own, rival, order.tolerance)


def _serving(order: Order) -> tuple[Collaborative, dict[str, float], int] | None:
    """The current model, its settings and the newest stamp it learned from; None when it cannot be had."""
    if not order.current:
        return None
    try:
        model, meta = artefact.load(Path(order.models), order.current)
    except Problem:
        return None
    if model.n_items > order.items:
        return None
    return model, meta.get("settings", {}), int(meta.get("through_ms", 0))


def _winner(model: Collaborative, candidates: list[Candidate]) -> Candidate:
    tried = [found for found in candidates if found.name == model.name and found.quality]
    if not tried:
        return Candidate(model.name)
    return max(tried, key=lambda found: found.quality.ndcg[CUT] if found.quality else 0.0)


def _refit(winner: Candidate) -> Callable[[csr_matrix], Collaborative]:
    settings = winner.settings
    if winner.name == Ease.name:
        return lambda log: Ease.fit(log, ridge=settings["ridge"])
    if winner.name == Gfcf.name:
        return lambda log: Gfcf.fit(log, shape=Shape(rank=int(settings["rank"])))
    return Popularity.fit


def _widened(model: Collaborative, items: int) -> Callable[[csr_matrix], NDArray[np.float32]]:
    """`score_many` of a model that knows only the first of `items` items; the others score zero."""

    def score(histories: csr_matrix) -> NDArray[np.float32]:
        known = model.score_many(histories[:, : model.n_items])
        return np.pad(known, ((0, 0), (0, items - model.n_items)))

    return score


def _after(held: csr_matrix, gathered: Interactions, through_ms: int) -> csr_matrix:
    """The held-out cells that happened after `through_ms`."""
    matrix = gathered.matrix
    late = csr_matrix(
        ((gathered.stamps > through_ms).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape
    )
    found = held.multiply(late).tocsr()
    found.eliminate_zeros()
    return found


def main(folder: Path) -> int:
    """Exit code 0 with `outcome.msgpack`, 1 with the reason on stderr."""
    if hasattr(os, "nice"):
        os.nice(10)
    order = msgspec.msgpack.decode((folder / ORDER).read_bytes(), type=Order)
    try:
        outcome = fit(order, np.load(folder / LOG))
    except Problem as problem:
        print(f"{problem} {problem.hint}".strip(), file=sys.stderr)
        return 1
    draft = folder / f"{OUTCOME}.draft"
    draft.write_bytes(msgspec.msgpack.encode(outcome))
    draft.rename(folder / OUTCOME)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
