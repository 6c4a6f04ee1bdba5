"""On a cluster all budgets of a call are one decision: their keys share a slot."""

import asyncio
from datetime import UTC

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.budgets import Budgets
from holdfast.rooms.llm.engine.shared_counts import SharedCounts
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Declared
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.store.budgets_redis import RedisBudgets
from holdfast.stores.open import open_shared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.waiting import until


@pytest.fixture
async def shared(redis_cluster):
    redis_cluster.empty()
    store = open_shared(redis_cluster.url, SystemClock(), SharedConfig(budget_ms=10_000))
    await store.start()
    await until(lambda: store.is_up)
    yield store
    await store.stop()


async def test_user_tenant_and_everything_are_charged_together(shared):
    new_id = IdSource().span_id
    counts = SharedCounts(RedisBudgets(shared, new_id()), SystemClock(), UTC, new_id)
    declared = Declared(
        (
            BudgetSetting("user", "month", tokens=100, cost=1.0),
            BudgetSetting("tenant", "month", tokens=150),
            BudgetSetting("everything", "rolling-minute", requests=100),
        )
    )
    budgets = Budgets(declared, counts, NoMeter())
    kim, lee = Payer(user="김철수", tenant="서울"), Payer(user="이영희", tenant="서울")
    found = await asyncio.gather(
        *(budgets.reserve(payer, tokens=80, cost=5) for payer in (kim, lee) * 4), return_exceptions=True
    )
    (passed,) = [each for each in found if not isinstance(each, BaseException)]
    passed.settle(10, 5)
    await until(lambda: not counts.owed)
    assert await budgets.reserve(lee, tokens=100)
    assert counts.by_share == 0
    await counts.stop()
