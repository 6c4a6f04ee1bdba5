import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.text.graphemes import size
from holdfast.rooms.conversations.rules.sentences import is_chatter, is_korean, sentences, weight
from holdfast.rooms.conversations.rules.summary import alike, fold, gist, within, written


def bytes_of(summary):
    return sum(size(sentence) + 1 for sentence in summary)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("값은 3.5만원이에요. 살까요?", ["값은 3.5만원이에요.", "살까요?"]),
        ("write to a.b@c.de now", ["write to a.b@c.de now"]),
        ("첫 줄\n둘째 줄", ["첫 줄", "둘째 줄"]),
        ("今日は。明日は！", ["今日は。", "明日は！"]),
        ("…", ["…"]),
        (" \n ", []),
        ("", []),
    ],
)
def test_sentences(text, found):
    assert sentences(text) == found


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("My daughter is allergic to peanuts.", "That is interesting, tell me more."),
        ("제 생일은 3월 14일이에요.", "오늘 날씨가 참 좋네요."),
        ("저는 땅콩 알레르기가 있어요.", "어떻게 하면 좋을까요?"),
        ("We decided on Friday at 15:00.", "What do you think about it?"),
        ("Thinking about the weather today.", "hello!"),
        ("글쎄 그런 것 같기도 해요", "안녕하세요!"),
    ],
)
def test_facts_weigh_more(more, less):
    assert weight(more) > weight(less)


def test_chatter_and_language():
    assert all(is_chatter(text) for text in ("hi", "Thank you!", "네.", "안녕하세요", "감사합니다~"))
    assert not any(is_chatter(text) for text in ("hi, my name is Mina", "네, 3시에 가요"))
    assert is_korean("API 키를 어디에 넣나요?")
    assert not is_korean("What does 감사 mean in English?")
    assert not is_korean("123 !!!")


def test_a_fold_adds_and_keeps():
    one = fold((), "My dog is called Choco. He is great.", "Nice name!", 700)
    two = fold(one, "저는 전주에 살아요.", "", 700)
    assert one[0] in two
    assert two[-1] == "저는 전주에 살아요."
    assert fold(two, "hello!", "Hi!", 700) == two, "chatter adds nothing"
    assert fold(two, "What is it?", "", 700)[-1] == "What is it?", "an exchange leaves a trace"


def test_what_is_said_again_is_kept_once_and_another_number_is_another_fact():
    summary = fold((), "My budget is 300 dollars.", "", 700)
    assert fold(summary, "My budget is 300 dollars!", "", 700) == ("My budget is 300 dollars!",)
    assert len(fold(summary, "My budget is 500 dollars.", "", 700)) == 2
    assert fold(summary, "ok", "Your budget is 300 dollars.", 700) == summary
    assert not alike("", "")


def test_the_weakest_leave_first_whatever_their_age():
    facts = (
        "My passport number is M391.",
        "well whatever you say is fine",
        "우리 집 주소는 전주시 12번지예요.",
    )
    kept = within(facts, bytes_of(facts) - 1)
    assert kept == (facts[0], facts[2])
    assert within(("가" * 100,), 50)[0].endswith("…")
    assert within(("👩‍👩‍👧‍👦",), 10) == ()


@given(
    st.lists(st.text(max_size=60), max_size=8),
    st.text(max_size=400),
    st.text(max_size=400),
    st.integers(0, 300),
)
def test_a_summary_never_passes_its_limit(old, user, answer, limit):
    summary = within(old, limit)
    assert bytes_of(summary) <= max(limit + 1, 0)
    assert bytes_of(fold(summary, user, answer, limit)) <= limit + 1
    assert fold(summary, user, answer, limit) == fold(summary, user, answer, limit)


@given(st.text(max_size=3000), st.integers(1, 200))
def test_gists_and_written_summaries_fit(text, limit):
    assert size(gist(text, limit)) <= limit
    assert bytes_of(written(text, limit)) <= limit + 1


def test_a_gist_is_the_sentence_that_tells_most():
    text = "음 그게 말이죠 뭐라고 해야 할지 잘 모르겠네요. 제 주문 번호는 48213이에요. 그냥 그렇다고요."
    assert gist(text, 60) == "제 주문 번호는 48213이에요."
    assert gist("short  one", 60) == "short one"
