import numpy as np
from scipy.sparse import csr_matrix

from holdfast.rooms.recommend.models.popularity import Popularity


def test_shares_count_users_whatever_their_weights():
    model = Popularity.fit(csr_matrix(np.asarray([[1.0, 5.0], [0.0, 0.5], [0.0, 0.0], [0.0, 2.0]])))
    assert model.shares.tolist() == [0.25, 0.75]


def test_every_event_explains_the_same():
    model = Popularity.fit(csr_matrix(np.eye(4)))
    parts = model.explain(np.asarray([0, 1]), np.asarray([9.0, 0.1], dtype=np.float32), 3)
    assert parts.tolist() == [0.125, 0.125]
