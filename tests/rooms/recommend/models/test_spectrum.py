import numpy as np
from scipy.sparse import random as random_sparse

from holdfast.rooms.recommend.models.spectrum import top_eigenpairs


def test_a_low_rank_spectrum_is_found_by_the_randomised_iteration():
    draw = np.random.default_rng(5)
    left = random_sparse(300, 6, density=0.5, random_state=draw)
    low_rank = (left @ random_sparse(6, 200, density=0.5, random_state=draw)).tocsr().astype(np.float32)
    vectors, values = top_eigenpairs(low_rank, 6, seed=0)
    exact = np.linalg.svd(low_rank.toarray(), compute_uv=False)[:6] ** 2
    np.testing.assert_allclose(values, exact, rtol=1e-3)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-4)


def test_the_leading_pairs_of_a_full_spectrum_are_close_to_exact():
    sparse = (
        random_sparse(400, 300, density=0.05, random_state=np.random.default_rng(1))
        .tocsr()
        .astype(np.float32)
    )
    _, values = top_eigenpairs(sparse, 20, seed=0, rounds=6)
    exact = np.linalg.svd(sparse.toarray(), compute_uv=False)[:20] ** 2
    np.testing.assert_allclose(values[:5], exact[:5], rtol=2e-2)


def test_directions_that_carry_nothing_are_left_out():
    one_direction = random_sparse(30, 40, density=0.0).tolil()
    one_direction[:, 3] = 2.0
    vectors, values = top_eigenpairs(one_direction.tocsr().astype(np.float32), 5, seed=0)
    assert values.tolist() == [120.0]
    assert abs(vectors[3, 0]) == 1.0
