"""Where the entries of an arm lie, and what reaches them."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.cache.rules.arms import APART, arms_of, is_of_an_arm, key_of, tag_of

words = st.text(st.characters(exclude_characters=APART), max_size=12)
flags = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True)
variants = st.dictionaries(flags, words, min_size=1, max_size=4)


@given(words, variants, words, variants)
def test_keys_meet_only_where_key_and_variants_are_the_same(key, mine, other, theirs):
    same = key == other and mine == theirs
    assert (key_of(key, arms_of(mine)) == key_of(other, arms_of(theirs))) is same


@given(words, variants)
def test_the_order_of_assignment_does_not_count_and_a_prefix_reaches_every_arm(key, given_variants):
    turned = dict(reversed(given_variants.items()))
    stored = key_of(key, arms_of(given_variants))
    assert stored == key_of(key, arms_of(turned))
    assert stored.startswith(key)
    assert is_of_an_arm(stored)
    assert stored != key


@given(words)
def test_without_variants_nothing_changes(key):
    assert key_of(key, "") == key_of(key, arms_of({})) == key
    assert not is_of_an_arm(key)
    assert tag_of(key) != key
