import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import BadInput
from holdfast.kernel.text.graphemes import size
from holdfast.rooms.conversations.rules.context import Line, Recalled, compose, window_lines
from holdfast.rooms.conversations.rules.events import Place, event, id_at, id_of_end, place_of
from holdfast.rooms.conversations.rules.personas import BUILT_IN, Persona, chosen
from holdfast.rooms.conversations.rules.problems import UnknownPersona
from holdfast.rooms.conversations.rules.state import Exchange, State, catch_up


def composed(**parts):
    given_ = {
        "voice": "Be kind.",
        "language": "en",
        "say_language": False,
        "state": State(),
        "window": (),
        "found": (),
        "message": "now",
        "window_bytes": 1000,
        "recall_bytes": 1000,
    }
    return compose(**{**given_, **parts})


def test_the_parts_and_their_sizes():
    state = State(summary=("Mina farms.", "전주에 살아요."), entities=(("name", "Mina"), ("noun", "감자")))
    found = [Recalled(1, "user", "우리 강아지는 초코", 0, 0.9)]
    context = composed(state=state, window=[Exchange(4, "q", "a")], found=found, say_language=True)
    system = context.messages[0]
    assert system.role == "system"
    for part in ("Be kind.", "Answer in English.", "Mina farms. 전주에 살아요.", "Mina, 감자"):
        assert part in system.content
    assert context.messages[1:] == (Line("user", "q"), Line("assistant", "a"), Line("user", "now"))
    assert context.recalled[0].title == "user, 1970-01-01"
    assert context.sizes.total == sum(size(line.content) for line in context.messages) + size(
        "우리 강아지는 초코"
    )
    assert composed(voice="", message="").messages == ()
    assert "한국어로" in composed(language="ko", say_language=True).messages[0].content


def test_only_the_window_is_given_in_full():
    window = [Exchange(2 * n, f"q{n}", f"a{n}") for n in range(1, 9)]
    lines = composed(window=window).messages
    assert [line.content for line in lines if line.role == "user"] == ["q4", "q5", "q6", "q7", "q8", "now"]


def test_what_does_not_fit_is_given_in_short():
    window = [Exchange(2 * n, f"fact {n}: " + "긴 글 " * 200, "ok " * 100) for n in range(1, 6)]
    lines = window_lines(window, catch_up(State(), window), 3_000)
    assert sum(size(line.content) for line in lines) <= 3_000
    assert lines[-2].content == window[-1].user
    assert lines[-4].content.startswith("fact 4: 긴 글")
    assert size(lines[-4].content) <= 150
    assert [line.role for line in lines] == ["user", "assistant"] * (len(lines) // 2)


@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=200)), max_size=6), st.integers(0, 500))
def test_the_window_never_passes_its_budget_by_more_than_its_marks(pairs, limit):
    window = [Exchange(2 * n, user or "?", answer) for n, (user, answer) in enumerate(pairs, 1)]
    lines = window_lines(window, catch_up(State(), window), limit)
    assert sum(size(line.content) for line in lines) <= limit + 3 * len(lines)


def test_recalled_texts_have_a_budget():
    found = [Recalled(n, "user", f"토마토 {n} " * 30, 0, 1 - n / 10) for n in (5, 3, 1)]
    sources = composed(found=found, recall_bytes=500).recalled
    assert sum(size(source.text) for source in sources) <= 500
    assert [source.id for source in sources] == ["m3", "m5"]


@pytest.mark.parametrize(
    ("given_", "place"), [("", Place()), ("0", Place(0)), ("17", Place(17)), ("9.end", Place(9, True))]
)
def test_places(given_, place):
    assert place_of(given_) == place


@pytest.mark.parametrize("odd", ["x", "-1", "1.5", ".end", "٣", "9" * 40, "1.end.end"])
def test_what_is_no_id_of_ours_is_refused(odd):
    with pytest.raises(BadInput) as refused:
        place_of(odd)
    assert refused.value.hint


def test_an_event_is_one_block_whatever_its_text():
    raw = event("token", {"text": "a\nb\r\n\n한"}, id_at(3))
    assert raw == 'id: 3\nevent: token\ndata: {"text":"a\\nb\\r\\n\\n한"}\n\n'.encode()
    assert event("done", {}, id_of_end(3)).startswith(b"id: 3.end\n")
    assert event("error", {}) == b"event: error\ndata: {}\n\n"


def test_personas():
    assert chosen("", {}) == ("assistant", BUILT_IN["assistant"])
    own = Persona(style="Pirate.", greeting="Ahoy")
    assert chosen("assistant", {"assistant": own})[1] is own
    assert own.voice("ko") == own.voice("en") == "Pirate."
    assert own.welcome("ko") == "Ahoy"
    for persona in BUILT_IN.values():
        assert persona.voice("ko") != persona.voice("en")
    with pytest.raises(UnknownPersona) as refused:
        chosen("captain", {"pirate": own})
    assert "pirate" in refused.value.hint
