"""Conditions hold of what fits, and of nothing else; none ever raises."""

import unicodedata
from datetime import datetime, timedelta, timezone
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.flags import Condition, Operator, Segment
from holdfast.rooms.experiments.rules.targeting import all_of, membership, version

CASES = [
    # operator, value, what holds, what does not
    ("is", "pro", ["pro"], ["Pro", 1, None, True, ["pro"]]),
    ("is", 1, [1, 1.0], [True, "1", 2]),
    ("is", True, [True], [1, "true", False]),
    ("is_not", "pro", ["free"], ["pro", None, 1, True, ["free"], {"a": "free"}]),
    ("is_not", 18, [19, 18.5], [18, 18.0, "18", "19", True, None]),
    ("is_not", True, [False], [True, 1, 0, "no"]),
    ("in", ["kr", "jp", 3], ["kr", 3], ["us", "3", None, True, ["kr"], {"kr": 1}]),
    ("not_in", ["kr"], ["us"], ["kr", None, 1, False, ["us"]]),
    ("not_in", ["kr", 3], ["us", 4], ["kr", 3, True, ["us"]]),
    ("contains", "b", ["abc", ["a", "b"]], ["ac", ["ab"], 1, None]),
    ("contains", 2, [[1, 2]], ["12", [True], 2]),
    ("starts_with", "ab", ["abc"], ["ba", 1, None, ["ab"]]),
    ("ends_with", "@example.com", ["a@example.com"], ["a@example.org", 5]),
    ("matches", "^a[0-9]+$", ["a12"], ["a", "b1", 1, None, "a" + "1" * 300]),
    ("less", 5, [4, 4.9, -1], [5, "4", True, None, float("nan")]),
    ("at_most", 5, [5], [6, "5", [5]]),
    ("more", 5, [6], [5, False]),
    ("at_least", 5, [5, 5.5], [4, {}]),
    ("version_less", "1.10", ["1.9", "v1.9.9", "1.10.0-beta", "1.10-rc.1"], ["1.10", "1.10.0", "x", 1]),
    ("version_at_least", "2.0.0-rc.2", ["2.0", "2.0.0-rc.10", "2.0.0-rc.2"], ["2.0.0-rc.1", ""]),
    ("before", "2026-12-01T09:00:00+09:00", ["2026-11-30T23:59:59Z", "2026-11-30", 0], ["soon", True]),
    ("after", "2026-12-01", ["2026-12-01T00:00:01", 1_900_000_000_000], ["2026-12-01", None, 1e400]),
    ("exists", None, [0, "", False, []], [None]),
    ("missing", None, [None], [0, "", False]),
]  # fmt: skip


def holds(operator, value, found, attribute="a"):
    return all_of([Condition(attribute, operator, value)])({attribute: found})


@pytest.mark.parametrize(("operator", "value", "fits", "does_not"), CASES)
def test_what_fits(operator, value, fits, does_not):
    assert [holds(operator, value, found) for found in fits] == [True] * len(fits)
    extremes = [found for found in does_not if found != float("inf")]
    assert [holds(operator, value, found) for found in extremes] == [False] * len(extremes)


def test_every_operator_has_a_case():
    assert {case[0] for case in CASES} == set(get_args(Operator))


def test_what_is_not_there_fits_missing_alone():
    assert [case[0] for case in CASES if all_of([Condition("a", case[0], case[1])])({})] == ["missing"]


def test_text_is_compared_however_it_is_composed():
    name = "김민수"
    apart = unicodedata.normalize("NFD", name)
    assert name != apart
    for operator, value in [
        ("is", name),
        ("in", [name]),
        ("contains", "민"),
        ("starts_with", "김"),
        ("ends_with", "수"),
    ]:
        assert holds(operator, value, apart)
        assert holds(
            operator, unicodedata.normalize("NFD", value) if isinstance(value, str) else [apart], name
        )


def test_an_attribute_is_found_however_its_name_is_composed():
    for name in ("이름", "고객.이름"):
        forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
        assert len(set(forms)) == 2
        for asked in forms:
            exists, missing = all_of([Condition(asked, "exists")]), all_of([Condition(asked, "missing")])
            assert not exists({"name": "x"})
            assert missing({"name": "x"})
            for given_as in forms:
                customer, _, last = given_as.rpartition(".")
                for attributes in ({given_as: "x"}, {customer: {last: "x"}} if customer else {last: "x"}):
                    assert all_of([Condition(asked, "is", "x")])(attributes)
                    assert exists(attributes)
                    assert not missing(attributes)


def test_a_time_given_in_code_is_read_as_its_text_is():
    seoul = timezone(timedelta(hours=9))
    for at in (datetime(2026, 12, 1), datetime(2026, 12, 1, 9, tzinfo=seoul)):
        assert not holds("before", "2026-12-01", at)
        assert holds("before", "2026-12-01T00:00:01", at)
        assert holds("before", at, at.isoformat()) is False
        assert holds("after", at, "2026-12-01T00:00:01")


def test_ids_are_compared_as_text():
    assert holds("in", [1, 2], "1", "user")
    assert holds("is", "1", 1, "user")
    assert not holds("is", "1", 1, "age")


def test_dots_reach_into_objects_unless_the_name_itself_is_there():
    fits = all_of([Condition("device.os.name", "is", "ios")])
    assert fits({"device": {"os": {"name": "ios"}}})
    assert fits({"device.os.name": "ios"})
    assert not fits({"device": {"os": "ios"}})
    assert not fits({"device": None})


def test_a_group_without_conditions_holds_nobody():
    assert not membership([Segment("s", ((),))])({"a": 1})
    assert membership([Segment("s", ((), (Condition("a", "exists"),)))])({"a": 1})


PLAIN = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=8)


@given(
    st.sampled_from(get_args(Operator)),
    st.recursive(
        PLAIN,
        lambda of: st.lists(of, max_size=3),
    ),
    st.recursive(
        PLAIN,
        lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of, max_size=3),
    ),
)
@example("before", "2026-01-01", 10**400)
def test_no_condition_ever_raises(operator, value, found):
    assert holds(operator, value, found) in (True, False)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=4), st.lists(st.integers(0, 20), min_size=1, max_size=4)
)
def test_versions_are_ordered_as_their_numbers(one, two):
    padded = [part + [0] * (4 - len(part)) for part in (one, two)]
    text = [".".join(map(str, part)) for part in (one, two)]
    assert (version(text[0]) < version(text[1])) == (padded[0] < padded[1])
