"""Model names select faults, and the table is complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.faults.rules.listing import described, listed
from holdfast.rooms.faults.rules.names import Fault, UnknownFault, parse_fault
from holdfast.rooms.faults.rules.scripts.play import SCRIPTS
from holdfast.rooms.faults.rules.table import BY_NAME, FAULTS


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ok", Fault("ok")),
        ("429", Fault("429")),
        ("slow-headers", Fault("slow-headers", 2.0)),
        ("slow-headers:2.5", Fault("slow-headers", 2.5)),
        ("gpt-4o+cut-mid-stream:3", Fault("cut-mid-stream", 3.0)),
        ("openai/gpt-4o:free+429", Fault("429")),
        ("a+b+silent", Fault("silent")),
        ("모델+ok", Fault("ok")),
        ("+ok", Fault("ok")),
        ("outage:4", Fault("outage", 4.0)),
        ("outage:2.5s", Fault("outage", 2.5, True)),
        ("outage-reset:0s", Fault("outage-reset", 0.0, True)),
        ("flaky:1", Fault("flaky", 1.0)),
        ("status:599", Fault("status", 599.0)),
    ],
)
def test_a_name_selects_its_fault(text, fault):
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no fault is called ''"),
        ("gpt-4o", "'gpt-4o'"),
        ("429+gpt-4o", "'gpt-4o'"),
        ("OK", "'OK'"),
        ("ok:1", "takes no number"),
        ("slow-headers:", "seconds"),
        ("slow-headers:x", "not 'x'"),
        ("slow-headers:-1", "not '-1'"),
        ("slow-headers:1e3", "not '1e3'"),
        ("slow-headers:inf", "not 'inf'"),
        ("slow-headers:nan", "not 'nan'"),
        ("slow-headers:٣", "not"),
        ("slow-headers:1s", "not '1s'"),
        ("slow-headers:86401", "from 0 to 86400"),
        ("cut-mid-stream:1.5", "whole number of chunks"),
        ("outage:1.5", "whole number"),
        ("outage:s", "not ''"),
        ("flaky:1.1", "from 0 to 1"),
        ("status:200", "from 400 to 599"),
    ],
)
def test_any_other_name_is_told_with_all_faults(text, said):
    with pytest.raises(UnknownFault) as caught:
        parse_fault(text)
    assert said in caught.value.detail
    assert all(kind.name in caught.value.hint for kind in FAULTS)


@given(st.text())
def test_a_name_is_a_fault_of_the_table_or_refused(text):
    try:
        assert parse_fault(text).name in BY_NAME
    except UnknownFault as unknown:
        unknown.line().encode("utf-8", "replace")


def test_the_table_is_sound():
    assert len(BY_NAME) == len(FAULTS)
    assert set(SCRIPTS) == set(BY_NAME)
    for kind in FAULTS:
        assert parse_fault(kind.example).name == kind.name
        assert kind.default <= kind.most
        assert "\n" not in kind.what
    assert len(listed().splitlines()) == len(described()) == len(FAULTS)
