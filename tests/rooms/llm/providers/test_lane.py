"""What the lane does beyond what every transport does: the pool, kept connections, draining."""

import asyncio
import random

import pytest

from holdfast.rooms.llm.providers import lane as lane_module
from holdfast.rooms.llm.providers.lane import Lane
from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from tests.waiting import until

from .upstream import Upstream, always, chunk, chunked, plain

FIELDS = (("content-type", "application/json"),)
SHORT = 0.08


def lane(upstream, **limits):
    return Lane(upstream.url, Limits(**limits))


async def test_a_connection_that_the_peer_closed_meanwhile_costs_nothing():
    async with Upstream(always(plain(b"{}"), keep=False)) as upstream:
        ours = lane(upstream)
        for number in range(50):
            assert (await ours.post("/chat", FIELDS, b"{}")).status == 200
            await upstream.peers[number].gone.wait()
            # The end has arrived at our socket, and our loop may not have seen it.
            await until(lambda: not any(wire.fresh() for wire in ours._idle))
        await ours.close()
    assert len(upstream.requests) == 50


async def test_a_request_that_was_written_is_never_sent_again():
    async def play(peer, request):
        if request.number == 1:
            return False  # read, perhaps worked on, then closed without a word
        await peer.send(plain(b"{}"))
        return True

    async with Upstream(play) as upstream:
        ours = lane(upstream)
        await ours.post("/chat", FIELDS, b"first")
        with pytest.raises(ProviderFailed) as caught:
            await ours.post("/chat", FIELDS, b"second")
        await ours.close()
    assert caught.value.kind is Kind.CONNECTION
    assert [request.body for request in upstream.requests] == [b"first", b"second"]


@pytest.mark.parametrize(
    "answer",
    [
        plain(b'{"a":1}') + b"and more",
        plain(b'{"a":1}') + plain(b'{"a":2}'),
        plain(b'{"a":1}', "200 OK", "application/json", "connection: close") + b"more",
    ],
)
async def test_more_than_was_announced_is_garbled(answer):
    async with Upstream(always(answer)) as upstream:
        ours = lane(upstream)
        with pytest.raises(ProviderFailed) as caught:
            await ours.post("/chat", FIELDS, b"{}")
        await ours.close()
    assert (caught.value.kind, caught.value.code) == (Kind.GARBLED, "protocol")


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next():
    asked = asyncio.Event()

    async def play(peer, request):
        await peer.send(plain(b"asked for"))
        await asked.wait()
        if request.connection == 0:
            await peer.send(plain(b"not asked for"))
        return True

    async with Upstream(play) as upstream:
        ours = lane(upstream)
        await ours.post("/chat", FIELDS, b"{}")
        asked.set()
        await until(lambda: len(ours) == 0)
        assert (await ours.post("/chat", FIELDS, b"{}")).body == b"asked for"
        await ours.close()
    assert len(upstream.peers) == 2


async def test_the_connection_used_last_goes_first():
    async with Upstream(always(plain(b"{}"))) as upstream:
        ours = lane(upstream)
        await asyncio.gather(*(ours.post("/chat", FIELDS, b"{}") for _ in range(5)))
        before = len(upstream.requests)
        for _ in range(5):
            await ours.post("/chat", FIELDS, b"{}")
        await ours.close()
    assert len({request.connection for request in upstream.requests[before:]}) == 1


async def test_unused_connections_are_closed_after_a_while_and_no_more_than_allowed_are_kept():
    async with Upstream(always(plain(b"{}"))) as upstream:
        ours = lane(upstream, idle_s=SHORT, max_idle=2)
        await asyncio.gather(*(ours.post("/chat", FIELDS, b"{}") for _ in range(5)))
        await until(lambda: len(ours) <= 2)
        await until(lambda: len(ours) == 0)
        for peer in upstream.peers:
            await peer.gone.wait()
        await ours.close()


@pytest.mark.parametrize(("said", "kept"), [("timeout=1", False), ("timeout=100, max=5", True), ("x", True)])
async def test_what_the_peer_says_of_keeping_is_believed(said, kept):
    async with Upstream(
        always(plain(b"{}", "200 OK", "application/json", f"keep-alive: {said}"))
    ) as upstream:
        ours = lane(upstream)
        await ours.post("/chat", FIELDS, b"{}")
        if kept:
            await ours.post("/chat", FIELDS, b"{}")
            assert len(upstream.peers) == 1
        else:
            await until(lambda: len(ours) == 0)
        await ours.close()


async def test_a_finished_stream_gives_its_connection_back_when_its_end_comes():
    end = asyncio.Event()

    async def play(peer, request):
        await peer.send(chunked(b"data: [DONE]\n\n", end=b""))
        if request.number == 0:
            await end.wait()
        await peer.send(chunk(b": bye\n\n") + b"0\r\n\r\n")
        return True

    async with Upstream(play) as upstream:
        ours = lane(upstream)
        first = await ours.stream("/chat", FIELDS, b"{}")
        await first.read()
        await first.finish()
        end.set()
        await until(lambda: ours._idle)
        second = await ours.stream("/chat", FIELDS, b"{}")
        assert await second.read() != b""
        await second.finish()
        await ours.close()
    assert len(upstream.peers) == 1


@pytest.mark.parametrize("more", [b"", chunk(b"x" * 200_000)])
async def test_a_finished_stream_that_does_not_end_is_closed(more, monkeypatch):
    monkeypatch.setattr(lane_module, "DRAIN_S", SHORT)

    async def play(peer, request):
        await peer.send(chunked(b"data: [DONE]\n\n", end=b""))
        await until(lambda: done)
        await peer.send(more)
        await peer.until_gone()

    done = []
    async with Upstream(play) as upstream:
        ours = lane(upstream)
        stream = await ours.stream("/chat", FIELDS, b"{}")
        await stream.read()
        await stream.finish()
        done.append(True)
        await upstream.peers[0].gone.wait()
        await until(lambda: len(ours) == 0)
        await ours.close()


async def test_one_that_leaves_the_line_takes_no_place_with_it():
    async def play(peer, request):
        await until(lambda: go)
        await peer.send(plain(request.body))
        return True

    go = []
    async with Upstream(play) as upstream:
        ours = lane(upstream, max_connections=1)
        calls = [asyncio.create_task(ours.post("/chat", FIELDS, b"%d" % i)) for i in range(6)]
        await until(lambda: upstream.requests and len(ours._waiting) == 5)
        for leaver in (1, 3, 4):
            calls[leaver].cancel()
        go.append(True)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await ours.close()
    bodies = [None if isinstance(answer, BaseException) else answer.body for answer in answers]
    assert bodies == [b"0", None, b"2", None, None, b"5"]
    assert len(ours) == 0


async def test_one_that_leaves_as_it_is_given_a_connection_hands_it_on():
    async def play(peer, request):
        await until(lambda: go)
        await peer.send(plain(request.body))
        return True

    go = []
    async with Upstream(play) as upstream:
        ours = lane(upstream, max_connections=1)
        first, second, third = (asyncio.create_task(ours.post("/chat", FIELDS, b"%d" % i)) for i in range(3))
        await until(lambda: upstream.requests and len(ours._waiting) == 2)
        first.add_done_callback(lambda _: second.cancel())
        go.append(True)
        assert (await third).body == b"2"
        assert second.cancelled()
        assert len(ours) == 1
        await ours.close()


async def test_one_that_is_cancelled_in_the_moment_it_is_given_a_connection_hands_it_on():
    async def play(peer, request):
        await until(lambda: go)
        await peer.send(plain(request.body))
        return True

    go = []
    async with Upstream(play) as upstream:
        ours = lane(upstream, max_connections=1)
        first, second, third = (asyncio.create_task(ours.post("/chat", FIELDS, b"%d" % i)) for i in range(3))
        await until(lambda: upstream.requests and len(ours._waiting) == 2)
        release = ours.release

        def released(wire):
            release(wire)
            second.cancel()

        ours.release = released
        go.append(True)
        assert (await third).body == b"2"
        assert first.result().body == b"0"
        assert second.cancelled()
        await ours.close()
    assert len(upstream.peers) == 1


async def test_a_failed_connection_gives_its_place_to_who_waits():
    server = Upstream(always(plain(b"{}")))
    async with server as upstream:
        url = upstream.url
    ours = Lane(url, Limits(max_connections=2))
    outcomes = await asyncio.gather(
        *(ours.post("/chat", FIELDS, b"{}") for _ in range(8)), return_exceptions=True
    )
    assert {outcome.code for outcome in outcomes} == {"refused"}
    assert len(ours) == 0
    await ours.close()


async def test_whatever_happens_no_place_is_lost():
    rng = random.Random(7)

    async def play(peer, request):
        await asyncio.sleep(0)
        match request.body:
            case b"reset":
                peer.reset()
            case b"cut":
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123")
            case b"garbage":
                await peer.send(b"what?\r\n\r\n")
            case b"close":
                await peer.send(plain(b"close", "200 OK", "text/plain", "connection: close"))
            case body:
                await peer.send(chunked(body))
                return True
        return False

    async def call(body, turns):
        if turns % 2:
            return await ours.post("/chat", FIELDS, body)
        stream = await ours.stream("/chat", FIELDS, body)
        if turns % 3:
            await stream.read()
        await (stream.finish() if turns % 4 else stream.aclose())
        return None

    async def cancelled_after(body, turns):
        task = asyncio.create_task(call(body, turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns % 5 == 0:
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None or isinstance(task.exception(), ProviderFailed)

    async with Upstream(play) as upstream:
        ours = lane(upstream, max_connections=6, max_idle=3)
        kinds = [b"fine", b"fine", b"fine", b"reset", b"cut", b"garbage", b"close"]
        await asyncio.gather(*(cancelled_after(rng.choice(kinds), rng.randrange(40)) for _ in range(600)))
        await until(lambda: not ours._busy)
        assert len(ours) <= 3
        assert not ours._waiting
        answers = await asyncio.gather(*(ours.post("/chat", FIELDS, b"fine") for _ in range(60)))
        assert {answer.body for answer in answers} == {b"fine"}
        await ours.close()
        await until(lambda: len(ours) == 0)


async def test_closing_tells_those_in_flight_and_those_in_line():
    async def play(peer, request):
        await peer.until_gone()

    async with Upstream(play) as upstream:
        ours = lane(upstream, max_connections=1)
        calls = [asyncio.create_task(ours.post("/chat", FIELDS, b"{}")) for _ in range(3)]
        await until(lambda: upstream.requests and len(ours._waiting) == 2)
        await ours.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await upstream.peers[0].gone.wait()
    assert {outcome.kind for outcome in outcomes} == {Kind.CONNECTION}


async def test_an_early_no_to_a_large_body_is_heard_and_its_connection_not_used_again():
    async def early(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain(b'{"error":{}}', "413 Payload Too Large"))
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(early, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ours = Lane(f"http://127.0.0.1:{port}")
    answer = await ours.post("/chat", FIELDS, b"x" * 50_000_000)
    assert answer.status == 413
    await ours.close()
    server.close()
