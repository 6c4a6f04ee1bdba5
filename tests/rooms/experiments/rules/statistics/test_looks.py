import pytest

from holdfast.rooms.experiments.rules.experiments import Arm, Plan
from holdfast.rooms.experiments.rules.statistics import looks, sequential
from holdfast.rooms.experiments.rules.statistics.results import Look, Question

ARMS = (Arm("control", 5000), Arm("treatment", 5000))


def question(units, before=(), planned=1_000, **more):
    return Question(
        ARMS, Plan(units_per_arm=planned), (), {"control": units, "treatment": units + 7},
        tuple(Look(0.0, at) for at in before), **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("units", "before", "counts", "final"),
    [
        (0, (), False, False),
        (5, (), True, False),
        (500, (0.2,), True, False),
        (505, (0.5,), False, False),
        (510, (0.5,), True, False),
        (1_000, (0.995,), True, True),
        (1_200, (0.5,), True, True),
        (1_300, (0.5, 1.2), False, True),
    ],
)
def test_which_looks_count(units, before, counts, final):
    found = looks.progress(question(units, before))
    assert (found.counts, found.final) == (counts, final)


def test_ended_early_it_is_the_last_look_whatever_came_since():
    found = looks.progress(question(502, (0.3, 0.5), ended=True))
    assert (found.counts, found.final, len(found.before)) == (True, True, 2)
    again = looks.progress(question(500, (0.3, 0.5), ended=True))
    assert [look.information for look in again.before] == [0.3], "a look at the same units is that look"


def test_without_a_planned_end_every_look_is_free():
    assert looks.due({"control": 5}, ["control"], None, ())
    found = looks.progress(question(5, planned=None))
    assert (found.information, found.counts, found.final) == (None, True, False)


TIMES = (0.5, 1.0)
LINES = {level: sequential.path(TIMES, level).boundaries for level in (0.05, 0.025)}


def test_one_comparison_has_all_of_alpha():
    found = looks.judge(TIMES, {"a": [0.0, LINES[0.05][1] + 0.01]}, 0.05)
    assert (found["a"].level, found["a"].at) == (0.05, 1)


def test_two_share_alpha_and_the_first_to_cross_leaves_its_share():
    between = (LINES[0.05][1] + LINES[0.025][1]) / 2
    alone = looks.judge(TIMES, {"a": [0.0, 0.0], "b": [0.0, between]}, 0.05)
    assert alone["b"].at is None
    helped = looks.judge(TIMES, {"a": [LINES[0.025][0] + 0.1, 0.0], "b": [0.0, between]}, 0.05)
    assert (helped["a"].at, helped["a"].level) == (0, 0.025)
    assert (helped["b"].at, helped["b"].level) == (1, 0.05)


def test_what_has_crossed_stays_found():
    found = looks.judge(TIMES, {"a": [-9.0, 0.0]}, 0.05)
    assert (found["a"].at, found["a"].z) == (0, -9.0)


def test_before_any_look_there_is_no_line():
    assert looks.judge((), {"a": []}, 0.05)["a"].boundary == sequential.FARTHEST


def test_the_reserve_leaves_the_power_that_is_promised():
    """By integration: 50 looks, an effect that one look finds 94.5 % of the time."""
    walk = sequential.path(tuple(at / 50 for at in range(1, 51)), 0.05 * (1 - looks.RESERVE))
    drift = 1.959964 + 1.598193
    assert sequential._in_favour(walk, walk.boundaries[-1], drift) >= 0.93
