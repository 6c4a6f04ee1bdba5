"""The decision, as a table: what was found -> what to do."""

import pytest

from holdfast.rooms.experiments.rules.experiments import Plan
from holdfast.rooms.experiments.rules.statistics.results import (
    Analysis,
    Comparison,
    Figure,
    Novelty,
    SampleRatio,
    Stratified,
)
from holdfast.rooms.experiments.rules.statistics.verdicts import harms, verdict


def one(role, finding, arm="b", metric="m", z=3.0, low=-0.1, high=0.1, method="group-sequential"):
    figure = Figure(10.0, 1_000, 2.0)
    return Comparison(
        metric=metric, arm=arm, role=role, control=figure, treatment=figure, absolute=0.0, low=low * 10,
        high=high * 10, relative=0.0, relative_low=low, relative_high=high, method=method, estimator="welch",
        standard_error=0.1, z=z, finding=finding,
    )  # fmt: skip


def found(
    *comparisons, holds=True, fewest=1_000, final=False, information=0.5, mixed=0, novelty=(), strata=()
):
    return Analysis(
        at_s=0.0,
        units={"a": fewest, "b": 1_000},
        unit="user",
        mixed=mixed,
        information=information,
        final=final,
        sample_ratio=SampleRatio({"a": fewest, "b": 1_000}, {}, 20.0, 1e-5, holds),
        comparisons=comparisons,
        segments=(),
        looks=(),
        novelty=novelty,
        strata=strata,
        look=None,
    )


def decide(analysis, effect=0.05, expected=()):
    return verdict(analysis, Plan(effect=effect), expected)


better, worse, unclear = (one("primary", finding) for finding in ("better", "worse", "unclear"))
holds, open_, broken = (one("guardrail", finding, metric="g") for finding in ("no-worse", "unclear", "worse"))
narrow = one("primary", "unclear", low=-0.01, high=0.02)
always = one("primary", "unclear", low=-0.01, high=0.02, method="always-valid")


@pytest.mark.parametrize(
    ("comparisons", "more", "decision", "codes"),
    [
        ((better, holds), {}, "ship", ["better", "guardrail-holds"]),
        ((better, holds), {"holds": False}, "blocked", ["sample-ratio"]),
        ((broken,), {"holds": False}, "blocked", ["sample-ratio"]),
        ((better, open_), {}, "keep-going", ["better", "guardrail-open"]),
        ((better, open_), {"final": True}, "do-not-ship", ["better", "guardrail-open"]),
        ((better, broken), {}, "harm", ["guardrail-broken"]),
        ((worse, holds), {}, "harm", ["worse"]),
        ((better, worse), {}, "harm", ["worse"]),
        ((unclear,), {}, "keep-going", ["under-way"]),
        ((unclear,), {"information": None}, "keep-going", ["unclear"]),
        ((unclear,), {"final": True}, "inconclusive", ["unclear"]),
        ((narrow,), {"final": True}, "no-difference", ["too-small"]),
        ((narrow, unclear), {"final": True}, "inconclusive", ["unclear", "unclear"]),
        ((narrow,), {}, "keep-going", ["under-way"]),
        ((always,), {"information": None}, "no-difference", ["too-small"]),
        ((better,), {"fewest": 99}, "too-early", ["few-units"]),
        ((better,), {"fewest": 99, "final": True}, "inconclusive", ["few-units"]),
        ((), {}, "keep-going", ["no-primary"]),
        ((holds,), {"final": True}, "inconclusive", ["no-primary"]),
    ],
)
def test_what_was_found_decides(comparisons, more, decision, codes):
    said = decide(found(*comparisons, **more))
    assert said.decision == decision
    assert [reason.code for reason in said.reasons] == codes


def test_a_metric_that_is_missing_is_never_a_pass():
    said = decide(found(better), expected=(("m", "b"), ("g", "b")))
    assert (said.decision, said.reasons[0].code, said.reasons[0].metric) == ("too-early", "no-data", "g")


def test_of_several_arms_the_strongest_safe_one_is_shipped():
    said = decide(
        found(
            one("primary", "better", "b", z=3.0),
            one("primary", "better", "c", z=5.0),
            one("primary", "better", "d", z=9.0),
            one("guardrail", "no-worse", "b", "g"),
            one("guardrail", "no-worse", "c", "g"),
            one("guardrail", "worse", "d", "g"),
        )
    )
    assert (said.decision, said.arm) == ("ship", "c")


def test_what_must_be_known_beside_the_decision_is_said():
    said = decide(
        found(
            better,
            one("secondary", "worse", metric="s"),
            mixed=10,
            novelty=(Novelty("m", "b", 0.4, 0.1, -0.2, -0.3, -0.1, 0.001, True),),
            strata=(Stratified("m", "b", 0.0, -0.1, 0.1, 0.05, 7, True),),
        )
    )
    assert said.decision == "ship"
    assert [reason.code for reason in said.reasons] == [
        "better", "wears-off", "strata-disagree", "secondary-worse", "mixed",
    ]  # fmt: skip
    assert said.reasons[-1].figures["share"] == 10 / 2_010


def test_an_arm_that_does_harm_is_told_beside_the_one_that_is_shipped():
    said = decide(
        found(one("primary", "better"), one("primary", "worse", arm="c"), one("guardrail", "worse", "c"))
    )
    assert (said.decision, said.arm) == ("ship", "b")
    assert harms(said) == {"c": ["m", "m"]}
    harmed = decide(found(one("primary", "worse", metric="x"), one("secondary", "worse", metric="y")))
    assert (harmed.decision, harms(harmed)) == ("harm", {"b": ["x"]})
    assert harms(decide(found(one("primary", "better"), one("secondary", "worse", metric="y")))) == {}
    both = decide(found(one("primary", "worse"), one("primary", "worse", arm="c")))
    assert (both.arm, harms(both)) == ("b", {"b": ["m"], "c": ["m"]})
