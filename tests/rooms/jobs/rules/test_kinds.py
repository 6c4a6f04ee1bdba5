import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.jobs.rules import kinds
from holdfast.rooms.jobs.rules.kinds import DEFAULT, Kind, Kinds, Policy


def test_there_are_nineteen_kinds_and_none_is_tried_again_more_than_four_times():
    assert len(DEFAULT) == len({kind.name for kind in DEFAULT}) == 19
    assert max(len(kind.policy.delays_s) for kind in DEFAULT) == 4
    assert {kind.name for kind in DEFAULT if not kind.counts} == {"cancelled"}


@pytest.mark.parametrize(
    "name",
    ["validation", "not_found", "corrupt_input", "unsupported", "too_large", "cancelled", "deadline"],
)
def test_what_cannot_become_better_is_never_tried_again(name):
    assert Kinds().policy(name) == Policy()


def test_a_declared_kind_stands_beside_the_table_or_replaces_its_own():
    table = Kinds(
        [Kind("moderation", Policy((60.0,)), "held by a reviewer"), Kind("auth", Policy(), "never")]
    )
    assert table["moderation"].policy.delays_s == (60.0,)
    assert table.policy("auth") == Policy()
    assert len(list(table)) == 20


def test_a_name_that_nobody_declared_is_an_error_where_it_is_declared_and_unknown_where_it_is_met():
    with pytest.raises(Misconfigured, match="rate_limit'") as raised:
        Kinds()["rate_limit"]
    assert "rate_limited" in raised.value.hint
    with pytest.raises(Misconfigured, match="no error kind"):
        Kinds().check({"weather": Policy()})
    assert Kinds().policy("weather") == Kinds()[kinds.UNKNOWN].policy


def test_a_jobs_own_policy_wins():
    assert Kinds().policy("timeout", {"timeout": Policy((2.0,))}) == Policy((2.0,))


@pytest.mark.parametrize("delay_s", [-1.0, float("nan"), float("inf")])
def test_a_pause_that_cannot_be_kept_is_refused(delay_s):
    with pytest.raises(Misconfigured, match="seconds"):
        Kinds([Kind("odd", Policy((delay_s,)), "")])
    with pytest.raises(Misconfigured, match="seconds"):
        Kinds().check({"timeout": Policy((delay_s,))})


@pytest.mark.parametrize("name", ["", "two words", "x" * 41])
def test_a_kind_has_a_plain_name(name):
    with pytest.raises(Misconfigured, match="no name"):
        Kinds([Kind(name, Policy(), "")])
