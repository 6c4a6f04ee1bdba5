"""What every place for shared states promises: one suite over Redis, SQLite and PostgreSQL."""

import asyncio
import random

import pytest

from holdfast.rooms.resilience.rules.standing import CLOSE, FAIL, FREE, LEASE, LOOK, OPEN, RESET, Move
from holdfast.rooms.resilience.store.redis import RedisStates
from holdfast.rooms.resilience.store.sql import SqlStates

NAMES = ["pay", "농장 날씨", "with {braces} '; --", "x" * 100]


def lease(token, **options):
    return Move(LEASE, token=token, lease_s=30, **{"early": True, **options})


async def test_what_nobody_has_touched_is_closed(make_states):
    states = make_states()
    found = await states.look(NAMES)
    assert list(found) == NAMES
    assert {(standing.generation, standing.is_open) for standing in found.values()} == {(0, False)}
    assert await states.look([]) == {}


async def test_it_opens_once_and_a_move_under_an_old_generation_changes_nothing(make_states):
    one, other = make_states(), make_states()
    opened = await one.move("pay", Move(OPEN, 0, open_s=40, opens=3))
    assert (opened.granted, opened.generation, opened.is_open, opened.opens) == (True, 1, True, 3)
    assert 39 < opened.left_s <= 40
    again = await other.move("pay", Move(OPEN, 0, open_s=999, opens=9))
    assert (again.granted, again.generation, again.opens) == (False, 1, 3)
    assert (await other.look(["mail"]))["mail"].is_open is False


async def test_of_many_who_want_the_lease_one_gets_it(make_states):
    processes = [make_states() for _ in range(8)]
    await processes[0].move("pay", Move(OPEN, 0, open_s=40, opens=1))
    found = await asyncio.gather(
        *(states.move("pay", lease(f"{n}-{m}")) for n, states in enumerate(processes) for m in range(3))
    )
    assert sum(standing.granted for standing in found) == 1
    assert all(standing.leased_s > 0 for standing in found if standing.granted)


async def test_there_is_no_lease_while_closed_nor_before_its_time(make_states):
    states = make_states()
    assert not (await states.move("pay", lease("a"))).granted
    await states.move("pay", Move(OPEN, 0, open_s=4_000, opens=1))
    refused = await states.move("pay", lease("a", early=False))
    assert not refused.granted
    assert refused.left_s > 3_900
    assert (await states.move("pay", lease("a"))).granted


async def test_only_who_holds_the_lease_may_end_it(make_states):
    one, other = make_states(), make_states()
    await one.move("pay", Move(OPEN, 0, open_s=40, opens=1))
    await one.move("pay", lease("mine"))
    for kind in (CLOSE, FAIL, FREE):
        assert not (await other.move("pay", Move(kind, token="theirs", open_s=9, opens=9))).granted
    failed = await one.move("pay", Move(FAIL, token="mine", open_s=80, opens=2))
    assert (failed.granted, failed.generation, failed.opens, failed.leased_s) == (True, 2, 2, 0)
    assert not (await one.move("pay", Move(CLOSE, token="mine"))).granted, "that lease has ended"
    await other.move("pay", lease("theirs"))
    assert (await other.move("pay", Move(FREE, token="theirs"))).granted
    await one.move("pay", lease("mine again"))
    closed = await one.move("pay", Move(CLOSE, token="mine again"))
    assert (closed.granted, closed.generation, closed.is_open, closed.left_s) == (True, 3, False, 0)


async def test_a_reset_closes_for_all_and_ends_the_lease(make_states):
    one, other = make_states(), make_states()
    await one.move("pay", Move(OPEN, 0, open_s=40, opens=1))
    await one.move("pay", lease("mine"))
    await other.move("pay", Move(RESET, 0))
    assert (await one.look(["pay"]))["pay"].is_open, "a reset under an old generation is none"
    await other.move("pay", Move(RESET))
    assert not (await one.look(["pay"]))["pay"].is_open
    assert not (await one.move("pay", Move(FAIL, token="mine", open_s=1, opens=2))).granted


async def test_whatever_the_processes_do_the_generation_never_falls_and_leases_are_single(make_states):
    chance = random.Random(3)
    processes, holder, highest = [make_states() for _ in range(3)], None, 0
    for step in range(150):
        states = chance.choice(processes)
        kind = chance.choice([LOOK, OPEN, LEASE, LEASE, FAIL, CLOSE, FREE, RESET])
        token = f"t{step}" if kind == LEASE else (holder or "none")
        known = highest if kind == OPEN else -1
        move = Move(kind, known, token, open_s=50, opens=1, lease_s=50, early=True)
        found = await states.move("pay", move)
        assert found.generation >= highest
        if kind == LEASE and found.granted:
            assert holder is None, "two leases at once"
            holder = token
        elif found.generation > highest or (kind == FREE and found.granted):
            holder = None
        highest = found.generation


# -- leases that expire, each by the clock that counts there ----------------------------------------------


async def test_in_redis_a_lost_lease_expires_by_the_server_s_clock(shared):
    one, other = RedisStates(shared), RedisStates(shared)
    await one.move("pay", Move(OPEN, 0, open_s=0.001, opens=1))
    await one.move("pay", Move(LEASE, token="lost", lease_s=0.05, early=True))
    while not (found := await other.move("pay", lease("next", early=False))).granted:
        assert found.leased_s <= 0.05
    assert not (await one.move("pay", Move(CLOSE, token="lost"))).granted


async def test_in_redis_a_state_that_lies_in_the_far_future_holds_nobody(shared):
    states = RedisStates(shared)
    await states.move("pay", Move(OPEN, 0, open_s=5, opens=1))
    await shared.call(
        "HSET",
        "holdfast:resilience:{pay}",
        "until",
        10**16,
        "lease",
        "x",
        "lease_ms",
        1000,
        "lease_until",
        10**16,
    )
    found = (await states.look(["pay"]))["pay"]
    assert (found.left_s, found.leased_s) == (5, 1)


async def test_in_redis_a_poisoned_value_counts_as_nothing_and_can_be_mended(shared):
    states = RedisStates(shared)
    await shared.call(
        "HSET", "holdfast:resilience:{pay}", "generation", "x", "open_ms", b"\xff\x00", "lease", "?"
    )
    assert (await states.look(["pay"]))["pay"].is_open is False
    assert (await states.move("pay", Move(OPEN, 0, open_s=5, opens=1))).granted
    assert (await states.look(["pay"]))["pay"].is_open is True


async def test_in_sql_a_lost_lease_expires_by_the_clock_of_who_watches_it(sql, clock):
    one, other = SqlStates(sql, clock.monotonic), SqlStates(sql, clock.monotonic)
    await one.move("pay", Move(OPEN, 0, open_s=5, opens=1))
    await one.move("pay", lease("lost"))
    assert not (await other.move("pay", lease("next"))).granted
    clock.step_wall(1e9)
    clock.advance(29.9)
    assert not (await other.move("pay", lease("next"))).granted
    clock.advance(0.2)
    both = await asyncio.gather(other.move("pay", lease("next")), one.move("pay", lease("third")))
    assert sum(found.granted for found in both) == 1


async def test_in_sql_what_was_open_before_the_start_may_be_probed_at_once(sql, clock):
    await SqlStates(sql, clock.monotonic).move("pay", Move(OPEN, 0, open_s=300, opens=9))
    late = SqlStates(sql, clock.monotonic)
    found = (await late.look(["pay"]))["pay"]
    assert (found.is_open, found.left_s) == (True, 0)
    assert (await late.move("pay", lease("mine", early=False))).granted


@pytest.mark.parametrize("name", ["pay", "농장 날씨", "{a}b", "  "])
async def test_names_are_any_text(make_states, name):
    states = make_states()
    await states.move(name, Move(OPEN, 0, open_s=5, opens=1))
    found = await make_states().look([name, "other"])
    assert (found[name].is_open, found["other"].is_open) == (True, False)
