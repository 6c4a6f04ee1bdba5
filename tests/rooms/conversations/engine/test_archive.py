"""The index of archived messages: extended, never stale, bounded, and the same as one made anew."""

from holdfast.rooms.conversations.engine.archive import Archive, Index
from holdfast.rooms.conversations.rules.terms import terms
from tests.rooms.conversations.models import Echo


def numbers(hits):
    return sorted(hit.seq for hit in hits)


def test_an_index_finds_by_term_and_takes_nothing_twice():
    index = Index()
    for _ in range(2):
        index.add([(1, " 토마토 온실 "), (2, ""), (3, " 온실 부산 ")])
    assert numbers(index.hits(["온실"])) == [1, 3]
    (one,) = index.hits(["토마토", "온실", "없음"])[:1]
    assert (one.seq, one.found, one.terms) == (1, ["토마토", "온실"], " 토마토 온실 ")
    assert index.hits([]) == index.hits(["없음"]) == []
    assert index.size == len(" 토마토 온실 ") + len(" 온실 부산 ")


async def test_extended_turn_by_turn_or_read_anew_it_is_the_same(make_on_both):
    world, other = make_on_both(Echo("ok ")), make_on_both(Echo("ok "))
    conversation = await world.start()
    for n in range(14):
        process = other if n in (6, 7, 8) else world  # what another process adds is found as well
        await process.say(conversation, f"토마토 {n}번 온실 tomato{n}")
    kept = await world.store.open(conversation)
    for question in ("tomato3", "tomato7", "토마토", "온실 5번"):
        wanted = terms(question)[:8]
        warm = await world.engine.preparing.archive.hits(kept, kept.seq - 9, wanted)
        cold = await Archive(world.store, 10**6).hits(kept, kept.seq - 9, wanted)
        assert sorted(warm, key=lambda hit: hit.seq) == sorted(cold, key=lambda hit: hit.seq)
        assert numbers(warm), question
        assert max(numbers(warm)) < kept.seq - 9


async def test_it_is_bounded_and_forgets_what_was_erased(make):
    world = make(Echo("ok "), recall_memory_chars=400)
    archive = world.engine.preparing.archive
    names = [await world.start() for _ in range(3)]
    for name in names:
        for n in range(8):
            await world.say(name, f"greenhouse number {n} holds tomatoes")
        assert archive._chars == sum(index.size for index in archive._indexes.values())
    assert 0 < len(archive._indexes) < 3
    await world.say(names[0], "greenhouse 0 tomatoes?")
    assert world.model.asks[-1].passages
    await world.engine.erase("", names[0])
    assert names[0] not in archive._indexes
    assert archive._chars == sum(index.size for index in archive._indexes.values())
