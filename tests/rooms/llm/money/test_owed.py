"""What is still to be told: in order, bounded, and the same however often it is told."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.engine.owed import Owed
from holdfast.rooms.llm.rules.limits import DAY, TOKENS, limit_of
from holdfast.rooms.llm.rules.settling import Settlement, Use
from tests.rooms.llm.money.conftest import numbered

LIMITS = [limit_of("user", user, DAY, TOKENS, 100) for user in ("김철수", "lee")]


def use(which, actual):
    return Use(LIMITS[which], 0, 1, actual, 60.0)


def drained(owed):
    found = []
    while batch := owed.batch():
        found += batch
        owed.told()
    return found


MOVES = st.lists(
    st.tuples(st.sampled_from(["tell", "add", "begin", "told"]), st.integers(0, 1), st.integers(0, 50)),
    max_size=60,
)


@given(MOVES, st.integers(1, 10))
def test_nothing_is_lost_and_nothing_told_twice_whatever_comes_while_a_batch_is_under_way(moves, most):
    owed, new_id = Owed(numbered("sum"), most), numbered("call")
    put, told = [0, 0], []
    under_way = None
    for move, which, actual in moves:
        if move == "tell":
            owed.tell(Settlement(new_id(), (use(which, actual),)))
            put[which] += actual
        elif move == "add":
            owed.add(use(which, actual))
            put[which] += actual
        elif move == "begin":
            if under_way:
                assert owed.batch() == under_way, "the same again until it is told"
            under_way = list(owed.batch())
        elif under_way:
            told += under_way
            owed.told()
            under_way = None
    told += drained(owed)
    assert len({each.id for each in told}) == len(told)
    for which, limit in enumerate(LIMITS):
        assert sum(u.actual for each in told for u in each.uses if u.limit is limit) == put[which]
    assert len(owed) == 0


def test_what_is_beyond_the_bound_becomes_a_sum():
    owed = Owed(numbered("sum"), 10)
    for number in range(1_000):
        owed.tell(Settlement(str(number), (use(number % 2, 3),)))
    assert len(owed) == 12
    found = drained(owed)
    assert len(found) == 12, "a sum that the store refuses takes no other with it"
    assert sum(u.actual for each in found for u in each.uses) == 3_000
