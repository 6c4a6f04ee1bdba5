"""What may be reported: of whom, how much, and never an exposure."""

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.tracked import (
    BadReport,
    NobodyNamed,
    NotYourself,
    Report,
    facts_of,
    who_did,
)


@pytest.mark.parametrize(
    ("named", "caller", "found"),
    [
        ("", "alice", "alice"),
        ("alice", "alice", "alice"),
        ("김철수", "", "김철수"),
        (unicodedata.normalize("NFD", "김철수"), "김철수", "김철수"),
    ],
)
def test_a_report_is_about_the_caller_or_whom_an_unknown_caller_names(named, caller, found):
    assert who_did(Report("bought", named), caller) == found


@pytest.mark.parametrize(
    ("named", "caller", "problem", "status"),
    [
        ("", "", NobodyNamed, 422),
        ("  ", "", NobodyNamed, 422),
        ("bob", "alice", NotYourself, 403),
        ("a\x00b", "", BadReport, 422),
        ("가" * 86, "", BadReport, 422),
    ],
)
def test_whom_it_may_not_be_about(named, caller, problem, status):
    with pytest.raises(problem) as refused:
        who_did(Report("bought", named), caller)
    assert refused.value.status == status
    assert refused.value.hint


def test_the_value_stands_among_the_facts_where_metrics_look_for_it():
    assert facts_of(Report("구매", value=39_000, facts={"item": "A-17", "gone": None, "new": True})) == {
        "item": "A-17",
        "new": True,
        "value": 39_000,
    }
    assert facts_of(Report("viewed")) == {}


@pytest.mark.parametrize(
    "report",
    [
        Report("exposure"),
        Report("a\nb"),
        Report("가" * 34),
        Report("bought", facts={"exposed": "x"}),
        Report("bought", facts={"value": 3}),
        Report("bought", facts={str(at): at for at in range(33)}),
        Report("bought", facts={"note": "가" * 342}),
        Report("bought", facts={"": 1}),
        Report("bought", facts={"x": float("nan")}),
        Report("bought", facts={"x": 1 << 63}),
        Report("bought", facts={"x": -(10**400)}),
        Report("bought", value=float("inf")),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(report):
    with pytest.raises(BadReport) as refused:
        facts_of(report)
    assert refused.value.hint


@given(st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.integers() | st.text(max_size=9)))
def test_what_is_taken_is_small_and_plain(facts):
    try:
        taken = facts_of(Report("bought", facts=facts))
    except BadReport:
        return
    assert len(taken) <= 32
    assert len(msgspec.json.encode(taken)) < 64 * 1024
