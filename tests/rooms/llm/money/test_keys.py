"""Virtual keys: made once, found from memory, revoked everywhere."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.ports.services import NoMeter
from holdfast.rooms.llm.engine.virtual_keys import VirtualKeys
from holdfast.rooms.llm.rules.denials import (
    KeyDisabled,
    KeyExpired,
    ModelNotAllowed,
    NoSuchKey,
    UnknownKey,
)
from holdfast.rooms.llm.rules.limits import COST, DAY, MONTH, REQUESTS, ROLLING, TOKENS
from holdfast.rooms.llm.rules.virtual_keys import (
    KeyBudget,
    NewKey,
    VirtualKey,
    admitted,
    digest_of,
    is_well_formed,
    new_secret,
)
from holdfast.rooms.llm.store.virtual_keys import KeyStore
from holdfast.stores.open import open_shared
from holdfast.stores.redis.config import Config as SharedConfig
from tests.rooms.llm.money.conftest import numbered
from tests.waiting import until

STRANGER = new_secret(lambda bits: 7)
WANTED = NewKey(
    name="김 대리의 노트북",
    tenant="서울",
    user="김철수",
    models=("gpt-4o*", "claude-*"),
    budgets=(KeyBudget("day", tokens=1_000), KeyBudget("month", cost=20.0)),
    requests_per_minute=60,
    tokens_per_minute=9_000,
)


class Counting:
    """The store, and how often it was asked."""

    def __init__(self, store):
        self.store = store
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def find(self, digest):
        self.asked += 1
        return await self.store.find(digest)


def keys_of(sql, clock, shared=None, prefix="key"):
    store = Counting(KeyStore(sql))
    keys = VirtualKeys(store, clock, NoMeter(), numbered(prefix), shared=shared)
    keys.asked = lambda: store.asked
    return keys


# -- rules -------------------------------------------------------------------------------------------


@given(st.integers(0, 2**192 - 1))
def test_a_fresh_key_is_well_formed_and_no_letter_of_it_may_change(number):
    secret = new_secret(lambda bits: number)
    assert is_well_formed(secret)
    assert len(secret) == 41
    at = 3 + number % 38
    changed = secret[:at] + ("x" if secret[at] != "x" else "y") + secret[at + 1 :]
    assert not is_well_formed(changed)


def test_a_key_takes_its_bits_from_where_it_is_told_and_enough_of_them():
    asked = []
    one = new_secret(lambda bits: asked.append(bits) or 2**bits - 1)
    assert asked[0] >= 160
    assert one != new_secret(lambda bits: 2**bits - 2)


@pytest.mark.parametrize(
    "text", ["", "hf-", "sk-abc", "hf-" + "a" * 38, "hf-\ud800", "hf-" + "가" * 38, "x" * 10**6]
)
def test_what_is_no_key_is_known_without_asking(text):
    assert not is_well_formed(text)
    assert len(digest_of(text)) == 64


def test_the_limits_of_a_key():
    key = VirtualKey(id="k1", name="n", shown="hf-abc", budgets=WANTED.budgets, requests_per_minute=60)
    assert {(limit.period, limit.unit, limit.amount) for limit in key.limits()} == {
        (DAY, TOKENS, 1_000),
        (MONTH, COST, 20 * 10**9),
        (ROLLING, REQUESTS, 60),
    }
    assert {limit.key for limit in key.limits()} == {
        "key:day:tokens:k1",
        "key:month:cost:k1",
        "key:rolling-minute:requests:k1",
    }


def test_which_models_a_key_allows():
    found = admitted(VirtualKey(id="k", name="n", shown="hf-", models=("gpt-4o*", "내-모델")))
    assert [found.allows(name) for name in ("gpt-4o", "gpt-4o-mini", "내-모델", "gpt-4", "GPT-4o", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(ModelNotAllowed) as refused:
        found.check_model("claude")
    assert refused.value.status == 403
    assert "gpt-4o*" in refused.value.hint


# -- over the databases ------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_found_again(sql, clock):
    keys = keys_of(sql, clock)
    key, secret = await keys.create(WANTED)
    found = await keys.authenticate(secret)
    assert found.key == key
    assert secret not in str(await keys.all())
    assert digest_of(secret) not in str(await keys.all())
    assert key.shown == secret[:9]
    payer = found.payer("gpt-4o")
    assert (payer.tenant, payer.user, payer.key, payer.model) == ("서울", "김철수", key.id, "gpt-4o")
    assert payer.own == key.limits()
    assert found.payer("gpt-4o", "아무개").user == "김철수", "the key's user is not the caller's to choose"
    assert [each.name for each in await keys.all()] == ["김 대리의 노트북"]
    assert await keys.get(key.id) == key


async def test_a_key_that_is_known_and_one_that_is_not_are_asked_for_once_in_five_seconds(sqlite, clock):
    keys = keys_of(sqlite, clock)
    _, secret = await keys.create(WANTED)
    for _ in range(50):
        await keys.authenticate(secret)
        with pytest.raises(UnknownKey):
            await keys.authenticate(STRANGER)
    assert keys.asked() == 2
    clock.advance(5.1)
    await keys.authenticate(secret)
    assert keys.asked() == 3


async def test_many_callers_of_one_key_ask_once(sqlite, clock):
    keys = keys_of(sqlite, clock)
    _, secret = await keys.create(WANTED)
    await asyncio.gather(*(keys.authenticate(secret) for _ in range(50)))
    assert keys.asked() == 1


async def test_a_caller_that_leaves_takes_no_other_with_it(sqlite, clock):
    keys = keys_of(sqlite, clock)
    _, secret = await keys.create(WANTED)
    first = asyncio.ensure_future(keys.authenticate(secret))
    second = asyncio.ensure_future(keys.authenticate(secret))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).key.name == WANTED.name


async def test_invented_keys_do_not_fill_the_memory_and_malformed_ones_do_not_ask(sqlite, clock, monkeypatch):
    monkeypatch.setattr("holdfast.rooms.llm.engine.virtual_keys._MOST_UNKNOWN", 10)
    keys = keys_of(sqlite, clock)
    for number in range(40):
        with pytest.raises(UnknownKey):
            await keys.authenticate(new_secret(lambda bits, number=number: number))
        with pytest.raises(UnknownKey) as refused:
            await keys.authenticate(f"hf-{number}")
        assert refused.value.status == 401
    assert keys.asked() == 40
    assert len(keys._unknown) == 10


async def test_a_revoked_key_stops_here_at_once_and_elsewhere_at_the_next_look(sql, clock):
    here, elsewhere = keys_of(sql, clock), keys_of(sql, clock, prefix="other")
    key, secret = await here.create(WANTED)
    await elsewhere.authenticate(secret)
    await elsewhere.look()
    await elsewhere.authenticate(secret)
    assert (await here.revoke(key.id)).disabled
    with pytest.raises(KeyDisabled):
        await here.authenticate(secret)
    assert await elsewhere.authenticate(secret), "for at most a second, until it looks"
    await elsewhere.look()
    with pytest.raises(KeyDisabled) as refused:
        await elsewhere.authenticate(secret)
    assert refused.value.status == 401


async def test_whoever_comes_after_a_revocation_does_not_join_a_look_from_before_it(sqlite, clock):
    keys = keys_of(sqlite, clock)
    key, secret = await keys.create(WANTED)
    find, has_read, go_on = keys._store.store.find, asyncio.Event(), asyncio.Event()

    async def held_up(digest):
        row = await find(digest)
        has_read.set()
        await go_on.wait()
        return row

    keys._store.store.find = held_up
    before = asyncio.ensure_future(keys.authenticate(secret))
    await has_read.wait()
    keys._store.store.find = find
    await keys.revoke(key.id)
    go_on.set()
    with pytest.raises(KeyDisabled):
        await keys.authenticate(secret)
    assert (await before).key == key, "it was good when this was asked"
    with pytest.raises(KeyDisabled):
        await keys.authenticate(secret)


async def test_a_new_key_is_good_elsewhere_at_the_next_look(sqlite, clock):
    here, elsewhere = keys_of(sqlite, clock), keys_of(sqlite, clock, prefix="other")
    here._bits = lambda bits: 7
    with pytest.raises(UnknownKey):
        await elsewhere.authenticate(STRANGER)
    _, secret = await here.create(WANTED)
    assert secret == STRANGER
    await elsewhere.look()
    assert await elsewhere.authenticate(secret)


async def test_with_a_shared_store_every_process_is_told_at_once(sqlite, redis_database, clock):
    processes = []
    for prefix in ("a", "b"):
        shared = open_shared(redis_database, SystemClock(), SharedConfig(budget_ms=10_000))
        await shared.start()
        keys = keys_of(sqlite, clock, shared, prefix)
        keys._leave = shared.subscribe("holdfast:llm:keys", keys)
        processes.append((shared, keys))
    for shared, _ in processes:
        await until(lambda shared=shared: shared.state()["listening"])
    (_, here), (_, elsewhere) = processes
    key, secret = await here.create(WANTED)
    await elsewhere.authenticate(secret)
    await here.revoke(key.id)
    await until(lambda: not elsewhere._known)
    with pytest.raises(KeyDisabled):
        await elsewhere.authenticate(secret)
    for shared, keys in processes:
        keys.stop()
        await shared.stop()


async def test_a_key_expires_while_it_is_in_memory(sqlite, clock):
    keys = keys_of(sqlite, clock)
    _, secret = await keys.create(NewKey(name="잠깐", expires_in_s=2.0))
    await keys.authenticate(secret)
    clock.advance(2.0)
    with pytest.raises(KeyExpired):
        await keys.authenticate(secret)


async def test_while_the_database_is_away_known_keys_stay_good_and_others_get_503(sqlite, clock):
    keys = keys_of(sqlite, clock)
    _, secret = await keys.create(WANTED)
    await keys.authenticate(secret)
    await sqlite.stop()
    clock.advance(60.0)
    await keys.look()
    assert await keys.authenticate(secret)
    with pytest.raises(Unavailable):
        await keys.authenticate(STRANGER)
    clock.advance(300.0)
    with pytest.raises(Unavailable):
        await keys.authenticate(secret)
    await sqlite.start()
    assert await keys.authenticate(secret)


async def test_a_key_that_is_not_there(sqlite, clock):
    keys = keys_of(sqlite, clock)
    with pytest.raises(NoSuchKey):
        await keys.revoke("없는 것")
    with pytest.raises(NoSuchKey):
        await keys.get("없는 것")


@pytest.mark.parametrize(
    "wanted",
    [
        NewKey(name="x", budgets=(KeyBudget("day"),)),
        NewKey(name="x", budgets=(KeyBudget("day", cost=1e12),)),
        NewKey(name="x", tokens_per_minute=10**16),
        NewKey(name="nul\0"),
        NewKey(name="x", user="\ud800"),
    ],
)
async def test_a_key_that_cannot_be_kept_is_refused(sqlite, clock, wanted):
    keys = keys_of(sqlite, clock)
    with pytest.raises(BadInput):
        await keys.create(wanted)
    assert not await keys.all()
