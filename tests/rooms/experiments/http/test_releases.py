"""The addresses of releases through a real front door."""

import json

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
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoEventLog, NoMeter
from holdfast.rooms.experiments.http.releases import ReleasesHttp, routes
from tests.rooms.experiments.engine.canary.lives import NAME, Process, Site, broken

ADMIN = {"authorization": "Bearer swordfish"}
DEFINITION = {
    "name": NAME,
    "stages": [{"share": 5000, "dwell_s": 60, "samples": 200}, {"share": 10_000, "dwell_s": 60}],
    "gates": [{"name": "errors"}, {"name": "slow", "of": "latency", "target_s": 0.8, "observe_only": True}],
    "version": "v2",
}


class Got:
    def __init__(self, messages):
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def json(self):
        return json.loads(self.body)


class Door:
    def __init__(self, process):
        self.process = process
        self.edge = Edge(
            self._nowhere,
            config=EdgeConfig(),
            router=Router(routes(ReleasesHttp(process.releases))),
            responder=Responder(max_body_bytes=2_000_000, admin_token="swordfish", open_admin=False),
            log=NoEventLog(),
            meter=NoMeter(),
            clock=SystemClock(),
            ids=IdSource(7),
            wake=self._wake,
            identities=Identities(
                IdentityConfig(), wall=SystemClock.wall, development=True, admin_token="swordfish"
            ),
            compression=Compression(CompressionConfig()),
        )

    async def _nowhere(self, scope, receive, send):
        raise AssertionError("no address of the room")

    async def _wake(self):
        self.edge.awake = True

    async def call(self, method, path, body=None, **headers):
        where, _, query = path.partition("?")
        headers = ADMIN | headers
        messages, raw = [], b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http",
            "method": method,
            "path": where,
            "raw_path": where.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.7", 4711),
        }

        async def receive():
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message):
            messages.append(message)

        await self.edge(scope, receive, send)
        return Got(messages)


@pytest.fixture
async def door(sqlite_database):
    return Door(await Process(sqlite_database).start())


async def test_a_life_over_http(door):
    made = await door.call("PUT", f"/admin/releases/{NAME}", DEFINITION)
    assert (made.status, made.json["status"], made.json["stages"]) == (200, "draft", 2)
    draft = await door.call("GET", f"/admin/releases/{NAME}")
    assert (draft.status, draft.json["page"]["status"], draft.json["brief"]["stage"]) == (200, "draft", 0)
    started = await door.call("POST", f"/admin/releases/{NAME}/start", {})
    assert (started.status, started.json["share_percent"], started.json["stage"]) == (200, 50, 1)
    paused = await door.call("POST", f"/admin/releases/{NAME}/pause", {"reason": "lunch"})
    assert (paused.json["status"], paused.json["reason"]) == ("paused", "lunch")
    assert (await door.call("POST", f"/admin/releases/{NAME}/resume", {})).json["status"] == "running"
    promoted = await door.call("POST", f"/admin/releases/{NAME}/promote", {"to": "next"})
    assert promoted.json["share_percent"] == 100
    back = await door.call("POST", f"/admin/releases/{NAME}/rollback", {"reason": "no"})
    assert (back.json["status"], back.json["share_percent"]) == ("rolled_back", 0)
    refused = await door.call("POST", f"/admin/releases/{NAME}/start", {})
    assert (refused.status, refused.json["type"]) == (409, "urn:holdfast:problem:experiments-wrong-state")
    assert (await door.call("POST", f"/admin/releases/{NAME}/start", {"force": True})).status == 200
    full = await door.call("POST", f"/admin/releases/{NAME}/promote", {"to": "full"})
    assert full.json["status"] == "promoted"
    listed = await door.call("GET", "/admin/releases")
    assert [each["name"] for each in listed.json["releases"]] == [NAME]
    assert listed.headers["cache-control"] == "no-store"


async def test_a_draft_is_removed(door):
    await door.call("PUT", f"/admin/releases/{NAME}", DEFINITION)
    assert (await door.call("DELETE", f"/admin/releases/{NAME}")).status == 204
    assert (await door.call("GET", f"/admin/releases/{NAME}")).status == 404


async def test_a_release_is_shown_with_its_evidence(door):
    await door.call("PUT", f"/admin/releases/{NAME}", DEFINITION)
    await door.call("POST", f"/admin/releases/{NAME}/start", {})
    await Site(door.process).step(lambda arm, at: False)
    shown = (await door.call("GET", f"/admin/releases/{NAME}")).json
    assert shown["verdict"]["kind"] == "EXTEND"
    assert shown["verdict"]["needs"]["seconds"] == pytest.approx(60)
    assert [gate["name"] for gate in shown["page"]["gates"]] == ["errors", "slow"]
    assert shown["page"]["evidence"]
    assert shown["definition"]["version"] == "v2"


async def test_the_report_comes_as_a_page_or_as_json(door):
    await door.call("PUT", f"/admin/releases/{NAME}", DEFINITION)
    await door.call("POST", f"/admin/releases/{NAME}/start", {})
    await Site(door.process).until("rolled_back", broken)
    path = f"/admin/releases/{NAME}/report"
    as_json = await door.call("GET", path)
    assert (as_json.json["status"], as_json.json["cause"]) == ("rolled_back", "relative")
    page = await door.call("GET", path, accept="text/html,*/*")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "되돌렸습니다" in page.body.decode()
    english = await door.call("GET", f"{path}?format=html&lang=en&run=1")
    assert "Rolled back" in english.body.decode()
    missing = await door.call("GET", f"{path}?run=2")
    assert (missing.status, missing.json["hint"]) == (404, f"there are: 1 of {NAME}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "other"}, "the address names"),
        ({"stages": [{"share": 500}, {"share": 500}]}, "do not rise"),
        ({"gates": [{"name": "slow", "of": "latency"}]}, "no target"),
        ({"gates": []}, "no gate"),
        ({"shares": [1]}, "shares"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_a_hint(door, change, said):
    refused = await door.call("PUT", f"/admin/releases/{NAME}", DEFINITION | change)
    assert refused.status == 422
    assert said in refused.body.decode()


async def test_nobody_without_the_admin_token_is_let_in(door):
    for method, path in (
        ("GET", ""),
        ("GET", f"/{NAME}"),
        ("PUT", f"/{NAME}"),
        ("GET", f"/{NAME}/report"),
        *(("POST", f"/{NAME}/{verb}") for verb in ("start", "pause", "resume", "promote", "rollback")),
    ):
        refused = await door.call(method, f"/admin/releases{path}", authorization="Bearer wrong")
        assert refused.status in (401, 403)
        assert (await door.call("GET", "/admin/releases/nothing")).status == 404
