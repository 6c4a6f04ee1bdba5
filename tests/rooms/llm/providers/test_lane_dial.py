"""The first address that answers is taken, the others leave nothing behind."""

import asyncio
import socket

import pytest

from holdfast.rooms.llm.providers import lane_dial
from holdfast.rooms.llm.providers.lane_dial import first_of, interleaved

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(V6, "::1"), (V4, "1.1.1.1")], ["::1", "1.1.1.1"]),
        ([(V6, "::1"), (V6, "::2"), (V4, "1.1.1.1"), (V4, "2.2.2.2")], ["::1", "1.1.1.1", "::2", "2.2.2.2"]),
        ([(V4, "1.1.1.1"), (V4, "1.1.1.1"), (V4, "2.2.2.2")], ["1.1.1.1", "2.2.2.2"]),
        ([], []),
    ],
)
def test_families_take_turns(found, expected):
    assert interleaved(found) == expected


class Connection:
    def __init__(self):
        self.aborted = False

    def abort(self):
        self.aborted = True


async def test_an_address_that_refuses_gives_way_to_the_next():
    async def reach(address):
        if address != "good":
            raise ConnectionRefusedError(address)
        return Connection()

    assert not (await first_of(["bad", "worse", "good"], reach)).aborted
    with pytest.raises(ConnectionRefusedError, match="bad"):
        await first_of(["bad", "worse"], reach)


async def test_an_address_that_is_silent_is_tried_beside_the_next_and_given_up(monkeypatch):
    monkeypatch.setattr(lane_dial, "STAGGER_S", 0.01)
    left = asyncio.Event()

    async def reach(address):
        if address == "good":
            return Connection()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    await first_of(["silent", "good"], reach)
    await left.wait()


async def test_of_two_that_answer_one_is_closed(monkeypatch):
    monkeypatch.setattr(lane_dial, "STAGGER_S", 0.01)
    made, go = {}, asyncio.Event()

    async def reach(address):
        if address == "second":
            go.set()
        await go.wait()
        made[address] = Connection()
        return made[address]

    won = await first_of(["first", "second"], reach)
    while sum(not connection.aborted for connection in made.values()) > 1 or len(made) < 2:
        await asyncio.sleep(0)
        if len(made) == 1:
            break
    assert not won.aborted


async def test_who_leaves_gives_every_try_up():
    tried, left = [], []

    async def reach(address):
        tried.append(address)
        try:
            await asyncio.Event().wait()
        finally:
            left.append(address)

    task = asyncio.create_task(first_of(["a"], reach))
    while not tried:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert left == ["a"]
