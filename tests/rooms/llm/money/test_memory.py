"""Counts in process memory, held to a model that keeps every call by itself."""

import asyncio
from datetime import UTC

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from holdfast.kernel.clock import ManualClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.budgets import Budgets, Reservation
from holdfast.rooms.llm.engine.copying import Copying
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Declared
from holdfast.rooms.llm.rules.denials import BudgetExceeded
from holdfast.rooms.llm.rules.limits import DAY, ROLLING, TOKENS, limit_of
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.store.budgets_sql import SqlCopy
from tests.meters import RecordingMeter
from tests.rooms.llm.money.conftest import NOON

USERS = ("김철수", "lee", "")
LIMIT = {"user": 100, "everything": 180}
DECLARED = (BudgetSetting("user", "day", tokens=100), BudgetSetting("everything", "day", tokens=180))
LEASE_S = 50.0


class Model(RuleBasedStateMachine):
    """What is settled and reserved never exceeds a limit at the moment of a reservation; ends count once."""

    calls = Bundle("calls")

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(wall_s=NOON)
        self.counts = MemoryCounts(self.clock, UTC)
        self.budgets = Budgets(Declared(DECLARED), self.counts, NoMeter(), lease_s=LEASE_S)
        self.spent = {}
        self.held = {}
        self.day = self.today()

    def today(self):
        return int(self.clock.wall() // 86_400)

    def turn(self):
        """Midnight forgets; a lease that is over holds nothing."""
        if self.today() != self.day:
            self.day = self.today()
            self.spent.clear()
            for entry in self.held.values():
                entry["here"] = False
        now = self.clock.monotonic()
        for entry in self.held.values():
            entry["held"] = entry["held"] and entry["until"] > now

    def sum(self, user=None):
        fit = [name for name in USERS if user in (None, name)]
        held = [e for e in self.held.values() if e["held"] and e["here"] and e["user"] in fit]
        return sum(self.spent.get(name, 0) for name in fit) + sum(e["tokens"] for e in held)

    @rule(target=calls, user=st.sampled_from(USERS), tokens=st.integers(1, 120))
    def reserve(self, user, tokens):
        self.turn()
        fits = self.sum(user) + tokens <= LIMIT["user"] and self.sum() + tokens <= LIMIT["everything"]
        try:
            reservation = asyncio.run(self.budgets.reserve(Payer(user=user), tokens=tokens))
        except BudgetExceeded:
            reservation = None
        assert (reservation is not None) == fits
        if reservation is None:
            return multiple()
        self.held[reservation] = {
            "user": user,
            "tokens": tokens,
            "held": True,
            "here": True,
            "until": self.clock.monotonic() + LEASE_S,
            "open": True,
        }
        return reservation

    @rule(call=calls, tokens=st.integers(0, 150))
    def settle(self, call, tokens):
        self.turn()
        call.settle(tokens)
        self.ended(call, tokens)

    @rule(call=calls)
    def refund(self, call):
        self.turn()
        call.refund()
        self.ended(call, 0)

    @rule(call=consumes(calls))
    def drop(self, call):
        """Nobody ever settles it."""

    @rule(user=st.sampled_from(USERS), tokens=st.integers(0, 30))
    def spend(self, user, tokens):
        self.turn()
        self.budgets.spend(Payer(user=user), tokens=tokens)
        self.spent[user] = self.spent.get(user, 0) + tokens

    @rule(seconds=st.sampled_from([1.0, 30.0, 51.0, 43_200.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    def ended(self, call, tokens):
        entry = self.held[call]
        if entry["open"]:
            entry["open"] = entry["held"] = False
            if entry["here"]:
                self.spent[entry["user"]] = self.spent.get(entry["user"], 0) + tokens

    @invariant()
    def counts_are_the_model_s(self):
        self.turn()
        self.counts.sweep()
        for limit in self.budgets.limits(Payer(user="lee")):
            user = "lee" if limit.scope == "user" else None
            assert sum(self.counts.usage(limit)) == self.sum(user), limit


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgainstTheModel = Model.TestCase


@pytest.fixture
def budgets(clock):
    return Budgets(Declared(DECLARED), MemoryCounts(clock, UTC), NoMeter())


async def test_a_call_over_midnight_is_charged_to_the_day_on_which_it_began(clock):
    counts = MemoryCounts(clock, UTC)
    budgets = Budgets(Declared(DECLARED), counts, NoMeter())
    held = await budgets.reserve(Payer(user="김"), tokens=80)
    clock.advance(12 * 3600)
    today = await budgets.reserve(Payer(user="김"), tokens=90)
    held.settle(80)
    limit = limit_of("user", "김", DAY, TOKENS, 100)
    assert counts.usage(limit) == (0, 90)
    today.settle(1)
    assert counts.usage(limit) == (1, 0)


async def test_a_wall_clock_that_steps_back_opens_no_budget_again(clock, budgets):
    (await budgets.reserve(Payer(user="김"), tokens=100)).settle(100)
    clock.step_wall(-86_400)
    with pytest.raises(BudgetExceeded):
        await budgets.reserve(Payer(user="김"), tokens=1)


async def test_the_refusal_says_which_budget_and_when_it_begins_anew(clock, budgets):
    (await budgets.reserve(Payer(user="김"), tokens=100)).settle(100)
    with pytest.raises(BudgetExceeded) as refused:
        await budgets.reserve(Payer(user="김"), tokens=7)
    problem = refused.value
    assert problem.status == 429
    assert problem.code == "budget-exceeded"
    assert problem.retry_after_s == 12 * 3600
    assert problem.members["budget"] == "tokens per day of user 김"
    assert (problem.members["limit"], problem.members["left"], problem.members["asked"]) == (100, 0, 7)
    assert (b"retry-after", b"43200") in problem.headers()


async def test_a_rolling_minute_lets_as_much_pass_as_has_drained(clock):
    payer = Payer(key="k", own=(limit_of("key", "k", ROLLING, TOKENS, 600),))
    budgets = Budgets(Declared(), MemoryCounts(clock, UTC), NoMeter())
    (await budgets.reserve(payer, tokens=600)).settle(600)
    with pytest.raises(BudgetExceeded) as refused:
        await budgets.reserve(payer, tokens=100)
    assert refused.value.retry_after_s == pytest.approx(10.0)
    clock.advance(10.0)
    await budgets.reserve(payer, tokens=100)
    with pytest.raises(BudgetExceeded):
        await budgets.reserve(payer, tokens=1)


async def test_leaving_the_block_refunds_what_was_not_settled(budgets):
    with await budgets.reserve(Payer(user="김"), tokens=100) as reservation:
        assert reservation.is_open
    with await budgets.reserve(Payer(user="김"), tokens=100) as reservation:
        reservation.settle(60)
    assert not reservation.is_open
    await budgets.reserve(Payer(user="김"), tokens=40)


async def test_who_has_no_budget_reserves_nothing(clock):
    counts = MemoryCounts(clock, UTC)
    budgets = Budgets(Declared((BudgetSetting("user", "day", id="다른", tokens=1),)), counts, NoMeter())
    reservation = await budgets.reserve(Payer(user="김"), tokens=10**12)
    assert isinstance(reservation, Reservation)
    reservation.settle(10**12)
    budgets.spend(Payer(user="김"), tokens=5)
    assert (len(counts), counts.open) == (0, 0)


async def test_refusals_are_counted_by_what_refused(clock):
    meter = RecordingMeter()
    budgets = Budgets(Declared(DECLARED), MemoryCounts(clock, UTC), meter)
    with pytest.raises(BudgetExceeded):
        await budgets.reserve(Payer(), tokens=101)
    assert meter.count("holdfast_llm_budget_refused_total", "user", "day", "tokens") == 1


async def test_many_users_do_not_fill_the_memory(clock):
    counts = MemoryCounts(clock, UTC, most=100)
    budgets = Budgets(Declared((BudgetSetting("user", "minute", tokens=10),)), counts, NoMeter())
    for number in range(1_000):
        (await budgets.reserve(Payer(user=f"이용자{number}"), tokens=10)).settle(number % 2)
    assert len(counts) <= 100


# -- the copy in the database ------------------------------------------------------------------------


def copied(sql, clock):
    counts = MemoryCounts(clock, UTC)
    return Budgets(Declared(DECLARED), counts, NoMeter()), Copying(counts, SqlCopy(sql), clock)


async def test_a_restart_takes_up_a_day_where_it_stood(sqlite, clock):
    budgets, copying = copied(sqlite, clock)
    await copying.restore()
    (await budgets.reserve(Payer(user="김"), tokens=50)).settle(40)
    await copying.turn()
    (await budgets.reserve(Payer(user="김"), tokens=50)).settle(20)
    await copying.turn()
    await copying.turn()
    again, copying = copied(sqlite, clock)
    assert await copying.restore() == 2
    with pytest.raises(BudgetExceeded):
        await again.reserve(Payer(user="김"), tokens=41)
    (await again.reserve(Payer(user="김"), tokens=40)).settle(40)
    await copying.turn()
    third, copying = copied(sqlite, clock)
    await copying.restore()
    with pytest.raises(BudgetExceeded):
        await third.reserve(Payer(user="김"), tokens=1)


async def test_two_processes_that_overlap_at_a_restart_add_up(sqlite, clock):
    (old, old_copy), (new, new_copy) = copied(sqlite, clock), copied(sqlite, clock)
    await new_copy.restore()
    (await old.reserve(Payer(user="김"), tokens=30)).settle(30)
    (await new.reserve(Payer(user="김"), tokens=20)).settle(20)
    await new_copy.turn()
    await old_copy.turn()
    third, copying = copied(sqlite, clock)
    await copying.restore()
    with pytest.raises(BudgetExceeded):
        await third.reserve(Payer(user="김"), tokens=51)
    assert await third.reserve(Payer(user="김"), tokens=50)


async def test_yesterday_is_not_taken_up(sqlite, clock):
    budgets, copying = copied(sqlite, clock)
    (await budgets.reserve(Payer(user="김"), tokens=100)).settle(100)
    await copying.turn()
    clock.advance(86_400)
    again, copying = copied(sqlite, clock)
    assert await copying.restore() == 0
    await copying.forget()
    assert await again.reserve(Payer(user="김"), tokens=100)


async def test_what_cannot_be_copied_now_is_copied_later(sqlite, clock):
    budgets, copying = copied(sqlite, clock)
    (await budgets.reserve(Payer(user="김"), tokens=100)).settle(70)
    await sqlite.stop()
    await copying.turn()
    await sqlite.start()
    await copying.turn()
    _, again = copied(sqlite, clock)
    assert await again.restore() == 2


async def test_a_use_that_the_database_refuses_keeps_no_other_from_being_copied(sql, clock):
    budgets, copying = copied(sql, clock)
    for user, tokens in (("가", 30), ("나", 10**19), ("다", 40)):
        budgets.spend(Payer(user=user), tokens=tokens)
    await copying.turn()
    assert copying.dropped == 2, "of the user, and of everything"
    used = {key: used for key, _, used in await SqlCopy(sql).read(clock.wall())}
    assert used == {"user:day:tokens:가": 30, "user:day:tokens:다": 40}
    budgets.spend(Payer(user="나"), tokens=5)
    await copying.turn()
    used = {key: used for key, _, used in await SqlCopy(sql).read(clock.wall())}
    assert used["user:day:tokens:나"] == 5, "what comes later is copied again"


async def test_a_database_that_goes_away_among_refusals_is_told_the_rest_later(sqlite, clock):
    budgets, copying = copied(sqlite, clock)
    for user, tokens in (("가", 10**19), ("나", 20)):
        budgets.spend(Payer(user=user), tokens=tokens)
    await sqlite.stop()
    await copying.turn()
    await sqlite.start()
    await copying.turn()
    assert {used for _, _, used in await SqlCopy(sqlite).read(clock.wall())} == {20}
