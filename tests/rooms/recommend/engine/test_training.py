"""Training in its own process, the gate, the swap, the way back, and models that cannot be read."""

import asyncio
from pathlib import Path

import pytest

from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.training import TrainingRuns
from holdfast.rooms.recommend.rules.problems import NoPrevious
from tests.rooms.recommend.conftest import Make, World, liked_by_groups


async def standings(world: World) -> list[tuple[int, str, str]]:
    from sqlalchemy import select

    columns = store.artefacts.c
    statement = select(columns.version, columns.model, columns.standing).order_by(columns.version)
    return [tuple(row) for row in await world.sql.fetch(statement)]


async def test_a_training_learns_and_serves(make: Make) -> None:
    world = await make()
    await liked_by_groups(world)
    outcome = await world.engine.train()
    assert outcome.verdict.promoted
    assert outcome.model in ("ease", "gfcf")
    assert (await world.ask("u0")).model == outcome.model
    assert (await world.engine.state()).status == "ok"


async def test_the_gate_refuses_a_worse_model_and_the_current_one_stays(make: Make) -> None:
    world = await make()
    await liked_by_groups(world)
    good = await world.engine.train()
    # A process that may only afford popularity, on the same log.
    poor = await make(model_bytes=1_000_000, ease_items=0)
    poor.engine.trainer._rules = _only_popularity(poor)
    refused = await poor.engine.train()
    assert refused.model == "popularity"
    assert not refused.verdict.promoted
    assert refused.rival_ndcg is not None
    assert refused.ndcg < refused.rival_ndcg
    assert [row[2] for row in await standings(world)] == ["current", "refused"]
    assert (await poor.ask("u0")).model == good.model


async def test_a_swap_keeps_the_previous_and_rollback_brings_it_back(make: Make) -> None:
    world = await make()
    await liked_by_groups(world)
    await world.engine.train()
    await world.did("late", "g0-1", "g0-2", "g0-3")
    await world.engine.train()
    assert [row[2] for row in await standings(world)] == ["previous", "current"]
    assert world.engine.keeper.knowledge.version == 2
    await world.engine.rollback()
    assert [row[2] for row in await standings(world)] == ["current", "previous"]
    assert world.engine.keeper.knowledge.version == 1
    await world.engine.train()
    assert [row[2] for row in await standings(world)] == ["previous", "retired", "current"]


async def test_there_is_no_way_back_from_the_first(make: Make) -> None:
    world = await make()
    with pytest.raises(NoPrevious):
        await world.engine.rollback()


async def test_another_process_serves_the_new_model_after_its_next_look(make: Make) -> None:
    here, there = await make(), await make()
    await liked_by_groups(here)
    await here.engine.train()
    assert there.engine.keeper.knowledge.version == 0
    await there.ask("u0")
    assert there.engine.keeper.is_behind
    await there.engine.refresh()
    assert there.engine.keeper.knowledge.version == 1


async def test_a_corrupt_model_gives_way_to_the_previous_and_health_says_so(make: Make) -> None:
    world = await make()
    await liked_by_groups(world)
    first = await world.engine.train()
    await world.did("late", "g0-1", "g0-2", "g0-3")
    second = await world.engine.train()
    assert first.artefact != second.artefact
    _spoil(world, second.artefact)
    restarted = await make()
    assert restarted.engine.keeper.knowledge.version == 1
    finding = await restarted.engine.state()
    assert finding.status == "degraded"
    assert "current model" in finding.detail
    assert await restarted.shown("u0")


async def test_with_no_readable_model_popularity_answers(make: Make) -> None:
    world = await make()
    await liked_by_groups(world)
    outcome = await world.engine.train()
    _spoil(world, outcome.artefact)
    restarted = await make()
    answer = await restarted.ask("u0", explain=True)
    assert answer.model == "popularity"
    assert answer.items
    assert "popularity answers" in (await restarted.engine.state()).detail
    # And the way out is the one the state names: train again.
    await restarted.engine.train()
    assert (await restarted.engine.state()).status == "ok"


async def test_two_trainings_at_once_are_one(make: Make) -> None:
    here, there = await make(), await make()
    await liked_by_groups(here, users=24)
    results = await asyncio.gather(here.engine.train(), there.engine.train(), return_exceptions=True)
    assert sum(isinstance(result, TrainingRuns) for result in results) == 1
    assert len(await standings(here)) == 1


async def test_a_failed_training_leaves_what_serves_and_says_so(make: Make, monkeypatch) -> None:
    world = await make()
    await liked_by_groups(world, users=24)
    await world.engine.train()
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Exception, match="training process"):
        await world.engine.train()
    assert (await world.engine.state()).status == "degraded"
    assert world.engine.keeper.knowledge.version == 1
    monkeypatch.undo()
    await world.engine.train()
    assert (await world.engine.state()).status == "ok"


async def test_training_is_due_after_enough_events_and_not_right_after_it(make: Make) -> None:
    world = await make(train_min_events=30, train_after_events=10)
    await world.items("a", *(f"i{n}" for n in range(40)))
    assert await world.engine.trainer.due() == ""
    await world.did("u", *(f"i{n}" for n in range(30)))
    assert await world.engine.trainer.due() == "nothing trained yet"
    await world.engine.train_when_due()
    assert await world.engine.trainer.due() == ""
    await world.did("v", *(f"i{n}" for n in range(10)))
    assert await world.engine.trainer.due() == "10 new events"


async def test_a_command_is_not_joined_by_a_training_of_the_background(make: Make) -> None:
    world = await make(train_min_events=2)
    await world.items("a", "b", "c")
    await world.did("u", "a", "b", "c")
    world.engine.work_alone()
    await world.engine.train_when_due()
    assert await standings(world) == []


async def test_nothing_but_dislikes_is_a_log_too(make: Make) -> None:
    world = await make()
    await world.items("a", "b")
    await world.did("u", "a", kind="hide")
    outcome = await world.engine.train()
    assert outcome.model == "popularity"
    assert await world.shown("u") == ["b"]


def _only_popularity(world: World):  # type: ignore[no-untyped-def] # the trainer's own Rules
    import msgspec

    from holdfast.rooms.recommend.models.backtest import Budget

    return msgspec.structs.replace(world.engine.trainer._rules, budget=Budget(model_bytes=1, ease_items=0))


def _spoil(world: World, artefact: str) -> None:
    folder: Path = world.data_dir / "recommend" / artefact
    file = sorted(folder.glob("*.npy"))[0]
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 0xFF
    # Beside and renamed, as the arrays of the running process are mapped from the old file.
    draft = file.with_suffix(".draft")
    draft.write_bytes(bytes(raw))
    draft.rename(file)
