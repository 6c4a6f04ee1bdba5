"""What the records of a process come to, whatever stands on them."""

import pytest

from holdfast.kernel.event import Event, ProductEvent
from holdfast.rooms.experiments.engine import intake as module
from holdfast.rooms.experiments.engine.intake import Intake
from holdfast.rooms.experiments.rules.outcomes import FACT, Use, line_of


@pytest.fixture
def intake():
    return Intake(lambda: 5.0)


def deed(value, **facts):
    return ProductEvent(action="bought", user_id="u", facts={"value": value, **facts})


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (3, 3.0),
        (-0.5, -0.5),
        (True, None),
        ("3", None),
        (None, None),
        (float("nan"), None),
        (float("-inf"), None),
        pytest.param(10**400, None, id="large"),
        pytest.param(10**5000, None, id="huge"),
    ],
)
def test_a_value_is_a_finite_number_or_none_and_the_event_counts_either_way(intake, value, amount):
    intake.saw(deed(value))
    intake.saw(deed(1))
    assert [outcome.value for outcome in intake.drain()] == [amount, 1.0]


def test_facts_that_nobody_can_write_out_are_left_out(intake):
    intake.saw(deed(1, place="서울", size=10**5000))
    (found,) = intake.drain()
    assert found.attributes == {"value": 1, "place": "서울"}


def test_a_record_that_cannot_be_read_takes_no_other_with_it(intake):
    """The facts of a record are the app's to write, under the room's own name too."""
    intake.saw(Event(facts={FACT: f"ranker=treatment {'9' * 5000} u"}))
    intake.saw(deed(1))
    assert [outcome.name for outcome in intake.drain()] == ["bought"]
    assert intake.lost == 1
    assert intake.drain() == []


@pytest.mark.parametrize(
    "unit", ["u", "지민 김", "a=b", "a 1 b", " ".join("=,=" * 9), "é\u2028\u0085x", "x" * 512]
)
def test_a_use_is_read_back_from_its_record_whatever_the_unit(intake, unit):
    uses = {"ranker": Use("treatment", unit, 3), "banner": Use("control", unit, 1)}
    fact = "\n".join(line_of(flag, use) for flag, use in uses.items())
    intake.saw(Event(facts={FACT: fact}, user_id=unit))
    (found,) = intake.drain()
    assert found.uses == uses


@pytest.mark.parametrize(
    ("how", "failed", "error"),
    [
        ({"status": 200}, False, ""),
        ({"status": 404}, False, ""),
        ({"status": 500}, True, ""),
        ({"status": 200, "ended": "error", "error_type": "ValueError"}, True, "ValueError"),
        ({"status": 200, "ended": "incomplete"}, True, "incomplete"),
        ({"status": 200, "ended": "client_disconnect"}, False, ""),
        ({"status": 200, "ended": "shutdown"}, False, ""),
    ],
)
def test_an_answer_that_the_app_broke_off_has_failed_and_one_that_nobody_heard_has_not(
    intake, how, failed, error
):
    intake.saw(Event(facts={FACT: "ranker=treatment 1 u"}, **how))
    (found,) = intake.drain()
    assert (found.failed, found.error) == (failed, error)


def test_records_that_used_nothing_are_passed_over(intake):
    intake.saw(Event(facts={"cache": "hit"}))
    intake.saw(Event())
    assert intake.drain() == []


def test_what_there_is_no_room_for_is_counted(intake, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    for _ in range(5):
        intake.saw(deed(1))
    assert (len(intake.drain()), intake.lost) == (2, 3)
