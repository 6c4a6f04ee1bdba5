"""The order of replies: whatever is cancelled, refused or late, each goes to who asked."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.ports.shared import SharedDown, SharedRefused
from holdfast.stores.redis.config import Limits
from holdfast.stores.redis.replies import down, fail
from holdfast.stores.redis.wire import Wire
from tests.waiting import until

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("echo"), st.binary(max_size=64)),
        st.tuples(st.just("wrong"), st.just(b"")),
        st.tuples(st.just("cancel"), st.just(b"")),
        st.tuples(st.just("turn"), st.just(b"")),
        st.tuples(st.just("large"), st.just(b"")),
        st.tuples(st.just("list"), st.binary(max_size=8)),
    ),
    max_size=60,
)
LIMITS = Limits(60.0, 3, 10_000, 64_000_000)


class Owner:
    """Hands errors on and notes the end."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def refused(self, wire: Wire, sink: Any, sent: Any, error: SharedRefused, due: float) -> None:
        sink.set_exception(error)

    def lost(self, wire: Wire, why: str) -> None:
        self.ends.append(why)

    def pushed(self, wire: Wire, message: list[Any]) -> None:
        raise AssertionError(message)


@pytest.fixture(scope="module")
def port(redis_url: str) -> int:
    return int(redis_url.split(":")[2].split("/")[0])


async def run(port: int, steps: list[tuple[str, bytes]]) -> None:
    loop, owner = asyncio.get_running_loop(), Owner()
    wire = Wire(loop, LIMITS, SystemClock(), owner)
    await loop.create_connection(lambda: wire, "127.0.0.1", port)
    asked: list[tuple[Any, Any]] = []
    for kind, data in steps:
        if kind == "echo":
            asked.append((wire.send(("ECHO", data)), data))
        elif kind == "large":
            asked.append((wire.send(("ECHO", b"x" * 300_000)), b"x" * 300_000))
        elif kind == "wrong":
            asked.append((wire.send(("NOSUCH",)), SharedRefused))
        elif kind == "list":
            script = "return {ARGV[1], {err='NO'}, {1, false}}"
            asked.append((wire.send(("EVAL", script, 0, data)), data))
        elif kind == "cancel" and asked:
            asked[-1][0].cancel()
        else:
            await asyncio.sleep(0)
    replies = await asyncio.gather(*(future for future, _ in asked), return_exceptions=True)
    for reply, (_, expected) in zip(replies, asked, strict=True):
        if isinstance(reply, asyncio.CancelledError):
            continue
        if expected is SharedRefused:
            assert isinstance(reply, SharedRefused)
        elif isinstance(reply, list):
            assert reply[0] == expected
            assert isinstance(reply[1], SharedRefused)
        else:
            assert reply == expected
    assert await wire.send(("ECHO", "last")) == b"last"
    assert wire.waiting == 0
    assert owner.ends == []
    wire.drop("the test is over")


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_each_reply_goes_to_who_asked(port: int, steps: list[tuple[str, bytes]]) -> None:
    asyncio.run(run(port, steps))


class Peer(asyncio.Protocol):
    """The other end of a connection, which answers when the test says so."""

    def __init__(self) -> None:
        self.heard = b""
        self.writes = 0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.writes += 1


class Pair:
    """A wire with a clock of the test's, and its peer."""

    def __init__(self, limits: Limits) -> None:
        self.clock = ManualClock()
        self.owner = Owner()
        self.peer = Peer()
        self.limits = limits

    async def __aenter__(self) -> "Pair":
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: self.peer, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.wire = Wire(loop, self.limits, self.clock, self.owner)
        await loop.create_connection(lambda: self.wire, "127.0.0.1", port)
        await until(lambda: self.peer.transport)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.wire.drop("the test is over")
        self.server.close()


SHORT = Limits(0.05, 3, 100, 1_000_000)


async def test_the_commands_of_one_turn_leave_in_one_write() -> None:
    async with Pair(SHORT) as pair:
        calls = [pair.wire.send(("GET", f"k{i}")) for i in range(50)]
        await until(lambda: pair.peer.heard.count(b"GET") == 50)
        assert pair.peer.writes == 1
        pair.peer.transport.write(b":1\r\n" * 50)
        assert await asyncio.gather(*calls) == [1] * 50


async def test_the_budget_goes_by_the_clock_and_a_late_reply_is_dropped() -> None:
    async with Pair(SHORT) as pair:
        first = pair.wire.send(("GET", "a"))
        await until(lambda: pair.peer.heard)
        pair.clock.advance(0.049)
        second = pair.wire.send(("GET", "b"))
        await until(lambda: pair.peer.heard.count(b"GET") == 2)
        assert not first.done()
        pair.clock.advance(0.002)
        with pytest.raises(SharedDown, match="50 ms"):
            await first
        assert not second.done()
        pair.peer.transport.write(b"+late\r\n+b\r\n")
        assert await second == b"b"
        assert pair.wire.missed == 1
        assert not pair.wire.ended


async def test_three_budgets_in_silence_end_it_without_further_calls() -> None:
    async with Pair(SHORT) as pair:
        call = pair.wire.send(("GET", "a"))
        for pings in range(1, 3):
            await until(lambda: pair.peer.heard)
            pair.clock.advance(0.06)
            await until(lambda pings=pings: pair.peer.heard.count(b"PING") == pings)
            assert not pair.wire.ended
        pair.clock.advance(0.06)
        await until(lambda: pair.wire.ended)
        assert pair.owner.ends == ["3 budgets in a row without a sign of life"]
        with pytest.raises(SharedDown):
            await call
        with pytest.raises(SharedDown, match="sign of life"):
            await pair.wire.send(("GET", "a"))


async def test_a_sign_of_life_begins_the_count_anew() -> None:
    async with Pair(SHORT) as pair:
        for turn in range(10):
            call = pair.wire.send(("GET", "a"))
            await until(lambda turn=turn: pair.peer.heard.count(b"GET") == turn + 1)
            pair.clock.advance(0.06)
            with pytest.raises(SharedDown):
                await call
            waiting = pair.wire.waiting
            pair.peer.transport.write(b"+late\r\n")
            await until(lambda waiting=waiting: pair.wire.waiting < waiting)
        assert not pair.wire.ended


@pytest.mark.parametrize("said", [b"+nobody asked\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_is_not_the_protocol_ends_it(said: bytes) -> None:
    async with Pair(SHORT) as pair:
        pair.peer.transport.write(said)
        await until(lambda: pair.wire.ended)
        assert len(pair.owner.ends) == 1


async def test_a_lost_connection_fails_what_waits_and_what_has_not_left() -> None:
    async with Pair(SHORT) as pair:
        sent = pair.wire.send(("GET", "a"))
        await until(lambda: pair.peer.heard)
        gone = pair.wire.send(("GET", "b"))
        gone.cancel()
        pair.peer.transport.abort()
        kept = pair.wire.send(("GET", "c"))
        for call in (sent, kept):
            with pytest.raises(SharedDown):
                await call
        assert len(pair.owner.ends) == 1
        assert pair.wire.waiting == 0


async def test_nobody_is_told_of_failures_that_nobody_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    future = asyncio.get_running_loop().create_future()
    fail(future, down("away"))
    fail(future, down("twice"))
    del future
    assert caplog.messages == []
