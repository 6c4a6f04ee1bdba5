"""Feedback: once each, never from the future, safe side by side."""

import asyncio

import pytest

from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.feedback import Action, moment_ms
from holdfast.rooms.recommend.rules.problems import BadEvent, KeyReused, UnknownItem
from tests.rooms.recommend.conftest import Make, World


async def events(world: World) -> int:
    count: int = (await world.sql.fetch(store.EVENT_COUNT))[0][0]
    return count


async def test_a_retry_with_the_same_key_gets_the_same_answer_and_writes_nothing(world: World) -> None:
    await world.items("a", "b")
    actions = [Action("a", "like"), Action("b", "rating", 4.0)]
    first = await world.engine.feedback.take("u", actions, "key-1")
    world.clock.advance(60.0)
    assert await world.engine.feedback.take("u", actions, "key-1") == first
    assert await events(world) == 2


async def test_a_key_with_another_body_is_refused(world: World) -> None:
    await world.items("a", "b")
    await world.engine.feedback.take("u", [Action("a")], "key-1")
    with pytest.raises(KeyReused):
        await world.engine.feedback.take("u", [Action("b")], "key-1")
    # Keys belong to a user: another one may choose the same.
    assert (await world.engine.feedback.take("v", [Action("b")], "key-1")).accepted == 1


async def test_the_callers_own_event_ids_count_once(world: World) -> None:
    await world.items("a")
    assert (await world.engine.feedback.take("u", [Action("a", id="e1"), Action("a", id="e2")])).accepted == 2
    again = await world.engine.feedback.take("u", [Action("a", id="e2"), Action("a", id="e3")])
    assert (again.accepted, again.duplicates) == (1, 1)
    assert await events(world) == 3


async def test_an_unknown_item_refuses_the_whole_call(world: World) -> None:
    await world.items("a")
    with pytest.raises(UnknownItem):
        await world.engine.feedback.take("u", [Action("a"), Action("없음")], "k")
    assert await events(world) == 0
    # The key was not used up by the refusal.
    assert (await world.engine.feedback.take("u", [Action("a")], "k")).accepted == 1


async def test_an_item_another_process_added_a_moment_ago_is_known(make: Make) -> None:
    here, there = await make(), await make()
    await here.items("brand new")
    assert (await there.engine.feedback.take("u", [Action("brand new")])).accepted == 1


async def test_an_event_from_the_future_happened_now(world: World) -> None:
    await world.items("a", "b")
    now_s = world.clock.wall()
    await world.engine.feedback.take(
        "u", [Action("a", at=now_s + 86_400), Action("b", at="2020-01-01T00:00:00Z")]
    )
    rows = await world.sql.fetch(store.EVENTS_OF_USERS, {"from_no": 0, "to_no": 1})
    assert sorted(row[3] for row in rows) == [1_577_836_800_000, int(now_s * 1000)]


async def test_many_appends_of_one_user_at_once_all_count(make: Make) -> None:
    here, there = await make(), await make()
    await here.items(*(f"i{n}" for n in range(40)))
    await asyncio.gather(
        *(world.engine.feedback.take("u", [Action(f"i{n}")]) for n in range(40) for world in (here, there))
    )
    assert await events(here) == 80
    assert await there.shown("u", 50) == []
    assert (await here.engine.people.situation("u")).person.revision == 80


async def test_the_same_key_sent_at_once_writes_once(make: Make) -> None:
    here, there = await make(), await make()
    await here.items("a")
    receipts = await asyncio.gather(
        *(world.engine.feedback.take("u", [Action("a")], "k") for world in (here, there) for _ in range(8))
    )
    assert len({tuple(receipt.event_ids) for receipt in receipts}) == 1
    assert await events(here) == 1


@pytest.mark.parametrize("actions", [[], [Action("a")] * 1001, [Action("a", "fly")], [Action("a\n")]])
async def test_calls_that_make_no_sense_are_refused(world: World, actions: list[Action]) -> None:
    await world.items("a")
    with pytest.raises(BadEvent) as refused:
        await world.engine.feedback.take("u", actions)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("at", "expected"),
    [(None, None), ("", None), (1.5, 1500), ("1970-01-01T00:00:02", 2000), ("1970-01-01T09:00:00+09:00", 0)],
)
def test_times(at: float | str | None, expected: int | None) -> None:
    assert moment_ms(at) == expected


@pytest.mark.parametrize("at", ["yesterday", float("inf"), float("nan"), "2020-13-01"])
def test_times_that_are_none(at: float | str) -> None:
    with pytest.raises(BadEvent):
        moment_ms(at)
