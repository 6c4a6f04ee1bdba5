import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.kernel.text.graphemes import is_boundary
from holdfast.rooms.conversations.rules.state import WINDOW, Exchange, State, catch_up, fit, take_in
from holdfast.rooms.conversations.rules.turns import Message, exchanges, message_id, seq_of
from holdfast.rooms.conversations.store.packed import packed_size

WORDS = st.text(st.sampled_from("aeinrst .,가나다라마바사아요는을이다 👩‍👧é漢字0123456789"), max_size=400)


def told(count, first=1):
    return [Exchange(2 * n, f"my fact {n} is {n * n}", f"answer {n}") for n in range(first, first + count)]


def test_the_window_slides_and_what_leaves_it_is_folded():
    state = catch_up(State(), told(7))
    assert state.seq == 14
    assert [user for user, _ in state.digests] == [f"my fact {n} is {n * n}" for n in range(3, 8)]
    assert state.folded == 2
    assert state.summary == ("my fact 1 is 1", "my fact 2 is 4")


def test_one_by_one_or_all_at_once_is_the_same():
    step = State()
    for at in range(1, 13):
        step = catch_up(step, told(min(at, WINDOW + 2), max(1, at - WINDOW - 1)))
    assert step == catch_up(State(), told(12))
    assert catch_up(step, told(12)) == step


def test_an_exchange_that_is_not_there_is_folded_from_its_digest():
    state = catch_up(State(), told(5))
    assert catch_up(state, told(1, 6)).summary == ("my fact 1 is 1",)


def test_an_answer_that_failed_is_marked_and_not_remembered():
    failed = Exchange(2, "오늘 예산은 30만원", "half an answ", "timeout")
    state = take_in(State(), failed, None)
    assert state.digests == (("오늘 예산은 30만원", "(timeout) half an answ"),)
    assert failed.remembered == ""
    assert take_in(state, Exchange(4, "a", "b"), failed).summary == ("오늘 예산은 30만원",)


@settings(max_examples=60)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=9), st.integers(120, 1024))
def test_a_state_always_fits_and_its_texts_end_at_boundaries(pairs, budget):
    given_ = [Exchange(2 * n, user, answer) for n, (user, answer) in enumerate(pairs, 1)]
    full = catch_up(State(persona="assistant"), given_)
    fitted = fit(full, packed_size, budget)
    assert packed_size(fitted) <= budget
    assert (fitted.seq, fitted.folded, fitted.persona) == (full.seq, full.folded, "assistant")
    assert len(fitted.digests) == len(full.digests)
    for short, whole in zip(fitted.digests, full.digests, strict=True):
        for text, source in zip(short, whole, strict=True):
            kept = text.removesuffix("…")
            assert source.startswith(kept.rstrip())
            assert is_boundary(source, len(kept.rstrip())) or source == text


def test_incompressible_text_fits_as_well():
    noise = "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(3000))
    full = State(digests=((noise, noise),) * 5, summary=(noise,) * 9, entities=(("noun", noise[:60]),) * 12)
    assert packed_size(fit(full, packed_size, 256)) <= 256
    tiny = fit(msgspec.structs.replace(full, persona="가" * 500), packed_size, 256)
    assert packed_size(tiny) <= 256


def test_messages_in_pairs():
    rows = [
        Message(1, "user", "a", "done", 0),
        Message(2, "assistant", "b", "done", 0, terms=" b "),
        Message(3, "user", "c", "done", 0),
        Message(4, "assistant", "", "pending", 0, until_ms=9),
    ]
    assert exchanges(rows) == [Exchange(2, "a", "b", "done", True)]
    assert exchanges(rows[1:]) == []
    assert rows[3].is_running(8)
    assert rows[3].is_left(9)
    assert not rows[1].is_left(9)
    assert seq_of(message_id(12)) == 12
    assert [seq_of(name) for name in ("12", "m", "m-1", "m1x", "", "m²")] == [0] * 6
