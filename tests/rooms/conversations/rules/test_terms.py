import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.conversations.rules.recall import ASKED_TERMS, asked, best, hits_in
from holdfast.rooms.conversations.rules.terms import MAX_TERMS, stem, stored, terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("강아지를", "강아지가"),
        ("토마토는", "토마토에서"),
        ("부산에서는", "부산까지"),
        ("집에", "집은"),
        ("tomatoes", "tomato"),
        ("Running", "runner"),
        ("東京都", "東京"),
        ("CAFÉ", "café"),
    ],
)
def test_forms_of_a_word_share_a_term(one, other):
    assert set(terms(one)) & set(terms(other))


@pytest.mark.parametrize(
    ("word", "short"),
    [("학교에서는", "학교"), ("민수입니다", "민수"), ("회의", "회의"), ("나", "나"), ("", "")],
)
def test_particles_leave_two_syllables(word, short):
    assert stem(word) == short


def test_empty_words_are_no_terms():
    assert terms("what is the of and") == []
    assert terms("그리고 어떻게 했어요") == []
    assert terms("!? … 👍") == []


@given(st.text(max_size=500))
def test_terms_are_few_distinct_and_safe_between_spaces(text):
    found = terms(text)
    assert len(found) == len(set(found)) <= MAX_TERMS
    assert not any(set(term) & set(" %_\\'\0") for term in found)
    assert stored(found).split() == found


def test_a_very_long_message_is_known_by_its_beginning():
    found = terms(" ".join(f"word{n}" for n in range(200_000)))
    assert len(found) == MAX_TERMS
    assert len(asked(found)) == ASKED_TERMS


def hits_of(question, texts):
    return hits_in(((n, stored(terms(text))) for n, text in enumerate(texts)), asked(terms(question)))


def ranked(question, texts, **limits):
    given = {"of": len(texts), "most": 9, "at_least": 0.0, **limits}
    return [one.seq for one in best(asked(terms(question)), hits_of(question, texts), **given)]


def test_rare_terms_decide():
    texts = ["고객 주문 확인", "고객 주문 환불", "고객 주문 취소", "고객 주문 배송"]
    assert ranked("환불 주문", texts)[0] == 1
    assert ranked("nothing alike", texts) == []
    assert ranked("", texts) == []
    assert best([], [], of=0, most=1, at_least=0) == []


def test_limits_and_repeats():
    texts = ["the blue house", "the blue house", "a blue house with a garden"]
    assert ranked("blue house", texts, most=1) in ([0], [1], [2])
    assert ranked("blue house", texts, at_least=1.1) == []
    assert len(ranked("blue house", texts)) < 3, "what says nothing more is left out"


@given(st.lists(st.text(max_size=40), max_size=12), st.text(max_size=40))
def test_scores_stand_between_0_and_1_and_fall(texts, question):
    wanted = asked(terms(question))
    found = best(wanted, hits_of(question, texts), of=len(texts), most=5, at_least=0)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 2.0 for score in scores)
