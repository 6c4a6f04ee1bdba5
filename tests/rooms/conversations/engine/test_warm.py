"""What a process has just left it need not read again; what another has changed meanwhile it does read."""

import itertools
import random

import pytest

from holdfast.rooms.conversations.engine import folding
from holdfast.rooms.conversations.engine.streaming import whole
from holdfast.rooms.conversations.engine.warm import Warm
from holdfast.rooms.conversations.rules.problems import Busy, Full, KeyReused, UnknownConversation
from holdfast.rooms.conversations.rules.state import WINDOW, State
from holdfast.rooms.conversations.rules.turns import ASSISTANT, DONE, USER, Message
from holdfast.rooms.conversations.store.packed import pack
from holdfast.rooms.conversations.store.store import Kept
from tests.rooms.conversations.models import Echo, Gated
from tests.waiting import until


@pytest.fixture
def turns_are_fast(monkeypatch):
    """As the test's clock has it, however slow the machine: the timer that stores a state is the loop's."""
    monkeypatch.setattr(folding, "SOON_S", 3_600.0)


def calls(world, name):
    """Counts the calls of a method of the store from now on."""
    method, counted = getattr(world.store, name), []

    async def counting(*given):
        counted.append(given)
        return await method(*given)

    setattr(world.store, name, counting)
    return counted


def kept(name, *messages):
    return Kept(name, "", "assistant", "", 0, 0, 1 << 60, 0, State(), 0, messages)


def turn(seq, text):
    return Message(seq, USER, text, DONE, 0), Message(seq + 1, ASSISTANT, text, DONE, 0, facts={"model": "m"})


def users_of(ask):
    return [line.content for line in ask.messages if line.role == "user"]


def test_copies_have_the_window_of_a_read_and_are_bounded():
    warm = Warm(most=2, most_chars=1_000)
    for number in range(WINDOW + 4):
        warm.put(warm.get("a") or kept("a"), *turn(2 * number + 1, "안녕"))
    copy = warm.get("a")
    assert [one.seq for one in copy.messages] == list(range(7, 2 * (WINDOW + 4) + 1))
    assert not any(one.facts for one in copy.messages)
    warm.put(kept("b"), *turn(1, "b"))
    warm.put(kept("c"), *turn(1, "c" * 400))
    assert (len(warm), warm.get("a")) == (2, None)
    warm.put(kept("d"), *turn(1, "d" * 400))
    assert (len(warm), warm.get("c")) == (1, None)
    warm.put(kept("e"), *turn(1, "e" * 501))
    assert len(warm) == 0, "one that is too large is not kept at all"
    warm.put(kept("f"), *turn(1, "f" * 500))
    warm.forget(["f", "nobody"])
    warm.put(kept("g"), *turn(1, "g" * 500))
    assert len(warm) == 1


def test_after_attempts_in_vain_fewer_copies_are_tried():
    warm, passed = Warm(), []
    warm.put(kept("a"), *turn(1, "a"))
    for _ in range(8):
        warm.tried("a", held=False)
        passed.append(sum(not warm.is_worth_trying() for _ in range(100)))
    assert passed == [2, 4, 8, 16, 32, 64, 64, 64]
    assert warm.get("a") is None
    warm.tried("a", held=True)
    assert warm.is_worth_trying()
    warm.tried("a", held=False)
    assert [warm.is_worth_trying() for _ in range(4)] == [False, False, True, True]


async def test_processes_in_strict_alternation_read_instead_of_trying(make_on_both):
    worlds = [make_on_both(Echo("")), make_on_both(Echo(""))]
    conversation = await worlds[0].start()
    claims = [calls(world, "claim") for world in worlds]
    for n in range(40):
        await worlds[n % 2].say(conversation, f"my number is {n}")
    assert [len(made) for made in claims] == [24, 24], "twenty turns, four attempts in vain"
    assert len(await worlds[0].rows(conversation)) == 80


@pytest.mark.usefixtures("turns_are_fast")
async def test_a_turn_on_top_of_another_reads_nothing(make_on_both):
    world = make_on_both(Echo("네 "), summarise_every=0)
    conversation = await world.start("mina")
    await world.say(conversation, "온실에 토마토가 40그루 있어요", user="mina")
    opened, read = calls(world, "open"), calls(world, "texts")
    for n in range(WINDOW + 3):
        await world.say(conversation, f"오늘은 {n}번 밭에 물을 줬어요", user="mina")
    await world.say(conversation, "토마토가 몇 그루라고 했지?", user="mina")
    assert (opened, read) == ([], [])
    assert [passage.id for passage in world.model.asks[-1].passages][:1] == ["m1"]
    cold = make_on_both(Echo("네 "))
    asked = await cold.engine.context("mina", conversation, "")
    assert asked[1] == (await world.engine.context("mina", conversation, ""))[1]


@pytest.mark.parametrize("on_concurrent", ["conflict", "queue"])
@pytest.mark.parametrize("seed", range(3))
async def test_processes_that_take_turns_see_every_turn(make_on_both, seed, on_concurrent):
    chance = random.Random(seed)
    worlds = [make_on_both(Echo(""), summarise_every=0, on_concurrent=on_concurrent) for _ in range(3)]
    conversation = await worlds[0].start()
    said = []
    for n in range(18):
        world = chance.choice(worlds)
        said.append(f"my number {n} is {n * n} 번")
        await world.say(conversation, said[-1])
        assert users_of(world.model.asks[-1]) == said[-WINDOW - 1 :]
    assert [row.text for row in await worlds[0].rows(conversation)][::2] == said
    states = []
    for world in worlds:
        states.append((await world.engine.context("", conversation, ""))[1].state)
    assert states[0] == states[1] == states[2]
    assert (states[0].seq, states[0].folded) == (36, 18 - WINDOW)


async def test_a_summary_that_another_process_wrote_is_used_at_once(make_on_both):
    world, other = make_on_both(Echo("")), make_on_both(Echo(""))
    conversation = await world.start()
    await world.say(conversation, "hello there, I am Mina")
    read = await other.store.open(conversation)
    summary = State(seq=2, digests=read.state.digests, summary=("The user likes persimmons.",))
    assert await other.store.keep_state(conversation, read.version, pack(summary), 0, read.expires_ms)
    await world.say(conversation, "what do I like?")
    assert "persimmons" in world.model.asks[-1].messages[0].content


async def test_what_another_process_erased_is_gone(make_on_both):
    world, other = make_on_both(), make_on_both()
    conversation = await world.start("mina")
    await world.say(conversation, "비밀이에요", user="mina")
    await other.engine.erase("mina", conversation)
    with pytest.raises(UnknownConversation):
        await world.say(conversation, "아직 있어요?", user="mina")
    await world.engine.folding.flush()
    assert await world.rows(conversation) == []
    assert world.engine.warm.get(conversation) is None


async def test_erased_here_nothing_is_left_in_memory(make):
    world = make()
    conversation = await world.start("mina")
    await world.say(conversation, "비밀이에요", user="mina")
    await world.say(conversation, "또 비밀", user="mina")
    await world.engine.erase("mina", conversation)
    assert world.engine.warm.get(conversation) is None
    with pytest.raises(UnknownConversation):
        await world.say(conversation, "아직 있어요?", user="mina")


async def test_a_copy_opens_nothing_to_somebody_else_nor_past_its_time(make, clock):
    world = make(ttl_days=1)
    conversation = await world.start("mina")
    await world.say(conversation, "mine", user="mina")
    for user in ("juno", ""):
        with pytest.raises(UnknownConversation):
            await world.say(conversation, "and mine?", user=user)
    clock.advance(86_401)
    with pytest.raises(UnknownConversation):
        await world.say(conversation, "still there?", user="mina")


async def test_a_key_is_a_repeat_with_a_copy_as_well(make_on_both):
    world, other = make_on_both(), make_on_both()
    conversation = await world.start()
    first = await world.say(conversation, "one", key="k")
    await world.say(conversation, "two")
    assert (await world.say(conversation, "one", key="k")).seq == first.seq
    with pytest.raises(KeyReused):
        await world.say(conversation, "three", key="k")
    assert len(await world.rows(conversation)) == 4
    await other.say(conversation, "four", key="theirs")
    assert (await world.say(conversation, "four", key="theirs")).seq == 6


@pytest.mark.parametrize("where", ["here", "there"])
async def test_with_a_copy_a_busy_conversation_is_busy(make_on_both, where):
    here, there = make_on_both(), make_on_both(Gated())
    conversation = await here.start()
    await here.say(conversation, "first")
    if where == "here":
        here.model = Gated()
    world = here if where == "here" else there
    run = await world.engine.say("", conversation, "second")
    with pytest.raises(Busy):
        await here.engine.say("", conversation, "third")
    world.model.let()
    await whole(run, None)
    here.model = Echo("")
    await here.say(conversation, "fourth")
    assert users_of(here.model.asks[-1]) == ["first", "second", "fourth"]


async def test_with_a_copy_a_full_conversation_is_full_and_repeats_are_answered(make):
    world = make(max_messages=4)
    conversation = await world.start()
    await world.say(conversation, "one", key="k")
    await world.say(conversation, "two")
    with pytest.raises(Full):
        await world.say(conversation, "three")
    assert (await world.say(conversation, "one", key="k")).seq == 2


# -- states that wait a moment -----------------------------------------------------------------


@pytest.mark.usefixtures("turns_are_fast")
async def test_fast_turns_share_one_write_of_the_state(make_on_both, clock):
    world = make_on_both(Echo(""), summarise_every=0)
    conversation = await world.start()
    written = calls(world, "keep_state")
    for n in range(9):
        await world.say(conversation, f"my number is {n}")
    assert len(written) == 1
    assert (await world.store.open(conversation)).state.seq == 2
    await world.engine.stop()
    assert len(written) == 2
    stored = (await world.store.open(conversation)).state
    assert (stored.seq, stored.folded) == (18, 4)
    clock.advance(folding.SOON_S)
    await world.say(conversation, "my number is 9")
    assert (await world.store.open(conversation)).state.seq == 20, "after a pause it is stored at once"


async def test_a_state_that_waits_is_stored_a_moment_later(make_on_both, monkeypatch):
    monkeypatch.setattr(folding, "SOON_S", 0.001)
    world = make_on_both(Echo(""))
    written = calls(world, "keep_state")
    conversation = await world.start()
    await world.say(conversation, "one")
    await world.say(conversation, "two")
    await until(lambda: len(written) == 2 and not world.engine.folding._locks)
    assert (await world.store.open(conversation)).state.seq == 4


@pytest.mark.usefixtures("turns_are_fast")
async def test_a_state_lacks_no_more_than_so_many_exchanges(make, monkeypatch):
    monkeypatch.setattr(folding, "_UNSTORED", 3)
    world = make(Echo(""))
    conversation = await world.start()
    for n, seq in zip(range(8), itertools.chain.from_iterable([s] * 3 for s in (2, 8, 14)), strict=False):
        await world.say(conversation, f"my number is {n}")
        assert (await world.store.open(conversation)).state.seq == seq


async def test_who_reads_a_state_that_was_not_stored_yet_derives_the_same(make_on_both):
    here, there = make_on_both(Echo(""), summarise_every=0), make_on_both(Echo(""), summarise_every=0)
    conversation = await here.start()
    for n in range(WINDOW + 4):
        await here.say(
            conversation, f"제 {n}번째 동생 이름은 민수{n}이고 {n + 20}살이에요. " + "긴 이야기 " * 40
        )
        known = (await here.engine.context("", conversation, ""))[1].state
        read = (await there.engine.context("", conversation, ""))[1].state
        assert read == known
    assert known.folded == 4


async def test_a_state_that_waits_and_one_of_another_process_lose_no_exchange(make_on_both):
    here, there = make_on_both(Echo(""), summarise_every=0), make_on_both(Echo(""), summarise_every=0)
    conversation = await here.start()
    for n in range(3):
        await here.say(conversation, f"here {n}")
    await there.say(conversation, "there")  # stored at once, on top of what waits here
    await here.engine.folding.flush()
    state = await there.state(conversation)
    assert [user for user, _ in state.digests] == ["here 0", "here 1", "here 2", "there"]
