import msgspec
import pytest

from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.rooms.resilience.engine.guards import UnknownDependency
from holdfast.rooms.resilience.http import ResilienceHttp, routes
from tests.rooms.resilience.world import World


@pytest.fixture
def world():
    return World(pay={"failures": 2}, mail={})


def by_address(world):
    return {f"{route.method} {route.path}": route for route in routes(ResilienceHttp(world.guards))}


async def ask(world, address, **params):
    answer = await by_address(world)[address].handler(Call(Event(), params=params))
    assert ("cache-control", "no-store") in answer.headers
    return msgspec.to_builtins(answer.content)


async def test_all_states_are_shown_by_name(world):
    await world.fail(2)
    found = await ask(world, "GET /admin/resilience")
    assert list(found["dependencies"]) == ["mail", "pay"]
    assert found["dependencies"]["pay"]["state"] == "open"
    assert found["dependencies"]["mail"]["last_error_age_s"] is None


async def test_a_reset_closes_and_says_how_it_is_now(world):
    await world.fail(2)
    found = await ask(world, "POST /admin/resilience/{dependency}/reset", dependency="pay")
    assert (found["dependency"], found["now"]["state"]) == ("pay", "closed")
    with pytest.raises(UnknownDependency) as caught:
        await ask(world, "POST /admin/resilience/{dependency}/reset", dependency="지불")
    assert "known: mail, pay" in caught.value.hint


def test_both_addresses_ask_for_the_admin_token(world):
    assert [route.public for route in by_address(world).values()] == [False, False]
