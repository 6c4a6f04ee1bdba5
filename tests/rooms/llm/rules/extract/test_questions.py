"""What questions ask for, and what shows it."""

import pytest

from holdfast.rooms.llm.rules.extract.questions import MAX_TOKENS, question


def kinds(text):
    asked = question(text)
    return {name for name in ("when", "many", "who", "where") if getattr(asked, name)}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("언제 태어났는가?", {"when"}),
        ("지명수배된 날은?", {"when"}),
        ("몇 년에 설립되었나?", {"when"}),
        ("When was it built?", {"when"}),
        ("What year did it open?", {"when"}),
        ("회원은 몇 명인가?", {"many"}),
        ("얼마나 큰가?", {"many"}),
        ("How many people came?", {"many"}),
        ("누가 만들었나?", {"who"}),
        ("대표로 파견된 인물은?", {"who"}),
        ("Who built it?", {"who"}),
        ("어디에서 태어났나?", {"where"}),
        ("Where is it?", {"where"}),
        ("무엇을 만들었나?", set()),
        ("", set()),
    ],
)
def test_what_is_asked_for(text, wanted):
    assert kinds(text) == wanted


@pytest.mark.parametrize(
    ("text", "sentence", "shown"),
    [
        ("언제?", "1989년의 일이다.", True),
        ("언제?", "오래된 일이다.", False),
        ("When?", "It closes at 6 pm.", True),
        ("When?", "In March 2020 it opened.", True),
        ("When?", "It opened.", False),
        ("몇 명인가?", "12명이 왔다.", True),
        ("몇 명인가?", "많은 사람이 왔다.", False),
        ("How many people came?", "Some came.", False),
        ("How many people came?", "Twelve came.", True),
        ("Who built it?", "Gustave Eiffel built it.", True),
        ("누구인가?", "김 감독이 이끌었다.", True),
        ("Where is it?", "It stands in Paris.", True),
    ],
)
def test_what_a_sentence_shows(text, sentence, shown):
    assert any(question(text).shows(sentence)) is shown


def test_a_number_with_its_unit_shows_more_than_a_number():
    asked = question("몇 명이 왔나?")
    assert asked.shows("12명이 왔다.")[1:3] == (1.0, 1.0)
    assert asked.shows("12시에 왔다.")[1:3] == (1.0, 0.0)


def test_names_and_numbers_are_told_apart_from_words():
    asked = question("What is the capital of Spain in 1989?")
    assert {word[-1] for word in asked.named} == {"=spain", "#1989"}
    assert "=capital" in asked.terms
    assert not question("capital of spain").named


def test_a_question_without_end_is_read_in_part():
    assert len(question("단어들이 많은 글 " * 10_000).words) <= MAX_TOKENS
