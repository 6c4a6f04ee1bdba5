"""Conversations over a real server: Korean and English, streams, a stop, and a process that is killed."""

import http.client
import json
import signal
from pathlib import Path

import pytest

from tests.acceptance.serving import Served, run_cli, serving

PATH = "/api/v2/conversations"
APP = """
import asyncio, os, signal
from holdfast import Holdfast
from holdfast.ports.model import Embedded, Piece, Reply, Usage


class Slow:
    '''Echoes; in a message with `wait` in it stops after the first word for ever, with `die` the process.'''

    async def complete(self, ask):
        return Reply(text="notes", generated_by="echo")

    async def stream(self, ask):
        said = ask.messages[-1].content
        for word in said.split(" "):
            yield Piece(word + " ")
            if "wait" in said:
                await asyncio.Event().wait()
            if "die" in said:
                os.kill(os.getpid(), signal.SIGKILL)
        yield Piece(reply=Reply(text=said + " ", generated_by="echo", usage=Usage(1, 2)))

    async def embed(self, texts, *, model="", tenant=""):
        return Embedded([[0.0] for _ in texts])


app = Holdfast()
app.ground.rooms["conversations"].engine.model = Slow()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chatting.py").write_text(APP)
    return tmp_path


def start(served: Served, **headers: str) -> str:
    reply = served.request("POST", f"{PATH}/start", {"persona": "tutor"}, headers)
    assert reply.status == 201, reply.body
    return str(reply.json()["conversation_id"])


def events_of(raw: bytes) -> list[tuple[str, dict]]:
    blocks = [block for block in raw.decode().split("\n\n") if block and not block.startswith(":")]
    parts = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(part["event"], json.loads(part["data"])) for part in parts]


def open_stream(served: Served, conversation: str, message: str) -> http.client.HTTPResponse:
    """The response of a stream whose first token has come."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    body = json.dumps({"message": message, "stream": True}).encode()
    connection.request("POST", f"{PATH}/{conversation}/messages", body)
    response = connection.getresponse()
    assert response.status == 200
    while not response.readline().startswith(b"event: token"):
        pass
    return response


def test_a_conversation_in_korean_and_english(folder: Path) -> None:
    with serving(folder, "chatting:app") as served:
        conversation = start(served)
        for text in ("안녕하세요, 제 강아지는 초코예요.", "And my cat is called Mango."):
            reply = served.request("POST", f"{PATH}/{conversation}/messages", {"message": text})
            assert (reply.status, reply.json()["text"]) == (200, text + " ")
        streamed = served.request(
            "POST", f"{PATH}/{conversation}/messages", {"message": "초코 기억해?", "stream": True}
        )
        events = events_of(streamed.body)
        assert [name for name, _ in events if name != "token"] == ["start", "done"]
        assert "".join(data["text"] for name, data in events if name == "token") == "초코 기억해? "
        again = served.request(
            "GET", f"{PATH}/{conversation}/messages/m6/events", headers={"Last-Event-ID": "3"}
        )
        assert events_of(again.body)[1] == ("token", {"text": "기억해? "})
        shown = served.get(f"{PATH}/{conversation}").json()
        assert [message["status"] for message in shown["messages"]] == ["done"] * 6
        context = served.get(f"{PATH}/{conversation}/context?message=my%20cat").json()
        assert "And my cat is called Mango." in [source["text"] for source in context["recalled"]]
        assert context["state_bytes"] <= 900


def test_a_stop_tells_open_streams_and_leaves_a_visible_turn(folder: Path) -> None:
    with serving(folder, "chatting:app") as served:
        conversation = start(served)
        response = open_stream(served, conversation, "please wait")
        served.process.send_signal(signal.SIGTERM)
        rest = b"event: token\n" + response.read()
        assert served.stop() == 0
    name, data = events_of(rest)[-1]
    assert (name, data["code"]) == ("error", "conversation-stopped")
    with serving(folder, "chatting:app") as served:
        messages = served.get(f"{PATH}/{conversation}").json()["messages"]
        assert [(one["text"], one["status"]) for one in messages] == [
            ("please wait", "done"),
            ("please ", "interrupted"),
        ]
        assert served.request("POST", f"{PATH}/{conversation}/messages", {"message": "hi"}).status == 200


def test_clocks_export_and_erase(folder: Path) -> None:
    clocks = {"HOLDFAST_CONVERSATIONS_TOTAL_S": "0.5", "HOLDFAST_CONVERSATIONS_FIRST_TOKEN_S": "0.5"}
    owner = {"X-User-ID": "mina"}
    with serving(folder, "chatting:app", **clocks) as served:
        conversation = start(served, **owner)
        reply = served.request("POST", f"{PATH}/{conversation}/messages", {"message": "wait"}, owner)
        assert (reply.status, reply.json()["turn_status"]) == (504, "timeout")
        assert reply.json()["text"] == "wait "
        assert served.get(f"{PATH}/{conversation}").status == 404
    exported = run_cli(folder, "conversations", "export", "mina")
    assert json.loads(exported.stdout)["messages"][1]["status"] == "timeout"
    assert "erased 1" in run_cli(folder, "conversations", "erase", "mina").stdout
    assert run_cli(folder, "conversations", "export", "mina").stdout == ""


def test_a_process_that_was_killed_in_mid_answer_holds_nobody_up_for_ever(folder: Path) -> None:
    with serving(folder, "chatting:app", HOLDFAST_CONVERSATIONS_TOTAL_S="1") as served:
        conversation = start(served)
        # By its model, in mid-answer: to whoever kills it from outside the answer's time may be over before.
        with pytest.raises((OSError, http.client.HTTPException)):
            served.request("POST", f"{PATH}/{conversation}/messages", {"message": "please die"})
        assert served.process.wait(60) == -signal.SIGKILL
    with serving(folder, "chatting:app", HOLDFAST_CONVERSATIONS_ON_CONCURRENT="queue") as served:
        queued = served.request("POST", f"{PATH}/{conversation}/messages", {"message": "hello?"})
        assert queued.status == 200, queued.body
        messages = served.get(f"{PATH}/{conversation}").json()["messages"]
        assert [one["status"] for one in messages] == ["done", "interrupted", "done", "done"]
