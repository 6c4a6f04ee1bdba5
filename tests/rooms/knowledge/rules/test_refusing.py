"""When a question is not answered, and what is said instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.knowledge.rules.refusing import SURE_ENOUGH, refusal, sure

PASSAGE = "훈민정음은 1443년에 창제되었다. 한글날은 10월 9일이다."


@pytest.mark.parametrize(
    ("question", "weight", "answers"),
    [
        ("훈민정음은 언제 창제되었는가?", 0.7, True),
        ("훈민정음은 언제 창제되었는가?", 0.2, True),  # a small index, where no word is rare
        ("서울의 인구는 얼마인가?", 0.0, False),
        ("훈민정음 해례본을 보관하는 미술관의 관장은?", 0.2, False),
        ("", 1.0, False),
        ("???", 1.0, False),
    ],
)
def test_it_depends_on_how_much_of_the_question_is_there(question, weight, answers):
    assert (sure(question, [(weight, PASSAGE)]) >= SURE_ENOUGH) == answers


@given(st.text(max_size=60), st.lists(st.tuples(st.floats(0, 1), st.text(max_size=60)), max_size=4))
def test_it_is_a_probability_that_a_better_passage_never_lowers(question, passages):
    found = sure(question, passages)
    assert 0.0 <= found <= 1.0
    assert sure(question, [(1.0, question), *passages]) >= min(found, sure(question, passages[:2]))


def test_a_refusal_names_what_came_closest_in_the_question_s_language():
    assert refusal("인구는?", []) == "저장된 문서에서 이 질문과 관련된 내용을 찾지 못했습니다."
    assert refusal("How many?", ["A", "B", "A"]).endswith("The closest is in “A”, “B”.")
    assert "“서울”" in refusal("인구는?", ["서울"])
