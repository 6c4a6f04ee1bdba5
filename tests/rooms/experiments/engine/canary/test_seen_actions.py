"""Actions that are tracked are known by name, whatever else is tracked beside them."""

import pytest
from sqlalchemy import func, select

from holdfast.kernel.event import ProductEvent
from holdfast.rooms.experiments.engine.canary.seen_actions import MOST
from holdfast.rooms.experiments.store.release_tables import actions


@pytest.mark.parametrize("odd", ["a\x00b", "half \ud800", "x" * 100_000, "line\nbreak"])
async def test_a_name_that_cannot_be_kept_stands_in_no_other_s_way(site, odd):
    process = site.processes[0]
    for action in (odd, "구매 완료"):
        process.changes.intake.saw(ProductEvent(action=action, user_id="u"))
    await process.changes.flush()
    assert await process.store.is_tracked("구매 완료")
    assert await process.store.actions() == ["구매 완료"]


async def test_made_up_names_do_not_pile_up(sqlite_site):
    process = sqlite_site.processes[0]
    await process.store.tracked({f"made-up-{n}": n for n in range(MOST + 50)} | {"vote": MOST + 50})
    process.clock.advance(3601)
    await process.changes.turn()
    [[kept]] = await process.store.sql.fetch(select(func.count()).select_from(actions))
    assert kept == MOST
    assert await process.store.is_tracked("vote")
    assert not await process.store.is_tracked("made-up-50")
