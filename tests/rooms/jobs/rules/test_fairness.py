import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.jobs.rules.fairness import lane_of, priority_of, share, tenant_of
from holdfast.rooms.jobs.rules.problems import BadEnqueue

tenants = st.text(max_size=4)
lanes_of_one = st.lists(tenants, min_size=1, max_size=8, unique=True).map(
    lambda names: [lane_of(0, name) for name in names]
)


@given(st.integers(-100, 100), st.text(max_size=20), st.integers(-100, 100), st.text(max_size=20))
def test_lanes_sort_by_priority_and_give_back_what_they_were_made_of(one, mine, other, yours):
    lane, behind = lane_of(one, mine), lane_of(other, yours)
    assert (priority_of(lane), tenant_of(lane)) == (one, mine)
    assert (lane < behind) == (one > other or (one == other and mine < yours))


@pytest.mark.parametrize("priority", [-101, 101])
def test_a_priority_out_of_bounds_is_refused(priority):
    with pytest.raises(BadEnqueue, match="priority"):
        lane_of(priority, "")


@given(
    st.integers(0, 30),
    st.dictionaries(st.builds(lane_of, st.integers(-2, 2), tenants), st.integers(1, 9), max_size=12),
)
def test_never_more_than_there_is_nothing_idle_and_strictly_by_priority(slots, waiting):
    given_ = share(slots, list(waiting), waiting=waiting).given
    assert sum(given_.values()) == min(slots, sum(waiting.values()))
    assert all(0 < n <= waiting[lane] for lane, n in given_.items())
    for lane in given_:
        for above in waiting:
            assert priority_of(above) <= priority_of(lane) or given_.get(above, 0) == waiting[above]


@given(lanes_of_one, st.integers(1, 12))
def test_nobody_in_a_priority_gets_two_more_than_another_who_has_work(lanes, slots):
    given_ = share(slots, lanes).given
    counts = [given_.get(lane, 0) for lane in lanes]
    assert max(counts) - min(counts) <= 1


@given(lanes_of_one, st.integers(1, 3), st.lists(st.integers(0, 3), max_size=40))
def test_everyone_has_a_turn_though_others_come_and_go_and_higher_ones_push_in(lanes, slots, rush):
    last: dict[str, str] = {}
    unserved = dict.fromkeys(lanes, 0)
    for pushing in rush:
        above = [lane_of(1, str(n)) for n in range(pushing)]
        shared = share(slots, lanes + above, last, waiting=dict.fromkeys(above, 1))
        last = shared.last
        free = slots - min(slots, pushing)
        for lane in lanes:
            unserved[lane] = 0 if lane in shared.given else unserved[lane] + free
            assert unserved[lane] < len(lanes) + slots, "passed over for longer than a round"


def test_turns_go_round():
    lanes, last, served = [lane_of(0, name) for name in ("가", "나", "다")], {}, []
    for _ in range(4):
        shared = share(1, lanes, last)
        last = shared.last
        served += [tenant_of(lane) for lane in shared.given]
    assert served == ["가", "나", "다", "가"]
