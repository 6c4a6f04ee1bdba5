"""Prices, budgets, ledger and keys put together, as the room holds them."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.engine.money import MIGRATIONS, Money
from holdfast.rooms.llm.engine.shared_counts import SharedCounts
from holdfast.rooms.llm.rules.budgets import BudgetSetting
from holdfast.rooms.llm.rules.denials import BudgetExceeded, KeyDisabled
from holdfast.rooms.llm.rules.ledger import Entry
from holdfast.rooms.llm.rules.money_settings import MoneySettings
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.rules.prices import Tokens, cost_of
from holdfast.rooms.llm.rules.virtual_keys import KeyBudget, NewKey
from tests.rooms.llm.money.conftest import NOON, opened

ROOT = Path(__file__).resolve().parents[4]
KIM = Payer(user="김철수", model="gpt-4o-mini")
MONTHLY = [BudgetSetting("user", "month", tokens=100_000, cost=10.0)]

TOML = """
[llm]
time_zone = "Asia/Seoul"
[llm.prices."우리-모델"]
input_per_million = 1.5
output_per_million = 4
[[llm.budgets]]
scope = "user"
period = "day"
tokens = 10
cost = 0.5
[[llm.budgets]]
scope = "everything"
period = "month"
cost = 1000
"""


class Held:
    """One process's money, started and stopped."""

    def __init__(self, sql, clock=None, shared=None, **settings):
        self.supervisor = Supervisor()
        self.money = Money(
            MoneySettings(**settings),
            clock=clock or ManualClock(wall_s=NOON),
            ids=IdSource(),
            meter=NoMeter(),
            sql=sql,
            shared=shared,
            supervisor=self.supervisor,
        )

    async def __aenter__(self):
        self.supervisor.open()
        await self.money.start()
        return self.money

    async def __aexit__(self, *_):
        await self.supervisor.stop(5.0)
        await self.money.stop()


def test_the_settings_are_read_from_the_file(tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text(TOML, "utf-8")
    found = load_settings({"llm": MoneySettings}, file=file).section("llm", MoneySettings)
    assert found.prices["우리-모델"].output_per_million == 4.0
    assert [(each.scope, each.period, each.cost) for each in found.budgets] == [
        ("user", "day", 0.5),
        ("everything", "month", 1000.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[llm.prices.x]\ninput_per_millon = 1\n",
        "[[llm.budgets]]\nscope = 'usr'\nperiod = 'day'\n",
        "[[llm.budgets]]\nscope = 'user'\nperiod = 'week'\n",
        "[[llm.budgets]]\nscope = 'user'\nperiod = 'day'\ntokens = -1\n",
    ],
)
def test_a_setting_that_is_wrong_stops_the_start(tmp_path, text):
    file = tmp_path / "holdfast.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(Misconfigured):
        load_settings({"llm": MoneySettings}, file=file)


async def test_what_a_restart_finds_is_what_was_left(sqlite):
    async with Held(sqlite, budgets=MONTHLY) as money:
        (await money.budgets.reserve(KIM, tokens=90_000)).settle(80_000)
    async with Held(sqlite, budgets=MONTHLY) as money:
        with pytest.raises(BudgetExceeded):
            await money.budgets.reserve(KIM, tokens=20_001)
        assert await money.budgets.reserve(KIM, tokens=20_000)


async def test_what_the_ledger_says_is_what_the_budget_was_charged(sqlite):
    rng, clock = random.Random(7), ManualClock(wall_s=NOON)
    async with Held(sqlite, clock, budgets=MONTHLY) as money:
        for number in range(300):
            tokens = Tokens(rng.randrange(200), rng.randrange(100))
            cost = cost_of(money.prices, "gpt-4o-mini", tokens)
            reservation = await money.budgets.reserve(KIM, tokens=300, cost=cost)
            if number % 7 == 0:
                reservation.refund()
                continue
            reservation.settle(tokens.total, cost)
            money.ledger.write(
                Entry(
                    id=f"{number:04}",
                    at_ms=int(clock.wall() * 1000),
                    user=KIM.user,
                    model=KIM.model,
                    tokens_in=tokens.input,
                    tokens_out=tokens.output,
                    cost=cost,
                )
            )
        assert await money.ledger.flush()
        ((_, found),) = await money.ledger.spend("user", 1)
        used = {limit.unit: money.budgets._counts.usage(limit) for limit in money.budgets.limits(KIM)}
    assert used == {0: (found.tokens_in + found.tokens_out, 0), 1: (found.cost, 0)}


async def test_a_key_s_budget_is_charged_by_its_calls_and_by_nobody_else_s(sqlite):
    async with Held(sqlite) as money:
        _, secret = await money.keys.create(NewKey(name="실험", budgets=(KeyBudget("day", tokens=50),)))
        _, other = await money.keys.create(NewKey(name="실험 2", budgets=(KeyBudget("day", tokens=50),)))
        payer = (await money.keys.authenticate(secret)).payer("gpt-4o")
        await money.budgets.reserve(payer, tokens=50)
        with pytest.raises(BudgetExceeded) as refused:
            await money.budgets.reserve(payer, tokens=1)
        assert refused.value.members["scope"] == "key"
        await money.budgets.reserve((await money.keys.authenticate(other)).payer("gpt-4o"), tokens=50)


async def used_up(keys, secret):
    """Call with the key until it is refused."""
    never = asyncio.get_running_loop().create_future()
    while await keys.authenticate(secret):
        await asyncio.wait([never], timeout=0.01)


async def test_a_key_that_one_process_revokes_stops_in_the_other_by_itself(sqlite):
    async with Held(sqlite, SystemClock()) as here, Held(sqlite, SystemClock()) as elsewhere:
        key, secret = await here.keys.create(NewKey(name="실험"))
        await elsewhere.keys.authenticate(secret)
        await here.keys.revoke(key.id)
        with pytest.raises(KeyDisabled):
            await used_up(elsewhere.keys, secret)


async def test_where_budgets_are_counted(sqlite, postgres, shared):
    def of(sql, shared=None, **settings):
        return Held(sql, shared=shared, **settings).money.budgets._counts

    assert isinstance(of(sqlite), MemoryCounts)
    assert isinstance(of(sqlite, shared), SharedCounts)
    assert isinstance(of(postgres), SharedCounts)
    assert isinstance(of(postgres, budget_store="memory"), MemoryCounts)
    assert isinstance(of(sqlite, budget_store="database"), SharedCounts)
    with pytest.raises(Misconfigured):
        of(sqlite, budget_store="shared")
    with pytest.raises(Misconfigured, match="no time zone"):
        of(sqlite, time_zone="Asia/Pyeongyang-do")


async def test_health_says_how_ledger_and_budgets_are(sqlite, shared):
    async with Held(sqlite, SystemClock(), shared, budgets=MONTHLY) as money:
        await money.budgets.reserve(KIM, tokens=1)
        found = {check.name: await check.probe() for check in money.checks()}
        assert {name: each.status for name, each in found.items()} == {
            "llm ledger": "ok",
            "llm budgets": "ok",
        }
        assert found["llm budgets"].facts["nodes"] == 1


def test_the_migrations_are_numbered_once():
    assert [each.version for each in MIGRATIONS] == [1, 2, 3]


CHILD = """
import asyncio, sys
from tests.rooms.llm.money.test_money import KIM, MONTHLY, Held, opened
from holdfast.kernel.clock import SystemClock
from holdfast.rooms.llm.rules.ledger import Entry

async def main():
    sql = await opened(sys.argv[1], None)
    async with Held(sql, SystemClock(), budgets=MONTHLY) as money:
        (await money.budgets.reserve(KIM, tokens=90_000)).settle(80_000)
        await money.budgets.reserve(KIM, tokens=20_000)
        money.ledger.write(Entry(id="1", at_ms=int(SystemClock.wall() * 1000), user=KIM.user, cost=5))
        while money.ledger.waiting or not await money._copying._copy.read(SystemClock.wall()):
            await asyncio.sleep(0)
        print("kept", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_process_that_is_killed_leaves_what_it_spent_and_not_what_it_reserved(tmp_path):
    url = f"sqlite:///{tmp_path}/killed.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline().strip() == "kept"
    finally:
        child.kill()
        child.communicate()
    sql = await opened(url, tmp_path)
    async with Held(sql, SystemClock(), budgets=MONTHLY) as money:
        assert (await money.ledger.spend("user", 2))[0][1].cost == 5
        with pytest.raises(BudgetExceeded):
            await money.budgets.reserve(KIM, tokens=20_001)
        assert await money.budgets.reserve(KIM, tokens=20_000)
    await sql.stop()
