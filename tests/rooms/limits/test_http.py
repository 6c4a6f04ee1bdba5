"""The admin addresses, called as the edge calls them."""

import msgspec
import pytest

from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.rooms.limits.engine.explaining import Asked
from holdfast.rooms.limits.http import ResetBody
from holdfast.rooms.limits.rules.problems import UnknownAction
from tests.rooms.limits.rooms import Harness


async def ask(house, path, **given):
    route = next(route for route in house.room.routes() if route.path == path)
    assert not route.public
    answer = await route.handler(Call(Event(), **given))
    assert ("cache-control", "no-store") in answer.headers
    return msgspec.json.decode(encode_json(answer.content))


async def test_the_overview_shows_policies_tables_and_refusals():
    house = Harness()
    house.admitted(130, user="a", tier="premium")
    house.admitted(130, user="b")
    found = await ask(house, "/admin/limits")
    assert (found["counts"], found["nodes"], found["hour_factor"]) == ("local", 1, 1.0)
    assert found["table"] == {"entries": 2, "max_entries": 200_000, "shared_uses": 0}
    by_action = {policy["action"]: policy for policy in found["policies"]}
    assert len(by_action) == 6
    api = by_action["api_call"]
    assert (api["passed"], api["refused"]) == (250, 10)
    assert api["now"] == {
        "FREE": {"quota": 100, "burst": 20},
        "PREMIUM": {"quota": 200, "burst": 40},
        "ADMIN": {"quota": 1000, "burst": 200},
    }


async def test_explain_answers_as_the_command_does():
    house = Harness()
    house.admitted(20, user="김하늘")
    query = Asked(action="api_call", user="김하늘")
    found = await ask(house, "/admin/limits/explain", query=query)
    assert [limit["policy"] for limit in found["limits"]] == ["api_call"]
    assert found["limits"][0]["count"]["remaining"] == 100
    assert found["limits"][0]["steps"][-1] == "key: user:김하늘, counted as api_call|user:김하늘"
    with pytest.raises(UnknownAction):
        await ask(house, "/admin/limits/explain", query=Asked(action="nothing"))


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_counter"])
async def test_reset_gives_one_identity_its_limits_back(algorithm):
    house = Harness(f"[limits]\nalgorithm = '{algorithm}'")
    for user in ("a", "b"):
        assert house.admitted(2000, user=user, tier="ADMIN") == 1200
    assert (await ask(house, "/admin/limits/reset", body=ResetBody("user:a")))["limits"] == 6
    assert house.admitted(2000, user="a", tier="ADMIN") == 1200
    assert house.admitted(5, user="b", tier="ADMIN") == 0
    answer = await ask(house, "/admin/limits/reset", body=ResetBody("user:b", "submission"))
    assert answer == {"identity": "user:b", "limits": 1}
    assert house.admitted(5, user="b", tier="ADMIN") == 0
