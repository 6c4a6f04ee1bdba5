"""A doorbell is heard by all who listen, the dead leave nothing, and nobody is ever waited for."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.stores.doorbells import Doorbell
from tests.waiting import until


class House:
    """A folder of doorbells, and what each has heard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.doorbells: list[Doorbell] = []

    def one(self) -> tuple[Doorbell, list[str]]:
        heard: list[str] = []
        doorbell = Doorbell(self.folder, heard.extend)
        self.doorbells.append(doorbell)
        return doorbell, heard

    def names(self) -> set[str]:
        return set(os.listdir(self.folder))


@pytest.fixture(params=["bells", "b" * 120] if sys.platform == "linux" else ["bells"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """In a folder whose path an address can hold, and in one whose path it cannot."""
    found = House(tmp_path_factory.mktemp("d") / request.param)
    yield found
    for doorbell in found.doorbells:
        doorbell.close()


async def test_all_who_listen_hear_it_but_not_who_rings(house: House) -> None:
    (one, by_one), (two, by_two), (three, by_three) = house.one(), house.one(), house.one()
    for doorbell in (one, two, three):
        doorbell.open()
    one.ring(["bulk", "live"])
    await until(lambda: by_two and by_three)
    assert (by_one, by_two, by_three) == ([], ["bulk", "live"], ["bulk", "live"])


async def test_who_does_not_listen_may_ring(house: House) -> None:
    (outside, by_outside), (inside, heard) = house.one(), house.one()
    outside.ring(["nobody has a folder yet"])
    inside.open()
    outside.ring(["bulk"])
    await until(lambda: heard)
    assert (by_outside, heard) == ([], ["bulk"])


async def test_more_topics_than_a_ring_can_hold_are_any(house: House) -> None:
    (one, _), (two, heard) = house.one(), house.one()
    two.open()
    one.ring([f"queue {number}" for number in range(1000)])
    await until(lambda: heard)
    assert heard == [""]


async def test_the_doorbell_of_the_dead_is_taken_down(house: House) -> None:
    (one, _), (two, heard), (dead, _) = house.one(), house.one(), house.one()
    two.open()
    living = house.names()
    dead.open()
    assert dead._own is not None
    asyncio.get_running_loop().remove_reader(dead._own.fileno())
    dead._own.close()  # as the death of its process would
    one.ring(["bulk"])
    await until(lambda: heard)
    assert house.names() == living


async def test_a_ring_never_waits_for_who_does_not_hear(house: House) -> None:
    (one, _), (two, heard) = house.one(), house.one()
    two.open()
    for _ in range(10_000):  # far more than a socket holds, and the loop does not turn
        one.ring(["bulk"])
    await until(lambda: heard)
    assert house.names() != set(), "who is only busy keeps its doorbell"


async def test_a_fork_does_not_keep_the_doorbell_alive(house: House) -> None:
    (one, _), (two, heard) = house.one(), house.one()
    two.open()
    born, asked = os.pipe(), os.pipe()
    if not (child := os.fork()):
        os.write(born[1], b"x")
        os.read(asked[0], 1)  # lives on, and never executes another program
        os._exit(0)
    try:
        os.read(born[0], 1)
        assert two._own is not None
        asyncio.get_running_loop().remove_reader(two._own.fileno())
        two._own.close()  # as the death of its process would
        one.ring(["bulk"])
        assert house.names() == set()
    finally:
        os.write(asked[1], b"x")
        os.waitpid(child, 0)
        for end in (*born, *asked):
            os.close(end)
    assert heard == []


async def test_a_fork_is_heard_by_its_parent(house: House) -> None:
    one, heard = house.one()
    one.open()
    if not (child := os.fork()):
        one.ring(["from the fork"])
        os._exit(0)
    os.waitpid(child, 0)
    await until(lambda: heard)
    assert heard == ["from the fork"]


async def test_it_is_gone_when_it_is_closed(house: House) -> None:
    one, _ = house.one()
    one.open()
    assert len(house.names()) == 1
    one.close()
    one.close()
    assert house.names() == set()
