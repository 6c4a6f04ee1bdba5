"""The addresses through a real front door: what they take, what they refuse, who sees what."""

import asyncio
import hashlib
import json

import pytest

from holdfast.edge.compress import Compression
from holdfast.edge.compress import Config as CompressionConfig
from holdfast.edge.identity import ApiKey, Identities
from holdfast.edge.identity import Config as IdentityConfig
from holdfast.edge.pipeline import Edge
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config as EdgeConfig
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoEventLog, NoMeter
from holdfast.rooms.jobs.engine.admin import Admin
from holdfast.rooms.jobs.engine.stream import StreamFigures
from holdfast.rooms.jobs.http import JobsHttp, Served, routes
from holdfast.rooms.jobs.rules.settings import Config
from holdfast.rooms.jobs.store.reading import Filters
from holdfast.rooms.jobs.store.rows import Schedule
from tests.meters import RecordingMeter
from tests.rooms.jobs.lives import Lives

PATH = "/api/v1/jobs"
ADMIN = {"authorization": "Bearer swordfish"}


def key(user, tenant):
    digest = hashlib.sha256(f"{user}@{tenant}".encode()).hexdigest()
    return ApiKey(digest, user, tenant=tenant)


class Got:
    def __init__(self, messages):
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        return parsed(self.body)


def parsed(body):
    """`(id, kind, data)` of each event; comments are left out."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(part.split(": ", 1) for part in block.split("\n") if part and part[0] != ":")
        if "event" in fields:
            found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


class Door:
    """The room's routes behind an Edge, and a client that speaks ASGI."""

    def __init__(self, lives):
        self.lives = lives
        self.meter = RecordingMeter()
        self.admin = Admin(
            Config(),
            upkeep=lives.upkeep,
            reading=lives.reading,
            clock=lives.clock,
            ring=lives.rung.append,
            run_now=lives.jobs.run_now,
        )
        served = Served(lives.jobs, self.admin, StreamFigures(self.meter), heartbeat_s=0.05)
        self.served = served
        self.edge = Edge(
            self._nowhere,
            config=EdgeConfig(),
            router=Router(routes(JobsHttp(lambda: self.served))),
            responder=Responder(max_body_bytes=2_000_000, admin_token="swordfish", open_admin=False),
            log=NoEventLog(),
            meter=NoMeter(),
            clock=SystemClock(),
            ids=IdSource(7),
            wake=self._wake,
            identities=Identities(
                IdentityConfig(api_keys=(key("mina", "farm"), key("mina", "shop"))),
                wall=SystemClock.wall,
                development=True,
                admin_token="swordfish",
            ),
            compression=Compression(CompressionConfig()),
        )

    async def _nowhere(self, scope, receive, send):
        raise AssertionError("no address of the room")

    async def _wake(self):
        self.edge.awake = True

    async def call(self, method, path, body=None, *, user="", sent=None, leave=None, **headers):
        where, _, query = path.partition("?")
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        if user:
            named.append((b"x-user-id", user.encode()))
        scope = {
            "type": "http",
            "method": method,
            "path": where,
            "raw_path": where.encode(),
            "query_string": query.encode(),
            "headers": named,
            "client": ("192.0.2.7", 4711),
        }
        messages = sent if sent is not None else []
        raw = b"" if body is None else json.dumps(body).encode()
        asked = [{"type": "http.request", "body": raw, "more_body": False}]
        ended = leave or asyncio.Event()

        async def receive():
            if asked:
                return asked.pop()
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            messages.append(message)

        await self.edge(scope, receive, send)
        ended.set()
        return Got(messages)


@pytest.fixture
async def door(sqlite_ledger):
    made = Door(Lives(sqlite_ledger))
    yield made
    await made.lives.jobs.watching.close()


async def has(sent, text):
    """Until the client has got `text`; the suite's time limit is what ends a wait in vain."""
    while text not in b"".join(message.get("body", b"") for message in sent):
        await asyncio.sleep(0)


async def test_a_job_is_its_owners_and_to_others_it_is_not_there(door):
    lives = door.lives
    anybodys = await lives.add()
    minas = await lives.add(owner="mina")
    farms = await lives.add(tenant="farm", lane="100farm")
    both = await lives.add(owner="mina", tenant="farm", lane="100farm")
    farm, shop = ({"x_api_key": f"mina@{tenant}"} for tenant in ("farm", "shop"))
    seen = {
        job: [
            (await door.call("GET", f"{PATH}/{job}", **who)).status
            for who in ({}, {"user": "juno"}, {"user": "mina"}, farm, shop)
        ]
        for job in (anybodys, minas, farms, both)
    }
    assert seen == {
        anybodys: [200, 200, 200, 200, 200],
        minas: [404, 404, 200, 200, 200],
        farms: [404, 404, 404, 200, 404],
        both: [404, 404, 404, 200, 404],
    }
    for method, path in (("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")):
        refused = await door.call(method, f"{PATH}/{minas}{path}", user="juno")
        assert (refused.status, refused.json["type"]) == (404, "urn:holdfast:problem:job-unknown")
    assert (await lives.reading.one(minas)).state == "available"
    unknown = await door.call("GET", f"{PATH}/nobody")
    assert unknown.status == 404
    assert unknown.json["hint"]


@pytest.mark.parametrize(
    ("user", "tenant", "seen"),
    [
        ("mina", "", ["minas"]),
        ("mina", "farm", ["farms", "both"]),
        ("juno", "farm", ["farms"]),
        ("", "farm", ["farms"]),
        ("mina", "shop", []),
        ("", "", []),
    ],
)
async def test_a_list_shows_nobody_what_is_anothers(door, user, tenant, seen):
    lives, reading = door.lives, door.lives.reading
    await lives.add()
    jobs = {
        "minas": await lives.add(owner="mina"),
        "farms": await lives.add(tenant="farm"),
        "both": await lives.add(owner="mina", tenant="farm"),
    }
    for state in ("", "available"):
        rows = await reading.seen_by(user, tenant, Filters(state=state, queue="bulk"), 10)
        assert sorted(row.id for row in rows) == sorted(jobs[name] for name in seen)
    if user and not tenant:
        listed = (await door.call("GET", PATH, user=user)).json["jobs"]
        assert [each["id"] for each in listed] == [jobs[name] for name in seen]


async def test_a_job_as_json_says_what_clients_ask(door):
    job_id = await door.lives.dead(owner="mina")
    got = await door.call("GET", f"{PATH}/{job_id}", user="mina")
    assert got.headers["cache-control"] == "no-store"
    told = {name: got.json[name] for name in ("state", "status", "attempts", "error_kind", "error")}
    assert told == {
        "state": "failed",
        "status": "FAILURE",
        "attempts": 1,
        "error_kind": "network",
        "error": "cut",
    }
    assert "payload" not in got.json


async def test_lists_are_ones_own_and_go_on(door):
    for n in range(3):
        await door.lives.add(owner="mina", queue="ai" if n else "bulk")
    await door.lives.add(owner="juno")
    first = (await door.call("GET", f"{PATH}?limit=2", user="mina")).json
    rest = (await door.call("GET", f"{PATH}?limit=2&before={first['next_before']}", user="mina")).json
    assert (len(first["jobs"]), len(rest["jobs"]), rest["next_before"]) == (2, 1, None)
    assert len((await door.call("GET", f"{PATH}?queue=ai&state=available", user="mina")).json["jobs"]) == 2
    assert (await door.call("GET", PATH)).status == 422
    assert (await door.call("GET", f"{PATH}?state=lost", user="mina")).status == 422
    assert (await door.call("GET", "/admin/jobs")).status == 401
    assert len((await door.call("GET", "/admin/jobs", **ADMIN)).json["jobs"]) == 4
    assert len((await door.call("GET", "/admin/jobs?user=juno", **ADMIN)).json["jobs"]) == 1


async def test_events_are_streamed_from_any_place_to_the_end(door):
    lives = door.lives
    job_id = await lives.add()
    sent = []
    watching = asyncio.create_task(door.call("GET", f"{PATH}/{job_id}/events", sent=sent))
    await has(sent, b"event: queued")
    await lives.claim(job_id)
    await lives.progress(job_id, 0.5)
    lives.jobs.watching.stir()
    await has(sent, b"event: progress")
    await has(sent, b": still here")
    await lives.end(job_id)
    lives.jobs.watching.stir()
    got = await watching
    assert got.headers["content-type"].startswith("text/event-stream")
    assert [kind for _, kind, _ in got.events] == ["queued", "started", "progress", "succeeded"]
    last, _, data = got.events[-1]
    assert (data["status"], data["seq"]) == ("SUCCESS", int(last))
    for place, _, _ in got.events[:-1]:
        again = await door.call("GET", f"{PATH}/{job_id}/events", last_event_id=place)
        assert [one for one, _, _ in again.events] == [
            one for one, _, _ in got.events if int(one) > int(place)
        ]
    over = await door.call("GET", f"{PATH}/{job_id}/events", last_event_id=last)
    assert (over.status, over.body) == (204, b"")
    assert (await door.call("GET", f"{PATH}/{job_id}/events?after={last}")).status == 204
    assert (await door.call("GET", f"{PATH}/{job_id}/events", last_event_id="x")).status == 422
    assert door.meter.count("holdfast_jobs_stream_reconnects_total") == 3
    assert sum(door.meter.values("holdfast_jobs_active_streams")) == 0


async def test_a_server_that_stops_says_so_and_a_client_that_leaves_is_forgotten(door):
    job_id = await door.lives.add()
    sent = []
    watching = asyncio.create_task(door.call("GET", f"{PATH}/{job_id}/events", sent=sent))
    await has(sent, b"event: queued")
    door.edge.streams.tell()
    got = await watching
    assert got.events[-1][:2] == (None, "stopping")
    leave, sent = asyncio.Event(), []
    watching = asyncio.create_task(door.call("GET", f"{PATH}/{job_id}/events", sent=sent, leave=leave))
    await has(sent, b"event: queued")
    leave.set()
    await watching
    assert door.lives.jobs.watching.watched == 0
    assert sum(door.meter.values("holdfast_jobs_active_streams")) == 0


async def test_cancel_and_retry(door):
    lives = door.lives
    job_id = await lives.add(owner="mina")
    one = f"{PATH}/{job_id}"
    cancelled = await door.call("POST", f"{one}/cancel?reason=%EC%99%9C", user="mina")
    assert (cancelled.status, cancelled.json["state"]) == (202, "cancelled")
    assert (await door.call("POST", f"{one}/cancel", user="mina")).status == 202
    assert (await lives.reading.one(job_id)).cancel_reason == "왜"
    again = await door.call("POST", f"{one}/retry", user="mina")
    assert (again.status, again.json["state"]) == (202, "available")
    assert (await door.call("POST", f"{one}/retry", user="mina")).status == 409
    await lives.claim(job_id)
    asked = await door.call("POST", f"{one}/cancel", user="mina")
    assert (asked.json["state"], asked.json["cancel_requested"]) == ("running", True)
    await lives.end(job_id)
    for verb in ("cancel", "retry"):
        refused = await door.call("POST", f"{one}/{verb}", user="mina")
        assert (refused.status, refused.json["type"]) == (409, "urn:holdfast:problem:job-ended")
    assert (await lives.reading.one(job_id)).cancel_reason == ""


async def test_dead_letters_are_listed_shown_mended_replayed_and_discarded(door):
    lives = door.lives
    first, second, third = [await lives.dead(owner="mina") for _ in range(3)]
    listed = await door.call("GET", "/admin/jobs/dead?kind=network", **ADMIN)
    assert [job["id"] for job in listed.json["jobs"]] == [third, second, first]
    shown = (await door.call("GET", f"/admin/jobs/one/{first}", **ADMIN)).json
    assert shown["payload"] == {"n": 1}
    assert shown["attempts"][0]["traceback"] == "Traceback: 한글"
    wrong = await door.call("POST", f"/admin/jobs/dead/{first}/replay", {"payload": {"n": "x"}}, **ADMIN)
    assert (wrong.status, wrong.json["type"]) == (422, "urn:holdfast:problem:job-bad-payload")
    mended = await door.call("POST", f"/admin/jobs/dead/{first}/replay", {"payload": {"n": 2}}, **ADMIN)
    assert (mended.status, mended.json["state"]) == (202, "available")
    assert (await door.call("POST", f"/admin/jobs/dead/{second}/discard", {}, **ADMIN)).status == 422
    gone = await door.call("POST", f"/admin/jobs/dead/{second}/discard", {"reason": "left"}, **ADMIN)
    assert gone.json["state"] == "cancelled"
    many = await door.call("POST", "/admin/jobs/dead/replay", {"user": "mina", "rate": "1/s"}, **ADMIN)
    assert (many.status, many.json) == (202, {"done": 1, "left_alone": 0, "is_all": True})
    none = await door.call("POST", "/admin/jobs/dead/discard", {"reason": "x"}, **ADMIN)
    assert none.json["done"] == 0
    stopped = await door.call("POST", f"/admin/jobs/one/{third}/cancel?reason=x", **ADMIN)
    assert stopped.json["state"] == "cancelled"


async def test_queues_workers_schedules_and_the_engine(door):
    lives = door.lives
    await lives.add()
    paused = await door.call("POST", "/admin/jobs/queues/bulk/pause", **ADMIN)
    assert (paused.json["paused"], paused.json["jobs"]) == (True, {"available": 1})
    shaped = await door.call("PATCH", "/admin/jobs/queues/bulk", {"concurrency": 9, "rate": "5/s"}, **ADMIN)
    assert (shaped.json["concurrency"], shaped.json["rate"], shaped.json["paused"]) == (9, "5/s", True)
    assert not (await door.call("POST", "/admin/jobs/queues/bulk/resume", **ADMIN)).json["paused"]
    assert (await door.call("POST", "/admin/jobs/queues/none/pause", **ADMIN)).status == 404
    queues = (await door.call("GET", "/admin/jobs/queues", **ADMIN)).json["queues"]
    assert {queue["name"] for queue in queues} == {"ai", "analytics", "bulk", "notification", "rag"}
    assert (await door.call("GET", "/admin/jobs/workers", **ADMIN)).json == {"workers": []}
    await lives.upkeep.declare_schedule(
        Schedule(
            name="nightly",
            job="count",
            payload='{"n":3}',
            cron="0 3 * * *",
            zone="UTC",
            catch_up="once",
            next_ms=5,
        )
    )
    begun = await door.call("POST", "/admin/jobs/schedules/nightly/run", **ADMIN)
    assert (begun.status, (await lives.reading.one(begun.json["id"])).payload) == (202, '{"n":3}')
    assert (await door.call("POST", "/admin/jobs/schedules/nightly/pause", **ADMIN)).json["paused"] == 1
    assert (await door.call("POST", "/admin/jobs/schedules/nightly/resume", **ADMIN)).json["paused"] == 0
    assert len((await door.call("GET", "/admin/jobs/schedules", **ADMIN)).json["schedules"]) == 1
    dropped = [await door.call("DELETE", "/admin/jobs/schedules/nightly", **ADMIN) for _ in range(2)]
    assert [each.status for each in dropped] == [204, 404]
    switched = await door.call("POST", "/admin/jobs/engine", {"engine": "background"}, **ADMIN)
    assert switched.json["engine"] == "background"
    assert (await door.call("GET", "/admin/jobs/engine", **ADMIN)).json["decided"] == "background"
    assert (await door.call("POST", "/admin/jobs/engine", {"engine": None}, **ADMIN)).json[
        "engine"
    ] == "embedded"


async def test_before_the_start_everything_says_so(door):
    door.served = None
    for path in (f"{PATH}/x", f"{PATH}/x/events"):
        assert (await door.call("GET", path)).status == 503


def test_every_admin_address_is_closed():
    found = routes(JobsHttp(lambda: None))
    assert {route.public for route in found if route.path.startswith("/admin/")} == {False}
    assert {route.public for route in found if route.path.startswith(PATH)} == {True}
