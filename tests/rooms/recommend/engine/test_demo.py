"""The made-up shop: the same everywhere, in two languages, and with something to learn."""

from holdfast.rooms.recommend.engine.demo import EVENTS, ITEMS, USERS, catalogue, log, seed_demo
from tests.rooms.recommend.conftest import World


def test_the_shop_is_the_same_each_time_and_speaks_both_languages() -> None:
    items = list(catalogue())
    assert items == list(catalogue())
    assert len({item.item_id for item in items}) == ITEMS
    assert len({item.name for item in items}) > 150
    assert sum("텐트" in item.name for item in items) > 3
    assert sum(item.name.isascii() for item in items) > 50
    events = list(log(2_000_000_000_000))
    assert events == list(log(2_000_000_000_000))
    assert len(events) == EVENTS
    assert len({event["user"] for event in events}) == USERS


async def test_the_shop_teaches_a_model_more_than_popularity(world: World) -> None:
    await seed_demo(world.engine)
    assert world.engine.keeper.knowledge.model_name in ("ease", "gfcf")
    camper = await world.shown("user-0", 6)
    themes = [int(item.removeprefix("item-")) % 6 for item in camper[:5]]
    assert themes.count(0) >= 3
    await seed_demo(world.engine)
    assert len(world.engine.keeper.catalogue) == ITEMS
    assert world.engine.keeper.knowledge.version == 1
