"""What is kept, and how old is too old."""

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.llm.engine.answers import Answers
from holdfast.rooms.llm.rules.asking import Answered
from holdfast.rooms.llm.rules.settings import CacheSettings
from tests.rooms.llm.engine.scripted import answer
from tests.rooms.llm.engine.world import NOON, DictCache, request

SETTINGS = CacheSettings(ttl_s=60, ttls={"summary": 600}, stale_s=30, stale_if_error_s=300)


async def kept_for(age_s, settings=SETTINGS):
    clock = ManualClock(wall_s=NOON)
    answers = Answers(DictCache(), settings, clock)
    told = Answered(source="fresh", attempts=2, upstream_s=0.3, cost=70, row="row-1", body=answer("하나"))
    await answers.keep("k", request(), told)
    clock.advance(age_s)
    return answers, await answers.find("k")


@pytest.mark.parametrize(
    ("age_s", "purpose", "expected", "stands_in"),
    [
        (0, "answer", "fresh", True),
        (59, "answer", "fresh", True),
        (60, "answer", "stale", True),
        (90, "answer", "old", True),
        (359, "answer", "old", True),
        (360, "answer", "old", False),
        (360, "summary", "fresh", True),
        (600, "summary", "stale", True),
    ],
)
async def test_how_old_is_too_old_is_decided_at_reading(age_s, purpose, expected, stands_in):
    answers, kept = await kept_for(age_s)
    assert answers.freshness(kept, purpose) == expected
    assert answers.stands_in(kept, purpose) == stands_in


async def test_told_again_it_costs_nothing_and_names_the_row_that_paid():
    answers, kept = await kept_for(10)
    told = answers.of(kept, "cached")
    assert (told.source, told.attempts, told.upstream_s, told.cost, told.age_s) == ("cached", 0, 0.0, 0, 10)
    assert (told.row, told.body) == ("row-1", answer("하나"))
    assert kept.answered.cost == 70


async def test_a_clock_that_went_back_makes_no_negative_age():
    answers, kept = await kept_for(0)
    kept.at += 100
    assert answers.of(kept, "cached").age_s == 0
    assert answers.freshness(kept, "answer") == "fresh"


async def test_what_is_not_there_is_none():
    answers, _ = await kept_for(0)
    assert await answers.find("other") is None
