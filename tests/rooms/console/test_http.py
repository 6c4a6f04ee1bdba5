import msgspec

from holdfast.edge.page import content_security_policy
from holdfast.kernel.codec import decode_json, encode_json
from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.rooms.console.room import PAGE, Config, ConsoleRoom
from holdfast.rooms.console.rules import Status


class Ill(msgspec.Struct):
    """A check as another room holds it: more fields than the page asks for."""

    name: str
    status: str
    facts: dict[str, int]
    age_s: float | None = None


SAID = {
    "version": "0.1.0",
    "uptime_s": 12.0,
    "rooms_on": ["health", "console"],
    "rooms_skipped": {"recommend": "numpy is not installed"},
    "traffic": {"requests_total": 7, "error_rate": 0.5, "in_flight": 1},
    "routes": [{"method": "GET", "route": "/상품/{id}", "requests": 7}],
    "checks": [Ill("database", "down", {"rows": 1})],
}


def room(config=None, said=SAID):
    async def status():
        return said

    return ConsoleRoom(config or Config(), status=status)


async def get(path, **more):
    route = next(route for route in room(**more).routes() if route.path == path)
    return await route.handler(Call(Event()))


async def test_the_page_comes_as_html_under_its_own_policy():
    answer = await get("/")
    assert answer.media_type == "text/html; charset=utf-8"
    assert answer.content == PAGE.read_bytes()
    headers = dict(answer.headers)
    assert headers["content-security-policy"] == content_security_policy(PAGE.read_text("utf-8"))
    assert "script-src 'sha256-" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_the_status_is_what_the_callable_says_in_the_agreed_shape():
    answer = await get("/api/v1/status")
    assert ("cache-control", "no-store") in answer.headers
    body = decode_json(encode_json(answer.content))
    assert set(body) == set(Status.__struct_fields__)
    assert body["traffic"]["requests_total"] == 7
    assert body["traffic"]["latency_p95_s"] is None
    assert body["routes"][0]["route"] == "/상품/{id}"
    assert body["checks"] == [
        {
            "name": "database",
            "status": "down",
            "detail": "",
            "required": False,
            "engine": False,
            "age_s": None,
        }
    ]


async def test_each_poll_asks_anew():
    said = {"version": "1", "uptime_s": 0.0}
    route = next(route for route in room(said=said).routes() if route.path == "/api/v1/status")
    for uptime_s in (1.0, 2.0):
        said["uptime_s"] = uptime_s
        assert (await route.handler(Call(Event()))).content.uptime_s == uptime_s


def test_the_figures_are_closed_outside_development_and_the_page_is_not():
    assert {route.path: route.public for route in room().routes()} == {"/": True, "/api/v1/status": False}


async def test_the_page_can_be_moved():
    assert (await get("/console", config=Config(path="/console"))).content == PAGE.read_bytes()
