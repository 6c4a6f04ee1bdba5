"""The alarm on dead letters."""

import logging

import pytest

from holdfast.rooms.jobs.engine.dead_letters import DeadLetters
from holdfast.rooms.jobs.store.reading import Filters
from tests.rooms.jobs.lives import Lives


@pytest.fixture
def lives(sqlite_ledger):
    return Lives(sqlite_ledger)


async def test_five_within_ten_minutes_are_an_alarm_until_they_are_dealt_with(lives, caplog):
    caplog.set_level(logging.WARNING, "holdfast.jobs")
    found = DeadLetters(lives.history, lives.clock, 5)
    for _ in range(4):
        await lives.dead()
    assert (await found.look()).status == "ok"
    await lives.dead()
    raised = await found.look()
    assert (raised.status, raised.facts["new_in_10_minutes"]) == ("degraded", 5)
    assert "holdfast jobs dead" in raised.detail
    await found.look()
    assert len(caplog.records) == 1, "said once"
    await lives.decisions.replay_all(Filters(), most=3)
    assert (await found.look()).status == "ok"
    assert len(caplog.records) == 2


async def test_old_ones_are_no_alarm(lives):
    for _ in range(6):
        await lives.dead()
    lives.clock.advance(601)
    found = await DeadLetters(lives.history, lives.clock, 5).look()
    assert (found.status, found.facts["dead_letters"]) == ("ok", 6)
