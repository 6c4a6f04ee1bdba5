import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Declared
from holdfast.rooms.llm.rules.limits import COST, DAY, REQUESTS, ROLLING, TOKENS, limit_of
from holdfast.rooms.llm.rules.payer import Payer

KIM = Payer(tenant="서울", user="김철수", key="k1", model="gpt-4o")


def amounts(declared, payer):
    return {limit.key: limit.amount for limit in declared.limits(payer)}


def test_each_scope_finds_its_payer():
    declared = Declared(
        (
            BudgetSetting("everything", "month", cost=100.0),
            BudgetSetting("tenant", "day", id="서울", tokens=5),
            BudgetSetting("tenant", "day", id="부산", tokens=6),
            BudgetSetting("user", "day", tokens=7, requests=8),
            BudgetSetting("key", "day", tokens=9),
            BudgetSetting("model", "hour", id="gpt-4o", tokens=10),
        )
    )
    assert amounts(declared, KIM) == {
        "everything:month:cost:": 100 * 10**9,
        "tenant:day:tokens:서울": 5,
        "user:day:tokens:김철수": 7,
        "user:day:requests:김철수": 8,
        "key:day:tokens:k1": 9,
        "model:hour:tokens:gpt-4o": 10,
    }
    nobody = amounts(declared, Payer(model="x"))
    assert nobody == {
        "everything:month:cost:": 100 * 10**9,
        "user:day:tokens:": 7,
        "user:day:requests:": 8,
    }, "who gives no name shares the budget of nobody; who has no key has no key's"


def test_one_of_its_own_goes_before_that_of_each_limit_by_limit():
    declared = Declared(
        (
            BudgetSetting("user", "day", tokens=10, cost=1.0),
            BudgetSetting("user", "day", id="김철수", tokens=99),
        )
    )
    assert amounts(declared, KIM) == {"user:day:tokens:김철수": 99, "user:day:cost:김철수": 10**9}
    assert amounts(declared, Payer(user="x"))["user:day:tokens:x"] == 10


def test_a_key_brings_its_own_limits_and_the_lower_of_two_holds():
    declared = Declared((BudgetSetting("key", "day", tokens=50),))
    lower = Payer(
        key="k", own=(limit_of("key", "k", DAY, TOKENS, 20), limit_of("key", "k", ROLLING, REQUESTS, 3))
    )
    assert amounts(declared, lower) == {"key:day:tokens:k": 20, "key:rolling-minute:requests:k": 3}
    higher = Payer(key="k", own=(limit_of("key", "k", DAY, TOKENS, 90),))
    assert amounts(declared, higher) == {"key:day:tokens:k": 50}
    assert Declared().limits(higher) is higher.own
    assert Declared().limits(KIM) == ()


def test_a_known_payer_is_only_looked_up():
    declared = Declared((BudgetSetting("user", "day", tokens=10),))
    assert declared.limits(KIM) is declared.limits(
        Payer(tenant="서울", user="김철수", key="k1", model="gpt-4o")
    )
    for number in range(20_000):
        declared.limits(Payer(user=str(number)))
    assert len(declared._known) <= 16_384


@pytest.mark.parametrize(
    "settings",
    [
        (BudgetSetting("user", "day"),),
        (BudgetSetting("user", "day", tokens=1), BudgetSetting("user", "day", tokens=2)),
        (BudgetSetting("user", "day", id="a", cost=1), BudgetSetting("user", "day", id="a", cost=2)),
        (BudgetSetting("everything", "day", id="x", tokens=1),),
        (BudgetSetting("everything", "day", cost=2_000_000.0),),
        (BudgetSetting("user", "day", tokens=10**16),),
    ],
)
def test_a_budget_that_means_nothing_stops_the_start(settings):
    with pytest.raises(Misconfigured) as wrong:
        Declared(settings)
    assert wrong.value.hint


def test_units_are_told_apart():
    declared = Declared((BudgetSetting("user", "day", tokens=1, cost=0.5, requests=2),))
    assert {limit.unit: limit.amount for limit in declared.limits(KIM)} == {
        TOKENS: 1,
        COST: 500_000_000,
        REQUESTS: 2,
    }
