"""Answers given again: nothing stale, nothing that may not be shown, one decision logged once.

Every promise of `engine/test_recommender.py` is tried here once more, on one cache shared by all processes.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.ports.cache import NoCache
from holdfast.rooms.recommend.engine.engine import Engine
from holdfast.rooms.recommend.engine.feedback import Action
from holdfast.rooms.recommend.engine.recommender import Ask
from holdfast.rooms.recommend.engine.repeating import Repeating, user_tag
from holdfast.rooms.recommend.engine.writing import Item, save_items, save_persona
from holdfast.rooms.recommend.rules.settings import Config, Variant
from tests.given_flags import GivenFlags
from tests.rooms.recommend import conftest
from tests.rooms.recommend.conftest import Make, World, liked_by_groups
from tests.rooms.recommend.engine import test_feedback, test_recommender

globals().update(
    {
        f"{name}_of_{module.__name__.rpartition('.')[2]}": test
        for module in (test_recommender, test_feedback)
        for name, test in vars(module).items()
        if name.startswith("test_")
    }
)


class Keeping:
    """The port, in the least room: values as they travel, by key, with their tags; one load at a time."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        self.loads = 0
        self._one = asyncio.Lock()

    async def get_or_set(
        self, key: str, factory: Any, *, kind: str, tags: Sequence[str], returns: Any, ttl_s: Any = None
    ) -> Any:
        async with self._one:
            if key not in self.kept:
                self.loads += 1
                await self.set(key, await factory(), kind=kind, tags=tags)
            return msgspec.json.decode(self.kept[key][0], type=returns)

    async def set(self, key: str, value: Any, *, kind: str, tags: Sequence[str], ttl_s: Any = None) -> None:
        assert kind == "recommendation"
        self.kept[key] = msgspec.json.encode(value), tuple(tags)

    async def invalidate(self, *, tags: Sequence[str]) -> None:
        self.kept = {key: one for key, one in self.kept.items() if not set(tags) & set(one[1])}


@pytest.fixture
async def cache() -> Any:
    """One cache for every process that a test makes: as if each heard of everything at once."""
    return Keeping()


@pytest.fixture(autouse=True)
async def cached(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    monkeypatch.setattr(conftest, "Engine", partial(Engine, cache=cache))


@pytest.fixture
def noted() -> Iterator[Event]:
    """The record of a request that the test stands in."""
    event = Event()
    token = enter(detached(event))
    yield event
    leave(token)


async def asked(world: World, event: Event, user: str = "u", **wish: object) -> tuple[object, str]:
    answer = await world.ask(user, **wish)
    return answer, str((event.facts or {})["recommend_cache"])


async def catalogue(world: World, count: int = 30) -> None:
    await world.items(*(Item(f"i{n}", name=f"상품 {n}", text=f"설명 {n}") for n in range(count)))


async def test_an_answer_is_given_again_as_it_was(world: World, noted: Event) -> None:
    await catalogue(world)
    first, said = await asked(world, noted, explain=True)
    assert said == "miss"
    again, said = await asked(world, noted, explain=True)
    assert (again, said) == (first, "hit")
    facts = noted.facts or {}
    assert facts["recommend_answer"] == first.answer_id
    assert facts["recommend_shown"] == [item.item_id for item in first.items]
    assert facts["recommend_explored"] == {i.item_id: i.propensity for i in first.items if i.explored}


@pytest.mark.parametrize(
    "wish",
    [
        {"limit": 6},
        {"interests": ("캠핑",)},
        {"segment": "new"},
        {"exclude": ("i1",)},
        {"diversity": 0.9},
        {"weights": {"popularity": 1.0}},
        {"explain": True},
        {"variant": "treatment"},
    ],
)
async def test_another_question_has_another_answer(world: World, noted: Event, wish: dict) -> None:
    await catalogue(world)
    first, _ = await asked(world, noted)
    other, said = await asked(world, noted, **wish)
    assert said == "miss"
    assert other.answer_id != first.answer_id
    assert (await asked(world, noted, user="v"))[1] == "miss"
    assert (await asked(world, noted))[1] == "hit"
    assert (await asked(world, noted, **wish))[1] == "hit"


async def test_feedback_counts_in_the_very_next_answer(make: Make, noted: Event) -> None:
    one, other = await make(), await make()
    await catalogue(one)
    await other.engine.refresh()
    first, _ = await asked(one, noted)
    assert (await asked(other, noted))[0].answer_id == first.answer_id, "kept for every process"
    await other.did("u", first.items[0].item_id, kind="view")
    after, said = await asked(one, noted)
    assert said == "miss"
    assert first.items[0].item_id not in [item.item_id for item in after.items]


async def test_feedback_counts_even_where_nobody_was_told(
    make: Make, noted: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await make(), await make()
    await catalogue(one)
    await other.engine.refresh()

    async def lost(user_id: str) -> None:
        """A node that is cut off: its invalidations reach nobody."""

    monkeypatch.setattr(other.engine.repeating, "drop_user", lost)
    first, _ = await asked(one, noted)
    await other.did("u", first.items[0].item_id, kind="hide")
    assert (await asked(one, noted))[1] == "miss"


async def test_a_replayed_feedback_drops_nothing(world: World, noted: Event) -> None:
    await catalogue(world)
    await world.engine.feedback.take("u", [Action("i1")], "key")
    first, _ = await asked(world, noted)
    await world.engine.feedback.take("u", [Action("i1")], "key")
    assert (await asked(world, noted))[0] == first


async def test_a_change_of_the_catalogue_makes_every_answer_anew(make: Make, noted: Event) -> None:
    one, other = await make(), await make()
    await catalogue(one)
    await other.engine.refresh()
    first, _ = await asked(one, noted)
    gone = first.items[0].item_id
    await save_items(other.sql, [Item(gone, stock=0)])
    after, said = await asked(one, noted)
    assert gone not in [item.item_id for item in after.items]
    assert said == "off", "texts of that version are not known yet, so the answer is not worth keeping"
    await one.engine.refresh()
    assert [(await asked(one, noted))[1] for _ in range(2)] == ["miss", "hit"]


async def test_an_item_that_expires_is_in_no_kept_answer(world: World, noted: Event) -> None:
    soon_ms = int((world.clock.wall() + 60) * 1000)
    await world.items(*(Item(f"i{n}", expires_ms=soon_ms) for n in range(3)), *(f"j{n}" for n in range(30)))
    first, _ = await asked(world, noted, limit=20, exclude=())
    assert {item.item_id for item in first.items} & {"i0", "i1", "i2"}
    world.clock.advance(61)
    after, said = await asked(world, noted, limit=20)
    assert said == "void"
    assert len(after.items) == 20, "made anew, not cut short"
    assert not {item.item_id for item in after.items} & {"i0", "i1", "i2"}
    assert (await asked(world, noted, limit=20)) == (after, "hit")


async def test_what_was_declared_counts_at_once(world: World, noted: Event) -> None:
    await catalogue(world)
    await asked(world, noted)
    await save_persona(world.sql, "u", ["캠핑"], None)
    assert (await asked(world, noted))[1] == "miss"


async def test_a_promoted_model_and_a_rollback_make_every_answer_anew(make: Make, noted: Event) -> None:
    world = await make(train_min_events=50)
    await liked_by_groups(world)
    await world.engine.refresh()
    await asked(world, noted)
    assert (await asked(world, noted))[1] == "hit"
    assert (await world.engine.train()).verdict.promoted
    trained, said = await asked(world, noted)
    assert said == "miss"
    assert trained.model != "popularity"


async def test_an_answer_is_one_row_a_place_however_often_it_is_served(make: Make, noted: Event) -> None:
    one, other = await make(), await make()
    await catalogue(one)
    await other.engine.refresh()
    first, _ = await asked(one, noted)
    for world in (one, other, one, other):
        assert (await asked(world, noted))[0].answer_id == first.answer_id
    await one.engine.shown.flush()
    await other.engine.shown.flush()
    rows = await one.sql.fetch(text("select position, propensity, explored from recommend_shown"), {})
    assert sorted(row[0] for row in rows) == list(range(len(first.items)))
    explored = [row[1] for row in rows if row[2]]
    assert explored == pytest.approx([item.propensity for item in first.items if item.explored])
    for world in (one, other):
        numbers = [world.engine.keeper.catalogue.number[item.item_id] for item in first.items]
        assert [world.engine.shown.exposure.share(number) for number in numbers] == [1.0] * len(numbers)


async def test_what_was_drawn_once_stays_until_something_changes(world: World, noted: Event) -> None:
    await catalogue(world, 200)
    explored = set()
    for round_ in range(12):
        answers = [(await asked(world, noted))[0] for _ in range(3)]
        drawn = {item.item_id for answer in answers for item in answer.items if item.explored}
        assert len(drawn) == 1, "one decision"
        explored |= drawn
        await world.did("u", f"i{round_}", kind="view")
    assert len(explored) > 6, "and a new draw with every new decision"


async def test_kept_answers_may_be_turned_off(make: Make, noted: Event) -> None:
    world = await make(repeat=False)
    await catalogue(world)
    assert [(await asked(world, noted))[1] for _ in range(2)] == ["off", "off"]


async def test_other_settings_never_share_an_answer(make: Make, noted: Event) -> None:
    one, other = await make(), await make(diversity=0.9)
    await catalogue(one)
    await other.engine.refresh()
    await asked(one, noted)
    assert (await asked(other, noted))[1] == "miss"


async def test_answers_are_dropped_by_user_and_all_together(world: World, noted: Event, cache: Any) -> None:
    await catalogue(world)
    await asked(world, noted, user="김")
    await asked(world, noted, user="이")
    await cache.invalidate(tags=[user_tag("김")])
    assert (await asked(world, noted, user="김"))[1] == "miss"
    assert (await asked(world, noted, user="이"))[1] == "hit"
    await world.engine.repeating.drop_all()
    assert (await asked(world, noted, user="이"))[1] == "miss"


async def test_ten_at_once_get_one_decision(world: World) -> None:
    await catalogue(world)
    answers = await asyncio.gather(*(world.ask("u") for _ in range(10)))
    assert len({answer.answer_id for answer in answers}) == 1


async def test_the_arms_of_a_release_never_share_an_answer(make: Make) -> None:
    flags = GivenFlags()
    world = await make(flags=flags, variants={"treatment": Variant(diversity=0.0)})
    await catalogue(world)
    found = []
    for arm in ("control", "treatment", "control", "treatment"):
        flags.arms["u"] = arm
        found.append((await world.ask("u")).answer_id)
    assert found[0] == found[2] != found[1] == found[3]


async def test_the_cap_of_exposure_holds_for_answers_made_elsewhere(make: Make, noted: Event) -> None:
    made, other = await make(exposure_cap=0.2), await make(exposure_cap=0.2)
    await catalogue(made, 60)
    await other.engine.refresh()
    mine, _ = await asked(made, noted, user="u")
    best = mine.items[0].item_id
    shown = 0
    for number in range(40):
        shown += best in await other.shown(f"v{number}")
    assert shown > 0
    number = other.engine.keeper.catalogue.number[best]
    exposure = other.engine.shown.exposure
    while (exposure.share(number) * 40 + 1) / 41 <= 0.2:
        exposure.note(f"w{exposure.share(number)}", [number])
    answer, said = await asked(other, noted, user="u")
    assert said == "void"
    assert best not in [item.item_id for item in answer.items if not item.explored]


def test_a_key_is_short_whatever_was_asked() -> None:
    repeating = Repeating(NoCache(), Config())
    ask = Ask("가" * 256, 5, exclude=tuple(f"i{n}" for n in range(1000)))
    key = repeating.key(ask, 1, 2, 3)
    assert len(key) == len("recommend:") + 32
    assert key != repeating.key(ask, 1, 2, 4)
    assert not repeating.is_on
