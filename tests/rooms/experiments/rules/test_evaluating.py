"""Who gets what, and why."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.assigning import buckets
from holdfast.rooms.experiments.rules.evaluating import Decider, evaluate, explain
from holdfast.rooms.experiments.rules.flags import (
    BUCKETS,
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

VALUES = {"control": "old", "treatment": "new", "other": "third"}
HALVES = Rule(split=Split((Lane("control", 5000), Lane("treatment", 5000))))


def flag(*rules, **more):
    return Flag("f", VALUES, rules=rules, salt=more.pop("salt", "s"), **more)


def canary(rollout, kind="release"):
    return flag(Rule(split=Split((Lane("treatment", BUCKETS),), rollout)), kind=kind)


def ruleset(of, **more):
    return Ruleset(1, {of.name: of}, **more)


def gives(of, unit="u", attributes=None, now_ms=0, **more):
    return evaluate(ruleset(of, **more), "f", unit, attributes, now_ms)


def unit_in(salt, begins, ends):
    """Some unit whose bucket lies there."""
    return next(str(n) for n in range(100_000) if begins <= buckets(salt)(str(n)) < ends)


def test_without_rules_everybody_gets_off():
    found = gives(flag())
    assert (found.variant, found.value, found.reason, found.counted) == ("control", "old", "DEFAULT", False)


def test_a_rule_without_conditions_is_static():
    found = gives(flag(Rule(variant="other")))
    assert (found.variant, found.reason, found.counted) == ("other", "STATIC", False)


def test_the_first_rule_that_fits_decides():
    of = flag(
        Rule(when=(Condition("tier", "is", "pro"),), variant="treatment"),
        Rule(when=(Condition("tier", "exists"),), variant="other"),
    )
    assert gives(of, attributes={"tier": "pro"}).variant == "treatment"
    assert gives(of, attributes={"tier": "free"}).variant == "other"
    assert gives(of).variant == "control"
    assert gives(of, attributes={"tier": "pro"}).reason == "TARGETING_MATCH"


def test_segments_are_any_of_any_group():
    segments = {
        "staff": Segment("staff", ((Condition("email", "ends_with", "@example.com"),),)),
        "beta": Segment("beta", ((Condition("beta", "is", True), Condition("tier", "is", "pro")),)),
    }
    of = flag(Rule(segments=("staff", "beta"), variant="treatment"))
    for attributes, variant in [
        ({"email": "a@example.com"}, "treatment"),
        ({"beta": True, "tier": "pro"}, "treatment"),
        ({"beta": True}, "control"),
        ({}, "control"),
    ]:
        assert gives(of, attributes=attributes, segments=segments).variant == variant


@pytest.mark.parametrize(
    ("now_ms", "variant"), [(99, "control"), (100, "treatment"), (199, "treatment"), (200, "control")]
)
def test_a_schedule_goes_by_the_clock_that_is_passed(now_ms, variant):
    assert gives(flag(Rule(from_ms=100, until_ms=200, variant="treatment")), now_ms=now_ms).variant == variant


def test_the_kill_switch_beats_everything():
    found = gives(flag(HALVES, enabled=False), overrides={"f": {"u": "treatment"}})
    assert (found.variant, found.reason, found.counted) == ("control", "DISABLED", False)


def test_an_override_is_not_counted():
    found = gives(canary(0), overrides={"f": {"u": "treatment"}})
    assert (found.variant, found.reason, found.counted) == ("treatment", "TARGETING_MATCH", False)


def test_an_override_is_for_the_unit_however_it_is_written():
    name = "김민수"
    for unit in (name, unicodedata.normalize("NFD", name), f" {name} "):
        assert gives(flag(), unit, overrides={"f": {name: "other"}}).variant == "other"
    assert gives(flag(), 1, overrides={"f": {"1": "other"}}).variant == "other"


def test_the_holdout_gets_no_change_unless_the_flag_does_not_heed_it():
    holdout = Holdout(1000, "h")
    held = unit_in("h", 0, 1000)
    full = canary(BUCKETS)
    assert gives(full, held, holdout=holdout).variant == "control"
    assert not gives(full, held, holdout=holdout).counted
    assert gives(full, unit_in("h", 1000, BUCKETS), holdout=holdout).variant == "treatment"
    deaf = flag(Rule(variant="treatment"), heeds_holdout=False)
    assert gives(deaf, held, holdout=holdout).variant == "treatment"


@given(st.integers(0, 10**9))
def test_nobody_is_in_two_flags_of_one_layer(unit):
    layers = {"l": Layer("l", "layer-salt")}
    one = Flag("one", VALUES, rules=(HALVES,), salt="a", kind="experiment", layer="l", slots=(0, 5000))
    two = Flag("two", VALUES, rules=(HALVES,), salt="b", kind="experiment", layer="l", slots=(5000, BUCKETS))
    both = Ruleset(1, {"one": one, "two": two}, layers=layers)
    assert evaluate(both, "one", unit).counted != evaluate(both, "two", unit).counted


@given(st.integers(), st.lists(st.integers(0, BUCKETS), min_size=2, max_size=5))
def test_raising_the_rollout_only_ever_moves_units_from_rest_into_their_lane(unit, rollouts):
    lanes = (Lane("treatment", 3000), Lane("other", 5000))
    seen = [gives(flag(Rule(split=Split(lanes, rollout))), unit).variant for rollout in sorted(rollouts)]
    moves = [variant for at, variant in enumerate(seen) if at == 0 or variant != seen[at - 1]]
    assert moves in (["control"], ["treatment"], ["other"], ["control", "treatment"], ["control", "other"])


def test_a_rollout_opens_its_share_of_units():
    opened = sum(gives(canary(500), n).variant == "treatment" for n in range(20_000))
    assert 900 < opened < 1100


def test_a_release_counts_its_baseline_and_an_experiment_only_its_lanes():
    at = buckets("s")("u")
    outside = at  # the rollout ends right before this bucket
    assert gives(canary(outside)).counted
    assert gives(canary(outside)).variant == "control"
    assert gives(canary(at + 1)).counted
    assert gives(canary(at + 1)).variant == "treatment"
    assert not gives(canary(outside, "experiment")).counted
    assert gives(canary(at + 1, "experiment")).counted
    assert not gives(canary(at + 1, "flag")).counted


def test_nobody_is_not_parted_but_may_be_targeted():
    nobody = gives(canary(BUCKETS), None)
    assert (nobody.variant, nobody.reason, nobody.counted) == ("control", "DEFAULT", False)
    assert gives(flag(Rule(variant="other")), "").variant == "other"


@pytest.mark.parametrize("unit", [True, 1.5, b"x", "\ud800", object()])
def test_what_is_no_unit_is_an_error_and_no_exposure(unit):
    found = gives(canary(BUCKETS), unit)
    assert (found.variant, found.reason, found.error, found.counted) == (
        "control",
        "ERROR",
        "INVALID_CONTEXT",
        False,
    )


def test_an_unknown_flag_is_an_error():
    found = evaluate(Ruleset(), "nope", "u")
    assert (found.variant, found.reason, found.error) == ("control", "ERROR", "FLAG_NOT_FOUND")


def test_an_override_of_a_variant_that_is_gone_is_an_error():
    assert gives(flag(), overrides={"f": {"u": "gone"}}).error == "GENERAL"


@given(
    st.one_of(st.integers(), st.text(max_size=5), st.none(), st.booleans(), st.floats()),
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.lists(st.integers()))
    ),
    st.integers(0, 300),
)
def test_a_decider_says_what_evaluate_says(unit, attributes, now_ms):
    rules = ruleset(
        flag(
            Rule(when=(Condition("a", "is", 1),), variant="other"),
            Rule(from_ms=50, until_ms=150, split=HALVES.split),
        ),
        holdout=Holdout(500, "h"),
        overrides={"f": {"3": "treatment"}},
    )
    assert Decider(rules).evaluate("f", unit, attributes, now_ms) == evaluate(
        rules, "f", unit, attributes, now_ms
    )
    assert explain(rules, "f", unit, attributes, now_ms).evaluation == evaluate(
        rules, "f", unit, attributes, now_ms
    )


@pytest.mark.parametrize(
    ("more", "unit", "because"),
    [
        ({"enabled": False}, "u", "disabled"),
        ({}, "u", "rule 1"),
        ({}, None, "rule 1 parts units, and there is none"),
        ({}, "t", "override"),
        ({}, True, "error: INVALID_CONTEXT"),
    ],
)
def test_it_can_be_explained(more, unit, because):
    found = explain(ruleset(flag(HALVES, **more), overrides={"f": {"t": "other"}}), "f", unit)
    assert found.because == because


def test_an_explanation_names_bucket_and_lane():
    found = explain(ruleset(canary(0)), "f", "u")
    assert (found.bucket, found.lane, found.evaluation.variant) == (buckets("s")("u"), "treatment", "control")
