"""The log of what arrived, and how the server starts and stops."""

import asyncio

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.faults import FaultServer
from holdfast.rooms.faults.engine.calls import KEPT
from holdfast.rooms.faults.rules.names import UnknownFault
from tests.rooms.faults.asking import Line, ask, chat
from tests.waiting import until


async def test_the_log_tells_what_each_model_got(server, clock):
    await ask(server, chat("503"), authorization="Bearer sk-secret", x_mine="예")
    clock.advance(1.5)
    await ask(server, chat("503", stream=True), authorization="Bearer sk-secret")
    await ask(server, chat("503"), authorization="Bearer sk-other")
    await ask(server, chat("ok"))
    got = await ask(server, path="/_calls")
    assert "sk-secret" not in got.body.decode()
    assert set(got.json["models"]) == {"503", "ok"}
    first, second, other = got.json["models"]["503"]
    assert (first["attempt"], second["attempt"], other["attempt"]) == (1, 2, 1)
    assert (first["began_s"], second["began_s"]) == (0.0, 1.5)
    assert first["status"] == 503
    assert first["key"] == second["key"] != other["key"]
    assert (first["stream"], second["stream"]) == (False, True)
    assert first["headers"]["authorization"] == "Bearer ***"
    assert first["body_bytes"] == int(first["headers"]["content-length"])
    assert not first["left_early"]


async def test_the_log_is_asked_for_and_cleared_by_model(server):
    for model in ("gpt+503", "429"):
        await ask(server, chat(model))
    got = await ask(server, path="/_calls?model=gpt+503")
    assert list(got.json["models"]) == ["gpt+503"]
    assert (await ask(server, path="/_calls?model=gpt%2B503", method="DELETE")).json == {"cleared": 1}
    assert [call.model for call in server.calls.of()] == ["429"]
    assert (await ask(server, path="/_calls", method="DELETE")).json == {"cleared": 1}
    assert server.calls.of() == []


async def test_a_refused_call_stands_in_the_log(server):
    await ask(server, chat("nosuch"))
    assert [(call.model, call.status) for call in server.calls.of()] == [("nosuch", 404)]


async def test_the_log_keeps_the_newest(server):
    line = await Line.to(server)
    for _ in range(KEPT + 1):
        line.send("POST", "/v1/chat/completions", chat("ok"))
        await line.one()
    line.leave()
    calls = server.calls.of("ok")
    assert len(calls) == KEPT
    assert calls[-1].attempt == KEPT + 1


async def test_a_client_that_leaves_ends_its_call(server):
    line = await Line.to(server)
    line.send("POST", "/v1/chat/completions", chat("silent"))
    await until(lambda: server.calls.of("silent"))
    line.leave()
    await until(lambda: server.calls.of("silent")[0].ended_s is not None)
    assert server.calls.of("silent")[0].left_early


async def test_a_client_that_leaves_during_the_delay(naps):
    async with FaultServer(delay_ms=3_600_000) as server:
        line = await Line.to(server)
        line.send("POST", "/v1/chat/completions", chat("ok"))
        await until(lambda: server.calls.of("ok"))
        line.leave()
        await until(lambda: server.calls.of("ok")[0].left_early)


async def test_the_delay_comes_before_faults_as_well(naps):
    async with FaultServer(delay_ms=60, sleep=naps) as server:
        assert (await ask(server, chat("503"))).status == 503
        assert naps.taken == [0.06]
        assert (await ask(server, chat("ok"))).status == 200
        assert (await ask(server, path="/_faults")).status == 200


async def test_the_faults_describe_themselves(server):
    faults = (await ask(server, path="/_faults")).json["faults"]
    assert {"name": "cut-mid-stream", "takes": "chunks", "example": "cut-mid-stream:3"}.items() <= next(
        one for one in faults if one["name"] == "cut-mid-stream"
    ).items()


async def test_a_stop_ends_whatever_is_under_way():
    server = FaultServer()
    await server.start()
    lines = [await Line.to(server) for _ in range(20)]
    for line in lines:
        line.send("POST", "/v1/chat/completions", chat("silent"))
    await until(lambda: len(server.calls.of("silent")) == 20)
    before = asyncio.all_tasks()
    await server.stop()
    await server.stop()
    assert len(before) > len(asyncio.all_tasks())
    for line in lines:
        assert (await line.rest()).raw == b""
    calls = server.calls.of("silent")
    assert not any(call.left_early for call in calls)  # it was not the client that left
    assert all(call.ended_s is not None for call in calls)


async def test_an_address_that_is_taken_is_told(server):
    with pytest.raises(Misconfigured, match=f"port {server.port}"):
        await FaultServer(port=server.port).start()


def test_a_fault_that_is_none_is_told():
    with pytest.raises(UnknownFault):
        FaultServer(fault="nosuch")


async def test_its_address(server):
    assert server.url == f"http://127.0.0.1:{server.port}/v1"
    async with FaultServer(host="::1") as six:
        assert six.address == f"http://[::1]:{six.port}"
