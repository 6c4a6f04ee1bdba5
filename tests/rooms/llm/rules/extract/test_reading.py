"""What a chat body asks and gives, and that every offset points into what was sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.extract.reading import SYSTEM_CONTEXT, WINDOW, read


def user(text, *before, **body):
    return {"messages": [*before, {"role": "user", "content": text}], **body}


def given_texts(body):
    return [source.text[source.start : source.end].strip() for source in read(body).sources]


CONTEXT = "도서관은 아침 9시에 연다. 저녁 6시에 닫는다."


@pytest.mark.parametrize(
    ("text", "asked", "context"),
    [
        ("도서관은 언제 여나요?", "도서관은 언제 여나요?", []),
        (f"Context:\n{CONTEXT}\n\nQuestion: 언제 닫나요?\nAnswer:", "언제 닫나요?", [CONTEXT]),
        (f"질문: 언제 닫나요?\n\n문맥: {CONTEXT}", "언제 닫나요?", [CONTEXT]),
        (f"{CONTEXT}\n\n질문: 언제 닫나요?", "언제 닫나요?", [CONTEXT]),
        (f"{CONTEXT}\n\n언제 닫나요?", "언제 닫나요?", [CONTEXT]),
        (f"언제 닫나요?\n\n{CONTEXT}", "언제 닫나요?", [CONTEXT]),
        (f"<context>\n{CONTEXT}\n\nQ: When?", "When?", [CONTEXT]),
        (f"{CONTEXT * 10}\nWhen does it close?", "When does it close?", [CONTEXT * 10]),
        ("가" * 20_000 + "\n질문: 무엇?", "무엇?", ["가" * 20_000]),
        ("", "", []),
    ],
)
def test_question_and_context_of_a_message(text, asked, context):
    assert read(user(text)).question == asked
    assert given_texts(user(text)) == context


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (f"요약해줘: {CONTEXT}", [CONTEXT]),
        (f"다음 글을 요약해줘.\n{CONTEXT}", [CONTEXT]),
        (f"{CONTEXT}\n\n위 글을 요약해 주세요.", [CONTEXT]),
        (f"Summarize this: {CONTEXT}", [CONTEXT]),
        (f"TL;DR\n{CONTEXT}", [CONTEXT]),
    ],
)
def test_a_summary_is_wanted_of_the_rest(text, context):
    assert read(user(text)).summary
    assert given_texts(user(text)) == context


def test_a_purpose_asks_for_a_summary_of_all_that_was_sent():
    body = user(CONTEXT, metadata={"purpose": "summary"})
    assert read(body).summary
    assert given_texts(body) == [CONTEXT]


def test_passages_are_quoted_alone():
    passages = [{"id": 7, "text": "첫째", "title": "제목"}, "둘째", {"text": " "}, {"text": 3}, None]
    found = read(user("무엇?", {"role": "user", "content": "앞의 말"}, passages=passages)).sources
    assert [(one.id, one.text, one.title) for one in found] == [("7", "첫째", "제목"), ("2", "둘째", "")]


def test_earlier_turns_may_be_quoted():
    body = user(
        "제 이름이 뭐였죠?",
        {"role": "user", "content": "제 이름은 민수예요."},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "날씨는 맑음"},
        {"role": "assistant", "content": [{"type": "text", "text": "반가워요."}, {"type": "refusal"}]},
    )
    found = read(body).sources
    assert [(one.id, one.text, one.talk) for one in found] == [
        ("message-0", "제 이름은 민수예요.", True),
        ("message-2", "날씨는 맑음", False),
        ("message-3.0", "반가워요.", True),
    ]


def test_a_system_message_is_quoted_only_as_far_as_it_is_context():
    def system(text):
        return given_texts(user("무엇?", {"role": "system", "content": text}))

    assert system("You are a helpful assistant. The secret is 42.") == []
    assert system(f"You are helpful.\nContext: {CONTEXT}") == [CONTEXT]
    assert system("가" * SYSTEM_CONTEXT) == ["가" * SYSTEM_CONTEXT]


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": None}, {"messages": ["x", 3]}, {"messages": [{"role": "assistant", "content": "x"}]},
     user(None), user([{"type": "image_url"}]), user("x", passages="no"), user("x", metadata=3)],
)  # fmt: skip
def test_an_odd_body_is_read_all_the_same(body):
    assert isinstance(read(body).question, str)


pieces = st.sampled_from(
    [
        "질문:",
        "Question: ",
        "Context:",
        "\n",
        "\n\n",
        "언제?",
        "요약해줘",
        "글이다. ",
        "Answer:",
        " ",
        "x" * (WINDOW + 5),
    ]
)


@given(st.lists(pieces, max_size=12).map("".join))
def test_offsets_point_into_what_was_sent(text):
    for source in read(user(text)).sources:
        assert source.text == text
        assert 0 <= source.start <= (len(text) if source.end is None else source.end) <= len(text)
