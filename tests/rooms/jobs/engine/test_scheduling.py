"""What time brings, on both databases."""

from holdfast.rooms.jobs.engine.scheduling import Recurring
from holdfast.rooms.jobs.store.rows import Schedule
from tests.rooms.jobs.lives import Lives

YEAR_MS = 365 * 86_400_000


async def test_a_schedule_is_heard_again_after_a_clock_that_was_ahead(ledger):
    lives = Lives(ledger)
    schedule = Schedule(
        name="hourly",
        job="count",
        payload='{"n":1}',
        cron="0 * * * *",
        zone="UTC",
        catch_up="once",
        next_ms=lives.now_ms + YEAR_MS,
    )
    await lives.upkeep.declare_schedule(schedule)
    recurring = Recurring(lives.upkeep, lives.jobs.catalogue, lives.jobs.rows, lives.clock, lives.rung.append)
    assert await recurring.look() == 0
    lives.clock.advance(3600)
    assert await recurring.look() == 1
    assert not await lives.upkeep.set_back(schedule, 0), "it has moved since"
