"""`@cached`: answers remembered by their arguments."""

import asyncio
from typing import Any

import msgspec
import pytest

from holdfast.rooms.cache.rules.problems import BadCall, BadKey

from .making import make_engine, refused


class Farm(msgspec.Struct):
    farm_id: int
    name: str = "밭"


async def test_the_same_arguments_are_one_call_however_they_are_written():
    engine, calls = make_engine(), []

    @engine.cached()
    async def farm(farm_id: int, lang: str = "ko") -> Farm:
        """Reads a farm."""
        calls.append((farm_id, lang))
        return Farm(int(farm_id))

    assert await farm(1) == await farm(farm_id=1) == await farm(1, lang="ko") == Farm(1)
    assert calls == [(1, "ko")]
    await farm(True)
    await farm(1, "en")
    assert len(calls) == 3
    assert (farm.__name__, farm.__doc__) == ("farm", "Reads a farm.")
    assert await farm.uncached(1) == Farm(1)
    assert len(calls) == 4


async def test_one_call_is_invalidated_by_its_arguments_and_many_by_their_tags():
    engine, calls = make_engine(), []

    @engine.cached(tags=lambda user, page: [f"user:{user}"])
    async def feed(user, page):
        calls.append((user, page))
        return page

    async def all_four():
        await asyncio.gather(*(feed(user, page) for user in "ab" for page in (1, 2)))
        return len(calls)

    assert await all_four() == 4
    await feed.invalidate("a", page=1)
    assert await all_four() == 5
    await engine.invalidate(tags=["user:b"])
    assert await all_four() == 7


async def test_a_key_of_one_s_own_and_arguments_left_out():
    engine, calls = make_engine(), []

    class Shop:
        def __init__(self, name):
            self.name = name

        @engine.cached(ignore=["self", "session"])
        async def price(self, item, session=None):
            calls.append(item)
            return f"{self.name}:{item}"

    @engine.cached(key=lambda request: f"path:{request['path']}")
    async def page(request):
        calls.append(request["path"])
        return 1

    shop = Shop("a")
    assert await shop.price("x", session=object()) == await shop.price("x") == "a:x"
    assert page.key({"path": "/a"}) == "path:/a"
    await page({"path": "/a", "at": object()})
    await page({"path": "/a", "at": object()})
    assert calls == ["x", "/a"]


async def test_what_cannot_be_part_of_a_key_is_refused():
    engine = make_engine()

    @engine.cached()
    async def find(request):
        return 1

    with refused(BadKey):
        await find(object())
    with refused(BadCall):

        @engine.cached(ignore=["reqest"])
        async def other(request):
            return 1

    with refused(BadCall):

        @engine.cached()
        def plain():
            return 1


async def test_annotations_that_say_nothing_leave_values_as_json_has_them():
    engine = make_engine()

    @engine.cached()
    async def anything() -> Any:
        return (1, 2)

    @engine.cached()
    async def unknown() -> "OnlyForCheckers":  # noqa: F821 - the name is missing on purpose
        return (1, 2)

    assert await anything() == await unknown() == [1, 2]


async def test_functions_of_one_name_in_different_places_do_not_meet():
    engine = make_engine()

    def make():
        class Inner:
            @staticmethod
            async def load():
                return 2

        return Inner.load

    @engine.cached()
    async def load():
        return 1

    assert await load() == 1
    assert await engine.cached()(make())() == 2


async def test_a_wrong_number_of_arguments_is_the_usual_error():
    @make_engine().cached()
    async def one(a):
        return a

    with pytest.raises(TypeError, match="missing a required argument"):
        await one()
