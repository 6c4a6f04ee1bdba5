"""A client that leaves: what was done for it ends at once, and the record says so."""

import asyncio
import json

import pytest

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import NotFound
from holdfast.kernel.route import Answer, Route
from tests.edge.door import Door, Response


class Work:
    """A handler that goes on until it is told, or stopped."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.stopped = 0

    async def plain(self, call):
        try:
            self.begun.set()
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return Answer(b"done", media_type="text/plain")

    async def stream(self, call):
        async def chunks():
            try:
                yield b"data: 1\n\n"
                self.begun.set()
                await self.may_end.wait()
                yield b"data: 2\n\n"
            finally:
                self.stopped += not self.may_end.is_set()

        return Answer(media_type="text/event-stream", stream=chunks())

    def door(self) -> Door:
        routes = (
            Route("GET", "/heeds", self.plain, "Stops.", heeds=True),
            Route("GET", "/goes-on", self.plain, "Goes on."),
            Route("GET", "/stream", self.stream, "Streams."),
            Route("GET", "/heeding-stream", self.stream, "Streams, and heeds before it does.", heeds=True),
        )

        async def nothing(scope, receive, send):
            raise AssertionError("not one of ours")

        return Door(nothing, routes=routes)


async def test_an_answer_that_is_there_at_once_is_given_without_listening(monkeypatch):
    asked = []

    async def receive(response):
        asked.append(response)
        await asyncio.Event().wait()

    monkeypatch.setattr(Response, "receive", receive)
    work = Work()
    work.may_end.set()  # a wait that is over already does not give way
    door = work.door()
    assert (await door.get("/heeds")).body == b"done"
    await asyncio.sleep(0)
    assert asked == []


@pytest.mark.parametrize("path", ["/heeds", "/stream", "/heeding-stream"])
async def test_work_is_stopped_when_its_client_leaves(path):
    work = Work()
    door = work.door()
    await door.get(path, leaves=True)
    assert work.stopped == 1 or not work.begun.is_set()
    assert [record.ended for record in door.log.records] == ["client_disconnect"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_other_work_goes_on():
    work = Work()
    door = work.door()
    asked = asyncio.create_task(door.get("/goes-on", leaves=True))
    await work.begun.wait()
    work.may_end.set()
    await asked
    assert work.stopped == 0


@pytest.mark.parametrize("path", ["/heeds", "/stream", "/heeding-stream"])
async def test_an_answer_that_is_waited_for_is_whole(path):
    work = Work()
    work.may_end.set()
    door = work.door()
    response = await door.get(path)
    assert response.body == (b"done" if path == "/heeds" else b"data: 1\n\ndata: 2\n\n")
    assert [(record.status, record.ended) for record in door.log.records] == [(200, "")]


@pytest.mark.parametrize("path", ["/heeds", "/stream"])
async def test_a_cancellation_from_outside_passes(path):
    work = Work()
    door = work.door()
    asked = asyncio.create_task(door.get(path))
    await work.begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert work.stopped == 1


async def test_a_stream_that_the_stop_cuts_says_farewell():
    goes_on = asyncio.Event()

    async def stream(call):
        async def chunks():
            yield b"data: 1\n\n"
            goes_on.set()
            await asyncio.Event().wait()

        return Answer(media_type="text/event-stream", stream=chunks(), farewell=b"data: bye\n\n")

    async def nothing(scope, receive, send):
        raise AssertionError("not one of ours")

    door = Door(nothing, routes=(Route("GET", "/stream", stream, "Streams."),))
    asked = asyncio.create_task(door.get("/stream"))
    await goes_on.wait()
    door.edge.streams.tell()
    assert door.edge.streams.cut() == 1
    response = await asked
    assert response.body == b"data: 1\n\ndata: bye\n\n"
    assert [record.ended for record in door.log.records] == ["shutdown"]


async def test_an_address_may_write_its_problems_in_a_shape_of_its_own():
    async def refuse(call):
        raise NotFound("no such thing", hint="make one")

    async def nothing(scope, receive, send):
        raise AssertionError("not one of ours")

    def shape(problem, request_id):
        return encode_json({"error": {"message": problem.detail, "code": problem.code}, "id": request_id})

    route = Route("POST", "/v1/things", refuse, "Refuses.", body=dict, problem=shape)
    door = Door(nothing, routes=(route,))
    for body, said in ((b"{}", "not-found"), (b"{", "malformed")):
        response = await door.call("POST", "/v1/things", body=(body,))
        told = json.loads(response.body)
        assert told["error"]["code"] == said
        assert told["id"] == door.log.records[-1].request_id
        assert response.headers["content-type"] == "application/json"
        assert response.headers["content-length"] == str(len(response.body))


async def test_a_server_that_goes_on_about_the_body_is_listened_to_no_longer():
    work = Work()
    door = work.door()
    said = []

    async def receive():
        said.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    sent = []

    async def send(message):
        sent.append(message)

    work.may_end.set()
    scope = {"type": "http", "method": "GET", "path": "/heeds", "raw_path": b"/heeds", "query_string": b""}
    await door.edge({**scope, "headers": [], "client": ("192.0.2.7", 1)}, receive, send)
    assert sent[0]["status"] == 200
    assert len(said) <= 2
