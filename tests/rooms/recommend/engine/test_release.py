"""Each user is answered by its arm; asking is the exposure, and one arm's failure is its own."""

import asyncio

import pytest

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event, ProductEvent
from holdfast.rooms.recommend.engine.feedback import Action
from holdfast.rooms.recommend.engine.release import Release
from holdfast.rooms.recommend.rules.settings import Config, Variant
from tests.given_flags import GivenFlags
from tests.kept_log import KeptLog
from tests.rooms.recommend.conftest import liked_by_groups, taste_groups

OLDER = Variant(sources=("content", "persona"))


async def trained(make, flags, **settings):
    world = await make(flags=flags, train_min_events=10, explore_slots=0, **settings)
    await world.items(*[item for group in taste_groups() for item in group])
    await liked_by_groups(world)
    await world.engine.train()
    return world


async def test_the_older_engine_and_the_whole_ensemble_answer_side_by_side(make):
    flags = GivenFlags(old="older", new="control")
    world = await trained(make, flags, variants={"older": OLDER})
    for user in ("old", "new"):
        await world.did(user, "g0-0", "g0-1", "g0-2")
    old, new = await world.ask("old"), await world.ask("new")
    assert new.weights["collaborative"] > 0
    assert old.weights["collaborative"] == 0
    assert sum(old.weights.values()) == pytest.approx(1)
    assert len(old.items) == len(new.items) == 5
    assert all(item.item_id.startswith("g0") for item in new.items)
    assert flags.used == [("recommend", "old", "older"), ("recommend", "new", "control")]


async def test_an_explanation_is_that_of_the_users_arm_and_adds_up(make):
    flags = GivenFlags(old="older")
    world = await trained(make, flags, variants={"older": OLDER})
    await world.did("old", "g0-0", "g0-1")
    found = await world.engine.recommender.explain("old", "g0-5")
    assert found.weights["collaborative"] == 0
    assert sum(part.part for part in found.parts) == pytest.approx(found.score, abs=1e-5)


async def test_a_use_stands_on_the_record_of_the_request_that_asked(make):
    flags = GivenFlags(u="treatment")
    world = await make(flags=flags, variants={"treatment": Variant(diversity=0.0)})
    await world.items("a", "b")
    ctx = detached(Event())
    token = enter(ctx)
    try:
        await world.ask("u")
    finally:
        leave(token)
    assert ctx.event.facts["exposed"] == "recommend=treatment 1 u"


async def test_without_variants_or_without_a_name_nobody_is_asked(make):
    flags = GivenFlags(u="treatment")
    for settings in ({}, {"release": "", "variants": {"treatment": OLDER}}):
        world = await make(flags=flags, **settings)
        await world.items("a")
        await world.ask("u")
    assert flags.used == []


async def test_a_variant_that_nobody_declared_is_answered_as_control(make):
    world = await make(flags=GivenFlags(u="purple"), variants={"older": OLDER})
    await world.items("a", "b")
    assert len(await world.shown("u")) == 2


def test_what_can_be_served_is_offered_by_name():
    flags = GivenFlags()
    Release(Config(variants={"older": OLDER, "flat": Variant(diversity=0.0)}), flags)
    Release(Config(release="ranking"), flags)
    Release(Config(release=""), flags)
    assert flags.offered == {"recommend": ("control", "older", "flat"), "ranking": ("control",)}


async def test_an_arm_that_fails_fails_for_its_own_users_only(make, monkeypatch):
    flags = GivenFlags(bad="broken")
    world = await make(flags=flags, variants={"broken": Variant(evidence_k=1.5)})
    await world.items("a", "b")
    healthy = Config.priors

    def broken(config):
        if config.evidence_k == 1.5:
            raise ZeroDivisionError("as broken as they come")
        return healthy(config)

    monkeypatch.setattr(Config, "priors", broken)
    found = await asyncio.gather(*(world.ask(u) for u in ("bad", "u", "bad", "v")), return_exceptions=True)
    assert [isinstance(one, ZeroDivisionError) for one in found] == [True, False, True, False]
    assert (await world.engine.state()).status == "ok"


async def test_what_is_shown_and_clicked_are_events_of_the_same_user_with_their_request(make):
    log = KeptLog()
    world = await make(log=log)
    await world.items("a", "b")
    ctx = detached(Event(trace_id="t", span_id="s", request_id="r", user_id="the app"))
    token = enter(ctx)
    try:
        answer = await world.ask("지민")
        await world.engine.feedback.take("지민", [Action("a", "click"), Action("b", "rating", 4.0)])
        # Sent again, with one that is new: a click is one click.
        twice = [Action("a", "click", id="1"), Action("a", "click", id="1")]
        await world.engine.feedback.take("지민", twice)
        await world.engine.feedback.take("지민", [*twice, Action("b", "cart", id="2")])
    finally:
        leave(token)
    shown, clicked, rated, *again = log.records
    assert [one.action for one in again] == ["click", "cart"]
    assert all(isinstance(one, ProductEvent) for one in log.records)
    assert {(one.user_id, one.request_id, one.trace_id) for one in log.records} == {("지민", "r", "t")}
    assert (shown.action, clicked.action, rated.action) == ("recommend_shown", "click", "rating")
    assert shown.facts == {"answer_id": answer.answer_id, "value": 2}
    assert rated.facts["value"] == 4.0
