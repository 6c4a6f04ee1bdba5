import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.conversations.rules.understanding import MAX_ENTITIES, entities, intent, merged


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("Hello there", "greeting"),
        ("안녕하세요", "greeting"),
        ("Thank you so much", "thanks"),
        ("정말 고마워요", "thanks"),
        ("When does the train leave?", "question"),
        ("기차는 언제 출발하나요?", "question"),
        ("강아지 이름이 뭐였지", "question"),
        ("Please translate this", "request"),
        ("이 문장을 번역해 주세요", "request"),
        ("추천해줘", "request"),
        ("The app is broken and I want a refund", "complaint"),
        ("배송이 아직 안 왔어요", "complaint"),
        ("bye, see you tomorrow", "goodbye"),
        ("네, 좋아요", "confirmation"),
        ("No, cancel it", "refusal"),
        ("아니요 됐어요", "refusal"),
        ("I live in Jeonju", "statement"),
        ("저는 전주에 살아요", "statement"),
        ("", "statement"),
    ],
)
def test_intents(message, found):
    assert intent(message) == found


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("write to mina@farm.kr by Friday", [("email", "mina@farm.kr"), ("date", "Friday")]),
        ("제 생일은 3월 14일이에요", [("date", "3월 14일"), ("noun", "생일")]),
        ("예산은 250만원 정도", [("number", "250만원"), ("noun", "예산")]),
        ("on 2026-05-01 at 15:30", [("date", "2026-05-01"), ("date", "15:30")]),
        ('the book "Small Gods"', [("quote", "Small Gods")]),
        ("「소나기」를 읽었어요", [("quote", "소나기")]),
        ("I met Kim Minsu in Busan", [("name", "Kim Minsu"), ("name", "Busan")]),
        ("고구마를 온실에서 키워요", [("noun", "고구마"), ("noun", "온실")]),
        ("다음 주 목요일 오후 3시에 봐요", [("date", "다음 주 목요일"), ("date", "오후 3시")]),
        ("$1,200.50 for 3 days", [("number", "$1,200.50"), ("number", "3 days")]),
        ("what is this", []),
    ],
)
def test_entities(message, found):
    assert entities(message) == found


def test_the_newest_win_and_the_oldest_leave():
    old = tuple(("number", str(n)) for n in range(MAX_ENTITIES))
    found = merged([("name", "Mina"), ("number", "5")], old)
    assert found[:2] == (("name", "Mina"), ("number", "5"))
    assert len(found) == MAX_ENTITIES
    assert len({value for _, value in found}) == MAX_ENTITIES
    assert ("number", "11") not in found


@given(st.text(max_size=300))
def test_anything_can_be_looked_at(message):
    assert intent(message)
    for kind, value in entities(message):
        assert kind
        assert 0 < len(value.encode("utf-8", "replace")) <= 48


@pytest.mark.parametrize(
    "message", ["1" * 4000, "a" * 4000, "가" * 4000, "a@" * 2000, "A " * 2000, '"' * 4000, "-" * 4000]
)
def test_no_message_takes_long(message):
    intent(message)
    entities(message)
