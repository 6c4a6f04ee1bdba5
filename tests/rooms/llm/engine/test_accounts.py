"""The account of a call: one row an attempt, what it cost, and what estimates learn."""

import asyncio

import pytest

from holdfast.rooms.llm.engine.accounts import Account
from holdfast.rooms.llm.engine.attempts import Attempt
from holdfast.rooms.llm.rules.budgets import BudgetSetting
from holdfast.rooms.llm.rules.failures import Kind
from holdfast.rooms.llm.rules.ledger import Entry
from tests.rooms.llm.engine.scripted import Scripted, answer, fails
from tests.rooms.llm.engine.world import World, request


async def opened(world, **more) -> tuple[Account, Attempt]:
    account = await world.accounts.open(request(request_id="req", trace_id="trace", **more))
    made = Attempt(world.paths.of("m").paths[0], 1, world.clock.monotonic())
    made.sent = True
    return account, made


async def test_a_settled_call_is_one_row_with_everything_in_it():
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    made.seconds = 0.25
    told = account.settle(answer("하나"), made)
    (row,) = world.rows
    assert isinstance(row, Entry)
    assert (row.outcome, row.user, row.model, row.deployment, row.provider) == (
        "ok", "지민", "m", "a", "scripted",
    )  # fmt: skip
    assert (row.tokens_in, row.tokens_out, row.estimated, row.cost) == (7, 3, False, 13_000)
    assert (row.request_id, row.trace_id, row.latency_ms, row.unpriced) == ("req", "trace", 250, False)
    assert (told.cost, told.row, told.input_tokens, told.output_tokens) == (13_000, row.id, 7, 3)


@pytest.mark.parametrize(
    ("error", "outcome", "charged"),
    [
        (fails(Kind.RATE_LIMITED), "failed:rate_limited", False),
        (fails(Kind.CONNECTION), "failed:connection", False),
        (fails(Kind.SILENT), "failed:silent", True),
        (fails(Kind.GARBLED), "failed:garbled", True),
        (fails(Kind.CUT), "failed:cut", True),
        (RuntimeError("ours"), "failed:unknown", True),
        (asyncio.CancelledError(), "cancelled", True),
    ],
)
async def test_an_attempt_that_gave_nothing_is_a_row_with_an_estimate_where_it_may_be_charged(
    error, outcome, charged
):
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    made.failed = error
    account.attempted(made)
    account.abandon()
    (row,) = world.rows
    assert (row.outcome, row.estimated, row.tokens_in > 0) == (outcome, charged, charged)
    assert account.attempts == 1


async def test_what_was_never_sent_has_no_row():
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    made.failed = fails(Kind.BUSY)
    account.attempted(made)
    assert (world.rows, account.attempts) == ([], 1)


async def test_the_loser_of_a_hedge_is_told_as_such():
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    made.failed, made.lost = asyncio.CancelledError(), True
    account.attempted(made)
    assert world.rows.outcomes() == ["hedge_lost"]


async def test_failed_attempts_stay_charged_to_the_budget_and_the_rest_goes_back():
    world = World(budgets=[BudgetSetting("user", "day", tokens=1_100)], a=Scripted("하나"))
    account, made = await opened(world)
    made.failed = fails(Kind.SILENT)
    account.attempted(made)
    account.abandon()
    account.abandon()
    used = world.rows[0].tokens_in
    next_one, made = await opened(world, body={"max_tokens": 1_000})
    next_one.settle(answer("하나"), made)
    assert 0 < used < 50


async def test_without_usage_tokens_are_estimated_and_marked():
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    told = account.settle(answer("대한민국의 수도는 서울입니다", usage=None), made)
    assert told.estimated
    assert min(told.input_tokens, told.output_tokens) > 0
    assert world.rows[0].estimated


async def test_what_a_provider_counts_teaches_the_next_estimate():
    world = World(a=Scripted("하나"))
    before = world.accounts.calibrated("m", 100)
    for _ in range(50):
        account, made = await opened(world, prompt="긴 질문 " * 100)
        used = {"prompt_tokens": 5_000, "completion_tokens": 1, "total_tokens": 5_001}
        account.settle(answer("하나", usage=used), made)
    assert before == 100
    assert world.accounts.calibrated("m", 100) > 150
    assert world.accounts.calibrated("another", 100) == 100


async def test_a_probe_is_a_row_on_nobodys_account():
    world = World(a=Scripted("하나"))
    path = world.paths.of("m").paths[0]
    body = {"model": "scripted", "messages": [{"role": "user", "content": "ping"}]}
    world.accounts.probed(path, body, 0.0, answer("pong"), None)
    world.accounts.probed(path, body, 0.0, None, fails(Kind.SERVER))
    assert [(row.outcome, row.purpose, row.user, row.cost) for row in world.rows] == [
        ("ok", "probe", "", 13_000),
        ("failed:server", "probe", "", 0),
    ]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 10**19, "completion_tokens": "many"}, (1_000_000_000, 0, 0)),
        ({"prompt_tokens": -5, "completion_tokens": 3}, (0, 3, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 1e400, "prompt_tokens_details": [1]}, (5, 0, 0)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": "x"}}, (5, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": True}, (5, 0, 0)),
    ],
)  # fmt: skip
async def test_an_absurd_usage_is_bounded_and_loses_no_row(usage, tokens):
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    account.settle(answer("하나", usage=usage), made)
    (row,) = world.rows
    assert (row.tokens_in, row.tokens_out, row.tokens_cached) == tokens


@pytest.mark.parametrize("error", [fails(Kind.SILENT, phase="connect"), asyncio.CancelledError()])
async def test_nobody_pays_for_what_was_never_sent(error):
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    made.failed = error
    made.sent = isinstance(error, Exception)
    account.attempted(made)
    assert [(row.tokens_in, row.cost) for row in world.rows] == [(0, 0)]


async def test_what_came_of_a_held_answer_before_it_was_cut_is_charged():
    world = World(a=Scripted("하나"))
    account, made = await opened(world)
    made.failed = fails(Kind.CUT)
    made.failed.partial = answer("하나 둘 셋")
    account.attempted(made)
    assert [(row.outcome, row.tokens_out) for row in world.rows] == [("failed:cut", 3)]
