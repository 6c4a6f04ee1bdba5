"""Which sentence is found, how sure, and that its offsets are the text's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.extract.questions import question
from holdfast.rooms.llm.rules.extract.scoring import BLOCK, STEP, SURE_ENOUGH, Corpus, Source

FARM = Source(
    "farm",
    "홀드패스트 농장은 2015년에 부산에서 문을 열었다. 지금은 딸기와 토마토를 키운다. 직원은 모두 12명이다."
    " 대표는 김민수 씨이다.",
    "홀드패스트 농장",
)
SHOP = Source(
    "shop", "The shop opened in 1998. It sells bread and cakes. Maria Gomez owns it. It closes at 6 pm."
)


def corpus(*sources):
    found = Corpus()
    for source in sources:
        for _ in found.read(source):
            pass
    return found


def quote(known, one):
    return known.sources[one.source].text[one.start : one.end]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("홀드패스트 농장은 언제 문을 열었나?", "2015년"),
        ("농장의 직원은 몇 명인가?", "12명"),
        ("농장의 대표는 누구인가?", "김민수"),
        ("농장은 무엇을 키우나? 딸기", "토마토"),
        ("When did the shop open?", "1998"),
        ("Who owns the shop?", "Maria Gomez"),
        ("What bread does it sell?", "cakes"),
    ],
)
def test_the_sentence_that_answers_is_best(text, wanted):
    known = corpus(FARM, SHOP)
    best = known.best(question(text))[0]
    assert wanted in quote(known, best)
    assert best.sure >= SURE_ENOUGH


@pytest.mark.parametrize(
    "text", ["미국의 대통령은 누구인가?", "Who won the World Cup in 2010?", "비트코인 가격은 얼마인가?"]
)
def test_what_the_texts_do_not_tell_is_not_sure(text):
    found = corpus(FARM, SHOP).best(question(text))
    assert not found or found[0].sure < SURE_ENOUGH


def test_a_name_that_is_not_there_makes_it_unsure():
    known = corpus(
        Source("a", "Paris is the capital of France."), Source("b", "Berlin is the capital of Germany.")
    )
    assert known.best(question("What is the capital of France?"))[0].sure >= SURE_ENOUGH
    assert known.best(question("What is the capital of Spain?"))[0].sure < SURE_ENOUGH


@given(
    st.lists(
        st.text(alphabet=st.sampled_from("서울부산은는 가다.!?\n딸기abcde 12"), max_size=120), max_size=4
    ),
    st.text(alphabet=st.sampled_from("서울부산딸기은 abc12?"), max_size=30),
    st.integers(0, 20),
)
def test_a_quote_is_always_a_part_of_its_source(passages, asked, start):
    sources = [Source(str(at), text, start=min(start, len(text))) for at, text in enumerate(passages)]
    known = corpus(*sources)
    for one in known.best(question(asked), 10):
        source = sources[one.source]
        assert source.start <= one.start < one.end <= len(source.text)
        assert quote(known, one).strip() == quote(known, one) != ""
        assert 0.0 <= one.sure <= 1.0


def test_the_same_question_has_the_same_answer():
    known = corpus(FARM, SHOP)
    asked = question("농장의 직원은 몇 명인가?")
    assert known.best(asked) == corpus(FARM, SHOP).best(asked)


def test_only_the_part_of_a_source_is_quoted():
    text = "직원은 3명이다. 직원은 5명이다. 직원은 7명이다."
    known = corpus(Source("a", text, start=10, end=20))
    assert {quote(known, one) for one in known.best(question("직원은 몇 명인가?"))} == {"직원은 5명이다."}


def test_what_was_asked_and_ordered_in_talk_is_not_quoted():
    said = "직원은 몇 명인가요? 직원 수를 알려주세요. 직원은 12명이에요."
    known = corpus(Source("m", said, talk=True))
    assert [quote(known, one) for one in known.best(question("직원은 몇 명인가?"))] == ["직원은 12명이에요."]


def test_a_long_source_is_many_passages_and_does_not_know_everything():
    filler = " ".join(
        f"{number}번 문장은 {chr(0xAC00 + number * 7)}{chr(0xB098 + number)}에 대한 글이다."
        for number in range(200)
    )
    known = corpus(Source("long", f"{filler} 딸기는 봄에 심는다. {filler} 토마토 값은 올랐다. {filler}"))
    assert quote(known, known.best(question("딸기는 언제 심는가?"))[0]) == "딸기는 봄에 심는다."
    assert known.best(question("딸기와 토마토의 색과 크기와 무게는 어떤가?"))[0].sure < SURE_ENOUGH


def test_reading_pauses_every_few_sentences():
    text = "짧은 문장이다. " * (STEP * 5 + BLOCK)
    assert len(list(Corpus().read(Source("a", text)))) == 6


@pytest.mark.parametrize("sources", [(), (Source("a", ""),), (Source("a", "???"),)])
def test_nothing_is_found_in_nothing(sources):
    assert corpus(*sources).best(question("딸기는 언제 심는가?")) == []
    assert corpus(FARM).best(question("")) == []
