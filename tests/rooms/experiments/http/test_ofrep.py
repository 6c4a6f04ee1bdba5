"""OFREP's two addresses, and the one for what users did, behind a real front door."""

import json
import urllib.parse

import pytest

from holdfast.edge.compress import Compression
from holdfast.edge.compress import Config as CompressionConfig
from holdfast.edge.identity import Config as IdentityConfig
from holdfast.edge.identity import Identities
from holdfast.edge.pipeline import Edge
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config as EdgeConfig
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoMeter
from holdfast.rooms.experiments.http import ofrep, track
from holdfast.rooms.experiments.rules.flags import BUCKETS, Condition, Flag, Lane, Rule, Split
from tests.rooms.experiments.openfeature.world import World

SINGLE = "/ofrep/v1/evaluate/flags/"
BULK = "/ofrep/v1/evaluate/flags"
TOKEN = {"authorization": "Bearer swordfish"}
RELEASE = Flag(
    "new-ranker",
    {"control": "old", "treatment": "new"},
    kind="release",
    rules=(Rule(split=Split((Lane("treatment", BUCKETS),))),),
    client=True,
)
SECRET = Flag(
    "price-list", {"control": 1, "gold": 2}, rules=(Rule((Condition("등급", value="금"),), variant="gold"),)
)


class Door:
    """The addresses behind an Edge."""

    def __init__(self, world, *, everyone):
        self.world = world
        self.edge = Edge(
            self._nowhere,
            config=EdgeConfig(),
            router=Router(
                [
                    *ofrep.routes(world.changes.reading, everyone=everyone),
                    *track.routes(world.changes.tracking),
                ]
            ),
            responder=Responder(max_body_bytes=1_000_000, admin_token="swordfish", open_admin=False),
            log=world.log,
            meter=NoMeter(),
            clock=SystemClock(),
            ids=IdSource(7),
            wake=self._wake,
            identities=Identities(
                IdentityConfig(trusted_proxies=["192.0.2.7"]), wall=SystemClock.wall, admin_token="swordfish"
            ),
            compression=Compression(CompressionConfig()),
        )

    async def _nowhere(self, scope, receive, send):
        raise AssertionError("no address of the room")

    async def _wake(self):
        self.edge.awake = True

    async def post(self, path, body, headers=None):
        """Status, headers, and the JSON or None."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = [
            {"type": "http.request", "body": raw[at : at + 1000], "more_body": at + 1000 < len(raw)}
            for at in range(0, max(len(raw), 1), 1000)
        ]
        messages = []

        async def receive():
            return asked.pop(0) if asked else {"type": "http.disconnect"}

        async def send(message):
            messages.append(message)

        quoted = urllib.parse.quote(path)
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": quoted.encode(),
            "query_string": b"flagConfigEtag=1",
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("192.0.2.7", 4711),
        }
        await self.edge(scope, receive, send)
        start, *rest = messages
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        content = b"".join(each.get("body", b"") for each in rest)
        return start["status"], found, json.loads(content) if content else None


@pytest.fixture
async def world(sqlite_database):
    made = World(sqlite_database)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def door(world):
    """For back ends."""
    await world.put(RELEASE)
    await world.put(SECRET)
    return Door(world, everyone=False)


@pytest.fixture
async def open_door(door):
    """For browsers and phones."""
    return Door(door.world, everyone=True)


def context(key="alice", **attributes):
    return {"context": {"targetingKey": key, **attributes}}


async def test_one_flag_is_told_and_is_an_exposure_that_leaves_its_own_record_alone(door):
    status, headers, found = await door.post(SINGLE + "new-ranker", context("김철수"), TOKEN)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert {name: found[name] for name in ("key", "value", "reason", "variant")} == {
        "key": "new-ranker",
        "value": "new",
        "reason": "SPLIT",
        "variant": "treatment",
    }
    assert found["metadata"]["release"] == "new-ranker"
    assert door.world.flag("new-ranker").salt not in json.dumps(found)
    assert door.world.exposures() == [("new-ranker", "treatment", "김철수")]
    (request,) = [each for each in door.world.log.told if isinstance(each, Event)]
    assert "exposed" not in (request.facts or {})


async def test_attributes_are_targeted_by_and_a_client_of_any_name_takes_part(door):
    asked = context(등급="금")
    status, _, found = await door.post(SINGLE + "price-list", asked, {**TOKEN, "user-agent": "Googlebot/2.1"})
    assert (status, found["value"], found["reason"]) == (200, 2, "TARGETING_MATCH")
    assert door.world.exposures() == []


async def test_a_rule_on_the_user_is_about_the_targeting_key(door):
    ours = Rule(when=(Condition("user", "in", ["김철수"]),), variant="on")
    await door.world.put(Flag("f", {"control": 0, "on": 1}, rules=(ours,)))
    found = [
        (await door.post(SINGLE + "f", context(user), TOKEN))[2]["value"] for user in ("김철수", "alice")
    ]
    assert found == [1, 0]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (SINGLE + "없음", context(), 404, "FLAG_NOT_FOUND"),
        (SINGLE + "new-ranker", {}, 400, "TARGETING_KEY_MISSING"),
        (SINGLE + "new-ranker", context("a\x00b"), 400, "INVALID_CONTEXT"),
        (SINGLE + "new-ranker", {"context": 3}, 400, "INVALID_CONTEXT"),
        (SINGLE + "new-ranker", b"{", 400, "PARSE_ERROR"),
        (SINGLE + "new-ranker", b"", 400, "PARSE_ERROR"),
        (SINGLE + "new-ranker", context("a" * 66_000), 413, "GENERAL"),
        (BULK, b"[]", 400, "INVALID_CONTEXT"),
    ],
)
async def test_what_is_wrong_is_told_in_ofrep_s_shape_and_exposes_nobody(door, path, body, status, code):
    answered, headers, found = await door.post(path, body, TOKEN)
    assert (answered, found["errorCode"]) == (status, code)
    assert headers["content-type"] == "application/json"
    assert found["errorDetails"]
    if status != 413 and path != BULK:
        assert found["key"] == path.removeprefix(SINGLE)
    assert door.world.exposures() == []
    assert (await door.world.health()).status == "ok"


@pytest.mark.parametrize("path", [SINGLE + "new-ranker", BULK])
async def test_without_the_token_nothing_is_read_and_the_refusal_has_ofrep_s_shape(door, path):
    status, headers, found = await door.post(path, context())
    assert (status, found["errorCode"]) == (401, "GENERAL")
    assert headers["www-authenticate"].startswith("Bearer")


async def test_before_the_flags_are_read_it_is_unavailable(sqlite_database):
    status, headers, found = await Door(World(sqlite_database), everyone=True).post(BULK, context())
    assert (status, headers["retry-after"], found["errorCode"]) == (503, "1", "GENERAL")


async def test_all_flags_are_told_at_once_and_expose_nobody(door):
    status, headers, found = await door.post(BULK, context(), TOKEN)
    assert (status, headers["cache-control"]) == (200, "private, no-cache")
    assert {each["key"]: each["value"] for each in found["flags"]} == {"new-ranker": "new", "price-list": 1}
    assert found["metadata"] == {"version": 2}
    assert door.world.exposures() == []


async def test_a_flag_that_cannot_be_told_does_not_keep_the_others_back(door):
    status, _, found = await door.post(BULK, {}, TOKEN)
    by_key = {each["key"]: each for each in found["flags"]}
    assert status == 200
    assert by_key["new-ranker"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert by_key["price-list"]["value"] == 1


async def test_who_has_the_flags_already_is_told_so_until_rules_or_context_change(door):
    async def ask(body, etag=""):
        status, headers, _ = await door.post(BULK, body, {**TOKEN, "if-none-match": etag} if etag else TOKEN)
        return status, headers["etag"]

    _, etag = await ask(context())
    assert await ask(context(), etag) == (304, etag)
    assert await ask(context(), f'W/{etag}, "other"') == (304, etag)
    status, gold = await ask(context(등급="금"), etag)
    assert (status, gold != etag) == (200, True)
    assert (await ask(context("bob"), etag))[0] == 200
    await door.world.put(Flag("third", {"control": False}))
    status, newer = await ask(context(), etag)
    assert (status, newer != etag) == (200, True)


async def test_a_schedule_changes_the_tag_by_itself(door):
    world = door.world
    begins = int(world.clock.wall() * 1000) + 60_000
    await world.put(Flag("sale", {"control": 0, "on": 1}, rules=(Rule(from_ms=begins, variant="on"),)))
    _, headers, _ = await door.post(BULK, context(), TOKEN)
    world.clock.advance(61)
    status, _, found = await door.post(BULK, context(), {**TOKEN, "if-none-match": headers["etag"]})
    assert status == 200
    assert next(each["value"] for each in found["flags"] if each["key"] == "sale") == 1


async def test_everyone_reads_flags_marked_for_clients_and_finds_no_others(open_door):
    status, _, found = await open_door.post(BULK, context())
    assert (status, [each["key"] for each in found["flags"]]) == (200, ["new-ranker"])
    assert (await open_door.post(SINGLE + "price-list", context()))[0] == 404
    assert (await open_door.post(SINGLE + "new-ranker", context()))[0] == 200
    assert open_door.world.exposures() == [("new-ranker", "treatment", "alice")]


async def test_a_known_caller_among_everyone_exposes_only_itself(open_door):
    alice = {"x-user-id": "alice"}
    status, _, found = await open_door.post(SINGLE + "new-ranker", context("bob"), alice)
    assert (status, found["value"]) == (200, "new")
    assert open_door.world.exposures() == []
    await open_door.post(SINGLE + "new-ranker", {}, alice)
    assert open_door.world.exposures() == [("new-ranker", "treatment", "alice")]


# -- what users did -------------------------------------------------------------------------------------


async def test_what_a_user_did_is_appended_with_the_request_it_came_by(door):
    report = {"action": "구매", "user_id": "김철수", "value": 39_000, "facts": {"item": "A-17"}}
    status, _, found = await door.post("/api/v2/track", report)
    assert (status, found) == (202, {"user_id": "김철수", "action": "구매"})
    (event,) = door.world.tracked()
    assert (event.action, event.user_id, event.facts) == ("구매", "김철수", {"item": "A-17", "value": 39_000})
    assert event.request_id
    assert event.timestamp


@pytest.mark.parametrize(
    ("report", "headers", "status"),
    [
        ({"action": "bought", "user_id": "bob"}, {"x-user-id": "alice"}, 403),
        ({"action": "bought"}, {}, 422),
        ({"action": "exposure", "user_id": "bob"}, {}, 422),
        ({"action": "bought", "user_id": "bob", "facts": {"exposed": "f=treatment 1 bob"}}, {}, 422),
        ({"action": "bought", "user_id": "bob", "facts": {"nested": {}}}, {}, 422),
        ({"action": "", "user_id": "bob"}, {}, 422),
    ],
)
async def test_what_may_not_be_reported_is_refused_and_not_written(door, report, headers, status):
    answered, _, found = await door.post("/api/v2/track", report, headers)
    assert answered == status
    assert found["hint"]
    assert door.world.events() == []


async def test_a_known_caller_need_not_name_itself(door):
    assert (await door.post("/api/v2/track", {"action": "viewed"}, {"x-user-id": "alice"}))[0] == 202
    assert door.world.tracked()[0].user_id == "alice"
