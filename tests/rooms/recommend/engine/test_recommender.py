"""The four answers against a real database: freshness, cold starts, the gate, exploration, explanations."""

import random
from collections import Counter

import pytest

from holdfast.kernel.errors import Problem
from holdfast.rooms.recommend.engine.feedback import Action
from holdfast.rooms.recommend.engine.keeper import FADE_MS
from holdfast.rooms.recommend.engine.writing import Item, save_items, save_persona
from holdfast.rooms.recommend.rules.events import WEIGHTS
from holdfast.rooms.recommend.rules.problems import BadWeights, UnknownItem
from tests.rooms.recommend.conftest import Make, World, liked_by_groups

KOREAN = [
    Item("k1", "가벼운 캠핑 텐트", "두 사람이 자는 텐트", ("캠핑",)),
    Item("k2", "캠핑용 텐트 바닥", "텐트 아래에 까는 천", ("캠핑",)),
    Item("k3", "무선 이어폰", "소음을 줄이는 이어폰", ("음향",)),
    Item("k4", "유선 이어폰", "가벼운 이어폰", ("음향",)),
    Item("k5", "커피 원두", "에티오피아 원두", ("커피",)),
]


async def test_an_empty_catalogue_answers_with_nothing(world: World) -> None:
    assert await world.shown("anyone") == []
    assert (await world.engine.recommender.trending(5, "")).items == []


async def test_a_cold_user_gets_popular_items_and_one_explored(world: World) -> None:
    await world.items(*(f"i{n}" for n in range(30)))
    for user in range(5):
        await world.did(f"u{user}", "i7", "i8")
    await world.engine.refresh()
    answer = await world.ask("nobody", 5)
    assert {"i7", "i8"} <= {item.item_id for item in answer.items}
    assert answer.events == 0
    assert [item.explored for item in answer.items] == [False] * 4 + [True]


async def test_declared_interests_reach_a_cold_user_in_korean(make: Make) -> None:
    world = await make(explore_slots=0)
    await world.items(*KOREAN, *(f"bare{n}" for n in range(20)))
    first = (await world.ask("cold", 3, interests=("캠핑",))).items[:2]
    assert {item.item_id for item in first} == {"k1", "k2"}


async def test_a_remembered_persona_counts_in_the_next_answer(make: Make) -> None:
    world = await make(explore_slots=0)
    await world.items(*KOREAN, *(f"bare{n}" for n in range(20)))
    await save_persona(world.sql, "cold", ["이어폰"], None)
    assert set((await world.shown("cold", 3))[:2]) == {"k3", "k4"}
    await save_persona(world.sql, "cold", None, "students")
    person = (await world.engine.people.situation("cold")).person
    assert (person.interests, person.segment) == (("이어폰",), "students")


async def test_an_item_without_events_is_reached_through_its_content(make: Make) -> None:
    world = await make(explore_slots=0)
    await world.items(*KOREAN, *(f"bare{n}" for n in range(20)))
    await world.did("u", "k1")
    assert (await world.shown("u", 3))[0] == "k2"
    await world.items(Item("k6", "접이식 캠핑 텐트", "새로 온 텐트", ("캠핑",)))
    assert "k6" in (await world.shown("u", 4))[:2]


async def test_a_new_event_changes_the_next_answer_without_training(make: Make) -> None:
    world = await make(train_min_events=20, explore_slots=0)
    await liked_by_groups(world)
    await world.engine.train()
    await world.did("fresh", "g1-0")
    assert all(item.startswith("g1-") for item in await world.shown("fresh", 3))
    await world.did("fresh", "g2-0", "g2-1", "g2-2", "g2-3")
    assert (await world.shown("fresh", 3))[0].startswith("g2-")


async def test_an_event_written_by_another_process_changes_the_next_answer(make: Make) -> None:
    here, there = await make(), await make()
    await here.items(*(f"i{n}" for n in range(12)))
    before = await there.shown("u", 5)
    await here.did("u", before[0])
    assert before[0] not in await there.shown("u", 12)


async def test_an_item_sold_out_in_another_process_is_gone_from_the_next_answer(make: Make) -> None:
    here, there = await make(), await make()
    await here.items(*(f"i{n}" for n in range(6)))
    assert "i3" in await there.shown("u", 6)
    await save_items(here.sql, [Item("i3", stock=0)])
    assert "i3" not in await there.shown("u", 6)


async def test_expired_hidden_and_sold_out_items_are_in_no_list(world: World) -> None:
    now_ms = int(world.clock.wall() * 1000)
    bad = [Item("old", expires_ms=now_ms), Item("hid", hidden=True), Item("out", stock=0)]
    await world.items(*bad, Item("soon", expires_ms=now_ms + 5_000), "a", "b")
    lists = [
        await world.shown("u", 10),
        [item.item_id for item in (await world.engine.recommender.similar("a", 10, "", reasons=False)).items],
        [item.item_id for item in (await world.engine.recommender.trending(10, "")).items],
    ]
    assert [set(found) & {"old", "hid", "out"} for found in lists] == [set(), set(), set()]
    assert "soon" in lists[0]
    world.clock.advance(6.0)
    assert "soon" not in await world.shown("u", 10)
    assert (await world.engine.recommender.explain("u", "soon")).why_not == ["expired"]


async def test_nothing_seen_hidden_or_unavailable_is_ever_shown(make: Make) -> None:
    """The property, over random shops, people and wishes, on every path."""
    world = await make(train_min_events=10, exposure_cap=0.2)
    chance = random.Random(11)
    ids = [f"i{n}" for n in range(60)]
    await world.items(*(Item(item, name=f"thing {n % 7}", tags=(f"t{n % 5}",)) for n, item in enumerate(ids)))
    seen: dict[str, set[str]] = {f"u{n}": set() for n in range(12)}
    gone: set[str] = set()
    for turn in range(250):
        user = chance.choice(list(seen))
        step = chance.random()
        if step < 0.4:
            item = chance.choice(ids)
            await world.did(user, item, kind=chance.choice(["view", "like", "hide", "purchase"]))
            seen[user].add(item)
        elif step < 0.5:
            item = chance.choice(ids)
            gone ^= {item}
            await save_items(
                world.sql, [Item(item, stock=0 if item in gone else -1, name="thing", tags=("t1",))]
            )
        if turn in (80, 160):
            await world.engine.train()
        excluded = tuple(chance.sample(ids, 3))
        forbidden = seen[user] | gone
        shown = await world.shown(user, chance.randint(1, 60), exclude=excluded)
        assert not set(shown) & (forbidden | set(excluded))
        assert len(shown) == len(set(shown))
        like = chance.choice(ids)
        similar = await world.engine.recommender.similar(like, 30, user, reasons=False)
        assert not {item.item_id for item in similar.items} & (forbidden | {like})
        trending = await world.engine.recommender.trending(60, user)
        assert not {item.item_id for item in trending.items} & forbidden


async def test_the_parts_of_every_shown_item_add_up_to_its_score(make: Make) -> None:
    world = await make(train_min_events=20)
    await liked_by_groups(world)
    await world.items(*KOREAN)
    await world.engine.train()
    await world.did("mix", "k1", "g1-2", "g0-3")
    for user in ("mix", "u1", "u2", "cold"):
        answer = await world.ask(user, 12, explain=True, diversity=0.6, interests=("텐트", "음향"))
        assert answer.items
        for item in answer.items:
            assert sum(part.part for part in item.parts) == pytest.approx(item.score, abs=1e-5)
        assert sum(answer.weights.values()) == pytest.approx(1.0)


async def test_an_explanation_names_every_history_item_and_adds_up(make: Make) -> None:
    world = await make(train_min_events=20)
    await liked_by_groups(world)
    await world.engine.train()
    found = await world.engine.recommender.explain("u0", "g0-11")
    history = set(await _liked(world, "u0"))
    named = {part.because for part in found.parts if part.source == "collaborative"} - {"scale"}
    assert named <= history
    assert len(named) >= 3
    assert sum(part.part for part in found.parts) == pytest.approx(found.score, abs=1e-5)


async def test_an_explanation_of_a_seen_item_says_so(world: World) -> None:
    await world.items("a", "b")
    await world.did("u", "a")
    await world.did("u", "b", kind="hide")
    assert (await world.engine.recommender.explain("u", "a")).why_not == ["seen"]
    hidden = await world.engine.recommender.explain("u", "b")
    assert hidden.why_not == ["seen", "hidden by the user"]
    assert not hidden.eligible


async def test_unknown_items_are_refused_and_unknown_users_are_cold(world: World) -> None:
    await world.items("a")
    with pytest.raises(UnknownItem) as refused:
        await world.engine.recommender.similar("없음", 5, "", reasons=False)
    assert refused.value.status == 404
    with pytest.raises(UnknownItem):
        await world.engine.recommender.explain("u", "없음")
    assert await world.shown("never seen", 5) == ["a"]


async def test_weights_that_sum_to_zero_are_refused(world: World) -> None:
    await world.items("a", "b")
    with pytest.raises(BadWeights) as refused:
        await world.ask("u", 2, weights={"content": 0.0})
    assert refused.value.status == 422
    answer = await world.ask("u", 2, weights={"content": 3.0, "popularity": 1.0})
    assert answer.weights == {"collaborative": 0.0, "content": 0.75, "persona": 0.0, "popularity": 0.25}


async def test_exploration_is_recorded_with_its_probability(make: Make) -> None:
    world = await make(explore_slots=2)
    await world.items(*(f"i{n}" for n in range(40)))
    answer = await world.ask("u", 10)
    explored = [item for item in answer.items if item.explored]
    assert len(explored) == 2
    # Nothing was taken yet, so every draw is among equals: 1 of 40, then 1 of the 39 left.
    assert [item.propensity for item in explored] == pytest.approx([1 / 40, 1 / 39])
    await world.engine.shown.flush()
    rows = await world.sql.fetch(_shown_rows())
    assert [row[2] for row in rows if row[3]] == pytest.approx([1 / 40, 1 / 39])
    assert len(rows) == 10


async def test_no_item_is_shown_to_more_people_than_the_cap_allows(make: Make) -> None:
    world = await make(exposure_cap=0.25, explore_slots=0)
    await world.items(*(f"i{n}" for n in range(80)))
    for user in range(6):
        await world.did(f"fan{user}", "i0", "i1", "i2", "i3", "i4")
    await world.engine.refresh()
    shown: Counter[str] = Counter()
    for user in range(200):
        shown.update(await world.shown(f"visitor{user}", 5))
    assert max(shown.values()) <= 0.25 * 200 + 20
    assert len(shown) > 10


async def test_similar_items_are_those_taken_together_and_explained(make: Make) -> None:
    world = await make(train_min_events=20)
    await liked_by_groups(world)
    await world.engine.train()
    found = (await world.engine.recommender.similar("g2-0", 5, "", reasons=True)).items
    assert all(item.item_id.startswith("g2-") for item in found)
    for item in found:
        assert sum(part.part for part in item.parts) == pytest.approx(item.score, abs=1e-5)


async def test_trending_prefers_what_happened_lately(world: World) -> None:
    await world.items("old", "new", "never")
    for user in range(5):
        await world.did(f"u{user}", "old")
    world.clock.advance(30 * 86_400)
    for user in range(2):
        await world.did(f"v{user}", "new")
    await world.engine.refresh()
    found = [item.item_id for item in (await world.engine.recommender.trending(3, "")).items]
    assert found[0] == "new"
    assert (await world.engine.recommender.trending(3, "v0")).items[0].item_id != "new"


async def test_events_that_another_process_commits_late_are_counted(world: World) -> None:
    """Received before what is counted already, as where its transaction took longer."""
    await world.items("here", "there")
    counts = []
    for _ in range(3):
        world.clock.advance(FADE_MS / 1000)  # what is counted at a fade is no different
        await world.did("u", "here")
        await world.engine.refresh()
        world.clock.step_wall(-5.0)
        await world.did("v", "there")
        world.clock.step_wall(4.0)
        await world.engine.refresh()
        found = world.engine.keeper.knowledge.counts
        counts.append((found.events, *found.ever.tolist(), *found.lately.tolist()))
    assert counts == [(2 * n, *[n * WEIGHTS["like"]] * 4) for n in (1, 2, 3)]


async def test_a_user_with_ten_thousand_events_gets_something_unseen(world: World) -> None:
    ids = [f"i{n}" for n in range(10_050)]
    await world.items(*ids)
    for start in range(0, 10_000, 1_000):
        await world.engine.feedback.take("busy", [Action(item, "like") for item in ids[start : start + 1000]])
    answer = await world.ask("busy", 20, explain=True)
    assert {item.item_id for item in answer.items} <= set(ids[10_000:])
    assert len(answer.items) == 20
    assert answer.events == 500
    for item in answer.items:
        assert sum(part.part for part in item.parts) == pytest.approx(item.score, abs=1e-5)


async def test_diversity_breaks_up_a_list_of_twins(make: Make) -> None:
    world = await make(explore_slots=0)
    twins = [Item(f"twin{n}", "red camping tent for two", "", ("tent",)) for n in range(6)]
    others = [Item(f"other{n}", word, "", (word,)) for n, word in enumerate(["stove", "lamp", "cool box"])]
    await world.items(*twins, *others)
    await world.did("u", "twin0")
    same = (await world.shown("u", 4, diversity=0.0))[:3]
    mixed = (await world.shown("u", 4, diversity=1.0))[:3]
    assert all(item.startswith("twin") for item in same)
    assert any(item.startswith("other") for item in mixed)


async def test_a_wish_that_cannot_be_met_is_a_problem_with_a_hint(world: World) -> None:
    await world.items("a")
    with pytest.raises(Problem) as refused:
        await world.ask("u", 1, weights={"luck": 1.0})
    assert "collaborative" in refused.value.hint


async def _liked(world: World, user: str) -> list[str]:
    person = (await world.engine.people.situation(user)).person
    items, _ = person.history(500)
    return [world.engine.keeper.catalogue.ids[item] for item in items]


def _shown_rows():  # type: ignore[no-untyped-def] # a statement of SQLAlchemy
    from sqlalchemy import select

    from holdfast.rooms.recommend import store

    columns = store.shown.c
    return select(columns.answer_id, columns.position, columns.propensity, columns.explored).order_by(
        columns.position
    )
