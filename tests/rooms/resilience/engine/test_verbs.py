import argparse

from holdfast.rooms.resilience.engine.verbs import Verbs
from holdfast.rooms.resilience.store.sql import SqlStates
from tests.rooms.resilience.world import World


async def shown(world, capsys):
    (verb,) = Verbs(world.guards).all()
    assert verb.name == "resilience show"
    assert await verb.run(argparse.Namespace()) == 0
    return capsys.readouterr().out


async def test_it_shows_limits_and_what_the_processes_share(sql, clock, capsys):
    declared = {
        "pay": {"shared": True, "failures": 2, "timeout_s": 5},
        "농장": {"timeout_s": 0, "breaker": False, "hedge": True, "concurrent": 3, "queue": 9},
    }
    serving = World(SqlStates(sql, clock.monotonic), clock, 1, **declared)
    await serving.fail(2)
    await serving.told()
    text = await shown(World(SqlStates(sql, clock.monotonic), clock, 2, **declared), capsys)
    pay, farm = text.split("농장\n")
    assert "deadline  5 s\n" in pay
    assert "open in all processes" in pay
    assert "2 failures in a row" in pay
    assert "3 at once, 9 waiting" in farm
    assert "the request's own" in farm
    assert "hedge     yes" in farm
    assert "GET /admin/resilience" in farm
    assert "breaker" not in farm


async def test_without_dependencies_it_says_how_to_declare_one(capsys):
    assert "[resilience.dependencies.<name>]" in await shown(World(), capsys)
