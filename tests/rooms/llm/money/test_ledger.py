"""Rows and their daily sums, over both databases, through outages."""

import asyncio
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Unavailable
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.ledger import Ledger
from holdfast.rooms.llm.rules.ledger import (
    CACHED,
    COALESCED,
    DIMENSIONS,
    HEDGE_LOST,
    Entry,
    Sum,
    add_up,
    clean,
    failed,
    merge,
)
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.store.ledger import LedgerStore
from tests.rooms.llm.money.conftest import NOON, numbered, opened
from tests.waiting import until

NOW_MS = int(NOON * 1000)
SEOUL = ZoneInfo("Asia/Seoul")


def entry(id, **fields):
    given = {"user": "김철수", "tenant": "서울", "model": "gpt-4o", "provider": "openai", **fields}
    return Entry(id=id, at_ms=given.pop("at_ms", NOW_MS), **given)


def ledger_of(sql, clock, **options):
    return Ledger(LedgerStore(sql), clock, UTC, NoMeter(), IdSource().trace_id, **options)


class Broken:
    """A store that is away for a while, and may have written what it did not answer to."""

    def __init__(self, store, times, *, after=False):
        self.store = store
        self.times = times
        self.after = after
        self.asked = asyncio.Event()

    async def write(self, *batch):
        self.asked.set()
        if self.times:
            self.times -= 1
            if self.after:
                await self.store.write(*batch)
            raise Unavailable("away", retry_after_s=1.0)
        await self.store.write(*batch)


async def test_a_row_comes_back_as_it_was_written(sql, clock):
    ledger = ledger_of(sql, clock)
    one = entry(
        "01",
        request_id="r",
        trace_id="t",
        key_id="k",
        deployment="eu",
        upstream_model="gpt-4o-2024-08-06",
        purpose="answer",
        outcome=failed("silent"),
        attempt=2,
        tokens_in=10,
        tokens_out=20,
        tokens_cached=5,
        estimated=True,
        cost=2**62,
        unpriced=True,
        latency_ms=12,
        paid_by="00",
    )
    ledger.write(one)
    assert await ledger.flush()
    assert await ledger.newest() == [one]


async def test_sums_are_what_the_rows_add_up_to(sql, clock):
    ledger = ledger_of(sql, clock)
    ledger.write(entry("1", tokens_in=100, tokens_out=50, tokens_cached=20, cost=7))
    ledger.write(entry("2", user="이영희", tokens_in=10, tokens_out=5, cost=3))
    ledger.write(entry("3", outcome=failed("cut"), tokens_in=1, cost=1, model="gpt-4o-mini", attempt=2))
    ledger.write(entry("4", outcome=HEDGE_LOST, cost=2, provider="azure"))
    ledger.write(entry("5", outcome=CACHED, tokens_in=999, tokens_out=999, cost=999, paid_by="1"))
    ledger.write(entry("6", outcome=COALESCED, user="이영희", tokens_in=9, paid_by="1"))
    assert await ledger.flush()
    assert await ledger.spend("everything", 1) == [("", Sum(4, 1, 111, 55, 20, 13, 2))]
    assert await ledger.spend("user", 1) == [
        ("김철수", Sum(3, 1, 101, 50, 20, 10, 1)),
        ("이영희", Sum(1, 0, 10, 5, 0, 3, 1)),
    ]
    assert [id for id, _ in await ledger.spend("model", 1)] == ["gpt-4o", "gpt-4o-mini"]
    assert {id: each.cost for id, each in await ledger.spend("provider", 1)} == {"openai": 11, "azure": 2}
    assert [each.cost for each in await ledger.newest() if each.outcome == CACHED] == [0]


async def test_kept_answers_are_counted_in_the_sums_and_have_no_rows(sql, clock):
    ledger = ledger_of(sql, clock)
    for user in ("김철수", "이영희", "김철수"):
        ledger.served(Payer("acme", user, "k", "gpt-4o"), "openai")
    assert await ledger.flush()
    assert await ledger.newest() == []
    assert await ledger.spend("everything", 1) == [("", Sum(free=3))]
    assert {id: each.free for id, each in await ledger.spend("user", 1)} == {"김철수": 2, "이영희": 1}
    assert {id: each.free for id, each in await ledger.spend("key", 1)} == {"k": 3}
    assert await ledger.flush()
    assert await ledger.spend("everything", 1) == [("", Sum(free=3))]


async def test_days_are_those_of_the_team_and_add_up_over_days(sql, clock):
    ledger = Ledger(LedgerStore(sql), clock, SEOUL, NoMeter(), IdSource().trace_id)
    ledger.write(entry("1", cost=1))
    ledger.write(entry("2", cost=2, at_ms=NOW_MS + 3 * 3_600_000))
    clock.advance(86_400)
    ledger.write(entry("3", cost=4, at_ms=NOW_MS + 86_400_000))
    assert await ledger.flush()
    days = {day: each.cost for day, _, each in await ledger.daily("everything", 3)}
    assert days == {"2025-06-16": 1, "2025-06-17": 6}
    assert (await ledger.spend("everything", 1))[0][1].cost == 6
    assert (await ledger.spend("everything", 2))[0][1].cost == 7


async def test_two_processes_write_at_once_and_nothing_is_lost(sql, clock):
    ledgers = [ledger_of(sql, clock) for _ in range(4)]
    for which, ledger in enumerate(ledgers):
        for number in range(200):
            ledger.write(entry(f"{which}-{number}", user=f"u{number % 7}", cost=1))
    assert all(await asyncio.gather(*(ledger.flush() for ledger in ledgers)))
    assert (await ledgers[0].spend("everything", 1))[0][1].cost == 800
    assert sum(each.cost for _, each in await ledgers[0].spend("user", 1)) == 800


async def test_a_batch_whose_answer_was_lost_is_written_once(sql, clock):
    store = Broken(LedgerStore(sql), 2, after=True)
    ledger = Ledger(store, clock, UTC, NoMeter(), IdSource().trace_id)
    ledger.write(entry("1", cost=5))
    assert not await ledger.flush()
    ledger.write(entry("2", cost=7))
    assert not await ledger.flush()
    assert ledger.waiting == 2
    assert await ledger.flush()
    assert (await ledger_of(sql, clock).spend("everything", 1))[0][1] == Sum(calls=2, cost=12)


async def test_the_writer_writes_by_itself_and_waits_for_a_database_that_is_away(sqlite, clock):
    supervisor = Supervisor()
    store = Broken(LedgerStore(sqlite), 1)
    ledger = Ledger(store, clock, UTC, NoMeter(), IdSource().trace_id)
    supervisor.spawn("writer", lambda: ledger._work(supervisor.stopping))
    ledger.write(entry("1", cost=5))
    await store.asked.wait()
    await until(lambda: ledger.problem)
    assert (await ledger.finding()).status == "degraded"
    await until(lambda: not ledger.waiting)
    assert (await ledger.finding()).status == "ok"
    ledger.write(entry("2"))
    await ledger.stop()
    assert not ledger.waiting
    assert await supervisor.stop(5.0) == []


async def test_rows_beyond_the_memory_are_dropped_and_their_sums_kept(sql, clock):
    ledger = ledger_of(sql, clock, most_bytes=65_536)
    for number in range(1_000):
        ledger.write(entry(f"{number:04}", cost=3, user=f"이용자{number % 5}"))
    assert ledger.spilled > 500
    found = await ledger.finding()
    assert found.status == "degraded"
    assert found.facts["spilled"] == ledger.spilled
    assert await ledger.flush()
    assert (await ledger.spend("everything", 1))[0][1] == Sum(calls=1_000, cost=3_000)
    assert [each.cost for _, each in await ledger.spend("user", 1)] == [600] * 5
    assert len(await ledger.newest(2_000)) == 1_000 - ledger.spilled


async def test_retention_deletes_rows_and_keeps_sums(sql, clock):
    ledger = ledger_of(sql, clock, keep_days=30)
    for number in range(1_500):
        ledger.write(entry(f"old{number}", cost=1))
    assert await ledger.flush()
    clock.advance(31 * 86_400)
    ledger.write(entry("new", cost=1, at_ms=int(clock.wall() * 1000)))
    assert await ledger.flush()
    await ledger.forget()
    assert [each.id for each in await ledger.newest(5)] == ["new"]
    assert (await ledger.spend("everything", 60))[0][1].cost == 1_501


@pytest.mark.parametrize("text", ["nul\0", "\ud800", "김" * 10_000, "'; DROP TABLE llm_ledger; --", ""])
async def test_no_text_stops_a_batch(sql, clock, text):
    ledger = ledger_of(sql, clock)
    ledger.write(entry("bad", user=text, tenant=text, model=text, purpose=text, cost=1))
    ledger.write(entry("good", cost=1, tokens_in=2**80, latency_ms=-5))
    assert await ledger.flush()
    assert ledger.spilled == 0
    assert {each.id for each in await ledger.newest()} == {"bad", "good"}


async def test_rows_that_the_database_refuses_leave_their_sums_and_do_not_stop_others(sqlite, clock):
    class Refusing:
        async def write(self, batch, at_ms, entries, sums):
            if entries:
                raise ValueError("no")
            await LedgerStore(sqlite).write(batch, at_ms, entries, sums)

    ledger = Ledger(Refusing(), clock, UTC, NoMeter(), IdSource().trace_id)
    ledger.write(entry("1", cost=5))
    assert not await ledger.flush()
    assert await ledger.flush()
    assert (ledger.spilled, ledger.waiting) == (1, 0)
    assert (await ledger_of(sqlite, clock).spend("everything", 1))[0][1].cost == 5


async def test_what_waits_at_the_stop_of_a_database_that_is_away_is_told(tmp_path, clock, caplog):
    database = await opened(f"sqlite:///{tmp_path}/x.db", tmp_path)
    ledger = ledger_of(database, clock)
    ledger.write(entry("1"))
    await database.stop()
    await ledger.stop()
    assert "1 rows of the llm ledger are lost" in caplog.text


AMOUNTS = st.lists(
    st.tuples(
        st.sampled_from(["김", "lee"]), st.sampled_from(["ok", CACHED, failed("cut")]), st.integers(0, 10**12)
    ),
    max_size=30,
)


@given(AMOUNTS)
def test_every_dimension_adds_up_to_everything(given_):
    new_id = numbered("row")
    rows = [clean(entry(new_id(), user=user, outcome=outcome, cost=cost)) for user, outcome, cost in given_]
    sums = add_up(rows, UTC)
    for dimension in DIMENSIONS:
        whole = Sum()
        for (_, of, _), each in sums.items():
            if of == dimension:
                whole.add(each)
        assert whole.cost == sum(cost for _, outcome, cost in given_ if outcome != CACHED)
        assert whole.calls + whole.free == len(given_)


@given(AMOUNTS, st.integers(1, 10))
def test_sums_beyond_the_bound_are_kept_together(given_, most):
    kept = {}
    for number, (user, outcome, cost) in enumerate(given_):
        one = clean(entry(str(number), user=f"{user}{number}", outcome=outcome, cost=cost))
        merge(kept, add_up((one,), UTC), most)
    assert len(kept) <= most + len(DIMENSIONS)
    for dimension in DIMENSIONS:
        total = sum(each.cost for (_, of, _), each in kept.items() if of == dimension)
        assert total == sum(cost for _, outcome, cost in given_ if outcome != CACHED)
