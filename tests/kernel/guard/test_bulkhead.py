import asyncio
import random

import pytest

from holdfast.kernel.guard.bulkhead import Bulkhead, BulkheadRules
from holdfast.kernel.guard.problems import BulkheadFull

from .stage import turns


async def test_who_waits_gets_the_permit_in_turn_and_nobody_overtakes():
    bulkhead = Bulkhead("pay", BulkheadRules(concurrent=1, queue=3))
    await bulkhead.take()
    order = []

    async def one(name):
        await bulkhead.take()
        order.append(name)
        bulkhead.give()

    tasks = [asyncio.create_task(one(name)) for name in "abc"]
    await turns()
    with pytest.raises(BulkheadFull, match="3 calls wait"):
        await bulkhead.take()
    bulkhead.give()
    assert bulkhead.free == 0, "the permit is the first waiter's, not the next comer's"
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    assert (bulkhead.free, bulkhead.waiting) == (1, 0)


async def test_a_waiter_that_is_cancelled_with_the_permit_in_hand_passes_it_on():
    bulkhead = Bulkhead("pay", BulkheadRules(concurrent=1, queue=2))
    await bulkhead.take()
    first, second = (asyncio.create_task(bulkhead.take()) for _ in range(2))
    await turns()
    bulkhead.give()
    first.cancel()
    await turns()
    assert first.cancelled()
    assert second.done()
    assert not second.cancelled()
    bulkhead.give()
    assert bulkhead.free == 1


async def test_whoever_is_cancelled_whenever_no_permit_is_lost():
    bulkhead = Bulkhead("pay", BulkheadRules(concurrent=3, queue=10_000))
    chance = random.Random(7)

    async def one():
        await bulkhead.take()
        try:
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
        finally:
            bulkhead.give()

    tasks = [asyncio.create_task(one()) for _ in range(2000)]
    while not all(task.done() for task in tasks):
        for task in chance.sample(tasks, 20):
            task.cancel()
        assert bulkhead.free >= 0
        await asyncio.sleep(0)
    assert (bulkhead.free, bulkhead.waiting) == (3, 0)


@pytest.mark.parametrize("wrong", [{"concurrent": 0}, {"concurrent": 1, "queue": -1}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="concurrent"):
        BulkheadRules(**wrong)
