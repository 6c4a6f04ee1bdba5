"""What the training process makes of a log."""

from pathlib import Path

import numpy as np

from holdfast.rooms.recommend.engine.fitting import Order, fit
from holdfast.rooms.recommend.models.backtest import Budget


def a_log(weight: float) -> np.ndarray:
    """60 users of three tastes over 30 items; one event a row: user, item, weight, stamp."""
    rng = np.random.default_rng(9)
    rows = [
        (user, user % 3 * 10 + item, weight, 1_000 * place)
        for user in range(60)
        for place, item in enumerate(rng.permutation(10)[:7])
    ]
    return np.asarray(rows, np.float64)


def order(tmp_path: Path, **given: object) -> Order:
    return Order(users=60, items=30, models=str(tmp_path), budget=Budget(), **given)  # type: ignore[arg-type] # any field


def test_what_an_event_weighs_on_the_whole_changes_nothing(tmp_path: Path) -> None:
    ones, fives = fit(order(tmp_path), a_log(1.0)), fit(order(tmp_path), a_log(5.0))
    assert ones.artefact == fives.artefact
    assert [found.quality for found in ones.candidates] == [found.quality for found in fives.candidates]


def test_seen_but_not_liked_is_not_learned(tmp_path: Path) -> None:
    log = a_log(1.0)
    log[::2, 2] = 0.0
    outcome = fit(order(tmp_path, save=False), log)
    assert (outcome.events, outcome.pairs, outcome.artefact) == (420, 210, "")


def test_an_empty_log_is_popularity(tmp_path: Path) -> None:
    outcome = fit(order(tmp_path), np.zeros((0, 4)))
    assert outcome.model == "popularity"
    assert outcome.verdict.promoted


def test_new_events_are_what_the_current_model_is_judged_on(tmp_path: Path) -> None:
    log = a_log(1.0)
    first = fit(order(tmp_path), log[log[:, 3] < 4_000])
    second = fit(order(tmp_path, current=first.artefact), log)
    assert second.rival_ndcg is not None
    assert second.verdict.promoted
    assert second.ndcg >= second.rival_ndcg * 0.98
