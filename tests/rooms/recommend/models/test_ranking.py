import numpy as np
import pytest
from scipy.sparse import csr_matrix

from holdfast.rooms.recommend.models import ranking
from holdfast.rooms.recommend.models.ranking import recall_ndcg


def fixed(scores: list[float]):
    return lambda histories: np.tile(np.asarray(scores, dtype=np.float32), (histories.shape[0], 1))


def test_the_figures_are_those_computed_by_hand():
    train = csr_matrix([[1, 0, 0, 0, 0]], dtype=np.float32)
    held = csr_matrix([[0, 0, 1, 1, 0]], dtype=np.float32)
    # Item 0 is seen; the list is 1, 2, 4, 3: of the two that are wanted the first stands second.
    found = recall_ndcg(fixed([9, 5, 4, 1, 2]), train, held, cuts=(1, 3))
    ideal = 1 + 1 / np.log2(3)
    assert found.recall == {1: 0.0, 3: 0.5}
    assert found.ndcg == {1: 0.0, 3: pytest.approx((1 / np.log2(3)) / ideal)}
    assert found.users == 1
    assert found.coverage == 3 / 5


def test_users_with_nothing_held_out_do_not_count():
    train = csr_matrix(np.eye(3, 4, dtype=np.float32))
    held = csr_matrix(([1.0], ([1], [3])), shape=(3, 4))
    found = recall_ndcg(fixed([0, 0, 0, 1]), train, held, cuts=(1,))
    assert (found.users, found.recall[1]) == (1, 1.0)


def test_what_was_seen_is_left_out_even_when_it_is_not_in_the_history():
    history = csr_matrix([[1, 0, 0]], dtype=np.float32)
    held = csr_matrix([[0, 0, 1]], dtype=np.float32)
    assert recall_ndcg(fixed([3, 2, 1]), history, held, cuts=(1,)).recall[1] == 0.0
    seen = csr_matrix([[1, 1, 0]], dtype=np.float32)
    assert recall_ndcg(fixed([3, 2, 1]), history, held, cuts=(1,), seen=seen).recall[1] == 1.0


def test_batches_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch):
    draw = np.random.default_rng(0)
    train = csr_matrix((draw.random((40, 30)) < 0.2).astype(np.float32))
    held = csr_matrix(((draw.random((40, 30)) < 0.2) & (train.toarray() == 0)).astype(np.float32))
    weights = draw.random((30, 30)).astype(np.float32)
    whole = recall_ndcg(lambda rows: rows @ weights, train, held)
    monkeypatch.setattr(ranking, "BATCH_BYTES", 7 * 30 * 4)
    pieces = recall_ndcg(lambda rows: rows @ weights, train, held)
    assert pieces.recall == pytest.approx(whole.recall)
    assert pieces.ndcg == pytest.approx(whole.ndcg)
    assert pieces.coverage == whole.coverage


def test_a_list_longer_than_the_catalogue_holds_all_of_it():
    train = csr_matrix(([1.0], ([0], [0])), shape=(1, 3))
    held = csr_matrix(([1.0], ([0], [2])), shape=(1, 3))
    assert recall_ndcg(fixed([1, 2, 3]), train, held, cuts=(20,)).recall[20] == 1.0


def test_nothing_held_out_gives_zeros():
    nothing = csr_matrix((4, 3), dtype=np.float32)
    found = recall_ndcg(fixed([1, 2, 3]), nothing, nothing)
    assert (found.users, found.recall[20], found.coverage) == (0, 0.0, 0.0)
    assert recall_ndcg(fixed([]), csr_matrix((0, 0)), csr_matrix((0, 0))).users == 0
