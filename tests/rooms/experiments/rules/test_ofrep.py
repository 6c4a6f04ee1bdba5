"""OFREP's words: what is read, what is told, and entity tags that change with what they stand for."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Internal, TooLarge, Unauthorized
from holdfast.rooms.experiments.rules.evaluating import evaluate
from holdfast.rooms.experiments.rules.flags import Evaluation, Flag, Lane, Rule, Ruleset, Split
from holdfast.rooms.experiments.rules.ofrep import (
    Asked,
    BadContext,
    NotJson,
    Tags,
    bulk,
    fault_of,
    holds,
    in_ofrep_shape,
    metadata_of,
    problem_of,
    read,
    told,
    unit_of,
)

PARTED = Flag(
    "새-랭커".encode().hex(),
    {"control": 1, "treatment": 2},
    kind="release",
    salt="secret-salt",
    rules=(Rule(split=Split((Lane("treatment", 5000),))),),
    generation=7,
)
PLAIN = Flag("plain", {"control": False, "on": True}, salt="secret-salt")


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({}, Asked()),
        ({"context": None}, Asked()),
        ({"context": {}}, Asked()),
        ({"context": {"targetingKey": "김철수"}}, Asked("김철수")),
        ({"context": {"targetingKey": 42}}, Asked("42")),
        ({"context": {"targetingKey": "u", "도시": "서울"}, "later": 1}, Asked("u", {"도시": "서울"})),
    ],
)
def test_a_context_is_read(body, asked):
    assert read(json.dumps(body).encode()) == asked


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"{", "PARSE_ERROR"),
        (b"\xff\xfe", "PARSE_ERROR"),
        (b'{"context":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}", "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b'{"context":[]}', "INVALID_CONTEXT"),
        (b'{"context":"u"}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":true}}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":1.5}}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":null}}', "INVALID_CONTEXT"),
    ],
)
def test_what_is_no_context_is_refused_in_its_own_shape(body, code):
    with pytest.raises((NotJson, BadContext)) as refused:
        read(body, "my-flag")
    written = json.loads(in_ofrep_shape(refused.value, "r1"))
    assert refused.value.status == 400
    assert written["errorCode"] == code
    assert written["key"] == "my-flag"
    assert refused.value.hint in written["errorDetails"]


@given(st.binary(max_size=64))
def test_whatever_is_sent_is_read_or_refused(body):
    found = None
    with contextlib.suppress(NotJson, BadContext):
        found = read(body)
    assert found is None or isinstance(found.attributes, dict)


@pytest.mark.parametrize(
    ("problem", "code", "key"),
    [
        (problem_of("FLAG_NOT_FOUND", "f"), "FLAG_NOT_FOUND", "f"),
        (problem_of("TARGETING_KEY_MISSING", "f"), "TARGETING_KEY_MISSING", "f"),
        (problem_of("INVALID_CONTEXT", "f"), "INVALID_CONTEXT", "f"),
        (problem_of("GENERAL", "f"), "GENERAL", "f"),
        (problem_of("something of tomorrow", "f"), "GENERAL", "f"),
        (TooLarge("65537 bytes"), "GENERAL", None),
        (Unauthorized("no"), "GENERAL", None),
        (Internal(), "GENERAL", None),
    ],
)
def test_every_problem_has_a_code_and_details(problem, code, key):
    written = json.loads(in_ofrep_shape(problem, "r1"))
    assert written["errorCode"] == code
    assert written.get("key") == key
    assert written["errorDetails"]


@pytest.mark.parametrize(
    ("evaluation", "flag", "fault"),
    [
        (Evaluation("p", "control", 1, "SPLIT", "u"), PARTED, ""),
        (Evaluation("p", "control", 1, "DEFAULT", "u"), PARTED, ""),
        (Evaluation("p", "control", 1, "DISABLED", ""), PARTED, ""),
        (Evaluation("p", "control", 1, "DEFAULT", ""), PARTED, "TARGETING_KEY_MISSING"),
        (Evaluation("p", "control", 1, "STALE", ""), PARTED, "TARGETING_KEY_MISSING"),
        (Evaluation("p", "treatment", 2, "STALE", ""), PARTED, ""),
        (Evaluation("p", "control", 1, "STALE", "u"), PARTED, ""),
        (Evaluation("p", "control", False, "STALE", ""), PLAIN, ""),
        (Evaluation("p", "control", False, "DEFAULT", ""), PLAIN, ""),
        (Evaluation("p", "control", False, "STATIC", ""), PLAIN, ""),
        (Evaluation("p", "control", None, "ERROR", error="FLAG_NOT_FOUND"), None, "FLAG_NOT_FOUND"),
        (Evaluation("p", "control", None, "ERROR"), PLAIN, "GENERAL"),
    ],
)
def test_what_went_wrong_has_a_code(evaluation, flag, fault):
    assert fault_of(evaluation, flag) == fault
    assert told(evaluation, flag).get("errorCode", "") == fault


def test_a_result_tells_value_variant_and_what_the_flag_is_but_never_its_salt():
    result = told(Evaluation(PARTED.name, "treatment", 2, "SPLIT", "u", phase=1, counted=True), PARTED)
    assert result == {
        "key": PARTED.name,
        "value": 2,
        "reason": "SPLIT",
        "variant": "treatment",
        "metadata": {
            "kind": "release",
            "release": PARTED.name,
            "algorithm": "sha256-1",
            "phase": 1,
            "generation": 7,
        },
    }
    assert "secret" not in json.dumps(result)
    assert all(isinstance(each, str | int | float | bool) for each in metadata_of(PLAIN).values())


def test_a_variant_without_a_value_leaves_it_to_the_code():
    assert "value" not in told(Evaluation("plain", "control", None, "STATIC"), PLAIN)


@pytest.mark.parametrize("value", [False, 0, 0.0, "", [], {}])
def test_an_empty_value_is_a_value(value):
    assert told(Evaluation("plain", "control", value, "STATIC"), PLAIN)["value"] == value


@pytest.mark.parametrize(
    ("unit", "attributes", "found"),
    [
        ("user", {"tenant": "acme"}, "u"),
        ("tenant", {"tenant": "한빛"}, "한빛"),
        ("tenant", {"tenant": 0}, 0),
        ("tenant", {"tenant": 7}, 7),
        ("tenant", {"tenant": None}, "u"),
        ("tenant", {}, "u"),
        ("device", {"device": "d-1"}, "d-1"),
    ],
)
def test_a_flag_of_tenants_asks_for_the_tenant_of_the_context(unit, attributes, found):
    assert unit_of(Flag("f", {"control": 1}, unit=unit), "u", attributes) == found


def test_results_stand_in_the_order_of_their_names_whatever_order_they_were_found_in():
    ones = [{"key": "b", "value": 1}, {"key": "a", "value": 2}]
    assert bulk(ones, 3) == bulk(ones[::-1], 3)
    assert json.loads(bulk(ones, 3))["metadata"] == {"version": 3}


contexts = st.builds(
    Asked,
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.dictionaries(
        st.sampled_from(["plan", "도시", "age"]), st.integers() | st.booleans() | st.just("서울")
    ),
)


NO_RULES = Ruleset()


def tag(asked, ruleset=NO_RULES, now_ms=0, stale=False, everyone=False):
    return Tags(ruleset).tag(asked, now_ms, stale=stale, everyone=everyone)


@given(contexts, contexts)
def test_an_entity_tag_changes_with_the_context_and_not_with_the_order_of_its_members(one, other):
    assert tag(other) == tag(Asked(other.unit, dict(reversed(other.attributes.items()))))
    # True == 1 in Python; in JSON they are two things.
    same = one.unit == other.unit and repr(sorted(one.attributes.items())) == repr(
        sorted(other.attributes.items())
    )
    assert (tag(one) == tag(other)) == same


def test_an_entity_tag_changes_with_the_rules_and_whether_they_are_stale_but_not_with_their_order():
    both = Ruleset(7, {"parted": PARTED, "plain": PLAIN})
    other = Ruleset(7, {"parted": PARTED, "plain": msgspec.structs.replace(PLAIN, enabled=False)})
    assert tag(Asked(), both) == tag(Asked(), Ruleset(7, {"plain": PLAIN, "parted": PARTED}))
    tags = {tag(Asked(), both), tag(Asked(), other), tag(Asked(), both, stale=True), tag(Asked())}
    assert len({*tags, tag(Asked(), both, everyone=True)}) == 5


stamps = st.none() | st.integers(0, 3)
scheduled = st.builds(
    lambda begins, ends: Ruleset(
        1, {"sale": Flag("sale", {"control": 0, "on": 1}, rules=(Rule((), (), begins, ends, "on"),))}
    ),
    stamps,
    stamps,
)


@given(scheduled, st.integers(0, 4), st.integers(0, 4))
def test_while_the_tag_stays_nothing_that_is_told_has_changed(ruleset, then_ms, now_ms):
    def all_told(at_ms):
        return told(evaluate(ruleset, "sale", "alice", {}, at_ms), ruleset.flags["sale"])

    if all_told(then_ms) != all_told(now_ms):
        assert tag(Asked(), ruleset, then_ms) != tag(Asked(), ruleset, now_ms)


@pytest.mark.parametrize(
    ("if_none_match", "held"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ("abc", True),
        ('"x", W/"abc" ', True),
        ("*", True),
        ('"abcd"', False),
        ("", False),
        ('""', False),
    ],
)
def test_who_has_it_already_is_known_by_any_of_the_tags_sent(if_none_match, held):
    assert holds(if_none_match, '"abc"') is held
