"""Charging from anywhere in the service: take, decorator, dependency; inside a request and outside."""

import asyncio
import inspect

import pytest

from holdfast.kernel.context import enter, leave
from holdfast.rooms.limits.rules.problems import NobodyToCount, TooManyRequests, UnknownAction
from tests.rooms.limits.rooms import Harness


class Inside:
    """`with Inside(house, user=...) as request:` - as if the edge were serving that request."""

    def __init__(self, house, **caller):
        self.request = house.request(**caller)

    def __enter__(self):
        self._token = enter(self.request)
        return self.request

    def __exit__(self, *_):
        leave(self._token)


async def until_refused(take, most=50):
    for count in range(most):
        try:
            await take()
        except TooManyRequests:
            return count
    return most


async def test_outside_a_request_who_is_counted_must_be_named():
    limits = Harness().room.limits
    with pytest.raises(NobodyToCount) as caught:
        await limits.take("ai_generation")
    assert "identity=" in caught.value.hint
    assert await until_refused(lambda: limits.take("ai_generation", identity="job:1")) == 7
    assert await until_refused(lambda: limits.take("ai_generation", identity="job:2", tier="PREMIUM")) == 14


async def test_inside_a_request_the_caller_is_charged_and_told():
    house = Harness()
    with Inside(house, user="a", tier="PREMIUM") as request:
        taken = await house.room.limits.take("ai_generation", cost=4)
        assert (taken.cost, taken.remaining) == (4, 10)
        assert dict(request.headers)[b"ratelimit-policy"] == b'"ai_generation";q=10;w=600'
        with pytest.raises(TooManyRequests) as caught:
            await house.room.limits.take("ai_generation", cost=11)
        assert caught.value.retry_after_s == pytest.approx(60.0)
        assert request.event.facts["limit_refused"] == "local"
    with Inside(house, user="b"):
        assert await until_refused(lambda: house.room.limits.take("ai_generation")) == 7


async def test_counting_by_other_things():
    house = Harness()
    take = house.room.limits.take
    with Inside(house, user="a", ip="2001:db8::1"):
        assert await until_refused(lambda: take("ai_generation", by="ip")) == 7
        assert await until_refused(lambda: take("ai_generation")) == 7
        assert (
            await until_refused(lambda: take("ai_generation", by=lambda ctx: f"farm:{ctx.event.user_id}"))
            == 7
        )
    with Inside(house, user="b", ip="2001:db8::2"):
        assert await until_refused(lambda: take("ai_generation", by="ip")) == 0
        with pytest.raises(ValueError, match="shoe"):
            await take("ai_generation", by="shoe")


async def test_tokens_are_settled_after_the_work():
    limits = Harness("[limits.actions]\ntokens = '1000/hour'").room.limits
    taken = await limits.take("tokens", cost=600, identity="user:a")
    taken.settle(100)
    assert (await limits.take("tokens", cost=900, identity="user:a")).remaining == 0
    other = await limits.take("tokens", cost=10, identity="user:b")
    other.settle(1200)  # more than the limit: a debt
    with pytest.raises(TooManyRequests) as caught:
        await limits.take("tokens", identity="user:b")
    assert caught.value.retry_after_s == pytest.approx(201 * 3.6)
    other.refund()
    other.refund()
    assert (await limits.take("tokens", cost=1000, identity="user:b")).remaining == 0


@pytest.mark.parametrize("cost", [-1, 1.5, True, "3"])
async def test_a_cost_is_a_whole_number(cost):
    with pytest.raises(ValueError, match="whole number"):
        await Harness().room.limits.take("ai_generation", cost=cost, identity="x")


async def test_a_cost_of_nothing_is_free():
    limits = Harness().room.limits
    assert await until_refused(lambda: limits.take("login_attempt", cost=0, identity="ip:a")) == 50


async def test_what_costs_more_than_is_ever_allowed_is_refused_without_a_time():
    with pytest.raises(TooManyRequests) as caught:
        await Harness().room.limits.take("ai_generation", cost=8, identity="x")
    assert caught.value.retry_after_s is None
    assert "at most 7" in caught.value.hint


async def test_the_decorator_charges_before_the_work():
    limits = Harness("[limits.actions]\ntokens = '100/hour'").room.limits
    done = []

    @limits.limit("tokens", cost=lambda text: len(text), by=lambda text: "project:1")
    async def summarise(text):
        """Short."""
        done.append(text)
        return text[:3]

    assert await summarise("가" * 60) == "가가가"
    with pytest.raises(TooManyRequests):
        await summarise("x" * 41)
    assert await summarise("x" * 40) == "xxx"
    assert len(done) == 2
    assert summarise.__doc__ == "Short."
    assert list(inspect.signature(summarise).parameters) == ["text"]


async def test_the_decorator_counts_the_caller():
    house = Harness()

    @house.room.limits.limit("login_attempt", by="user")
    async def handler():
        return "in"

    for user in ("a", "b"):
        with Inside(house, user=user):
            assert await until_refused(handler) == 5


def test_only_what_is_awaited_can_be_decorated_and_actions_must_be_known():
    limits = Harness().room.limits
    with pytest.raises(TypeError, match="dependency"):
        limits.limit("ai_generation")(lambda: 1)
    with pytest.raises(UnknownAction) as caught:
        limits.limit("ai_genration")
    assert "ai_generation" in caught.value.hint
    with pytest.raises(UnknownAction):
        asyncio.run(limits.take("nothing", identity="x"))
    with pytest.raises(ValueError, match="shoe"):
        limits.dependency("ai_generation", by="shoe")


async def test_the_dependency_has_no_parameters_and_charges():
    house = Harness()
    depend = house.room.limits.dependency("ai_generation", cost=3)
    assert list(inspect.signature(depend).parameters) == []
    with Inside(house, user="a"):
        assert (await depend()).remaining == 4
        assert await until_refused(depend) == 1


async def test_switched_off_nothing_is_charged():
    limits = Harness("[limits]\nenabled = false").room.limits
    assert await until_refused(lambda: limits.take("login_attempt")) == 50
    with pytest.raises(UnknownAction):
        await limits.take("nothing")
