"""A summary is made of the text's own sentences, in their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.extract.phrases import NOT_THERE
from holdfast.rooms.llm.rules.extract.scoring import Source
from holdfast.rooms.llm.rules.extract.summary import MOST, summarise

TEXT = (
    "토마토 농가의 소득이 올해 줄었다. 토마토는 더운 곳에서 자란다. 어제는 비가 왔다."
    " 토마토 값이 크게 떨어졌기 때문이다."
    " 농가는 소득이 줄어 어렵다고 말했다. 버스가 늦었다."
    " 정부는 농가의 소득을 돕겠다고 했다. 값은 가을에 오를 것으로 보인다."
)


def summary(*texts, most=None):
    *_, found = summarise([Source(str(at), text) for at, text in enumerate(texts)], most)
    return [texts[one.source][one.start : one.end] for one in found]


def test_what_the_text_is_about_is_kept():
    kept = summary(TEXT)
    assert kept[0] == "토마토 농가의 소득이 올해 줄었다."
    assert not {"어제는 비가 왔다.", "버스가 늦었다."} & set(kept)
    assert len(kept) == 3


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("한 문장이다.", 1), (TEXT * 30, 3), (" ".join(f"{n} 번째 글이다." for n in range(99)), MOST)],
)
def test_how_many_sentences(text, count):
    assert len(summary(text)) == count


def test_what_is_said_twice_is_kept_once():
    assert summary("같은 말이다. 같은 말이다. 같은 말이다.", most=3) == ["같은 말이다."]


def test_a_refusal_of_ours_is_no_content():
    assert summary(f"{NOT_THERE['ko']} 딸기가 익었다.", most=2) == ["딸기가 익었다."]


@given(
    st.lists(st.text(alphabet=st.sampled_from("서울 딸기. 다!\nab"), max_size=200), min_size=1, max_size=3)
)
def test_the_order_is_the_texts(texts):
    *_, found = summarise([Source(str(at), text) for at, text in enumerate(texts)])
    assert [(one.source, one.start) for one in found] == sorted((one.source, one.start) for one in found)
    assert len(found) <= MOST
