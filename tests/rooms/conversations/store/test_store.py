"""The statements, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from holdfast.rooms.conversations.rules.state import State
from holdfast.rooms.conversations.rules.terms import stored, terms
from holdfast.rooms.conversations.rules.turns import Message
from holdfast.rooms.conversations.store.packed import pack
from holdfast.rooms.conversations.store.store import NO_REPEAT, Kept, Repeat, Store

NOW = 1_750_000_000_000


def conversation(name, owner="mina", **more):
    state = more.pop("state", State(persona="assistant"))
    given = {"created_ms": NOW, "updated_ms": NOW, "expires_ms": NOW + 1000, **more}
    return Kept(name, owner, "assistant", "", version=0, state=state, state_bytes=0, **given)


@pytest.fixture
async def store(sql):
    return Store(sql)


async def claim(store, name, seq, text="hello", repeat=NO_REPEAT, until=NOW + 500):
    return await store.claim(name, seq, text, stored(terms(text)), NOW, until, repeat)


async def turn(store, name, seq, text, answer="ok"):
    await claim(store, name, seq, text)
    await store.finish(name, ended(seq + 1, "done", answer, stored(terms(answer)), {"n": seq}, NOW + 1))


def ended(seq, status, text, known_by="", facts=None, at=NOW):
    return Message(seq, "assistant", text, status, NOW, at, terms=known_by, facts=facts or {})


async def test_what_is_added_is_opened_as_it_was(store):
    await store.add(conversation("c", state=State(persona="tutor", summary=("한국어",))))
    kept = await store.open("c")
    assert (kept.owner, kept.state.summary, kept.messages, kept.seq, kept.newest) == (
        "mina",
        ("한국어",),
        (),
        0,
        None,
    )
    assert kept.state_bytes == len(pack(kept.state))
    assert await store.open("nobody") is None
    assert await store.count() == 1


async def test_a_claim_is_two_rows_or_none(store):
    assert await claim(store, "gone", 1) is None
    await store.add(conversation("c"))
    assert await claim(store, "c", 1) is True
    assert await claim(store, "c", 1) is False
    rows = await store.messages("c", 0, 10)
    assert [(row.seq, row.role, row.status, row.until_ms) for row in rows] == [
        (1, "user", "done", 0),
        (2, "assistant", "pending", NOW + 500),
    ]
    assert await store.messages("gone", 0, 10) == []


async def test_of_many_claims_one_is_granted(store):
    await store.add(conversation("c"))
    granted = await asyncio.gather(*(claim(store, "c", 1, f"m{n}") for n in range(12)))
    assert sorted(granted, key=str) == [False] * 11 + [True]
    assert len(await store.messages("c", 0, 10)) == 2


async def test_a_key_is_taken_once_a_conversation(store):
    for name in ("c", "d"):
        await store.add(conversation(name))
    assert await claim(store, "c", 1, repeat=Repeat("k", "digest"))
    assert await claim(store, "c", 3, repeat=Repeat("k", "digest")) is False
    assert await claim(store, "c", 3, repeat=Repeat("other", "x"))
    assert await claim(store, "d", 1, repeat=Repeat("k", "digest"))
    digest, answer = await store.by_key("c", "k")
    assert (digest, answer.seq, answer.status) == ("digest", 2, "pending")
    assert await store.by_key("c", "nothing") is None


async def test_only_a_pending_answer_is_finished(store):
    await store.add(conversation("c"))
    await claim(store, "c", 1)
    assert await store.finish("c", ended(2, "done", "답", " 답 ", {"model": "m"}, NOW + 7))
    assert not await store.finish("c", ended(2, "failed", "late", at=NOW + 8))
    answer = await store.message("c", 2)
    assert (answer.status, answer.text, answer.done_ms, answer.facts) == (
        "done",
        "답",
        NOW + 7,
        {"model": "m"},
    )
    assert await store.message("c", 9) is None


async def test_what_is_left_becomes_visible_when_its_claim_has_run_out(store):
    await store.add(conversation("c"))
    await claim(store, "c", 1)
    assert await store.leave("c", NOW + 499) == 0
    assert await store.leave("c", NOW + 500) == 1
    answer = await store.message("c", 2)
    assert (answer.status, answer.until_ms) == ("interrupted", 0)


async def test_a_state_is_replaced_only_by_who_has_read_it(store):
    await store.add(conversation("c"))
    raw = pack(State(seq=2))
    taken = await asyncio.gather(*(store.keep_state("c", 0, raw, NOW + n, NOW + 9) for n in range(8)))
    assert sum(taken) == 1
    assert (await store.open("c")).version == 1
    assert not await store.keep_state("gone", 0, raw, NOW, NOW)


async def test_it_opens_with_the_newest_messages(store):
    await store.add(conversation("c"))
    for n in range(10):
        await turn(store, "c", 2 * n + 1, f"message {n}")
    kept = await store.open("c")
    assert [message.seq for message in kept.messages] == list(range(9, 21))
    assert kept.seq == 20
    assert [row.seq for row in await store.messages("c", 4, 3)] == [5, 6, 7]


async def test_terms_and_texts_of_archived_messages(store):
    await store.add(conversation("c"))
    for n, text in enumerate(("토마토 온실", "고구마", "온실 부산")):
        await turn(store, "c", 2 * n + 1, text, "좋아요")
    assert await store.terms("c", 1, 5) == [
        (2, " 좋아요 좋아 아요 "),
        (3, " 고구마 고구 구마 "),
        (4, " 좋아요 좋아 아요 "),
    ]
    assert await store.terms("d", 0, 9) == []
    assert await store.texts("c", [1, 3, 99], 3) == {1: ("user", "토마토", NOW), 3: ("user", "고구마", NOW)}


async def test_a_list_goes_on_where_it_stopped(store):
    for n in range(5):
        await store.add(conversation(f"c{n}", updated_ms=NOW + n // 2))
    await store.add(conversation("theirs", owner="juno"))
    await store.add(conversation("old", expires_ms=NOW - 1))
    await turn(store, "c4", 1, "hello")
    seen, place = [], (1 << 62, "")
    while rows := await store.of_owner("mina", NOW, *place, 2):
        seen += [(row[0], row[5]) for row in rows]
        place = (rows[-1][3], rows[-1][0])
    assert seen == [("c4", 2), ("c3", 0), ("c2", 0), ("c1", 0), ("c0", 0)]


async def test_erasing_leaves_nothing(store, sql):
    for name in ("c", "d"):
        await store.add(conversation(name))
        await turn(store, name, 1, "hello")
    await store.add(conversation("late", owner="juno", expires_ms=NOW))
    assert await store.ids_of_owner("mina") in (["c", "d"], ["d", "c"])
    assert await store.expired(NOW) == ["late"]
    assert await store.erase(["c", "late", "nobody"]) == 2
    assert await store.messages("c", 0, 9) == []
    assert await store.by_key("c", "k") is None
    assert len(await store.messages("d", 0, 9)) == 2
    assert await store.count() == 1
