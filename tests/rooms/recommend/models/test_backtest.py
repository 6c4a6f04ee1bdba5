import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.backtest import Budget, choose, split_latest
from holdfast.rooms.recommend.models.interactions import gather
from tests.rooms.recommend.models.catalogue import tastes


def test_the_latest_fifth_of_each_user_is_held_out():
    log = gather([0] * 10 + [1] * 4, [*range(10), *range(4)], [*range(9, -1, -1), 1, 2, 3, 4], shape=(2, 10))
    train, held = split_latest(log.matrix, log.stamps)
    assert held[0].indices.tolist() == [0, 1]
    assert held[1].nnz == 0
    assert train.nnz == 12


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 3)), max_size=80))
def test_nothing_held_out_is_older_than_what_is_kept(events: list[tuple[int, int, int]]):
    columns = [list(column) for column in zip(*events, strict=True)] or [[], [], []]
    log = gather(*columns, shape=(6, 10))
    train, held = split_latest(log.matrix, log.stamps, 0.4)
    assert train.nnz + held.nnz == log.matrix.nnz
    assert train.multiply(held).nnz == 0
    stamp = csr_matrix((log.stamps + 1, log.matrix.indices, log.matrix.indptr), shape=(6, 10)).toarray()
    for user in range(6):
        if held[user].nnz:
            assert stamp[user, train[user].indices].max() <= stamp[user, held[user].indices].min()


def test_ties_in_time_are_not_broken_by_the_items_number():
    users = np.repeat(np.arange(200), 10)
    log = gather(users, np.tile(np.arange(10), 200), shape=(200, 10))
    _, held = split_latest(log.matrix, log.stamps)
    assert np.bincount(held.indices, minlength=10).min() > 20


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share: float):
    log = tastes()
    with pytest.raises(BadInput):
        split_latest(log.matrix, log.stamps, share)


def test_stamps_that_do_not_fit_are_refused():
    log = tastes()
    with pytest.raises(BadInput):
        split_latest(log.matrix, log.stamps[:-1])
    with pytest.raises(BadInput):
        split_latest(log.matrix, np.full(log.stamps.size, np.nan))


def test_a_pair_that_stands_twice_is_refused():
    twice = csr_matrix((np.ones(2), np.asarray([1, 1]), np.asarray([0, 2])), shape=(1, 3))
    with pytest.raises(BadInput) as refused:
        choose(twice, [1.0, 2.0])
    assert "gather" in refused.value.hint


def test_on_tastes_a_personal_model_wins_and_says_why():
    log = tastes()
    choice = choose(log.matrix, log.stamps)
    tried = {candidate.name for candidate in choice.candidates if candidate.quality}
    assert tried == {"popularity", "ease", "gfcf"}
    assert choice.model.name != "popularity"
    assert choice.model.name in choice.reason
    best = max(candidate.quality.ndcg[20] for candidate in choice.candidates if candidate.quality)
    assert f"{best:.4f}" in choice.reason
    assert choice.model.n_items == 60


def test_on_noise_around_fame_nothing_beats_popularity_by_much():
    draw = np.random.default_rng(8)
    fame = 0.7 ** np.arange(40)
    users = np.repeat(np.arange(300), 10)
    items = draw.choice(40, users.size, p=fame / fame.sum())
    log = gather(users, items, draw.random(users.size), shape=(300, 40))
    figures = {c.name: c.quality.ndcg[20] for c in choose(log.matrix, log.stamps).candidates if c.quality}
    assert figures["popularity"] >= 0.9 * max(figures.values())


@pytest.mark.parametrize("shape", [(0, 0), (5, 0), (1, 4), (5, 4)])
def test_a_log_too_thin_to_compare_goes_to_popularity(shape: tuple[int, int]):
    choice = choose(csr_matrix(shape, dtype=np.float32), [])
    assert choice.model.name == "popularity"
    assert "needed" in choice.reason


def test_a_catalogue_above_the_limit_leaves_ease_out_and_says_so():
    log = tastes()
    choice = choose(log.matrix, log.stamps, budget=Budget(ease_items=59))
    skipped = {candidate.skipped for candidate in choice.candidates if candidate.name == "ease"}
    assert skipped == {"60 items are more than the 59 that the budget allows"}
    assert choice.model.name == "gfcf"


def test_bytes_bound_what_is_tried_and_what_is_kept():
    log = tastes()
    choice = choose(log.matrix, log.stamps, budget=Budget(model_bytes=5_000))
    assert {c.name for c in choice.candidates if c.quality} == {"popularity"}
    assert choice.model.name == "popularity"


def test_when_the_time_is_spent_the_best_so_far_wins():
    log, clock = tastes(), ManualClock()

    def slow() -> float:
        clock.advance(10.0)
        return clock.monotonic()

    choice = choose(log.matrix, log.stamps, budget=Budget(seconds=25.0), monotonic=slow)
    skipped = [candidate for candidate in choice.candidates if candidate.skipped]
    assert skipped
    assert all("25 s" in candidate.skipped for candidate in skipped)
    assert choice.model.name == "ease"


def test_recency_is_used_where_tastes_change():
    draw = np.random.default_rng(4)
    users = np.repeat(np.arange(200), 30)
    step = np.tile(np.arange(30), 200)
    kind = (users + step // 10) % 3  # every user moves on to the next kind after ten events
    items = 3 * draw.integers(0, 30, users.size) + kind
    log = gather(users, items, step, shape=(200, 90))
    assert choose(log.matrix, log.stamps).half_life_events == 10.0


def test_the_same_log_is_chosen_for_alike():
    log = tastes()
    first, second = choose(log.matrix, log.stamps), choose(log.matrix, log.stamps)
    assert first.reason == second.reason
    for name, array in first.model.arrays().items():
        np.testing.assert_array_equal(array, second.model.arrays()[name])
