"""What is sampled of the hits by meaning, for as long as the process lives."""

import random

import pytest

from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.meaning import Meaning
from holdfast.rooms.llm.rules.settings import SemanticSettings
from tests.rooms.llm.engine.world import request

ASKED = request("다크 모드를 켜는 방법을 알려줘")


@pytest.fixture
def meaning():
    """Every hit is of the sample; one question is known."""
    made = Meaning(SemanticSettings(enabled=True, sample=1.0), NoMeter(), random.Random(1))
    assert made.add(ASKED, "known") == ""
    return made


def test_a_sampled_hit_is_asked_anew_and_told_once(meaning):
    assert meaning.find(ASKED, "new") == ""
    assert meaning.add(ASKED, "new") == "known"
    assert meaning.add(ASKED, "new") == ""


def test_samples_that_never_come_to_their_answer_do_not_end_the_sampling(meaning):
    for number in range(1_500):
        assert meaning.find(ASKED, f"failed-{number}") == "", "each is sampled, the last like the first"
    assert meaning.add(ASKED, "failed-1499") == "known"
    assert meaning.add(ASKED, "failed-500") == "known"
    assert meaning.add(ASKED, "failed-499") == "", "the oldest have made room"


def test_a_sample_that_is_asked_again_is_as_young_as_a_new_one(meaning):
    meaning.find(ASKED, "asked twice")
    for number in range(999):
        meaning.find(ASKED, f"failed-{number}")
    meaning.find(ASKED, "asked twice")
    meaning.find(ASKED, "one more")
    assert meaning.add(ASKED, "failed-0") == ""
    assert meaning.add(ASKED, "asked twice") == "known"
