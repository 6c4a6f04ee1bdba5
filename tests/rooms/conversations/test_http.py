"""The addresses through a real front door: what they take, what they refuse, what they answer."""

import asyncio
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
from holdfast.ports.services import NoMeter
from holdfast.rooms.conversations.http import ConversationsHttp, routes
from tests.rooms.conversations.engine.test_streaming import parsed, text_of
from tests.rooms.conversations.models import Gated, failing
from tests.waiting import until

PATH = "/api/v2/conversations"


class Log:
    def __init__(self):
        self.records = []

    def append(self, record):
        self.records.append(record)


class Got:
    """What a client got."""

    def __init__(self, messages):
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.chunks = [message["body"] for message in messages[1:] if message.get("body")]
        self.body = b"".join(self.chunks)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        return parsed(self.chunks)


class Door:
    """The room's routes behind an Edge, and a client that speaks ASGI."""

    def __init__(self, engine, *, open_admin=True):
        self.log = Log()
        self.edge = Edge(
            self._nowhere,
            config=EdgeConfig(),
            router=Router(routes(ConversationsHttp(lambda: engine))),
            responder=Responder(max_body_bytes=20_000_000, admin_token="swordfish", open_admin=open_admin),
            log=self.log,
            meter=NoMeter(),
            clock=SystemClock(),
            ids=IdSource(7),
            wake=self._wake,
            identities=Identities(IdentityConfig(), wall=SystemClock.wall, development=True),
            compression=Compression(CompressionConfig()),
        )

    async def _nowhere(self, scope, receive, send):
        raise AssertionError("no address of the room")

    async def _wake(self):
        self.edge.awake = True

    async def call(self, method, path, body=None, *, user="", sent=None, **headers):
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
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        messages = sent if sent is not None else []
        asked = [{"type": "http.request", "body": raw, "more_body": False}]
        ended = asyncio.Event()

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

    async def start(self, user="", **how):
        return (await self.call("POST", f"{PATH}/start", how, user=user)).json["conversation_id"]


@pytest.fixture
def door(make):
    world = make()
    door = Door(world.engine)
    door.world = world
    return door


async def test_a_conversation_from_start_to_end(door):
    started = await door.call("POST", f"{PATH}/start", {"persona": "tutor", "language": "ko"}, user="mina")
    assert started.status == 201
    assert started.json["greeting"].startswith("안녕하세요!")
    assert started.json["limits"]["total_s"] == 10.0
    one = f"{PATH}/{started.json['conversation_id']}"
    said = await door.call("POST", f"{one}/messages", {"message": "분수가 뭐예요?"}, user="mina")
    assert said.status == 200
    assert (said.json["status"], said.json["message_id"], said.json["persona"]) == ("done", "m2", "tutor")
    assert said.json["usage"] == {"input_tokens": 3, "output_tokens": 5, "cost": 0.1, "estimated": False}
    assert said.headers["cache-control"] == "no-store"
    shown = (await door.call("GET", one, user="mina")).json
    assert [(m["role"], m["status"]) for m in shown["messages"]] == [("user", "done"), ("assistant", "done")]
    assert (await door.call("GET", one, user="juno")).status == 404
    assert (await door.call("GET", one)).status == 404
    assert (await door.call("DELETE", one, user="juno")).status == 404
    gone = await door.call("DELETE", one, user="mina")
    assert (gone.status, gone.body) == (204, b"")
    assert (await door.call("GET", one, user="mina")).status == 404


async def test_a_stream_by_header_or_by_body(door):
    one = f"{PATH}/{await door.start()}"
    for how in ({"accept": "text/event-stream"}, {}):
        body = {"message": "안녕", **({} if how else {"stream": True})}
        got = await door.call("POST", f"{one}/messages", body, **how)
        assert (got.status, got.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert [name for name, _, _ in got.events][0::99] == ["start"]
        assert text_of(got.events) == "You said: 안녕 "
        assert got.events[-1][0] == "done"
    again = await door.call("GET", f"{one}/messages/m2/events", last_event_id="10")
    assert text_of(again.events) == "안녕 "
    assert (await door.call("GET", f"{one}/messages/m2/events", last_event_id="what")).status == 422
    assert (await door.call("GET", f"{one}/messages/m9/events")).status == 404


async def test_headers_go_out_before_the_model_is_called(door):
    door.world.model = Gated()
    one = f"{PATH}/{await door.start()}"
    sent = []
    going = asyncio.create_task(
        door.call("POST", f"{one}/messages", {"message": "x", "stream": True}, sent=sent)
    )
    await door.world.model.asked.wait()
    assert sent[0]["status"] == 200
    assert sent[1]["body"].startswith(b"id: 0\nevent: start")
    door.world.model.let()
    assert text_of((await going).events) == "one two three"


async def test_context_is_what_the_model_gets(door):
    conversation = await door.start()
    one = f"{PATH}/{conversation}"
    await door.call("POST", f"{one}/messages", {"message": "My dog is called Choco."})
    shown = (await door.call("GET", f"{one}/context?message=what+is+my+dog+called%3F")).json
    await door.call("POST", f"{one}/messages", {"message": "what is my dog called?"})
    ask = door.world.model.asks[-1]
    assert [(m["role"], m["content"]) for m in shown["messages"]] == [
        (turn.role, turn.content) for turn in ask.messages
    ]
    assert [(r["id"], r["text"]) for r in shown["recalled"]] == [(p.id, p.text) for p in ask.passages]
    assert shown["recalled"][0]["id"] in ("m1", "m2")
    assert shown["state_bytes"] <= shown["state_budget_bytes"] == 900
    assert shown["sizes"]["message"] == 22
    assert (await door.call("GET", f"{one}/context")).json["messages"][-1]["role"] == "assistant"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"message": ""}, 422),
        ({}, 422),
        ({"message": "a", "mood": 1}, 422),
        ({"message": 7}, 422),
        (b"", 400),
        (b"\xff", 400),
        (b'{"message": "half \\ud83d"}', 400),
        ({"message": "nul \0"}, 422),
        ({"message": "x" * 10_000_000}, 413),
        ({"message": "가" * 20_000}, 413),
        ({"message": "a", "idempotency_key": "k" * 257}, 422),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_what_to_do(door, body, status):
    conversation = await door.start()
    got = await door.call("POST", f"{PATH}/{conversation}/messages", body)
    assert got.status == status, got.body[:300]
    assert got.json["hint"]
    assert await door.world.rows(conversation) == []


async def test_failures_are_problems_with_the_turn_on_them(door):
    one = f"{PATH}/{await door.start()}"
    door.world.model = failing()
    got = await door.call("POST", f"{one}/messages", {"message": "hello"})
    assert got.status == 502
    assert (got.json["message_id"], got.json["turn_status"], got.json["cause"]) == (
        "m2",
        "failed",
        "model-failed",
    )
    assert got.json["hint"] == "wait"
    shown = (await door.call("GET", one)).json["messages"]
    assert shown[1]["facts"]["error"]["code"] == "model-failed"


async def test_busy_keys_and_repeats(door):
    one = f"{PATH}/{await door.start()}"
    door.world.model = Gated()
    going = asyncio.create_task(
        door.call(
            "POST", f"{one}/messages", {"message": "a", "idempotency_key": "other"}, idempotency_key="k"
        )
    )
    await door.world.model.asked.wait()
    busy = await door.call("POST", f"{one}/messages", {"message": "b"})
    assert (busy.status, busy.headers["retry-after"]) == (409, "1")
    door.world.model.let()
    first = await going
    again = await door.call("POST", f"{one}/messages", {"message": "a"}, idempotency_key="k")
    assert again.json["text"] == first.json["text"] == "one two three"
    assert (await door.call("POST", f"{one}/messages", {"message": "b"}, idempotency_key="k")).status == 422
    streamed = await door.call(
        "POST", f"{one}/messages", {"message": "a", "stream": True}, idempotency_key="k"
    )
    assert text_of(streamed.events) == "one two three"


async def test_lists_and_erasing_are_for_the_caller_or_for_admins(make):
    world = make()
    door = Door(world.engine, open_admin=False)
    for n in range(3):
        await door.start("mina")
        world.clock.advance(n + 1)
    theirs = await door.start("juno")
    part = (await door.call("GET", f"{PATH}?limit=2", user="mina")).json
    rest = (await door.call("GET", f"{PATH}?limit=2&after={part['next_after']}", user="mina")).json
    assert (len(part["conversations"]), len(rest["conversations"]), rest["next_after"]) == (2, 1, None)
    assert (await door.call("GET", PATH)).status == 422
    assert (await door.call("GET", f"{PATH}?user_id=juno", user="mina")).status == 403
    assert (await door.call("DELETE", f"{PATH}?user_id=juno", user="mina")).status == 403
    assert (await door.call("GET", f"{PATH}?after=x", user="mina")).status == 422
    assert (await door.call("DELETE", "/admin/conversations?user_id=mina", user="mina")).status == 401
    admin = {"authorization": "Bearer swordfish"}
    listed = (await door.call("GET", "/admin/conversations?user_id=mina", **admin)).json
    assert len(listed["conversations"]) == 3
    assert (await door.call("DELETE", "/admin/conversations", **admin)).status == 422
    assert (await door.call("DELETE", PATH, user="mina")).json == {"conversations": 3}
    assert (await door.call("DELETE", "/admin/conversations?user_id=mina", **admin)).json == {
        "conversations": 0
    }
    assert (await door.call("GET", f"{PATH}/{theirs}", user="juno")).status == 200


async def test_a_long_log_comes_in_parts(door):
    one = f"{PATH}/{await door.start()}"
    for n in range(4):
        await door.call("POST", f"{one}/messages", {"message": f"m {n}"})
    part = (await door.call("GET", f"{one}?limit=3")).json
    assert (len(part["messages"]), part["next_after"]) == (3, "m3")
    rest = (await door.call("GET", f"{one}?after=m3&limit=10")).json
    assert ([m["message_id"] for m in rest["messages"]], rest["next_after"]) == (
        ["m4", "m5", "m6", "m7", "m8"],
        None,
    )
    assert (await door.call("GET", f"{one}?after=x")).status == 422
    assert (await door.call("GET", f"{one}?limit=0")).status == 422


async def test_what_happened_stands_on_the_record(door):
    one = f"{PATH}/{await door.start()}"
    await door.call("POST", f"{one}/messages", {"message": "hello"})
    await until(lambda: len(door.log.records) == 2)
    noted = door.log.records[-1].facts["conversation"]
    assert (noted["status"], noted["seq"]) == ("done", 2)


async def test_an_answer_is_scored_once_by_its_owner(door):
    one = f"{PATH}/{await door.start('mina')}"
    await door.call("POST", f"{one}/messages", {"message": "hello"}, user="mina")
    score = f"{one}/messages/m2/feedback"
    first = await door.call("POST", score, {"score": 1, "text": "고마워요"}, user="mina")
    again = await door.call("POST", score, {"score": 1}, user="mina")
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert (first.json["score"], first.json["text"], first.json["message_id"]) == (1, "고마워요", "m2")
    assert first.headers["cache-control"] == "no-store"
    other = await door.call("POST", score, {"score": -1}, user="mina")
    assert (other.status, other.json["type"].rpartition(":")[2]) == (409, "conversation-already-rated")
    assert (await door.call("POST", score, {"score": 3}, user="mina")).status == 422
    assert (await door.call("POST", score, {"score": 1}, user="juno")).status == 404
    for missing in ("m1", "m4", "x"):
        got = await door.call("POST", f"{one}/messages/{missing}/feedback", {"score": 1}, user="mina")
        assert (got.status, got.json["type"].rpartition(":")[2]) == (404, "conversation-unknown-message")


async def test_before_the_start_it_says_when_to_come_back():
    got = await Door(None).call("POST", f"{PATH}/start", {})
    assert (got.status, got.headers["retry-after"]) == (503, "1")
