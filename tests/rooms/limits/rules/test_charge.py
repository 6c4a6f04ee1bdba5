"""Keys and shares."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.limits.rules.charge import LONGEST_IDENTITY, Limit, bounded, key_of, share


def test_the_algorithm_is_part_of_the_key_and_the_quota_is_not():
    gcra, window = Limit("a", 10, 60.0), Limit("a", 10, 60.0, 0, "sliding_window")
    assert key_of(gcra, "user:7") != key_of(window, "user:7")
    assert key_of(gcra, "user:7") == key_of(Limit("a", 8, 60.0, 3), "user:7")


def test_a_long_identity_is_counted_by_its_digest():
    long = "user:" + "가" * 10_000
    assert len(bounded(long)) < 100
    assert bounded(long).startswith("user:sha256:")
    assert bounded(long) != bounded(long + "!")
    assert bounded("\ud800" * 400).startswith("sha256:")
    assert bounded("user:김하늘 \x00") == "user:김하늘 \x00"
    assert bounded("x" * LONGEST_IDENTITY) == "x" * LONGEST_IDENTITY


@given(
    st.integers(1, 1000), st.integers(0, 100), st.floats(0.5, 3600), st.integers(1, 64),
    st.sampled_from(["gcra", "sliding_window", "sliding_counter"]),
)  # fmt: skip
def test_all_shares_together_keep_to_the_limit(quota, burst, window_s, nodes, algorithm):
    limit = Limit("x", quota, window_s, burst, algorithm)
    mine = share(limit, nodes)
    assert mine.quota >= 1
    assert mine.burst >= 0
    # With more nodes than the capacity, each still admits one: the one way to be over, and told.
    assert mine.capacity == max(1, limit.capacity // nodes)
    if algorithm == "gcra":
        assert abs(mine.quota / mine.window_s * nodes - quota / window_s) < 1e-9 * quota / window_s
    else:
        assert mine.window_s == window_s
