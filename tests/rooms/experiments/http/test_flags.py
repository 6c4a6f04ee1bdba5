"""The addresses of flags, as an operator uses them."""

import msgspec
import pytest

from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.rooms.experiments.http.flags import FlagsHttp, routes
from holdfast.rooms.experiments.rules.assigning import buckets
from holdfast.rooms.experiments.rules.problems import BadDefinition, Stale, UnknownName, WrongState
from tests.rooms.experiments.world import Process, rolled

FLAG = {
    "name": "banner",
    "variants": {"control": False, "treatment": True},
    "rules": [{"split": {"lanes": [{"variant": "treatment", "share": 10000}], "rollout": 2500}}],
}
ALL, ONE = "/admin/flags", "/admin/flags/{name}"


class Operator:
    """Asks as the edge would: query and body decoded by the route's types."""

    def __init__(self, process):
        self.routes = {f"{route.method} {route.path}": route for route in routes(FlagsHttp(process.editor))}

    async def __call__(self, address, body=None, query=None, **params):
        route = self.routes[address]
        call = Call(
            Event(user_id="kim"),
            params=params,
            body=msgspec.convert(body, route.body) if route.body else None,
            query=msgspec.convert(query or {}, route.query) if route.query else None,
        )
        answer = await route.handler(call)
        assert ("cache-control", "no-store") in answer.headers
        assert answer.status == route.status
        return msgspec.json.decode(msgspec.json.encode(answer.content))


@pytest.fixture
def process(sqlite_database):
    return Process(sqlite_database)


@pytest.fixture
def ask(process):
    return Operator(process)


async def test_a_flag_is_made_shown_changed_and_removed(ask, process):
    made = await ask(f"PUT {ONE}", FLAG, name="banner")
    assert (made["generation"], len(made["salt"])) == (1, 16)
    assert (await ask(f"GET {ALL}"))["flags"] == [made]
    assert await ask(f"GET {ONE}", name="banner") == {"flag": made, "overrides": {}}
    changed = await ask(f"PATCH {ONE}", {"client": True, "generation": 1}, name="banner")
    assert changed == {**made, "client": True, "generation": 2}
    with pytest.raises(Stale) as refused:
        await ask(f"PATCH {ONE}", {"client": False, "generation": 1}, name="banner")
    assert refused.value.status == 409
    with pytest.raises(Stale):
        await ask(f"DELETE {ONE}", query={"generation": 1}, name="banner")
    await ask(f"DELETE {ONE}", query={"generation": 2}, name="banner")
    with pytest.raises(UnknownName) as unknown:
        await ask(f"GET {ONE}", name="banner")
    assert unknown.value.status == 404
    changes = (await ask(f"GET {ONE}/history", name="banner"))["changes"]
    assert [(each["actor"], each["after"] is None) for each in changes] == [
        ("kim", True),
        ("kim", False),
        ("kim", False),
    ]


async def test_without_a_generation_a_patch_goes_by_what_stands(ask):
    await ask(f"PUT {ONE}", FLAG, name="banner")
    await ask(f"PATCH {ONE}", {"description": "a"}, name="banner")
    assert (await ask(f"PATCH {ONE}", {"description": "b"}, name="banner"))["generation"] == 3


async def test_kill_and_restore(ask, process):
    await ask(f"PUT {ONE}", FLAG, name="banner")
    await ask(f"PUT {ONE}/overrides/{{unit}}", {"variant": "treatment"}, name="banner", unit="7")
    assert process.changes.variant("banner", 7) == "treatment"
    assert (await ask(f"POST {ONE}/kill", name="banner"))["enabled"] is False
    assert process.changes.variant("banner", 7) == "control"
    await ask(f"POST {ONE}/restore", name="banner")
    assert process.changes.variant("banner", 7) == "treatment"


async def test_overrides_are_set_shown_and_removed(ask):
    await ask(f"PUT {ONE}", FLAG, name="banner")
    said = await ask(f"PUT {ONE}/overrides/{{unit}}", {"variant": "treatment"}, name="banner", unit=" 7 ")
    assert said == {"flag": "banner", "unit": "7", "variant": "treatment"}
    assert (await ask(f"GET {ONE}", name="banner"))["overrides"] == {"7": "treatment"}
    await ask(f"DELETE {ONE}/overrides/{{unit}}", name="banner", unit="7")
    assert (await ask(f"GET {ONE}", name="banner"))["overrides"] == {}


async def test_an_evaluation_is_explained_and_is_no_exposure(ask, process):
    await process.put(rolled(0))
    said = await ask(
        f"GET {ONE}/evaluate", query={"unit": "u", "attr": ["tier=pro", "age=30"]}, name="ranker"
    )
    assert said["because"] == "rule 1"
    assert (said["bucket"], said["lane"]) == (buckets("s")("u"), "treatment")
    assert said["evaluation"]["variant"] == "control"
    assert process.records == []
    with pytest.raises(BadDefinition):
        await ask(f"GET {ONE}/evaluate", query={"unit": "u", "attr": ["tier"]}, name="ranker")


async def test_what_belongs_to_a_release_is_changed_there(ask, process):
    await process.put(rolled())
    for address, body in ((f"PATCH {ONE}", {"off": "treatment"}), (f"DELETE {ONE}", None)):
        with pytest.raises(WrongState, match="belongs to the release"):
            await ask(address, body, name="ranker")
    with pytest.raises(WrongState, match="made by its release"):
        await ask(f"PUT {ONE}", {**FLAG, "kind": "release"}, name="banner")
    assert (await ask(f"POST {ONE}/kill", name="ranker"))["enabled"] is False


async def test_address_and_body_name_the_same(ask):
    with pytest.raises(BadDefinition, match="the address names"):
        await ask(f"PUT {ONE}", FLAG, name="banners")


async def test_segments(ask):
    one = "/admin/segments/{name}"
    body = {"name": "staff", "any_of": [[{"attribute": "email", "op": "ends_with", "value": "@example.com"}]]}
    made = await ask(f"PUT {one}", body, name="staff")
    assert await ask("GET /admin/segments") == {"segments": [made]}
    assert await ask(f"GET {one}", name="staff") == made
    await ask(
        f"PUT {ONE}", {**FLAG, "rules": [{"segments": ["staff"], "variant": "treatment"}]}, name="banner"
    )
    with pytest.raises(BadDefinition, match="in use by banner"):
        await ask(f"DELETE {one}", name="staff")
    await ask(f"DELETE {ONE}", name="banner")
    await ask(f"DELETE {one}", name="staff")


async def test_layers_show_what_is_free(ask):
    one = "/admin/layers/{name}"
    await ask(f"PUT {one}", {"name": "page"}, name="page")
    await ask(f"PUT {ONE}", {**FLAG, "layer": "page", "slots": [1000, 4000]}, name="banner")
    said = await ask(f"GET {one}", name="page")
    assert (said["taken"], said["free"]) == ({"banner": [1000, 4000]}, [[0, 1000], [4000, 10_000]])
    assert (await ask("GET /admin/layers"))["layers"] == [said]
    with pytest.raises(BadDefinition, match="in use by banner"):
        await ask(f"DELETE {one}", name="page")
    await ask(f"DELETE {ONE}", name="banner")
    await ask(f"DELETE {one}", query={"generation": 1}, name="page")


async def test_the_holdout(ask):
    assert (await ask("GET /admin/holdout"))["share"] == 0
    made = await ask("PUT /admin/holdout", {"share": 100})
    assert await ask("GET /admin/holdout") == made
    with pytest.raises(Stale):
        await ask("PUT /admin/holdout", {"share": 200})


def test_all_are_for_administrators(ask):
    assert not any(route.public for route in ask.routes.values())
