import asyncio

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.codec import decode_json, encode_json
from holdfast.kernel.event import Event
from holdfast.kernel.room import Check, Finding
from holdfast.kernel.route import Call
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoMeter
from holdfast.rooms.health.room import Config, HealthRoom
from tests.waiting import until

ABOUT = {
    "version": "0.1.0",
    "rooms": {"on": ["health"], "skipped": {"recommend": "numpy is not installed"}},
    "database": "postgresql://app:s3cret@db/shop",
}


class Bench:
    """A room with its routes called as the edge would call them."""

    def __init__(self, *checks, clock=None, config=None):
        self.clock = clock or ManualClock()
        self.asked_about = 0
        self.room = HealthRoom(
            config or Config(interval_s=3600, timeout_s=0.05),
            clock=self.clock,
            meter=NoMeter(),
            supervisor=Supervisor(),
            checks=lambda: checks,
            about=self._about,
        )
        self._routes = {route.path: route for route in self.room.routes()}

    def _about(self):
        self.asked_about += 1
        return ABOUT

    async def get(self, path):
        answer = await self._routes[path].handler(Call(Event()))
        return answer, decode_json(encode_json(answer.content))

    async def settle(self):
        await until(lambda: all(state.status != "unknown" for state in self.room.engine.states()))


def check(name, finding=None, **more):
    async def probe():
        if finding is None:
            await asyncio.Event().wait()
        return finding

    return Check(name, probe, **more)


@pytest.fixture
async def bench():
    made = Bench(
        check("database", Finding("ok", facts={"size": 4, "url": "postgresql://a:b@c/d"}), required=True),
        check("cache", Finding("down", "refused")),
        check("recommend", Finding("ok", "trained", {"items": 20}), engine=True),
        clock=ManualClock(),
    )
    await made.room.start()
    await made.settle()
    yield made
    await made.room.stop()


async def test_liveness_asks_nothing():
    bench = Bench(check("database", required=True))
    bench.clock.advance(12.5)
    answer, body = await bench.get("/health")
    assert (answer.status, body) == (200, {"status": "ok", "uptime_s": 12.5})
    assert bench.asked_about == 0


async def test_ready_when_what_is_required_answers(bench):
    answer, body = await bench.get("/health/ready")
    assert (answer.status, body) == (200, {"status": "ready", "ready": True, "reasons": []})


async def test_not_ready_says_when_to_come_back_and_why(bench):
    bench.room.set_stopping()
    answer, body = await bench.get("/health/ready")
    assert answer.status == 503
    assert ("retry-after", "5") in answer.headers
    assert body == {"status": "stopping", "ready": False, "reasons": ["the server is stopping"]}
    live, _ = await bench.get("/health")
    assert live.status == 200


async def test_the_detailed_report_holds_everything_and_no_credential(bench):
    bench.clock.advance(2)
    answer, body = await bench.get("/health/detailed")
    assert answer.status == 200
    assert body["status"] == "degraded"
    assert body["ready"] is True
    assert body["uptime_s"] == 2.0
    assert body["about"]["rooms"] == ABOUT["rooms"]
    assert body["about"]["database"] == "postgresql://***@db/shop"
    assert set(body["checks"]) == {"database", "cache", "recommend"}
    assert body["checks"]["database"] == {
        "name": "database",
        "status": "ok",
        "required": True,
        "engine": False,
        "detail": "",
        "age_s": 2.0,
        "duration_s": 0.0,
        "running_s": None,
        "facts": {"size": 4, "url": "postgresql://***@c/d"},
    }


async def test_dependencies_leave_engines_and_facts_out(bench):
    _, body = await bench.get("/health/dependencies")
    assert body == {
        "status": "degraded",
        "dependencies": {
            "database": {"status": "ok", "required": True, "detail": "", "age_s": 0.0},
            "cache": {"status": "down", "required": False, "detail": "refused", "age_s": 0.0},
        },
    }


async def test_the_engines_alone(bench):
    _, body = await bench.get("/api/v2/health")
    assert body["status"] == "ok"
    assert {name: (one["status"], one["facts"]) for name, one in body["engines"].items()} == {
        "recommend": ("ok", {"items": 20})
    }


async def test_no_answer_may_be_stored(bench):
    for path in ("/health", "/health/ready", "/health/detailed", "/health/dependencies", "/api/v2/health"):
        answer, _ = await bench.get(path)
        assert ("cache-control", "no-store") in answer.headers


async def test_with_every_dependency_hung_each_address_answers_without_waiting():
    hung = [check(f"dependency {n}", required=True) for n in range(40)]
    bench = Bench(*hung, clock=SystemClock(), config=Config(interval_s=3600, timeout_s=3600))
    await bench.room.start()
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(turned.set))
    for path in ("/health", "/health/ready", "/health/detailed", "/health/dependencies", "/api/v2/health"):
        await bench.get(path)
    # Not one turn of the loop has passed: no address waits for anything at all.
    assert not turned.is_set()
    answer, body = await bench.get("/health/ready")
    assert (answer.status, body["status"]) == (503, "starting")
    assert len(body["reasons"]) == 40
    await bench.room.stop()


async def test_a_required_check_that_hangs_makes_it_not_ready():
    bench = Bench(check("database", required=True))
    await bench.room.start()
    await bench.settle()
    answer, body = await bench.get("/health/ready")
    assert (answer.status, body["reasons"]) == (503, ["database is down: timed out after 0.05 s"])
    await bench.room.stop()


def test_only_the_report_with_facts_is_closed_outside_development():
    closed = [route.path for route in Bench().room.routes() if not route.public]
    assert closed == ["/health/detailed"]
