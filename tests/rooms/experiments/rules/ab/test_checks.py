"""What is refused before it runs."""

import pytest

from holdfast.rooms.experiments.rules.ab.checks import (
    actions_of,
    check_experiment,
    check_metric,
    chosen,
    flag_of,
    free_slots,
)
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Measure, Metric, Plan, Watched
from holdfast.rooms.experiments.rules.flags import Flag, Ruleset
from holdfast.rooms.experiments.rules.problems import BadDefinition

BUY = Measure("event", "buy")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": (Arm("control", 10),)}, "two to 10 arms"),
        ({"arms": (Arm("a", 10), Arm("a", 10))}, "arm 'a' stands there twice"),
        ({"arms": (Arm("a", 9000), Arm("b", 2000))}, "11000 of 10000"),
        ({"arms": (Arm("a", 9000), Arm("b", 0))}, "need a share"),
        ({"metrics": (Watched("m"), Watched("m"))}, "metric 'm' stands there twice"),
        ({"segments": ("@day",)}, "'@day' is no attribute"),
        ({"layer": "shop"}, "go together"),
        ({"zone": "Asia/Seul"}, "Asia/Seul"),
        ({"zone": "../etc"}, "no time zone"),
        ({"plan": Plan(units_per_arm=10**400)}, "a plan has at most"),
        ({"plan": Plan(days=1e308)}, "a plan has at most"),
    ],
)
def test_a_definition_that_contradicts_itself(changes, said):
    with pytest.raises(BadDefinition, match=said.replace("/", ".")):
        check_experiment(Experiment("x", **changes))


@pytest.mark.parametrize(
    "metric",
    [
        Metric("m", "conversion", Measure("event", "")),
        Metric("m", "ratio", BUY),
        Metric("m", "mean", BUY, over=BUY),
        Metric("m", "mean", Measure("event", "buy", "seconds")),
        Metric("m", "mean", Measure("event", "buy", "failed")),
        Metric("m", "mean", Measure("request", "/shop", "value")),
        Metric("m", "ratio", BUY, Measure("event", "buy", "seconds")),
        Metric("m", "mean", Measure("request", "GET /shop", "seconds")),
        Metric("m", "mean", BUY, cap=0.0),
        Metric("m", "mean", BUY, cap=float("nan")),
    ],
)
def test_a_metric_that_cannot_be_counted(metric):
    with pytest.raises(BadDefinition):
        check_metric(metric)


def test_actions_of_all_parts_are_asked_for():
    ratio = Metric("r", "ratio", BUY, Measure("event", "visit"))
    assert actions_of([ratio, Metric("s", "mean", Measure("request", "/shop", "seconds"))]) == [
        "buy",
        "visit",
    ]


def test_metrics_are_chosen_by_name():
    known = {"bought": Metric("bought", "conversion", BUY)}
    assert chosen(Experiment("x", metrics=(Watched("bought", "primary"),)), known) == (known["bought"],)
    with pytest.raises(BadDefinition) as refused:
        chosen(Experiment("x", metrics=(Watched("bougth", "primary"),)), known)
    assert refused.value.hint == "did you mean 'bought'?"


@pytest.mark.parametrize(
    ("taken", "share", "found"),
    [
        ([], 10_000, (0, 10_000)),
        ([(0, 4000)], 6000, (4000, 10_000)),
        ([(2000, 4000), (5000, 6000)], 2000, (0, 2000)),
        ([(2000, 4000), (5000, 6000)], 3000, (6000, 9000)),
        ([(0, 10_000)], 1, None),
        ([(4000, 6000)], 5000, None),
    ],
)
def test_slots_of_a_layer_are_given_in_one_stretch(taken, share, found):
    flags = {
        f"f{n}": Flag(f"f{n}", {"control": None}, layer="shop", slots=slots) for n, slots in enumerate(taken)
    }
    ruleset = Ruleset(flags=flags)
    if found is None:
        with pytest.raises(BadDefinition, match="free buckets"):
            free_slots(ruleset, "shop", share, "x")
    else:
        assert free_slots(ruleset, "shop", share, "x") == found


def test_the_flag_keeps_salt_and_slots_over_phases():
    before = Flag("x", {"control": None}, salt="abc", slots=(0, 5000), generation=4)
    experiment = Experiment("x", layer="shop", layer_share=5000)
    flag = flag_of(experiment, experiment.arms, 2, before)
    assert (flag.salt, flag.slots, flag.generation, flag.phase) == ("abc", (0, 5000), 4, 2)
    assert [lane.share for lane in flag.rules[0].split.lanes] == [5000, 5000]
