"""Our own routes: found, decoded, answered; and every way a request can be wrong."""

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from holdfast.edge.respond import decode_body
from holdfast.edge.router import Router
from holdfast.kernel.errors import Malformed, Misconfigured, NotFound, TooLarge
from holdfast.kernel.route import Answer, Call, Route
from tests.edge.door import Door, answers


class Query(msgspec.Struct, forbid_unknown_fields=True):
    limit: int = 20
    tags: list[str] = []
    deep: bool = False


class Body(msgspec.Struct):
    name: str
    count: int = 1


class Shown(msgspec.Struct):
    item: str
    limit: int
    tags: list[str]


async def show(call: Call) -> Shown:
    if call.params["item"] == "없음":
        raise NotFound("no such item", hint="import it first")
    return Shown(call.params["item"], call.query.limit, call.query.tags)


async def take(call: Call) -> Body:
    return msgspec.structs.replace(call.body, count=call.body.count + 1)


async def sized(call: Call) -> dict[str, int]:
    """Counts a body without keeping it, and refuses it at its own limit."""
    size = pieces = 0
    assert call.chunks is not None
    async for chunk in call.chunks:
        size, pieces = size + len(chunk), pieces + 1
        if size > 5_000:
            raise TooLarge("more than 5000 bytes", hint="send less")
    return {"size": size, "pieces": pieces}


async def empty(call: Call) -> Answer:
    return Answer(status=204)


async def flow(call: Call) -> Answer:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"data: %d\n\n" % number

    return Answer(media_type="text/event-stream", stream=chunks())


class Watched:
    """A stream that knows whether it was closed."""

    closed = 0

    def __aiter__(self) -> "Watched":
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        type(self).closed += 1


async def unsendable(call: Call) -> Answer:
    return Answer(stream=Watched(), headers=(("x-name", "로컬"),))


async def broken(call: Call) -> None:
    raise ZeroDivisionError


ROUTES = (
    Route("GET", "/items/{item}", show, "Show an item.", query=Query),
    Route("POST", "/items", take, "Take an item.", body=Body, status=201),
    Route("DELETE", "/items/{item}", empty, "Drop an item."),
    Route("GET", "/flow", flow, "Flow."),
    Route("GET", "/unsendable", unsendable, "Flow with a header that is none."),
    Route("GET", "/broken", broken, "Break."),
    Route("GET", "/admin/secrets", empty, "Admin.", public=False),
    Route("PUT", "/files", sized, "Count a file.", reads={"application/octet-stream": {"type": "string"}}),
)


@pytest.fixture
def door() -> Door:
    return Door(answers(b"below"), routes=ROUTES)


async def test_a_route_gets_its_parameters_by_type(door: Door) -> None:
    response = await door.get("/items/a%2Fb?limit=3&tags=x&tags=%EC%82%AC%EA%B3%BC")
    assert json.loads(response.body) == {"item": "a/b", "limit": 3, "tags": ["x", "사과"]}
    assert door.log.records[0].route == "/items/{item}"  # type: ignore[attr-defined] # it is an Event


async def test_a_body_is_decoded_and_the_answer_encoded(door: Door) -> None:
    response = await door.call("POST", "/items", body=(b'{"name":', b'"\xec\x82\xac\xea\xb3\xbc"}'))
    assert (response.status, json.loads(response.body)) == (201, {"name": "사과", "count": 2})


async def test_what_is_not_ours_goes_to_the_app(door: Door) -> None:
    for path in ("/", "/item", "/items/", "/items/a/b", "/flow/"):
        assert (await door.get(path)).body == b"below", path


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/items/x?limit=many", b"", 422, "limit"),
        ("GET", "/items/x?lim=3", b"", 422, "lim"),
        ("GET", "/items/x?tags=%FF", b"", 400, "query"),
        ("POST", "/items", b"", 400, "JSON"),
        ("POST", "/items", b"{", 400, "JSON"),
        ("POST", "/items", b"\xff\xfe", 400, "JSON"),
        ("POST", "/items", b'{"name":5}', 422, "$.name"),
        ("POST", "/items", b"{}", 422, "name"),
        ("POST", "/items", b" " * 1001, 413, "1000"),
        ("GET", "/items/%EC%97%86%EC%9D%8C", b"", 404, "no such item"),
        ("PUT", "/items", b"", 405, "PUT"),
        ("GET", "/broken", b"", 500, "failed"),
    ],
)
async def test_what_is_wrong_is_said(
    door: Door, method: str, path: str, body: bytes, status: int, says: str
) -> None:
    response = await door.call(method, path, body=(body,))
    document = json.loads(response.body)
    assert (response.status, document["status"]) == (status, status)
    assert says in json.dumps(document, ensure_ascii=False)
    assert document["request_id"]


async def test_an_announced_length_is_refused_before_it_is_read(door: Door) -> None:
    response = await door.call("POST", "/items", headers=[("Content-Length", "5000")])
    assert response.status == 413


async def test_a_handler_reads_a_body_of_any_size_as_it_comes(door: Door) -> None:
    response = await door.call("PUT", "/files", body=[b"x" * 700, b"", b"y" * 700])
    assert json.loads(response.body) == {"size": 1400, "pieces": 2}  # more than the door's 1000 bytes
    assert json.loads((await door.call("PUT", "/files")).body) == {"size": 0, "pieces": 0}


async def test_a_body_is_not_read_past_what_the_handler_takes(door: Door) -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": "/files", "query_string": b"", "headers": []}
    await door.edge(scope, receive, send)
    assert (sent[0]["status"], read) == (413, 6)


async def test_a_client_that_leaves_in_mid_body_is_malformed(door: Door) -> None:
    gone = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return gone.pop(0)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": "/files", "query_string": b"", "headers": []}
    await door.edge(scope, receive, send)
    assert not sent or sent[0]["status"] == 400


async def test_405_says_what_is_allowed(door: Door) -> None:
    assert (await door.call("PUT", "/items")).headers["allow"] == "POST"


async def test_head_is_get_without_a_body(door: Door) -> None:
    response = await door.call("HEAD", "/items/x")
    assert (response.status, response.body) == (200, b"")
    assert int(response.headers["content-length"]) > 0


async def test_204_announces_no_length(door: Door) -> None:
    response = await door.call("DELETE", "/items/x")
    assert (response.status, response.body) == (204, b"")
    assert "content-length" not in response.headers


async def test_a_stream_goes_out_chunk_by_chunk(door: Door) -> None:
    response = await door.get("/flow")
    assert [message.get("body") for message in response.messages[1:]] == [
        b"data: 0\n\n",
        b"data: 1\n\n",
        b"data: 2\n\n",
        b"",
    ]


async def test_a_stream_whose_headers_cannot_be_sent_is_closed(door: Door) -> None:
    closed = Watched.closed
    assert (await door.get("/unsendable")).status == 500
    assert Watched.closed == closed + 1


async def test_admin_addresses_ask_for_the_token_outside_development() -> None:
    door = Door(answers(), routes=ROUTES, open_admin=False)
    assert (await door.get("/admin/secrets")).status == 401
    assert (await door.get("/admin/secrets", headers=[("Authorization", "Bearer wrong")])).status == 401
    assert (await door.get("/admin/secrets", headers=[("Authorization", "Bearer swordfish")])).status == 204
    assert (await Door(answers(), routes=ROUTES).get("/admin/secrets")).status == 204


def test_two_routes_at_one_address_are_a_mistake() -> None:
    with pytest.raises(Misconfigured, match="GET /flow"):
        Router([ROUTES[3], ROUTES[3]])


def test_a_path_parameter_takes_the_rest() -> None:
    router = Router([Route("GET", "/static/{name:path}", empty, "Static.")])
    found = router.find("/static/a/b.js", b"/static/a/b.js")
    assert found is not None
    assert found[1] == {"name": "a/b.js"}


def test_dots_in_a_path_are_dots() -> None:
    router = Router([Route("GET", "/a.b/{x}", empty, "Dots.")])
    assert router.find("/aXb/1", None) is None
    assert router.find("/a.b/1", None) is not None


def test_a_body_that_is_nested_too_deeply_is_malformed():
    with pytest.raises(Malformed, match="nested"):
        decode_body(dict, b'{"a": ' + b"[" * 100_000)


def test_no_body_is_one_that_says_nothing_where_nothing_need_be_said():
    assert decode_body(Query, b"") == Query()
    with pytest.raises(Malformed):
        decode_body(Body, b"")
    with pytest.raises(Malformed):
        decode_body(dict[str, int], b"")
