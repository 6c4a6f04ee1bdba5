"""What code and commands have made is held to what the types say, as what came over HTTP is."""

import json
from math import inf, nan

import pytest

from holdfast.rooms.experiments.rules.ab.checks import check_experiment, check_metric
from holdfast.rooms.experiments.rules.canary.checks import check_release
from holdfast.rooms.experiments.rules.checking import check_flag, check_holdout, check_layer, check_segment
from holdfast.rooms.experiments.rules.experiments import Arm, Experiment, Measure, Metric, Plan
from holdfast.rooms.experiments.rules.flags import (
    Condition,
    Flag,
    Holdout,
    Lane,
    Layer,
    Rule,
    Ruleset,
    Segment,
    Split,
)
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.readable import check_readable
from holdfast.rooms.experiments.rules.releases import Gate, Release, Stage

DEEP = json.loads("[" * 900 + "]" * 900)
ON = {"control": False, "treatment": True}
WIDE = Rule(split=Split((Lane("treatment", 10_000),), rollout=20_000))


def check(noun):
    if isinstance(noun, Flag):
        return check_flag(noun, Ruleset())
    checks = {
        Segment: check_segment,
        Layer: check_layer,
        Holdout: check_holdout,
        Release: check_release,
        Experiment: check_experiment,
        Metric: check_metric,
    }
    return checks[type(noun)](noun)


@pytest.mark.parametrize(
    ("bad", "detail", "hint"),
    [
        (Flag("김치", ON), "'김치' cannot be taken", "names are of"),
        (Flag("new banner", ON), "'new banner' cannot be taken", "names are of"),
        (Flag("banner", ON, rules=(WIDE,)), "rollout", ""),
        (Flag("banner", {"control": 1.0, "treatment": inf}), "a number that is none", "nan"),
        (Flag("banner", {"control": object(), "treatment": 1}), "as JSON", "plain"),
        (Flag("banner", {"control": 10**5000, "treatment": 1}), "as JSON", "plain"),
        (Flag("banner", ON, description="\ud800"), "as JSON", "plain"),
        (Flag("banner", {"control": DEEP}), "as JSON", "plain"),
        (Segment("Staff", ((Condition("a", "exists"),),)), "'Staff'", "names are of"),
        (Layer("a b", "salt"), "'a b'", "names are of"),
        (Holdout(share=10_001), "what was given", ""),
        (Release("Ranker"), "'Ranker'", "names are of"),
        (Release("ranker", measure="calls"), "calls", ""),
        (Release("ranker", stages=(Stage("500"),)), "share", ""),
        (Release("ranker", stages=(Stage(500, dwell_s=inf),)), "dwell_s", ""),
        (Release("ranker", stages=(Stage(500, deadline_s=inf),)), "a number that is none", ""),
        (Release("ranker", stale_s=nan), "stale_s", ""),
        (Release("ranker", gates=(Gate("errors", limit=2.0),)), "limit", ""),
        (Experiment("Buttons"), "'Buttons'", "names are of"),
        (Experiment("buttons", arms=(Arm("a", 5000), Arm("b b", 5000))), "arms[1].name", "names are of"),
        (Experiment("buttons", plan=Plan(baseline=nan)), "a number that is none", ""),
        (Metric("bought it", measure=Measure(action="buy")), "'bought it'", "names are of"),
    ],
)
def test_what_nobody_could_read_again_is_refused(bad, detail, hint):
    with pytest.raises(BadDefinition) as refused:
        check(bad)
    assert detail in refused.value.detail
    assert hint in refused.value.hint


def test_plain_values_of_any_shape_are_taken():
    check_readable(Flag("banner", {"control": (1, 2), "treatment": [{"글": None, "n": 10**40, "x": 0.5}]}))


@pytest.mark.parametrize("phase", [0, -1, 10**7, 10**400])
def test_a_phase_leaves_room_for_the_next_one(phase):
    with pytest.raises(BadDefinition, match="phase"):
        check(Flag("banner", ON, phase=phase))
