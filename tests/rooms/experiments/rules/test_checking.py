"""A definition that contradicts itself is refused, with what to do."""

import msgspec
import pytest

from holdfast.rooms.experiments.rules.checking import (
    check_flag,
    check_holdout,
    check_layer,
    check_segment,
)
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

VALUES = {"control": 1, "treatment": 2}
LAYERS = {"page": Layer("page", "salt")}
OTHER = Flag("other", VALUES, layer="page", slots=(0, 4000))
KNOWN = Ruleset(1, {"other": OTHER}, {"staff": Segment("staff", ((Condition("a", "exists"),),))}, LAYERS)


def lanes(*shares, rest="control", rollout=10_000):
    return Rule(split=Split(tuple(Lane("treatment", share) for share in shares), rollout, rest))


def flag(*rules, **more):
    return Flag("f", more.pop("variants", VALUES), rules=rules, **more)


def when(operator, value=None, attribute="a"):
    return flag(Rule(when=(Condition(attribute, operator, value),), variant="treatment"))


REFUSED = [
    (flag(variants={}), "no variants", ""),
    (flag(variants={"a b": 1}, off="a b"), "no name", "letters"),
    (flag(variants={"control": 1, "treatment": "x"}), "several types", "one type"),
    (flag(variants={"control": True, "treatment": 1}), "several types", "one type"),
    (flag(off="contrl"), "'contrl'", "did you mean 'control'?"),
    (flag(Rule(variant="treatmnt")), "rule 1", "did you mean 'treatment'?"),
    (flag(Rule()), "either a variant or a split", ""),
    (flag(msgspec.structs.replace(lanes(1), variant="control")), "either", ""),
    (flag(Rule(split=Split(()))), "without lanes", ""),
    (flag(Rule(split=Split((Lane("nope", 1),)))), "'nope'", "there are: control, treatment"),
    (flag(lanes(1, rest="nope")), "rest", ""),
    (flag(lanes(6000, 6000)), "12000 of 10000", "500 is 5 %"),
    (flag(Rule(segments=("staf",), variant="control")), "segment", "did you mean 'staff'?"),
    (flag(Rule(from_ms=5, until_ms=5, variant="control")), "ends before", ""),
    (flag(layer="pag", slots=(0, 1)), "layer", "did you mean 'page'?"),
    (flag(layer="page"), "needs slots", ""),
    (flag(layer="page", slots=(5, 5)), "needs slots", ""),
    (flag(slots=(0, 5)), "without a layer", ""),
    (flag(layer="page", slots=(3999, 5000)), "overlap", "free"),
    (flag(layer="page", slots=(4000, 5000), unit="tenant"), "parts users", "one kind"),
    (flag(routes=("api",)), "prefix", "/"),
    (flag(salt="a\x1fb"), "salt", "drawn"),
    (flag(algorithm="md5"), "algorithm", "sha256-1"),
    (when("matches", "(a+)+"), "repeats", "starts_with"),
    (when("in", "pro"), "list", ""),
    (when("in", []), "list", ""),
    (when("less", "5"), "number", ""),
    (when("version_less", "new"), "version", ""),
    (when("before", "soon"), "time", ""),
    (when("before", 10**400), "time", ""),
    (when("less", (1, 2)), "number", ""),
    (flag(variants={"control": (1, 2), "treatment": 1}), "several types", "one type"),
    (when("starts_with", 5), "text", ""),
    (when("is", None), "value", "missing"),
    (when("exists", attribute=""), "without an attribute", ""),
]


@pytest.mark.parametrize(("bad", "detail", "hint"), REFUSED)
def test_contradictions_are_refused(bad, detail, hint):
    with pytest.raises(BadDefinition) as refused:
        check_flag(bad, KNOWN)
    assert detail in refused.value.detail
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    "good",
    [
        flag(),
        flag(lanes(5000, 5000), layer="page", slots=(4000, 10_000)),
        flag(Rule(segments=("staff",), variant="treatment"), Rule(from_ms=1, until_ms=2, variant="control")),
        flag(variants={"control": 1, "treatment": 2.5}),
        flag(variants={"control": {"a": 1}, "treatment": {}}),
        flag(variants={"control": (1, 2), "treatment": [3]}),
        flag(routes=("/",), salt="s-1"),
        when("before", "2026-12-01T09:00:00+09:00"),
        when("is", False),
    ],
)
def test_what_can_be_meant_is_taken(good):
    check_flag(good, KNOWN)


def test_a_flag_does_not_overlap_itself():
    check_flag(OTHER, KNOWN, OTHER)


@pytest.mark.parametrize("kind", ["release", "experiment"])
def test_lanes_do_not_change_within_a_phase(kind):
    before = flag(lanes(5000, rollout=500), kind=kind)
    check_flag(flag(lanes(5000, rollout=2500), kind=kind), KNOWN, before)
    with pytest.raises(BadDefinition, match="within a phase") as refused:
        check_flag(flag(lanes(6000), kind=kind), KNOWN, before)
    assert "phase to 2" in refused.value.hint
    check_flag(flag(lanes(6000), kind=kind, phase=2), KNOWN, before)
    check_flag(flag(lanes(6000)), KNOWN, flag(lanes(5000)))


def test_phases_only_go_up():
    with pytest.raises(BadDefinition, match="comes before"):
        check_flag(flag(), KNOWN, flag(phase=2))


def test_a_release_of_what_the_code_does_not_offer_is_refused():
    offered = {"f": ("control", "treatment")}
    check_flag(flag(kind="release"), KNOWN, offered=offered)
    with pytest.raises(BadDefinition) as refused:
        check_flag(flag(kind="release", variants={"control": 1, "treatmnt": 2}), KNOWN, offered=offered)
    assert "treatment" in refused.value.hint


@pytest.mark.parametrize("groups", [(), ((),), ((Condition("a", "in", 1),),)])
def test_a_segment_holds_somebody(groups):
    with pytest.raises(BadDefinition):
        check_segment(Segment("s", groups))


def test_salts_are_plain():
    for check, noun in ((check_layer, Layer("l", "a b")), (check_holdout, Holdout(1, "가"))):
        with pytest.raises(BadDefinition):
            check(noun)


@pytest.mark.parametrize(
    "name", ["ranker\n", "ranker\r\n", "a=b", "a,b", "A", "", " a", "a b", "가", "a" * 101]
)
def test_a_name_that_cannot_stand_in_a_header_is_none(name):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": name, "variants": VALUES}, Flag)


@pytest.mark.parametrize("variant", ["on\n", "a,b", "a=b", "a+b", "가"])
def test_a_variant_that_cannot_stand_in_a_header_is_none(variant):
    with pytest.raises(BadDefinition, match="no name of a variant"):
        check_flag(flag(variants={"control": 1, variant: 2}), KNOWN)
