"""States at rest: small, read back as they were, and readable for every later release."""

import base64
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.conversations.rules.state import State
from holdfast.rooms.conversations.store.dictionary import words
from holdfast.rooms.conversations.store.packed import (
    CODE_PAGE,
    UTF8,
    pack,
    packed_size,
    packed_within,
    unpack,
)

KEPT = {
    "code page": (
        "0gE;?A*=|}8$<TKG0=I2CI`+#y$kKGfy?$Y3Ojf1-*WJqJy6-<Q%7!r(={+XodIQfJ%yOk6bs`NAem}l05)+%=>=)_"
        "tpqk?(vcdw&Kdd1`FcR@;G+A$pM%$cl|Q6()B{>)q+=Kh00"
    ),
    "utf-8": (
        "0*f|6ggQ*ygC*-8ENy?VWW$3c`xG85SplSgLJDBv1_&R>+4*2;hr);XGa7)n8HiheCOp`&>cNiX4|Z$>Gp0P)u@xK+kWc^s"
    ),
}
"""Bytes that release 0.1 wrote. Never change them: add those of a new format."""
FIRST = State(
    seq=14,
    persona="assistant",
    intent="question",
    entities=(("noun", "강아지"), ("date", "3월 14일")),
    digests=(("강아지 이름이 뭐였지?", "초코라고 하셨어요. 😀"),) * 5,
    summary=("My dog is called Choco.", "저는 전주에 살아요."),
    folded=2,
    modelled=1,
)
SECOND = State(seq=2, persona="tutor", digests=(("मेरा नाम मीना है 😀😃😄", "สวัสดี"),))
TEXT = st.text(max_size=120)
STATES = st.builds(
    State,
    seq=st.integers(0, 10**6),
    persona=TEXT,
    intent=TEXT,
    entities=st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
    digests=st.lists(st.tuples(TEXT, TEXT), max_size=5).map(tuple),
    summary=st.lists(TEXT, max_size=4).map(tuple),
)


@pytest.mark.parametrize(("name", "state"), [("code page", FIRST), ("utf-8", SECOND)])
def test_bytes_of_the_first_release_are_read(name, state):
    assert unpack(base64.b85decode(KEPT[name])) == state


def test_a_dictionary_in_use_never_changes():
    assert hashlib.sha256(words(1).encode()).hexdigest() == (
        "113e48e176492ec1f9291a6d732dd2f0451c362897cae309b7135291fda75989"
    )


@given(STATES)
def test_what_is_packed_is_read_back(state):
    assert unpack(pack(state)) == state


def test_korean_takes_two_bytes_and_foreign_text_its_own_form():
    assert pack(FIRST)[0] == CODE_PAGE
    assert pack(SECOND)[0] == UTF8
    assert unpack(pack(SECOND)) == SECOND


def test_the_dictionary_pays():
    plain = len(msgspec.json.encode(FIRST))
    assert packed_size(FIRST) < plain / 2.5


@pytest.mark.parametrize(
    "raw", [b"", b"\x01", b"\xff" * 30, b"\x63abc", pack(FIRST)[:-4], b"\x01" + b"\0" * 40]
)
def test_what_cannot_be_read_is_an_empty_state(raw, caplog):
    assert unpack(raw) == State()
    assert "cannot be read" in caplog.text


def test_a_bomb_does_not_fill_the_memory():
    bomb = pack(State(persona="a" * 3_000_000))
    assert unpack(bomb) == State()


def test_a_state_with_fields_of_a_later_release_is_read():
    class Later(State, frozen=True, array_like=True):
        mood: str = "fine"

    assert unpack(pack(Later(seq=4))) == State(seq=4)
    assert msgspec.json.decode(b"[4]", type=State) == State(seq=4)


def test_packed_within_gives_what_it_measured():
    state, raw = packed_within(State(summary=("가나다라 " * 40,) * 20), 300)
    assert len(raw) <= 300
    assert unpack(raw) == state
